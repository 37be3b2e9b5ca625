"""How often clients may send a fresh response's request to the origin all the same.

Must not know what a request says.
"""

from edgeproxy.edge.routing import Route


class Refreshes:
    """A token bucket for each route, as deep as a second's worth and at least one; a worker's share."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted

    def __repr__(self) -> str:
        return f"<Refreshes {self._buckets}>"

    def allows(self, route: Route, now: float) -> bool:
        """Whether one more may pass at monotonic time `now`, which is then counted."""
        rate = route.forced_refreshes / self._workers
        depth = max(1.0, rate)
        tokens, counted = self._buckets.get(route.name, (depth, now))
        tokens = min(depth, tokens + (now - counted) * rate)
        allowed = rate > 0 and tokens >= 1.0
        self._buckets[route.name] = (tokens - 1.0 if allowed else tokens, now)
        return allowed
