"""How often each key was asked for lately: a sketch of fixed size, which may say too much, never too little.

Must not know clocks: `now` is an argument. Count-min (Cormode, Muthukrishnan 2005) with forward decay
(Cormode et al. 2009): what counts now counts half as much after `half_life` seconds.
"""

from array import array
from math import exp2

_MOST_HALVINGS = 500.0
_ROWS = 4


class Popularity:
    """Decaying counts of keys in `width` (a power of two, at most 65536) times four doubles."""

    __slots__ = ("_began", "_half_life", "_mask", "_rows")

    def __init__(self, now: float, width: int = 4096, half_life: float = 60.0) -> None:
        self._half_life = half_life
        self._mask = width - 1
        self._began = now
        self._rows = [array("d", bytes(8 * width)) for _ in range(_ROWS)]

    def __repr__(self) -> str:
        return f"<Popularity {self._mask + 1} half_life={self._half_life}>"

    def add(self, key: bytes, now: float, count: float = 1.0) -> None:
        """Count so many requests for `key` at `now`."""
        halvings = max(0.0, now - self._began) / self._half_life
        if halvings > _MOST_HALVINGS:  # what was counted then is nothing by now
            for row in self._rows:
                row[:] = array("d", bytes(8 * len(row)))
            self._began, halvings = now, 0.0
        grown = count * exp2(halvings)
        place = hash(key)
        for row in self._rows:
            row[place & self._mask] += grown
            place >>= 16

    def of(self, key: bytes, now: float) -> float:
        """About how many requests for `key` there were lately, each decayed by its age."""
        place = hash(key)
        least = float("inf")
        for row in self._rows:
            least = min(least, row[place & self._mask])
            place >>= 16
        return least * exp2(-max(0.0, now - self._began) / self._half_life)
