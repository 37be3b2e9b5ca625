"""Knows whether a shared tier is worth asking, from how the last commands went.

Must not know the tier, the loop or the clock: times are passed in, monotonic seconds.
"""

from enum import StrEnum


class BreakerState(StrEnum):
    """`half_open`: a probe is under way; requests still pass by."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `threshold` faults in a row; only a probe closes it, so that no request pays for one.

    Between probes lie `shortest` seconds at first, doubled at each failure up to `longest`.
    """

    __slots__ = ("_faults", "_longest", "_shortest", "_threshold", "opened_at", "state", "wait")

    def __init__(self, threshold: int = 3, shortest: float = 0.1, longest: float = 2.0) -> None:
        self._threshold = threshold
        self._shortest = shortest
        self._longest = longest
        self._faults = 0
        self.state = BreakerState.CLOSED
        self.opened_at = 0.0
        self.wait = shortest  # seconds until the next probe is due

    def __repr__(self) -> str:
        return f"<Breaker {self.state} faults={self._faults} wait={self.wait}>"

    @property
    def closed(self) -> bool:
        """Whether commands may be sent."""
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """A command was answered."""
        self._faults = 0

    def failed(self, now: float) -> bool:
        """A command was not answered; whether that opened the breaker."""
        self._faults += 1
        if self._faults < self._threshold or not self.closed:
            return False
        self.state = BreakerState.OPEN
        self.opened_at = now
        self.wait = self._shortest
        return True

    def probing(self) -> None:
        """A probe is sent."""
        self.state = BreakerState.HALF_OPEN

    def probed(self, answered: bool) -> None:
        """The probe's result: closes, or waits twice as long for the next."""
        if answered:
            self.state = BreakerState.CLOSED
            self._faults = 0
            self.wait = self._shortest
        else:
            self.state = BreakerState.OPEN
            self.wait = min(self.wait * 2, self._longest)
