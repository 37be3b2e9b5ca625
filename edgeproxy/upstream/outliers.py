"""Which addresses fail or dawdle more than the others: passive health over a window of time.

Must not know connections, nor take anybody out: the roster does. Times are in seconds.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median

from edgeproxy.upstream.origin import Endpoint
from edgeproxy.upstream.settings import Ejection

FAST_ENOUGH = 0.02
"""Seconds: nobody is left out for a mean time below that, however fast the others are."""


class Seen:
    """What one address did: requests, failures, answers in time and the seconds they took.

    Counted by the second, for as long as the window is.
    """

    __slots__ = ("_past", "answers", "failures", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.answers = 0
        self.seconds = 0.0
        self._past: deque[tuple[float, int, int, int, float]] = deque()

    def __repr__(self) -> str:
        return f"<Seen {self.failures}/{self.requests} failed, mean {self.mean:.3f} s>"

    @property
    def mean(self) -> float:
        """Seconds until an answer's head."""
        return self.seconds / self.answers if self.answers else 0.0

    def answered(self, seconds: float) -> None:
        """An answer that is no failure came after that time."""
        self.requests += 1
        self.answers += 1
        self.seconds += seconds

    def failed(self) -> None:
        """A request failed."""
        self.requests += 1
        self.failures += 1

    def forget_before(self, oldest: float, now: float) -> None:
        """Let go what was counted before `oldest`, and mark what was counted until now."""
        past = self._past
        requests, failures, answers, seconds = self.requests, self.failures, self.answers, self.seconds
        for _, *counts in past:
            requests -= int(counts[0])
            failures -= int(counts[1])
            answers -= int(counts[2])
            seconds -= counts[3]
        past.append((now, requests, failures, answers, seconds))
        while past and past[0][0] <= oldest:
            _, requests, failures, answers, seconds = past.popleft()
            self.requests -= requests
            self.failures -= failures
            self.answers -= answers
            self.seconds -= seconds

    def clear(self) -> None:
        """Begin anew."""
        self.requests = self.failures = self.answers = 0
        self.seconds = 0.0
        self._past.clear()


class Outliers:
    """Judges the addresses of one upstream, once a second."""

    __slots__ = ("_ejection",)

    def __init__(self, ejection: Ejection) -> None:
        self._ejection = ejection

    def __repr__(self) -> str:
        return f"<Outliers {self._ejection!r}>"

    @property
    def judges(self) -> bool:
        """Whether there is anything to judge by."""
        return self._ejection.error_rate is not None or self._ejection.slower_than is not None

    def of(self, endpoint: Endpoint) -> Seen:
        """What is counted for an address, from its first look on."""
        if endpoint.seen is None:
            endpoint.seen = Seen()
        return endpoint.seen

    def judge(self, endpoints: Iterable[Endpoint], now: float) -> Iterator[tuple[Endpoint, str]]:
        """Those to be left out, the worst first, with the reason: `error_rate` or `latency`."""
        ejection = self._ejection
        judged: list[tuple[Endpoint, Seen]] = []
        for endpoint in endpoints:
            seen = self.of(endpoint)
            if endpoint.circuit.open_until:
                seen.clear()  # it begins anew when it is back
                continue
            seen.forget_before(now - ejection.window, now)
            if seen.requests >= ejection.min_requests:
                judged.append((endpoint, seen))
        found: list[tuple[float, Endpoint, str]] = []
        for endpoint, seen in judged:
            rate = seen.failures / seen.requests
            if ejection.error_rate is not None and rate >= ejection.error_rate and seen.failures:
                found.append((1 + rate, endpoint, "error_rate"))
            elif ejection.slower_than is not None:
                others = [other.mean for _, other in judged if other is not seen and other.answers]
                limit = ejection.slower_than * median(others) if others else 0.0
                if limit and seen.mean > max(limit, FAST_ENOUGH):
                    found.append((1 - limit / seen.mean, endpoint, "latency"))
        for _, endpoint, why in sorted(found, key=lambda each: -each[0]):
            self.of(endpoint).clear()
            yield endpoint, why
