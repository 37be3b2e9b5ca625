"""Knows how to count distinct things, and add up what they weigh, over several that each saw some of them.

Must not know what they are: each is a number of 64 bits that is as good as random.

Up to `CAP` the count is exact. Beyond, only those stay whose lowest bits are all zero, one more bit each
time that too many are left, and stand for the others: with 8,192 of them within about 2 %.
"""

from typing import Any

CAP = 8192


class Sample:
    """Distinct names with two weights each."""

    def __init__(self) -> None:
        self._level = 0
        self._rows: dict[int, tuple[int, float]] = {}

    def __repr__(self) -> str:
        return f"<Sample {len(self._rows)} << {self._level}>"

    def wants(self, name: int) -> bool:
        """Whether that name would be kept, or is not known yet."""
        return not name & ((1 << self._level) - 1) and name not in self._rows

    def add(self, name: int, size: int, seconds: float) -> None:
        """Count a name that `wants` let pass."""
        self._rows[name] = (size, seconds)
        while len(self._rows) > CAP:
            self._thin(self._level + 1)

    def merge(self, other: "Sample") -> None:
        """Count what another one saw too."""
        if other._level > self._level:
            self._thin(other._level)
        for name, (size, seconds) in other._rows.items():
            if self.wants(name):
                self.add(name, size, seconds)

    def _thin(self, level: int) -> None:
        self._level = level
        mask = (1 << level) - 1
        self._rows = {name: row for name, row in self._rows.items() if not name & mask}

    @property
    def exact(self) -> bool:
        """Whether nothing had to be estimated."""
        return self._level == 0

    @property
    def count(self) -> int:
        """How many distinct names there are."""
        return len(self._rows) << self._level

    @property
    def size(self) -> int:
        """Their bytes together."""
        return sum(size for size, _ in self._rows.values()) << self._level

    @property
    def seconds(self) -> float:
        """Their seconds together."""
        return float(sum(seconds for _, seconds in self._rows.values()) * (1 << self._level))

    def dump(self) -> list[Any]:
        """As it is sent to another process."""
        return [self._level, [[name, size, seconds] for name, (size, seconds) in self._rows.items()]]

    @classmethod
    def load(cls, dumped: list[Any]) -> "Sample":
        """What `dump` gave."""
        sample = cls()
        sample._level = dumped[0]
        sample._rows = {name: (size, seconds) for name, size, seconds in dumped[1]}
        return sample
