"""Knows what time it is, twice: for Date and Age, and for timeouts.

Must not know HTTP. Pure code takes `now` as an argument and never imports this.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks; never mixed.

    `wall` gives seconds since the Unix epoch, for Date and Age; `monotonic` gives
    seconds for timeouts.
    """

    def wall(self) -> float: ...
    def monotonic(self) -> float: ...


class SteadyClock:
    """A wall clock that never steps: anchored once, then driven by the monotonic clock.

    A step of the machine's clock would otherwise make every stored response older or
    younger at once. `tick` slews towards the machine's clock by at most `slew` seconds
    for each second that passed.
    """

    def __init__(self, slew: float = 0.01) -> None:
        self._slew = slew
        self._ticked = time.monotonic()
        self._anchor = time.time() - self._ticked

    def __repr__(self) -> str:
        return f"<SteadyClock wall={self.wall():.3f}>"

    def wall(self) -> float:
        return self._anchor + time.monotonic()

    @property
    def anchor(self) -> float:
        """Wall seconds at which monotonic time was 0, slewed up to now; for `follow` in another process."""
        self.tick()
        return self._anchor

    def follow(self, anchor: float) -> None:
        """Take over the clock of another process of this machine: all workers of a node agree on ages."""
        self._anchor = anchor
        self._ticked = time.monotonic()

    monotonic = staticmethod(time.monotonic)  # itself: it is asked ten times a request

    def tick(self) -> None:
        """Slew towards the machine's clock; call about once a second."""
        now = time.monotonic()
        room = (now - self._ticked) * self._slew
        off = time.time() - (self._anchor + now)
        self._anchor += max(-room, min(room, off))
        self._ticked = now
