"""Knows what the node as a whole says of origins: active health, steering, and the workers' view added up.

Must not know how origins are checked or chosen.
"""

from collections.abc import Callable, Iterator
from typing import Any

from edgeproxy.admin.ports import UnknownOrigin
from edgeproxy.config.model import Config
from edgeproxy.server.hello import Steered
from edgeproxy.telemetry.counters import Counters

Tell = Callable[..., None]
"""Says something to every worker."""

_ADDED = ("active", "connections", "idle")


class Origins:
    """The origins of the configuration in force, by upstream and HOST:PORT."""

    def __init__(self, config: Config, counters: Counters, tell: Tell) -> None:
        self._counters = counters
        self._tell = tell
        self._known: dict[tuple[str, str], Steered] = {}
        self.take(config)

    def __repr__(self) -> str:
        return f"<Origins {list(self._known.values())}>"

    def take(self, config: Config) -> None:
        """Go on with another configuration; what is known of an origin that stays is kept."""
        old, self._known = self._known, {}
        for upstream, settings in config.upstreams.items():
            for origin in settings.origins:
                where = (upstream, origin.key)
                self._known[where] = old.get(where) or Steered(*where)
        for upstream, key in old.keys() - self._known.keys():
            self._show(upstream, key, healthy=False)
        for known in self._known.values():
            self._show(known.upstream, known.origin, known.healthy)

    def all(self) -> list[Steered]:
        """What a new worker must be told."""
        return list(self._known.values())

    def health(self) -> dict[str, dict[str, bool]]:
        """Upstream to origin to whether active checks find it healthy."""
        out: dict[str, dict[str, bool]] = {}
        for known in self._known.values():
            out.setdefault(known.upstream, {})[known.origin] = known.healthy
        return out

    def set_health(self, upstream: str, origin: str, healthy: bool) -> None:
        """Take over what an active check found, and tell the workers."""
        known = self._known.get((upstream, origin))
        if known is None:
            return
        self._known[upstream, origin] = Steered(upstream, origin, healthy, known.state)
        self._show(upstream, origin, healthy)
        self._tell("health", upstream, origin, healthy)

    def steer(self, upstream: str, origin: str, state: str) -> Steered:
        """Take over the operator's word (drain, up, down), and tell the workers. Raises UnknownOrigin."""
        known = self._known.get((upstream, origin))
        if known is None:
            there = ", ".join(f"{name}/{key}" for name, key in self._known) or "none"
            raise UnknownOrigin(f"upstream {upstream!r} has no origin {origin!r}; there are: {there}")
        steered = Steered(upstream, origin, known.healthy, state)
        self._known[upstream, origin] = steered
        self._tell("steer", upstream, origin, state)
        return steered

    def merge(self, snapshots: list[dict[str, Any]]) -> dict[str, Any]:
        """Each upstream with its origins: the node's word, and the workers' numbers added up."""
        out: dict[str, Any] = {}
        for known in self._known.values():
            seen = list(_of(snapshots, known.upstream, known.origin))
            ejected_by = sum(each.get("state") == "ejected" for each in seen)
            origin = {
                "origin": known.origin,
                "state": known.state,
                "healthy": known.healthy and not (seen and ejected_by == len(seen)),
                "ejected_by": ejected_by,
                "in_panic": sum(bool(each.get("panic")) for each in seen),
                "half_open_by": sum(_half_open(each) for each in seen),
                "retry_in": _soonest(seen),
                "limit": sum(each["limit"] for each in seen if each.get("limit")) or None,
                "hedge_after": max((each.get("hedge_after") or 0.0 for each in seen), default=0.0) or None,
                "weight": next((each["weight"] for each in seen if "weight" in each), None),
                "share_of_weight": min((each.get("share_of_weight", 1.0) for each in seen), default=1.0),
                "priority": next((each["priority"] for each in seen if "priority" in each), None),
                **{name: sum(int(each.get(name, 0)) for each in seen) for name in _ADDED},
            }
            out.setdefault(known.upstream, {"origins": []})["origins"].append(origin)
        return out

    def _show(self, upstream: str, origin: str, healthy: bool) -> None:
        slot = self._counters.gauge("edgeproxy_origin_healthy", upstream, origin)
        self._counters.floats[slot] = float(healthy)


def _of(snapshots: list[dict[str, Any]], upstream: str, origin: str) -> Iterator[dict[str, Any]]:
    for snapshot in snapshots:
        for each in snapshot.get("upstreams", {}).get(upstream, ()):
            if each.get("origin") == origin:
                yield each


def _half_open(origin: dict[str, Any]) -> bool:
    """Whether a request of that worker is trying an address that was out."""
    return any(address.get("circuit") == "half_open" for address in origin.get("addresses", ()))


def _soonest(seen: list[dict[str, Any]]) -> float | None:
    """Seconds until some worker tries an address that is out."""
    waits = (address.get("retry_in") for origin in seen for address in origin.get("addresses", ()))
    return min((wait for wait in waits if wait is not None), default=None)
