"""Knows moments that later purges refer to: what was fetched after them is spared.

Must not know how nodes agree on them.
"""

from collections import OrderedDict
from dataclasses import dataclass

MAX_MARKS = 256


@dataclass(slots=True)
class Mark:
    """A moment in this node's count of rules and, once known, in the log."""

    order: int
    position: int | None


class Marks:
    """The marks of purges under way, this node's and others'; the oldest are forgotten."""

    def __init__(self) -> None:
        self._marks: OrderedDict[str, Mark] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Marks {len(self._marks)}>"

    def set(self, name: str, order: int, position: int | None) -> None:
        """Remember a moment."""
        self._marks[name] = Mark(order, position)
        while len(self._marks) > MAX_MARKS:
            self._marks.popitem(last=False)

    def get(self, name: str) -> Mark | None:
        """The moment of that name."""
        return self._marks.get(name) if name else None

    def log_changed(self) -> None:
        """Positions of another log mean nothing any more."""
        for mark in self._marks.values():
            mark.position = None
