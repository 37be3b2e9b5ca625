"""Which sources of a freshness lifetime were looked at before the one that gave it, and what each said.

Must not compute a lifetime: `freshness` does. RFC 9111 §4.2.1.
"""

from edgeproxy.caching.freshness import LifetimeSource
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import Binding, binding
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

_DIRECTIVES = {LifetimeSource.S_MAXAGE: b"s-maxage", LifetimeSource.MAX_AGE: b"max-age"}


def looked_at(
    response: StoredResponse | ResponseHead, policy: CachePolicy, chosen: LifetimeSource
) -> tuple[tuple[str, str], ...]:
    """Name and value of each source in order of precedence, `chosen` being the last."""
    fields = response.fields
    bound = binding(fields, policy)
    hidden = {*_DIRECTIVES, LifetimeSource.EXPIRES} if bound.targeted else set()  # RFC 9213 §2.1
    precedence = tuple(LifetimeSource)
    before = precedence[: precedence.index(chosen) + 1]
    return tuple(
        _told(source, fields, policy, bound)
        for source in before
        if source is not LifetimeSource.NONE and source not in hidden
    )


def _told(source: LifetimeSource, fields: Fields, policy: CachePolicy, bound: Binding) -> tuple[str, str]:
    if source is LifetimeSource.TARGETED:
        name = bound.field.decode("latin-1") if bound.targeted else "a targeted field"
        return f"response {name}", _line(fields, bound.field) if bound.targeted else "absent"
    if source in _DIRECTIVES:
        given = bound.directives.arguments.get(_DIRECTIVES[source])
        return f"response {source}", "absent" if given is None else (given[0] or b"").decode("latin-1")
    if source is LifetimeSource.EXPIRES:
        return "response Expires", _line(fields, b"expires")
    if source is LifetimeSource.HEURISTIC:
        if not policy.heuristic:
            return "route.cache.heuristic", "false"
        return "response Last-Modified", _line(fields, b"last-modified")
    if source is LifetimeSource.ADAPTIVE and policy.adaptive is not None:
        shortest, longest = policy.adaptive
        return "route.cache.adaptive", f"{shortest:g} s to {longest:g} s"
    setting = getattr(policy, source.value, None)
    return f"route.cache.{source}", "not set" if setting is None else str(setting)


def _line(fields: Fields, name: bytes) -> str:
    value = fields.get(name)
    return "absent" if value is None else value.decode("latin-1")
