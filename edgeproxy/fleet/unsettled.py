"""Knows the purges of this node that the fleet's log does not hold yet, in order, and those just sent.

Must not know Redis. They are few unless Redis is away; beyond a bound one of everything stands for all.
"""

import asyncio
import logging
from dataclasses import dataclass

from edgeproxy.fleet.entries import Purge
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

MAX_UNSETTLED = 10_000  # purges that the log does not hold yet; beyond, they become one of everything

_log = logging.getLogger("edgeproxy.purge_log")


@dataclass(frozen=True, slots=True)
class Sent:
    """A purge's position in the log, and when Redis took it, in microseconds of its time (0: not known)."""

    position: int
    time: int = 0


class Unsettled:
    """Purges from when they are given until they are read back from the log."""

    def __init__(self, table: PurgeTable, journal: PurgeJournal | None) -> None:
        self._table = table
        self._journal = journal
        self._purges: dict[str, Purge] = {}
        self._placed: set[str] = set()  # their rules have a position already
        self._folded = False  # one of everything stands for others
        self._gone: set[str] = set()  # told to the fleet, but still in the journal
        self.sent: dict[str, Sent] = {}  # of those unsettled or awaited
        self.awaited: set[str] = set()
        self.unsent = asyncio.Event()
        self.moved = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Unsettled {len(self._purges)} sent={len(self.sent)}>"

    def __len__(self) -> int:
        return len(self._purges)

    def load(self) -> list[Purge]:
        """What an earlier run of this node wrote down and never sent: unsettled again."""
        left = [] if self._journal is None else self._journal.load()
        for purge in left:
            self.add(purge)
        return left

    def add(self, purge: Purge, *, placed: bool = False) -> None:
        """A purge that the log is to be told; `placed`: its rules count by a position that is known."""
        if len(self._purges) >= MAX_UNSETTLED:
            purge = self._fold(purge)
        self._purges[purge.id] = purge
        if placed:
            self._placed.add(purge.id)
        self.unsent.set()

    def _fold(self, purge: Purge) -> Purge:
        held = [*self._purges.values(), purge]
        soft = all(rule.soft for each in held for rule in each.rules)
        everything = PurgeRule(PurgeKind.EVERYTHING, b"", soft)
        _log.warning(
            "%d purges wait for the other nodes: from now on one of everything stands for them", len(held)
        )
        self._table.apply(everything)
        self._forget_on_disk(*self._purges)
        self._purges.clear()
        self._placed.clear()
        self.sent.clear()
        self._folded = True
        return Purge(purge.id, purge.node, purge.time, (everything,))

    def left_to_send(self) -> list[Purge]:
        """In order."""
        return [purge for purge in self._purges.values() if purge.id not in self.sent]

    def was_sent(self, purge: Purge, sent: Sent) -> None:
        """The log holds it."""
        self.sent[purge.id] = sent
        self.tidy(purge.id)  # it may have been read back already
        self.moved.set()

    def take_back(self, purge_id: str, position: int) -> Purge | None:
        """The purge of this node that was read from the log, settled; None: it is not one."""
        purge = self._purges.pop(purge_id, None)
        if purge is None:
            return None
        self._settle(purge, position)
        known = self.sent.get(purge.id)
        self.sent[purge.id] = known if known is not None else Sent(position)
        self._forget_on_disk(purge.id)
        self.tidy(purge.id)
        self.moved.set()
        return purge

    def _settle(self, purge: Purge, position: int) -> None:
        if purge.id in self._placed:
            self._placed.discard(purge.id)
            return
        if self._folded and not self._purges:
            self._folded = False
            self._table.settle_all(position)
            return
        waiting = {rule for each in self._purges.values() for rule in each.rules}
        for rule in purge.rules:
            if rule not in waiting:
                self._table.settle(rule, position)

    def send_again(self) -> None:
        """The log was lost: what it held of these is to be sent to the next one."""
        self.sent.clear()

    def tidy(self, purge_id: str) -> None:
        """Forget a position that nobody will ask for."""
        if purge_id not in self._purges and purge_id not in self.awaited:
            self.sent.pop(purge_id, None)

    # on the disk

    async def write_down(self) -> bool:
        """Keep what is left to send beyond this process, if there is a disk to; whether all of it is kept."""
        if self._journal is None:
            return False
        left = self.left_to_send()
        if self._folded and len(left) == 1:
            return await self._journal.replace(left[0])
        return await self._journal.keep(left)

    def _forget_on_disk(self, *ids: str) -> None:
        if self._journal is not None:
            self._gone.update(ids)

    async def clean_up(self) -> None:
        """Let the disk forget what the fleet was told."""
        gone, self._gone = self._gone, set()
        if self._journal is not None and gone:
            await self._journal.drop(gone)
