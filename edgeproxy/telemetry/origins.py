"""Counts requests to origins (`upstream.recorder.Recorder`).

Must not know how they are sent. Health checks are not counted.
"""

from edgeproxy.telemetry.counters import Counters, Histogram


class OriginCounts:
    """Counts by upstream, origin and code; a slot is looked up once for each."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._slots: dict[tuple[str, str, int | str], int] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}

    def __repr__(self) -> str:
        return f"<OriginCounts series={len(self._slots)}>"

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        """One try ended: with a status, or an error's type of RFC 9209; seconds until then."""
        key = (upstream, origin, code)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._counters.counter("edgeproxy_origin_requests_total", upstream, origin, str(code))
            self._slots[key] = slot
        self._counters.ints[slot] += 1
        histogram = self._durations.get((upstream, origin))
        if histogram is None:
            histogram = self._counters.histogram(
                "edgeproxy_origin_request_duration_seconds", upstream, origin
            )
            self._durations[(upstream, origin)] = histogram
        histogram.observe(seconds)

    def ejected(self, upstream: str, origin: str, why: str) -> None:
        """An address of an origin was left out: for failures, error_rate, latency or outrun."""
        slot = self._counters.counter("edgeproxy_origin_ejections_total", upstream, origin, why)
        self._counters.ints[slot] += 1

    def out(self, upstream: str, origin: str, out: bool) -> None:
        """All addresses of an origin are left out; or no longer."""
        slot = self._counters.gauge("edgeproxy_origin_ejected", upstream, origin)
        self._counters.floats[slot] = float(out)

    def panic(self, upstream: str, on: bool) -> None:
        """So few are healthy that all are used; or no longer."""
        self._counters.floats[self._counters.gauge("edgeproxy_upstream_panic", upstream)] = float(on)

    def retried(self, upstream: str, taken: bool) -> None:
        """A request was tried again; or would have been, had the budget not been spent."""
        result = "sent" if taken else "withheld"
        self._counters.ints[self._counters.counter("edgeproxy_upstream_retries_total", upstream, result)] += 1

    def hedged(self, upstream: str, won: bool) -> None:
        """A second copy of a request was sent, and was answered first; or was not."""
        result = "won" if won else "lost"
        self._counters.ints[self._counters.counter("edgeproxy_upstream_hedges_total", upstream, result)] += 1

    def overloaded(self, upstream: str) -> None:
        """A request was refused, because no origin bears one more."""
        self._counters.ints[self._counters.counter("edgeproxy_upstream_overloads_total", upstream)] += 1

    def concurrency(self, upstream: str, origin: str, limit: int) -> None:
        """So many requests at once the origin is given now."""
        slot = self._counters.gauge("edgeproxy_origin_concurrency_limit", upstream, origin)
        self._counters.floats[slot] = float(limit)
