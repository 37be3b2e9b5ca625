"""Keys whose validation failed, and when one request may try again.

Must not know what failed, nor what clients get meanwhile.
"""

import random
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

REMEMBERED = 10_000
MOST_TIMES = 10.0
"""The wait grows up to so many times the first one."""
SPREAD = 0.25


class Held(Struct):
    """A key that is held down: `until` (monotonic seconds), by a wait of `seconds`.

    `status` is what the origin answered, None where it was out of reach or reset; `bad`: it answered what
    is not HTTP.
    """

    until: float
    seconds: float
    status: int | None
    bad: bool = False


class Backoff:
    """Up to `remembered` keys; each wait doubles the one before it, spread by a quarter either way."""

    def __init__(self, remembered: int = REMEMBERED, draw: Callable[[], float] = random.random) -> None:
        self._held: OrderedDict[int, Held] = OrderedDict()  # by hash: two keys that share one share a wait
        self._remembered = remembered
        self._draw = draw

    def __repr__(self) -> str:
        return f"<Backoff {len(self._held)}>"

    def __len__(self) -> int:
        return len(self._held)

    def failed(
        self, key: bytes, first: float, now: float, *, status: int | None = None, bad: bool = False
    ) -> None:
        """The validation of `key` failed; the first wait is `first` seconds, 0 for none."""
        if first <= 0:
            return
        before = self._held.get(hash(key))
        seconds = first if before is None else min(before.seconds * 2, first * MOST_TIMES)
        spread = 1 + SPREAD * (2 * self._draw() - 1)
        self._held[hash(key)] = Held(now + seconds * spread, seconds, status, bad)
        self._held.move_to_end(hash(key))
        while len(self._held) > self._remembered:
            self._held.popitem(last=False)

    def succeeded(self, key: bytes) -> None:
        """The origin answers for `key` again."""
        if self._held:
            self._held.pop(hash(key), None)

    def of(self, key: bytes) -> Held | None:
        """What is known of a key that failed when it was last tried."""
        return self._held.get(hash(key)) if self._held else None

    def probes(self, held: Held, now: float) -> bool:
        """Whether the wait is over; then this caller, and for as long again no other, is to try."""
        if now < held.until:
            return False
        held.until = now + held.seconds
        return True
