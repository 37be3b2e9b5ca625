"""The circuit breaker of one address: how long it stays open, and who may try it then.

Must not know who is chosen: the roster does. Times are monotonic seconds.
"""

import random
from collections.abc import Callable

from edgeproxy.upstream.settings import Ejection

MOST_DOUBLINGS = 30
ALONE = 1.0
"""Seconds after which an address is tried again where there is no other: nothing is won by sparing it."""


def _spread() -> float:
    """Where within its last fifth a longer time ends, so that workers do not try in step."""
    return random.uniform(0.8, 1.0)


class Circuit:
    """Closed while `open_until` is 0; open until then; half-open while one probe is under way.

    Each probe that fails doubles the time until the next, up to the ejection's `longest`; so does being
    opened again before it was closed for as long as it had been open. A probe of which nothing is heard
    for `patience` seconds counts no more.
    """

    __slots__ = ("_closed_at", "_opened_at", "_span", "_tripped", "open_until", "probed_at")

    def __init__(self) -> None:
        self.open_until = 0.0
        self.probed_at = 0.0
        self._tripped = 0
        self._span = 0.0
        self._opened_at = 0.0
        self._closed_at = 0.0

    def __repr__(self) -> str:
        return f"<Circuit {self.state}>"

    @property
    def state(self) -> str:
        """closed, open or half_open."""
        if not self.open_until:
            return "closed"
        return "half_open" if self.probed_at else "open"

    def open(self, ejection: Ejection, now: float, spread: Callable[[], float] = _spread) -> None:
        """Leave the address out."""
        if self.open_until == 0.0 and now - self._closed_at > self._span:
            self._tripped = 0
        longest = max(ejection.longest, ejection.seconds)
        self._span = min(ejection.seconds * 2 ** min(self._tripped, MOST_DOUBLINGS), longest)
        wait = self._span if self._span <= ejection.seconds else max(self._span * spread(), ejection.seconds)
        self._tripped += 1
        self._opened_at = now
        self.open_until = now + wait
        self.probed_at = 0.0

    def due(self, alone: bool) -> float:
        """When a request may try it, 0 while it is closed; `alone`: there is no other to ask."""
        if alone and self.open_until and not self.probed_at:
            return min(self.open_until, self._opened_at + ALONE)
        return self.open_until

    def probe(self, now: float, patience: float) -> None:
        """One request tries it."""
        self.probed_at = now
        self.open_until = now + patience

    def probed_by(self, started: float | None) -> bool:
        """Whether a request begun then can be the probe, and no straggler from before it opened."""
        return bool(self.open_until and self.probed_at) and (started is None or started >= self.probed_at)

    def retry(self, now: float) -> None:
        """The probe told nothing: the next one may follow at once."""
        self.probed_at = 0.0
        self.open_until = now

    def close(self, now: float) -> None:
        """It answers again."""
        self.open_until = self.probed_at = 0.0
        self._closed_at = now

    def forget(self) -> None:
        """Begin anew, as an operator or a health check says."""
        self.open_until = self.probed_at = self._span = 0.0
        self._tripped = 0
