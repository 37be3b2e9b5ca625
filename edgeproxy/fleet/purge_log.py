"""Knows what is asked of a purge log, and the log of a node without a fleet.

Must not know Redis (`redis_log`) nor who asks for a purge.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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
    """A node's word that it applied a purge: its position in the fleet's log, if it has one, and when."""

    position: int | None
    time: float  # wall seconds


@dataclass(frozen=True, slots=True)
class PurgeDone:
    """What became of a purge by the end of the wait: `nodes` to `applied` or `pending`."""

    id: str
    nodes: dict[str, str]
    receipts: dict[str, Receipt] = field(default_factory=dict)


class PurgeLog(Protocol):
    """How a purge comes to count, here and on the fleet's other nodes."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def purge(self, rules: Sequence[PurgeRule], wait: float) -> PurgeDone:
        """Let rules count here at once, and wait at most `wait` seconds for the fleet."""
        ...

    def not_ready(self) -> str | None:
        """Why the node should not get traffic yet, or None."""
        ...

    def describe(self) -> dict[str, Any]: ...


class LocalPurgeLog:
    """The purge log of one node on its own: the table is all there is."""

    def __init__(self, node: str, table: PurgeTable, counted: Counted = lambda kind: None) -> None:
        self._node = node
        self._table = table
        self._counted = counted

    def __repr__(self) -> str:
        return f"<LocalPurgeLog {self._node} {self._table!r}>"

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def purge(self, rules: Sequence[PurgeRule], wait: float) -> PurgeDone:
        """Apply at once; there is nobody to wait for."""
        for rule in rules:
            self._table.apply(rule, UNSETTLED)
            self._counted(rule.kind)
        receipt = Receipt(position=None, time=time.time())
        return PurgeDone(new_id(), {self._node: APPLIED}, {self._node: receipt})

    def not_ready(self) -> str | None:
        """Always ready."""
        return None

    def describe(self) -> dict[str, Any]:
        """For the admin API."""
        return {"kind": "local"}


def new_id() -> str:
    """The id of a purge, unique in the fleet."""
    return secrets.token_hex(12)
