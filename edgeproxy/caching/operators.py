"""Keys of a route's configuration that may let more be stored, or reused for longer.

Must not know whether they help (`advice`).
"""

from dataclasses import dataclass
from typing import Any

from edgeproxy.caching.directives import of_request
from edgeproxy.caching.freshness import NEGATIVE
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.wire.heads import RequestHead

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of a route's configuration, and what it makes of the policy.

    `opens`: what may have been meant for one client goes to all.
    """

    line: str
    policy: dict[str, Any]
    opens: bool = False


def settings(policy: CachePolicy, lifetime: int, request: RequestHead, status: int) -> list[Setting]:
    """What could be set, the mildest first; `lifetime` in seconds."""
    span = duration(lifetime)
    found = []
    if not policy.enabled:
        found.append(Setting("cache.enabled: true", {"enabled": True}))
    ignored = (
        policy.request_directives & of_request(request.fields, policy.request_directives).arguments.keys()
    )
    if ignored:
        kept = sorted(policy.request_directives - ignored)
        line = f"cache.request_directives: [{', '.join(name.decode() for name in kept)}]"
        found.append(Setting(line, {"request_directives": frozenset(kept)}))
    if status in NEGATIVE:
        found.append(Setting(f"cache.negative_ttl: {span}", {"negative_ttl": float(lifetime)}))
    found.append(Setting(f"cache.default_ttl: {span}", {"default_ttl": float(lifetime)}))
    found.append(
        Setting(f"cache.stale_while_revalidate: {span}", {"stale_while_revalidate": float(lifetime)})
    )
    if not policy.heuristic:
        found.append(Setting("cache.heuristic: true", {"heuristic": True}))
    if not policy.allow_set_cookie:
        found.append(Setting("cache.allow_set_cookie: true", {"allow_set_cookie": True}, opens=True))
    found.append(Setting(f"cache.override_ttl: {span}", {"override_ttl": float(lifetime)}))
    return found


def duration(seconds: int) -> str:
    """Seconds as the configuration writes them."""
    for size, unit in _UNITS:
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
