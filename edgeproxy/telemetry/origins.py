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
        """An address of an origin was left out: for failures, error_rate or latency."""
        slot = self._counters.counter("edgeproxy_origin_ejections_total", upstream, origin, why)
        self._counters.ints[slot] += 1

    def panic(self, upstream: str, on: bool) -> None:
        """So few are healthy that all are used; or no longer."""
        self._counters.floats[self._counters.gauge("edgeproxy_upstream_panic", upstream)] = float(on)
