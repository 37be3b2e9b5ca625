"""Knows how a node follows the fleet's log: joins it, reads on, and what it does when it cannot.

Must not know what becomes of this node's own purges (`unsettled`, `sender`), nor who waits for them.

Whatever was read while away is applied on the way back. Where rules may have been missed for good
(the log was trimmed past this node's position) all that is stored counts as purged; where the log
itself was lost, or cannot be reached for long, all that is stored is validated before it is used again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from edgeproxy.fleet.applying import Applying
from edgeproxy.fleet.cards import NodeCard, encode_card
from edgeproxy.fleet.entries import Purge
from edgeproxy.fleet.members import Members, replaced_by
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.redis_log import FAULTS, Entry, LogLost, RedisLog
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.fleet.timing import FleetTiming
from edgeproxy.fleet.unsettled import Unsettled

_BATCH = 1000
_SOON = 0.001

Owed = Callable[[Sequence[Purge]], None]
"""Takes the purges that were applied here and whose giver wants to know how much they removed."""

_log = logging.getLogger("edgeproxy.purge_log")


class Follower:
    """The log as far as it is known here; `joined` is set while it is followed."""

    def __init__(
        self,
        node: str,
        table: PurgeTable,
        redis: RedisLog,
        unsettled: Unsettled,
        applying: Applying,
        members: Members,
        timing: FleetTiming,
        card: NodeCard,
        owed: Owed,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._node = node
        self._table = table
        self._redis = redis
        self._unsettled = unsettled
        self._applying = applying
        self._members = members
        self._timing = timing
        self._owed = owed
        self._card = card
        self._encoded_card = encode_card(card)
        self._recovered = table.recovered
        self.identity = table.log
        self.position = table.position if table.log else 0
        self.joined = asyncio.Event()
        self.tried = False
        self.out_of_reach = False
        self._contact = self._monotonic()
        self._cut_off = False

    def __repr__(self) -> str:
        return f"<Follower {'following' if self.joined.is_set() else 'cut off'} at {self.position}>"

    async def run(self) -> None:
        """Follow the log, through outages, until cancelled."""
        pause = self._timing.retry_least
        while True:
            try:
                await self._join()
                pause = self._timing.retry_least
                await self._read_on()
            except LogLost:
                _log.warning("Redis lost the purge log: a new one is begun")
                self.joined.clear()
            except FAULTS as error:
                self._lose_contact(error)
            except Exception as error:  # whatever stands in Redis, purges must be followed again
                _log.exception("the purge log cannot be followed")
                self._lose_contact(error)
            self.tried = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._timing.retry_most)

    async def watch(self) -> None:
        """See to it that no silence lasts longer than `max_purge_lag`, until cancelled.

        Apart from `run`, which may be waiting for a Redis that takes everything and answers nothing.
        """
        while True:
            left = self._contact + self._timing.max_purge_lag - self._monotonic()
            await asyncio.sleep(max(_SOON, min(left, self._timing.retry_most)))
            self._watch_lag()

    async def _read_on(self) -> None:
        while True:
            entries = await self._redis.read(self.position, _BATCH, self._timing.block)
            began = self._monotonic()
            self._take(entries)
            await self._beat(began)
            await self._unsettled.clean_up()

    async def _beat(self, asked: float) -> None:
        """Tell how far this node is; `asked` is when Redis was last known to have nothing newer for it."""
        owed, self._applying.owed = self._applying.owed, []
        await self._redis.beat(
            self.identity,
            self.position,
            self._timing.max_purge_lag,
            self._encoded_card,
            [purge.id for purge in owed],
        )
        self._members.hear(await self._redis.roll())
        self._contact = asked
        if owed:
            self._owed(owed)

    async def _join(self) -> None:
        """Find the log, apply all of it that is not applied yet, and be counted among its nodes."""
        joined = await self._redis.join(self.identity, self.position)
        if joined.identity != self.identity:
            self._change_logs(joined.identity, joined.first)
        elif joined.first > self.position + 1:
            self._missed(joined.first - 1)
        first = joined.first if joined.identity != self._table.log else None
        last = max(joined.last, await self._redis.take_in(joined.identity))
        asked = self._monotonic()
        while self.position < last:
            entries = await self._redis.read(self.position, _BATCH)
            if not entries:
                break
            self._take(entries)
        if first is not None:
            self._table.follow(self.identity, first, self.position)
        self._recover()
        self._applying.owed.clear()  # whoever gave them has stopped waiting
        gone = replaced_by(self._node, self._card, await self._redis.cards())
        if gone:
            await self._redis.remove(gone)
            _log.info("node %s was here before: it is struck off", ", ".join(gone))
        await self._beat(asked)
        self._cut_off = self.out_of_reach = False
        self.joined.set()
        if self._unsettled.left_to_send():
            self._unsettled.unsent.set()
        _log.info("the purge log is followed from position %d on", self.position)

    def _recover(self) -> None:
        """Settle what an earlier run left in the table; from now on what it stored is judged by the log."""
        if self._recovered:
            self._recovered = False
            self._table.settle_all(self.position)
            for purge in self._unsettled.left_to_send():  # these the log has yet to get
                self._applying.own(purge)
        self._table.trust()

    def _change_logs(self, identity: bytes, first: int) -> None:
        """Go over to another log: nothing is known of what the old one held after our position."""
        if self.identity:
            _log.warning(
                "the purge log is another one than before: stored responses are validated before reuse"
            )
            self._make_all_stale()
            self._members.log_changed()
            self._table.follow(b"", 0, 0)
            self._applying.marks.log_changed()
        elif self.tried:  # it has worked alone: what was purged meanwhile may have been in a log that is lost
            self._make_all_stale()
        self._unsettled.send_again()
        self.identity = identity
        self.position = first - 1

    def _missed(self, position: int) -> None:
        _log.warning(
            "the purge log holds nothing between %d and %d any more: all that is stored counts as purged",
            self.position,
            position,
        )
        self._table.apply(PurgeRule(PurgeKind.EVERYTHING), 0)
        self._table.follow(self.identity, position + 1, position)
        self.position = position

    def _take(self, entries: Sequence[Entry]) -> None:
        self._applying.begin_batch()
        for entry in entries:
            if entry.position > self.position + 1:
                self._missed(entry.position - 1)
            self._applying.entry(entry)
            self.position = entry.position
            if self._table.log == self.identity:
                self._table.advance(entry.position)

    # out of reach

    def _lose_contact(self, error: BaseException) -> None:
        if not self.out_of_reach:
            _log.warning(
                "the purge log is out of reach (%s): purges made here count here, and are sent on when it is "
                "back; look after Redis",
                error,
            )
        self.out_of_reach = True
        self.joined.clear()

    def _watch_lag(self) -> None:
        """Every `max_purge_lag` without contact, let all that is stored be validated once."""
        if self._monotonic() - self._contact < self._timing.max_purge_lag:
            return
        if not self._cut_off:
            _log.warning(
                "cut off from the fleet's purges for %g s: stored responses are validated before reuse",
                self._timing.max_purge_lag,
            )
        self._cut_off = True
        self._contact = self._monotonic()
        self._make_all_stale()

    def _make_all_stale(self) -> None:
        self._table.apply(PurgeRule(PurgeKind.EVERYTHING, b"", soft=True), 0)
