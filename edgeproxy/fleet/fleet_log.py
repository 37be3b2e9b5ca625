"""Knows how a node and its fleet come to agree on purges, through outages of what they share.

Must not know how the log lies in Redis (`redis_log`).

A purge counts here the moment it is given; it is sent to the log until the log has it, and
other nodes apply it as they read the log. Whatever was read while away is applied on the way
back. Where rules may have been missed for good (the log was trimmed past this node's position)
all that is stored counts as purged; where the log itself was lost, or cannot be reached for
long, all that is stored is validated before it is used again.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgeproxy.fleet.entries import Purge, decode, encode
from edgeproxy.fleet.purge_log import (
    APPLIED,
    PENDING,
    UNKNOWN_NODES,
    Counted,
    PurgeDone,
    Receipt,
    new_id,
)
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.redis_log import FAULTS, Entry, LogLost, RedisLog
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

MAX_UNSETTLED = 10_000  # purges that the log does not hold yet; beyond, they become one of everything
_BATCH = 1000
_POLL_LEAST, _POLL_MOST = 0.005, 0.1

_log = logging.getLogger("edgeproxy.purge_log")


@dataclass(frozen=True, slots=True)
class FleetTiming:
    """Seconds."""

    block: float = 1.0  # a read waits so long for news; also how often the node is heard of
    max_purge_lag: float = 60.0  # cut off for longer: what is stored is validated before reuse
    forget: float = 60.0  # a silent node is left out of answers
    retry_least: float = 0.1
    retry_most: float = 2.0
    leave: float = 1.0


DEFAULT_TIMING = FleetTiming()


class FleetPurgeLog:
    """The purge log of a node in a fleet."""

    def __init__(
        self,
        node: str,
        table: PurgeTable,
        redis: RedisLog,
        counted: Counted = lambda kind: None,
        timing: FleetTiming = DEFAULT_TIMING,
    ) -> None:
        self._node = node
        self._table = table
        self._redis = redis
        self._counted = counted
        self._timing = timing
        # the log as far as it is known
        self._identity = table.log
        self._position = table.position if table.log else 0
        self._recovered = table.recovered
        self._tried = False
        self._joined = asyncio.Event()
        self._contact = time.monotonic()
        self._cut_off = False
        self._out_of_reach = False
        # nodes
        self._nodes: dict[str, int] = {}
        self._former: dict[str, float] = {}  # of a log that was lost, until when they count as pending
        # purges of this node, in order, until read back from the log
        self._unsettled: dict[str, Purge] = {}
        self._folded = False  # one of everything stands for others
        self._sent: dict[str, int] = {}  # positions, by id; of those unsettled or awaited
        self._awaited: set[str] = set()
        self._unsent = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        state = "following" if self._joined.is_set() else "cut off"
        return f"<FleetPurgeLog {self._node} {state} at {self._position} unsettled={len(self._unsettled)}>"

    # lifetime

    async def start(self) -> None:
        """Begin to follow and to send; returns at once."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._send())]

    async def close(self) -> None:
        """Send what is left, for at most a second, say goodbye, stop."""
        with suppress(*FAULTS):
            async with asyncio.timeout(self._timing.leave):
                while self._joined.is_set() and self._left_to_send():
                    self._moved.clear()
                    await self._moved.wait()
        await self._halt()
        left = self._left_to_send()
        if left:
            _log.warning("%d purges made here never reached the other nodes; repeat them there", len(left))
        with suppress(*FAULTS):
            async with asyncio.timeout(self._timing.leave):
                if self._joined.is_set():
                    await self._redis.leave()
        await self._redis.close()

    async def _halt(self) -> None:
        """Stop following and sending.

        A cancellation that is under way when redis-py enters a timeout of zero seconds is lost
        there, so it is repeated.
        """
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.1)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def not_ready(self) -> str | None:
        """Not before the first look at the log; a node that cannot reach it works alone."""
        if self._joined.is_set() or self._tried:
            return None
        return "the fleet's purge log is being read"

    def describe(self) -> dict[str, Any]:
        """For the admin API."""
        return {
            "kind": "redis",
            "connected": self._joined.is_set(),
            "position": self._position,
            "pending": len(self._unsettled),
            "nodes": sorted({self._node, *self._nodes}),
        }

    # purging

    async def purge(self, rules: Sequence[PurgeRule], wait: float) -> PurgeDone:
        """Let rules count here at once, and wait at most `wait` seconds for the fleet.

        While the log is known to be out of reach, nobody is waited for.
        """
        purge = Purge(new_id(), self._node, time.time(), tuple(rules))
        for rule in purge.rules:
            self._table.apply(rule)
            self._counted(rule.kind)
        self._remember(purge)
        self._unsent.set()
        self._awaited.add(purge.id)
        try:
            if wait > 0 and not self._out_of_reach:
                with suppress(*FAULTS):
                    async with asyncio.timeout(wait):
                        await self._applied_by_all(purge.id)
            return self._outcome(purge)
        finally:
            self._awaited.discard(purge.id)
            self._tidy(purge.id)

    def _tidy(self, purge_id: str) -> None:
        if purge_id not in self._unsettled and purge_id not in self._awaited:
            self._sent.pop(purge_id, None)

    def _remember(self, purge: Purge) -> None:
        if len(self._unsettled) >= MAX_UNSETTLED:
            held = [*self._unsettled.values(), purge]
            soft = all(rule.soft for each in held for rule in each.rules)
            everything = PurgeRule(PurgeKind.EVERYTHING, b"", soft)
            _log.warning(
                "%d purges wait for the other nodes: from now on one of everything stands for them", len(held)
            )
            self._table.apply(everything)
            self._unsettled.clear()
            self._sent.clear()
            self._folded = True
            purge = Purge(purge.id, purge.node, purge.time, (everything,))
        self._unsettled[purge.id] = purge

    async def _applied_by_all(self, purge_id: str) -> None:
        while purge_id not in self._sent:
            self._moved.clear()
            await self._moved.wait()
        pause = _POLL_LEAST
        while True:
            self._nodes = await self._redis.nodes()
            position = self._sent[purge_id]
            if all(at >= position for node, at in self._nodes.items() if node != self._node):
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _POLL_MOST)

    def _outcome(self, purge: Purge) -> PurgeDone:
        now = time.time()
        position = self._sent.get(purge.id)
        nodes = {self._node: APPLIED}
        receipts = {self._node: Receipt(position, purge.time)}
        for node, at in self._nodes.items():
            if node == self._node:
                continue
            applied = position is not None and at >= position
            nodes[node] = APPLIED if applied else PENDING
            if applied:
                receipts[node] = Receipt(at, now)
        self._forget_former()
        nodes |= {node: PENDING for node in self._former if node not in nodes}
        if position is None:
            nodes[UNKNOWN_NODES] = PENDING
        return PurgeDone(purge.id, nodes, receipts)

    def _forget_former(self) -> None:
        now = time.monotonic()
        self._former = {
            node: until
            for node, until in self._former.items()
            if until > now and node not in self._nodes and node != self._node
        }

    # sending

    def _left_to_send(self) -> list[Purge]:
        return [purge for purge in self._unsettled.values() if purge.id not in self._sent]

    async def _send(self) -> None:
        while True:
            await self._unsent.wait()
            await self._joined.wait()
            self._unsent.clear()
            for purge in self._left_to_send():
                try:
                    position = await self._redis.append(self._identity, encode(purge))
                except (LogLost, *FAULTS) as error:
                    _log.debug("purge %s was not sent: %s", purge.id, error)
                    self._unsent.set()  # the follower finds out what is wrong
                    await asyncio.sleep(self._timing.retry_least)
                    break
                self._sent[purge.id] = position
                self._tidy(purge.id)  # it may have been read back already
                self._moved.set()

    # following

    async def _follow(self) -> None:
        pause = self._timing.retry_least
        while True:
            try:
                await self._join()
                pause = self._timing.retry_least
                await self._read_on()
            except LogLost:
                _log.warning("Redis lost the purge log: a new one is begun")
                self._joined.clear()
            except FAULTS as error:
                self._lose_contact(error)
            await self._wait_to_retry(pause)
            pause = min(2 * pause, self._timing.retry_most)

    async def _wait_to_retry(self, pause: float) -> None:
        self._tried = True
        self._watch_lag()
        await asyncio.sleep(pause)

    async def _read_on(self) -> None:
        while True:
            entries = await self._redis.read(self._position, _BATCH, self._timing.block)
            self._take(entries)
            self._nodes = await self._redis.beat(self._identity, self._position, self._timing.forget)
            self._contact = time.monotonic()

    async def _join(self) -> None:
        """Find the log, apply all of it that is not applied yet, and be counted among its nodes."""
        joined = await self._redis.join(self._identity, self._position)
        if joined.identity != self._identity:
            self._change_logs(joined.identity, joined.first)
        elif joined.first > self._position + 1:
            self._missed(joined.first - 1)
        first = joined.first if joined.identity != self._table.log else None
        while self._position < joined.last:
            entries = await self._redis.read(self._position, _BATCH)
            if not entries:
                break
            self._take(entries)
        if first is not None:
            self._table.follow(self._identity, first, self._position)
        if self._recovered:  # rules of an earlier run that the log never got: they hold for all before now
            self._recovered = False
            self._table.settle_all(self._position)
        self._table.trust()
        self._nodes = await self._redis.beat(self._identity, self._position, self._timing.forget)
        self._contact = time.monotonic()
        self._cut_off = self._out_of_reach = False
        self._joined.set()
        if self._left_to_send():
            self._unsent.set()
        _log.info("the purge log is followed from position %d on", self._position)

    def _change_logs(self, identity: bytes, first: int) -> None:
        """Go over to another log: nothing is known of what the old one held after our position."""
        if self._identity:
            _log.warning(
                "the purge log is another one than before: stored responses are validated before reuse"
            )
            self._make_all_stale()
            until = time.monotonic() + self._timing.forget
            self._former = {node: until for node in self._nodes if node != self._node}
            self._table.follow(b"", 0, 0)
        self._sent.clear()
        self._identity = identity
        self._position = first - 1

    def _missed(self, position: int) -> None:
        _log.warning(
            "the purge log holds nothing between %d and %d any more: all that is stored counts as purged",
            self._position,
            position,
        )
        self._table.apply(PurgeRule(PurgeKind.EVERYTHING), 0)
        self._table.follow(self._identity, position + 1, position)
        self._position = position

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.position > self._position + 1:
                self._missed(entry.position - 1)
            purge = decode(entry.data)
            own = self._unsettled.pop(purge.id, None) if purge is not None else None
            if own is not None:
                self._settle(own, entry.position)
                self._sent[own.id] = entry.position
                self._tidy(own.id)
                self._moved.set()
            elif purge is not None:
                for rule in purge.rules:
                    self._table.apply(rule, entry.position)
                    self._counted(rule.kind)
            else:
                _log.warning(
                    "purge %d is not understood by this version: all that is stored counts as purged",
                    entry.position,
                )
                self._table.apply(PurgeRule(PurgeKind.EVERYTHING), entry.position)
            self._position = entry.position
            if self._table.log == self._identity:
                self._table.advance(entry.position)

    def _settle(self, purge: Purge, position: int) -> None:
        if self._folded and not self._unsettled:
            self._folded = False
            self._table.settle_all(position)
            return
        waiting = {rule for each in self._unsettled.values() for rule in each.rules}
        for rule in purge.rules:
            if rule not in waiting:
                self._table.settle(rule, position)

    # out of reach

    def _lose_contact(self, error: BaseException) -> None:
        if not self._out_of_reach:
            _log.warning(
                "the purge log is out of reach (%s): purges made here count here, and are sent on when it is "
                "back; look after Redis",
                error,
            )
        self._out_of_reach = True
        self._joined.clear()

    def _watch_lag(self) -> None:
        """Every `max_purge_lag` without contact, let all that is stored be validated once."""
        if time.monotonic() - self._contact < self._timing.max_purge_lag:
            return
        if not self._cut_off:
            _log.warning(
                "cut off from the fleet's purges for %g s: stored responses are validated before reuse",
                self._timing.max_purge_lag,
            )
        self._cut_off = True
        self._contact = time.monotonic()
        self._make_all_stale()

    def _make_all_stale(self) -> None:
        self._table.apply(PurgeRule(PurgeKind.EVERYTHING, b"", soft=True), 0)
