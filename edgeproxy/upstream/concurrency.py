"""How many requests one origin bears at once: a limit that follows the time it takes to answer.

Must not know requests, connections or the clock: told times in monotonic seconds.
"""

from collections import deque
from math import ceil, sqrt
from statistics import fmean

from edgeproxy.upstream.settings import Concurrency

FIRST = 16
"""The limit that an origin begins with, where its bounds allow it."""
LEAST_SAMPLES = 20
LEAST_WINDOW = 0.1
"""A limit is judged anew after so many answers, and not before so many seconds."""
MEMORY = 300.0
"""Seconds for which the shortest time is remembered."""
SMOOTH = 0.3
"""The weight of the last window in what is taken for the shortest time: a lucky window is none."""
KEPT_SHARE = 0.9
"""The share of a window's answers, the quickest, that its mean is of."""
FAST_ENOUGH = 0.005
"""Seconds: an origin that answers within that, and the tolerance, bears what it gets."""
DROPPED = 0.7
"""What a refusal or a timeout leaves of the limit: once for all requests that were under way together."""
LEAST_GRADIENT = 0.5


class Limiter:
    """The limit of one origin, between `least` and `most` requests in flight.

    It doubles until the origin dawdles for the first time, and up to half of what it was after an outage.
    Else it follows the ratio of the shortest mean time of the last minutes, with some tolerance, to that of
    the last answers. Means, smoothed, not single answers: an origin has quick pages and slow ones.
    """

    __slots__ = (
        "_began",
        "_dropping",
        "_full",
        "_goal",
        "_lowered_at",
        "_samples",
        "_shortest",
        "_smooth",
        "_tolerance",
        "least",
        "limit",
        "most",
    )

    def __init__(self, settings: Concurrency) -> None:
        self.least = settings.least
        self.most = max(settings.most, settings.least)
        self._tolerance = settings.tolerance
        self.limit = min(max(self.least, FIRST), self.most)
        self._goal = 2 * self.most  # up to there it doubles
        self._lowered_at = -1.0
        self._dropping = False
        # this window
        self._began = 0.0
        self._samples: list[float] = []
        self._full = False
        # smoothed means of windows, each shorter than all after it
        self._smooth = 0.0
        self._shortest: deque[tuple[float, float]] = deque()

    def __repr__(self) -> str:
        return f"<Limiter {self.limit} of {self.least}-{self.most}>"

    def answered(self, seconds: float, active: int, now: float) -> bool:
        """The head of a good answer came after that time, with `active` in flight: did the limit change?"""
        samples = self._samples
        if not samples:
            self._began = now
        samples.append(seconds)
        self._full = self._full or 2 * active >= self.limit
        if len(samples) < LEAST_SAMPLES or now - self._began < LEAST_WINDOW:
            if len(samples) > 4 * self.most + LEAST_SAMPLES:
                del samples[: len(samples) // 2]  # very many in no time: the later ones tell as much
            return False
        full = self._full
        typical = max(fmean(sorted(samples)[: int(KEPT_SHARE * len(samples))]), FAST_ENOUGH)
        self._samples = []
        self._full = False
        self._dropping = False
        gradient = self._tolerance * self._least_time(typical, now) / typical
        before = self.limit
        if gradient >= 1:
            if full:  # else nobody knows whether more would do
                self.limit = min(self._more(), self.most)
        else:
            self._goal = 0
            wanted = self.limit * max(gradient, LEAST_GRADIENT) + sqrt(self.limit) / 2
            self.limit = max(min(int(wanted), self.limit - 1), self.least)
        return self.limit != before

    def dropped(self, started: float, now: float) -> bool:
        """A request begun then was refused or timed out: did the limit change?"""
        if started < self._lowered_at:
            return False
        self._lowered_at = now
        if not self._dropping:
            self._dropping = True
            self._goal = self.limit // 2
        before = self.limit
        self.limit = max(int(self.limit * DROPPED), self.least)
        return self.limit != before

    def _more(self) -> int:
        if 2 * self.limit <= self._goal:
            return 2 * self.limit
        return self.limit + ceil(sqrt(self.limit) / 2)

    def _least_time(self, typical: float, now: float) -> float:
        shortest = self._shortest
        smooth = self._smooth = (SMOOTH * typical + (1 - SMOOTH) * self._smooth) if self._smooth else typical
        while shortest and shortest[-1][1] >= smooth:
            shortest.pop()
        shortest.append((now, smooth))
        while shortest[0][0] < now - MEMORY:
            shortest.popleft()
        return shortest[0][1]
