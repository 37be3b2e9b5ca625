"""Knows how a node and its fleet come to agree on purges, through outages of what they share.

Must not know how the log lies in Redis (`redis_log`), nor how it is followed (`follower`).

A purge counts here the moment it is given; it is sent to the log until the log has it, and other nodes
apply it as they read the log.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from edgeproxy.fleet.applying import Applying, RulesOf, no_events
from edgeproxy.fleet.cards import NO_CARD, NodeCard, entry
from edgeproxy.fleet.entries import Purge
from edgeproxy.fleet.follower import Follower
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.members import Members
from edgeproxy.fleet.purge_log import APPLIED, PENDING, UNKNOWN_NODES, Counted, PurgeDone, Receipt, new_id
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.redis_log import FAULTS, REMOVED, RedisLog
from edgeproxy.fleet.rules import PurgeRule
from edgeproxy.fleet.sender import Inbox, Sender
from edgeproxy.fleet.timing import DEFAULT_TIMING, FleetTiming
from edgeproxy.fleet.unsettled import Unsettled

MAX_COUNTING = 64  # purges of other nodes whose count is under way; more are not counted
_POLL_LEAST, _POLL_MOST = 0.002, 0.1

Count = Callable[[Sequence[PurgeRule]], Awaitable[int | None]]
"""Frees what rules name here; how many stored responses that were, None where nobody can tell."""

_log = logging.getLogger("edgeproxy.purge_log")


async def count_nothing(rules: Sequence[PurgeRule]) -> int | None:
    """For a node that cannot count."""
    return None


class FleetPurgeLog:
    """The purge log of a node in a fleet."""

    def __init__(
        self,
        node: str,
        table: PurgeTable,
        redis: RedisLog,
        counted: Counted = lambda kind: None,
        timing: FleetTiming = DEFAULT_TIMING,
        *,
        card: NodeCard = NO_CARD,
        journal: PurgeJournal | None = None,
        rules_of: RulesOf = no_events,
        count: Count = count_nothing,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._redis = redis
        self._timing = timing
        self._card = card
        self._count = count
        self._members = Members(node, timing.lease, timing.max_purge_lag, monotonic)
        self._unsettled = Unsettled(table, journal)
        self._applying = Applying(table, self._unsettled, counted, rules_of)
        self._follower = Follower(
            node,
            table,
            redis,
            self._unsettled,
            self._applying,
            self._members,
            timing,
            card,
            self._tell_counts,
            monotonic,
        )
        self._sender = Sender(redis, self._follower, self._unsettled, timing)
        self._inbox = Inbox(redis, self._follower, timing)
        self._receipts: dict[str, dict[str, int]] = {}  # what Redis said of purges that are awaited
        self._tasks: list[asyncio.Task[None]] = []
        self._counting: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        state = "following" if self._follower.joined.is_set() else "cut off"
        position, left = self._follower.position, len(self._unsettled)
        return f"<FleetPurgeLog {self._node} {state} at {position} unsettled={left}>"

    # lifetime

    async def start(self) -> None:
        """Take up what an earlier run never sent, begin to follow and to send; returns at once."""
        if not self._tasks:
            left = self._unsettled.load()
            for purge in left:
                self._applying.own(purge)
            if left:
                _log.info(
                    "%d purges of an earlier run were never told to the fleet: they count again", len(left)
                )
        work = self._follower.run(), self._follower.watch(), self._sender.run(), self._inbox.run()
        self._tasks = [asyncio.create_task(each) for each in work]

    async def close(self, *, leave: bool = True) -> None:
        """Send what is left, for at most a second, say goodbye where this node is to `leave`, stop."""
        unsettled = self._unsettled
        with suppress(*FAULTS):
            async with asyncio.timeout(self._timing.leave):
                while self._follower.joined.is_set() and unsettled.left_to_send():
                    unsettled.moved.clear()
                    await unsettled.moved.wait()
        await self._halt()
        left = len(unsettled.left_to_send())
        if left and await unsettled.write_down():
            _log.warning("%d purges made here are kept on disk until this node runs and finds Redis", left)
        elif left:
            _log.warning("%d purges made here never reached the other nodes; repeat them there", left)
        await unsettled.clean_up()
        with suppress(*FAULTS):
            async with asyncio.timeout(self._timing.leave):
                if leave and self._follower.joined.is_set():
                    await self._redis.leave()
        await self._redis.close()

    def unsent(self) -> list[PurgeRule]:
        """Rules that the fleet was not told yet."""
        return [rule for purge in self._unsettled.left_to_send() for rule in purge.rules]

    async def _halt(self) -> None:
        """Stop following, sending and counting.

        A cancellation that is under way when redis-py enters a timeout of zero seconds is lost
        there, so it is repeated.
        """
        tasks = [*self._tasks, *self._counting]
        while pending := [task for task in tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.1)
        await asyncio.gather(*tasks, return_exceptions=True)

    def not_ready(self) -> str | None:
        """Not before the first look at the log; a node that cannot reach it works alone."""
        if self._follower.joined.is_set() or self._follower.tried:
            return None
        return "the fleet's purge log is being read"

    def describe(self) -> dict[str, Any]:
        """For the admin API."""
        return {
            "kind": "redis",
            "connected": self._follower.joined.is_set(),
            "position": self._follower.position,
            "pending": len(self._unsettled),
            "nodes": sorted({self._node, *self._members.present}),
        }

    async def nodes(self) -> list[dict[str, Any]]:
        """The nodes whose lease holds, this one first; those last heard of while Redis is away."""
        now = time.time()
        cards: dict[str, bytes] = {}
        if not self._follower.out_of_reach:
            with suppress(*FAULTS):
                cards = await self._redis.cards()
                self._members.hear(await self._redis.roll())
        own = entry(self._node, self._card, now, self._follower.position)
        return [own, *self._members.describe(cards, now)]

    # purging

    def mark(self) -> str:
        """Mark this moment here and, as soon as the log has it, on the other nodes."""
        purge = Purge(new_id(), self._node, time.time(), ())
        self._unsettled.add(purge, placed=self._applying.own(purge))
        return purge.id

    async def purge(
        self, rules: Sequence[PurgeRule], wait: float, *, count: bool = False, since: str = ""
    ) -> PurgeDone:
        """Let rules count here at once, and wait at most `wait` seconds for the fleet.

        While the log is known to be out of reach, nobody is waited for. What the log does not hold by
        the end is on the disk then, where there is one.
        """
        began = time.monotonic()
        purge = Purge(new_id(), self._node, time.time(), tuple(rules), count or wait > 0, since)
        placed = self._applying.own(purge)
        applied = 1000 * (time.monotonic() - began)
        unsettled = self._unsettled
        unsettled.awaited.add(purge.id)
        unsettled.add(purge, placed=placed)
        try:
            if wait > 0 and not self._follower.out_of_reach:
                with suppress(*FAULTS):
                    async with asyncio.timeout(wait):
                        await self._applied_by_all(purge.id, count)
            if purge.id not in unsettled.sent and (wait > 0 or self._follower.out_of_reach):
                await unsettled.write_down()
            return self._outcome(purge, began, applied)
        finally:
            unsettled.awaited.discard(purge.id)
            unsettled.tidy(purge.id)
            self._receipts.pop(purge.id, None)

    async def _applied_by_all(self, purge_id: str, count: bool) -> None:
        while purge_id not in self._unsettled.sent:
            self._unsettled.moved.clear()
            await self._unsettled.moved.wait()
        pause = _POLL_LEAST
        applied_at = 0.0
        while True:
            roll = await self._redis.roll(purge_id)
            self._members.hear(roll)
            self._receipts[purge_id] = roll.receipts
            if not self._members.awaited(self._unsettled.sent[purge_id].position):
                applied_at = applied_at or time.monotonic()
                counted = all(
                    node + REMOVED in roll.receipts for node in roll.receipts if REMOVED not in node
                )
                if not count or counted or time.monotonic() - applied_at > self._timing.count:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _POLL_MOST)

    def _outcome(self, purge: Purge, began: float, applied: float) -> PurgeDone:
        now = time.time()
        sent = self._unsettled.sent.get(purge.id)
        position = None if sent is None else sent.position
        nodes = {self._node: APPLIED}
        receipts = {self._node: Receipt(position, purge.time, applied)}
        told = self._receipts.get(purge.id, {})
        for node, at in self._members.others.items():
            if position is not None and at >= position:
                nodes[node] = APPLIED
                taken = 0 if sent is None else sent.time
                passed = (told[node] - taken) / 1000 if taken and node in told else None
                receipts[node] = Receipt(at, now, passed, told.get(node + REMOVED))
            else:
                nodes[node] = PENDING
        nodes |= {node: PENDING for node in self._members.former if node not in nodes}
        if position is None:
            nodes[UNKNOWN_NODES] = PENDING
        return PurgeDone(purge.id, nodes, receipts)

    # counting for others

    def _tell_counts(self, purges: Sequence[Purge]) -> None:
        for purge in purges:
            if len(self._counting) < MAX_COUNTING:
                task = asyncio.get_running_loop().create_task(self._tell_count(purge))
                self._counting.add(task)
                task.add_done_callback(self._counting.discard)

    async def _tell_count(self, purge: Purge) -> None:
        with suppress(*FAULTS):
            removed = await self._count(purge.rules)
            if removed is not None:
                await self._redis.counted(purge.id, removed)
