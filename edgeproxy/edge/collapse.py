"""Collapsed forwarding (RFC 9111 §4): who fetches, and who waits for whom.

Must not know what a response means: callers say when waiting was in vain.
"""

from math import inf
from typing import TYPE_CHECKING, Protocol

from edgeproxy.edge.fill import CollapseKey, Fill
from edgeproxy.edge.vain import REMEMBER_FOR, REMEMBERED, Vain
from edgeproxy.errors import EdgeProxyError

if TYPE_CHECKING:
    from edgeproxy.edge.leases import Leases


class Leading(Protocol):
    """A fetch that others may wait for; `error` is set where it failed."""

    collapse_key: CollapseKey | None

    @property
    def error(self) -> EdgeProxyError | None: ...
    def as_fill(self) -> Fill: ...


class Collapse:
    """The fills under way, and in `vain` the keys whose response could not be shared.

    The requests of those do not wait for each other, for `remember_for` seconds (monotonic). `leases` are
    those of other workers and nodes; None where there are none.
    """

    def __init__(self, remembered: int = REMEMBERED, remember_for: float = REMEMBER_FOR) -> None:
        self._fills: dict[CollapseKey, Leading] = {}
        self.vain = Vain(remembered, remember_for)
        self.leases: Leases | None = None

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
            if self.leases is not None:
                self.leases.release(key, failed=fill.error is not None)

    def not_shared(self, fill: Leading, length: int | None) -> float:
        """What comes has at least so many bytes, or with None is not stored: tell whom that is too much.

        The bytes from which on it is too much for others.
        """
        key = fill.collapse_key
        if self.leases is not None and key is not None and self._fills.get(key) is fill:
            return self.leases.not_shared(key, length)
        return inf
