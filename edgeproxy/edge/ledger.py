"""What became of each exchange: counted once, logged once, when it is over.

Must not know how exchanges run. Label values are memoised: no look-up by label twice.
"""

from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from edgeproxy.clock import Clock
from edgeproxy.edge.ports import Client
from edgeproxy.telemetry.access_log import AccessLog, Record
from edgeproxy.telemetry.counters import Counters, Histogram
from edgeproxy.wire.heads import RequestHead

NO_ROUTE = "-"


class Outcome(StrEnum):
    """What a request came to; label of log and metric."""

    HIT = "hit"
    STALE = "stale"
    VALIDATED = "validated"
    MISS = "miss"
    COLLAPSED = "collapsed"
    BYPASS = "bypass"
    ERROR = "error"


FROM_CACHE = frozenset((Outcome.HIT, Outcome.STALE, Outcome.VALIDATED))


class Note(Struct):
    """What the cycle learns about one exchange on the way; times in seconds."""

    received: float
    route: str = NO_ROUTE
    outcome: Outcome = Outcome.ERROR
    upstream: str = ""
    origin: str = ""
    reason: str = ""
    request_id: bytes = b""
    saved: float = 0.0  # origin time that a hit made unnecessary
    stored: bool = False  # what was fetched is kept


class Finished(Protocol):
    """An exchange that is over; `counted` as in `Downstream`, `sent` in bytes of body."""

    @property
    def head(self) -> RequestHead: ...
    @property
    def client(self) -> Client: ...
    @property
    def counted(self) -> bool: ...
    @property
    def sent(self) -> int: ...


class Ledger:
    """Turns finished exchanges into counts and access log lines."""

    def __init__(self, counters: Counters, access_log: AccessLog | None, clock: Clock) -> None:
        self._counters = counters
        self._log = access_log
        self._clock = clock
        self._requests: dict[tuple[str, Outcome, int], int] = {}
        self._durations: dict[tuple[str, Outcome], Histogram] = {}
        self._bytes: dict[tuple[str, str], int] = {}
        self._saved: dict[str, int] = {}
        self._tiers: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<Ledger series={len(self._requests)} log={self._log!r}>"

    @property
    def logging(self) -> bool:
        """Whether there is an access log."""
        return self._log is not None

    def request_slot(self, route: str, outcome: Outcome, status: int) -> int:
        """The slot of `edgeproxy_requests_total` in the counters' ints."""
        key = (route, outcome, status)
        slot = self._requests.get(key)
        if slot is None:
            slot = self._counters.counter("edgeproxy_requests_total", route, outcome.value, str(status))
            self._requests[key] = slot
        return slot

    def bytes_slot(self, route: str, source: str) -> int:
        """The slot of `edgeproxy_response_bytes_total` in the counters' ints."""
        slot = self._bytes.get((route, source))
        if slot is None:
            slot = self._counters.counter("edgeproxy_response_bytes_total", route, source)
            self._bytes[(route, source)] = slot
        return slot

    def saved_slot(self, route: str) -> int:
        """The slot of `edgeproxy_origin_seconds_saved_total` in the counters' floats."""
        slot = self._saved.get(route)
        if slot is None:
            slot = self._saved[route] = self._counters.total("edgeproxy_origin_seconds_saved_total", route)
        return slot

    def duration(self, route: str, outcome: Outcome) -> Histogram:
        """The histogram of `edgeproxy_request_duration_seconds`."""
        histogram = self._durations.get((route, outcome))
        if histogram is None:
            histogram = self._counters.histogram("edgeproxy_request_duration_seconds", route, outcome.value)
            self._durations[(route, outcome)] = histogram
        return histogram

    def looked_up(self, tier: str, hit: bool) -> None:
        """Count a look-up in a tier."""
        self.tier_results(tier, "hit" if hit else "miss", 1)

    def refused(self, status: int) -> None:
        """Count a request that never became an exchange."""
        self._counters.ints[self.request_slot(NO_ROUTE, Outcome.ERROR, status)] += 1

    def tier_results(self, tier: str, result: str, count: int) -> None:
        """Count look-ups in a tier by their result."""
        if not count:
            return
        self._counters.ints[self.tier_slot(tier, result)] += count

    def tier_slot(self, tier: str, result: str) -> int:
        """The slot of `edgeproxy_tier_requests_total` in the counters' ints."""
        slot = self._tiers.get((tier, result))
        if slot is None:
            slot = self._counters.counter("edgeproxy_tier_requests_total", tier, result)
            self._tiers[(tier, result)] = slot
        return slot

    def compressed(self, result: str) -> None:
        """Count a compression by its result."""
        self._counters.ints[self._counters.counter("edgeproxy_compressions_total", result)] += 1

    def hits(self, route: str, count: int, size: int, saved: float, *, in_memory: bool = True) -> None:
        """Count hits of the fast path, whose requests are counted already: they took no time to speak of.

        Those not `in_memory` are counted already in the tier that answered.
        """
        ints = self._counters.ints
        histogram = self.duration(route, Outcome.HIT)
        ints[histogram.first_bucket] += count
        if size:
            ints[self.bytes_slot(route, "cache")] += size
        if saved:
            self._counters.floats[self.saved_slot(route)] += saved
        self.tier_results("memory", "hit" if in_memory else "miss", count)

    def finished(self, out: Finished, status: int, note: Note) -> None:
        """Count an exchange that is over, and log it where logging is on.

        Of one that no client asked for only the origin's time that it saved: the client's request that
        it is part of is counted itself.
        """
        ints = self._counters.ints
        route, outcome = note.route, note.outcome
        if note.saved:
            self._counters.floats[self.saved_slot(route)] += note.saved
        if not out.counted:
            return
        seconds = self._clock.monotonic() - note.received
        ints[self.request_slot(route, outcome, status)] += 1
        self.duration(route, outcome).observe(seconds)
        cached = outcome in FROM_CACHE or (outcome is Outcome.COLLAPSED and not note.origin)
        if out.sent and (cached or note.origin):  # else it was made here
            source = "cache" if cached else "origin"
            ints[self.bytes_slot(route, source)] += out.sent
        if self._log is not None:
            fields = out.head.fields
            self._log.add(
                Record(
                    time=self._clock.wall(),
                    client=out.client.address,
                    method=out.head.method,
                    host=out.head.target.authority,
                    path=out.head.raw_target,
                    status=status,
                    bytes=out.sent,
                    duration=seconds,
                    route=route,
                    outcome=outcome.value,
                    upstream=note.upstream,
                    origin=note.origin,
                    request_id=note.request_id or fields.get(b"x-request-id") or b"",
                    referer=fields.get(b"referer") or b"",
                    user_agent=fields.get(b"user-agent") or b"",
                    reason=note.reason,
                )
            )
