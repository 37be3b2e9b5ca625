"""Collapsed forwarding (RFC 9111 §4): who fetches, and who waits for whom.

Must not know what a response means: callers say when waiting was in vain.
"""

from typing import Protocol

from edgeproxy.edge.fill import CollapseKey, Fill
from edgeproxy.edge.vain import REMEMBER_FOR, REMEMBERED, Vain


class Leading(Protocol):
    """A fetch that others may wait for."""

    collapse_key: CollapseKey | None

    def as_fill(self) -> Fill: ...


class Collapse:
    """The fills under way, and in `vain` the keys whose response could not be shared.

    The requests of those do not wait for each other, for `remember_for` seconds (monotonic).
    """

    def __init__(self, remembered: int = REMEMBERED, remember_for: float = REMEMBER_FOR) -> None:
        self._fills: dict[CollapseKey, Leading] = {}
        self.vain = Vain(remembered, remember_for)

    def __repr__(self) -> str:
        return f"<Collapse fills={len(self._fills)} {self.vain!r}>"

    def __len__(self) -> int:
        return len(self._fills)

    def find(self, key: CollapseKey) -> Leading | None:
        """The fetch under way for that key."""
        return self._fills.get(key)

    def lead(self, key: CollapseKey, fill: Leading) -> None:
        """This fill is the one to wait for; it replaces one that can no longer be joined."""
        fill.collapse_key = key
        self._fills[key] = fill

    def release(self, fill: Leading) -> None:
        """Nobody can join that fill any more."""
        key = fill.collapse_key
        if key is not None and self._fills.get(key) is fill:
            del self._fills[key]
