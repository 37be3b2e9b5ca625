"""Knows what is asked of a purge log, and the log of a node without a fleet.

Must not know Redis (`redis_log`) nor who asks for a purge.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgeproxy.fleet.cards import NO_CARD, NodeCard, entry
from edgeproxy.fleet.marks import Marks
from edgeproxy.fleet.purge_table import UNSETTLED, PurgeTable
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

APPLIED = "applied"
PENDING = "pending"
UNKNOWN_NODES = "*"
"""Stands for the fleet's other nodes while the log cannot be reached."""

Counted = Callable[[PurgeKind], None]
"""Called once for each rule applied."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A node's word that it applied a purge.

    `position` is its place in the fleet's log, if it has one; `time` wall seconds; `milliseconds` from the
    purge to the node's word; `removed` stored responses freed there, None where it was not counted.
    """

    position: int | None
    time: float
    milliseconds: float | None = None
    removed: int | None = None


@dataclass(frozen=True, slots=True)
class PurgeDone:
    """What became of a purge by the end of the wait: `nodes` to `applied` or `pending`."""

    id: str
    nodes: dict[str, str]
    receipts: dict[str, Receipt] = field(default_factory=dict)


class PurgeLog(Protocol):
    """How a purge comes to count, here and on the fleet's other nodes."""

    async def start(self) -> None: ...

    async def close(self, *, leave: bool = True) -> None:
        """Stop; without `leave`, another process is this node from now on."""
        ...

    async def purge(
        self, rules: Sequence[PurgeRule], wait: float, *, count: bool = False, since: str = ""
    ) -> PurgeDone:
        """Let rules count here at once, and wait at most `wait` seconds for the fleet.

        `count` asks the other nodes how much they removed; `since` names a mark: what was fetched
        after it is spared.
        """
        ...

    def mark(self) -> str:
        """Mark this moment, on every node; its name, for `purge`."""
        ...

    def unsent(self) -> list[PurgeRule]:
        """Rules that the fleet was not told yet."""
        ...

    def not_ready(self) -> str | None:
        """Why the node should not get traffic yet, or None."""
        ...

    def describe(self) -> dict[str, Any]: ...

    async def nodes(self) -> list[dict[str, Any]]:
        """The fleet's nodes, this one first; one entry each."""
        ...


class LocalPurgeLog:
    """The purge log of one node on its own: the table is all there is."""

    def __init__(
        self,
        node: str,
        table: PurgeTable,
        counted: Counted = lambda kind: None,
        card: NodeCard = NO_CARD,
    ) -> None:
        self._node = node
        self._table = table
        self._counted = counted
        self._card = card
        self._marks = Marks()

    def __repr__(self) -> str:
        return f"<LocalPurgeLog {self._node} {self._table!r}>"

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self, *, leave: bool = True) -> None:
        """Nothing to do."""

    async def purge(
        self, rules: Sequence[PurgeRule], wait: float, *, count: bool = False, since: str = ""
    ) -> PurgeDone:
        """Apply at once; there is nobody to wait for."""
        began = time.monotonic()
        mark = self._marks.get(since)
        for rule in rules:
            self._table.apply(rule, UNSETTLED, None if mark is None else mark.order)
            self._counted(rule.kind)
        receipt = Receipt(None, time.time(), 1000 * (time.monotonic() - began))
        return PurgeDone(new_id(), {self._node: APPLIED}, {self._node: receipt})

    def mark(self) -> str:
        """A moment of this node's own."""
        name = new_id()
        self._marks.set(name, self._table.mark(), None)
        return name

    def unsent(self) -> list[PurgeRule]:
        """There is no fleet."""
        return []

    def not_ready(self) -> str | None:
        """Always ready."""
        return None

    def describe(self) -> dict[str, Any]:
        """For the admin API."""
        return {"kind": "local"}

    async def nodes(self) -> list[dict[str, Any]]:
        """This one."""
        return [entry(self._node, self._card, time.time(), None)]


def new_id() -> str:
    """The id of a purge, unique in the fleet."""
    return secrets.token_hex(12)
