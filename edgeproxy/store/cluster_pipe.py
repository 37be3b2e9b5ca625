"""Knows a Redis Cluster as one pipe: each command goes to the node that holds its key, wherever that moves.

Must not know what the commands mean. One node that is away costs the requests for its keys a bounded
wait a few times, then none; the keys of all others are asked for as ever.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeout

from edgeproxy.store.breaker import Breaker
from edgeproxy.store.cluster_map import ClusterMap, Node, read_slots, slot_of
from edgeproxy.store.command_pipe import CommandPipe, PipeFull
from edgeproxy.store.redis_link import Argument, Command, Reply

logger = logging.getLogger("edgeproxy.store")

MOST_HOPS = 4
"""How often one command follows MOVED or ASK."""
MAP_PAUSE = 0.1
"""Seconds between two looks at who holds what."""
_UNSETTLED = (ClusterDownError, MasterDownError, TryAgainError)


class NodeAway(Exception):
    """The node that holds the key is not asked at the moment: as good as a miss, known without a wait."""


class _Call:
    __slots__ = ("commands", "due", "future", "hops", "single", "slot")

    def __init__(
        self, commands: Sequence[Command], future: "asyncio.Future[Any]", due: float, single: bool
    ) -> None:
        self.commands = commands
        self.future = future
        self.due = due
        self.single = single
        self.slot = slot_of(commands[0])
        self.hops = 0


class _Seat:
    """One node: its pipe, and whether it is worth asking."""

    __slots__ = ("breaker", "node", "pipe")

    def __init__(self, node: Node, pipe: CommandPipe, threshold: int) -> None:
        self.node = node
        self.pipe = pipe
        self.breaker = Breaker(threshold, longest=1.0)


class ClusterPipe:
    """Commands to the masters of a cluster over one pipe each, with the interface of CommandPipe.

    `seeds` are nodes to ask who holds what; `timeout` in seconds is what a node may take for that.
    """

    def __init__(
        self,
        seeds: Sequence[Node],
        pipe_to: Callable[[Node], CommandPipe],
        *,
        timeout: float = 1.0,
        threshold: int = 3,
        max_waiting: int = 1024,
    ) -> None:
        self._seeds = tuple(seeds)
        self._pipe_to = pipe_to
        self._timeout = timeout
        self._threshold = threshold
        self._max_waiting = max_waiting
        # state
        self._map = ClusterMap()
        self._seats: dict[Node, _Seat] = {}
        self._unrouted: list[_Call] = []  # asked before it is known who holds what
        self._wanted = asyncio.Event()
        self._mender: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ClusterPipe {self._map!r} {len(self._unrouted)} waiting>"

    def start(self) -> None:
        """Begin to send what is asked for."""
        self._loop = asyncio.get_running_loop()
        self._mender = self._loop.create_task(self._mend(), name="redis-cluster")

    def connect(self) -> None:
        """Asking for the map has begun already."""

    async def close(self) -> None:
        """Give up what waits and close all connections; every waiter gets ConnectionError."""
        mender, self._mender = self._mender, None
        if mender is not None:
            mender.cancel()
            await asyncio.wait([mender])  # not `await` itself: our own cancellation stays ours
        self._refuse_unrouted(ConnectionError("the pipe was closed"))
        for seat in list(self._seats.values()):
            await seat.pipe.close()

    def send(self, *command: Argument) -> "asyncio.Future[Reply]":
        """As CommandPipe.send; NodeAway while the node that holds the key is not asked."""
        return self._add((command,), None, single=True)

    def ask(self, commands: Sequence[Command], timeout: float | None = None) -> "asyncio.Future[list[Reply]]":
        """As CommandPipe.ask; all commands are for keys of the first one's slot."""
        return self._add(commands, timeout, single=False)

    def _add(
        self, commands: Sequence[Command], timeout: float | None, *, single: bool
    ) -> "asyncio.Future[Any]":
        if self._mender is None:
            raise ConnectionError("the pipe was closed")
        due = self._loop.time() + (self._timeout if timeout is None else timeout)
        call = _Call(commands, self._loop.create_future(), due, single)
        self._dispatch(call)
        return call.future

    # --- the way there ----------------------------------------------------------

    def _dispatch(self, call: _Call) -> None:
        if not self._map:
            if len(self._unrouted) >= self._max_waiting:
                raise PipeFull(f"{self._max_waiting} commands wait for Redis")
            self._unrouted.append(call)
            self._loop.call_at(call.due, _refuse, call.future, RedisTimeout("no answer in time"))
            self._wanted.set()
            return
        node = self._any_node() if call.slot is None else self._map.master_of(call.slot)
        if node is None:
            self._wanted.set()
            _refuse(call.future, ClusterDownError(f"nobody holds slot {call.slot}"))
        else:
            self._forward(call, self._seat(node), call.commands)

    def _any_node(self) -> Node | None:
        nodes = sorted(self._map.nodes)
        return next((node for node in nodes if self._seat(node).breaker.closed), nodes[0] if nodes else None)

    def _forward(self, call: _Call, seat: _Seat, commands: Sequence[Command]) -> None:
        if not seat.breaker.closed:
            _refuse(call.future, NodeAway(f"{_name(seat.node)} is not asked at the moment"))
            return
        try:
            inner = seat.pipe.ask(commands, max(0.0, call.due - self._loop.time()))
        except (PipeFull, RedisError) as error:
            _refuse(call.future, error)
            return
        inner.add_done_callback(lambda done: self._answered(call, seat, done))

    def _answered(self, call: _Call, seat: _Seat, inner: "asyncio.Future[list[Reply]]") -> None:
        error = inner.exception()
        if error is None:
            seat.breaker.succeeded()
            replies = _without_asking(call, inner)
            if not call.future.done():
                call.future.set_result(replies[0] if call.single else replies)
        elif isinstance(error, AskError) and call.hops < MOST_HOPS and not call.future.done():
            call.hops += 1
            self._redirect(call, seat, error)
        elif isinstance(error, _UNSETTLED):  # between two masters
            self._wanted.set()
            _refuse(call.future, error)
        elif isinstance(error, ResponseError):
            seat.breaker.succeeded()
            _refuse(call.future, error)
        else:
            self._failed(seat)
            _refuse(call.future, error)

    def _redirect(self, call: _Call, seat: _Seat, error: AskError) -> None:
        """Follow MOVED for good, or ASK for this one time."""
        node = (error.host or seat.node[0], int(error.port))
        if isinstance(error, MovedError):
            self._map.move(int(error.slot_id), node)
            self._wanted.set()
            self._dispatch(call)
        else:
            asking = [command for one in call.commands for command in (("ASKING",), one)]
            self._forward(call, self._seat(node), asking)

    def _failed(self, seat: _Seat) -> None:
        self._wanted.set()
        if self._seats.get(seat.node) is seat and seat.breaker.failed(self._loop.time()):
            logger.warning(
                "redis cluster node %s: not asked until it answers, or another holds its keys",
                _name(seat.node),
            )

    def _seat(self, node: Node) -> _Seat:
        seat = self._seats.get(node)
        if seat is None:
            seat = self._seats[node] = _Seat(node, self._pipe_to(node), self._threshold)
            seat.pipe.start()
        return seat

    # --- who holds what ---------------------------------------------------------

    async def _mend(self) -> None:
        """Look who holds what when there is reason to, and probe nodes that were given up."""
        wait = MAP_PAUSE
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            known = await self._look()
            away = [seat for seat in self._seats.values() if not seat.breaker.closed]
            for seat in away:
                await self._probe(seat)
            if known and all(seat.breaker.closed for seat in away):
                wait = MAP_PAUSE
            else:
                wait = min(2 * wait, 1.0)
                if away:
                    self._wanted.set()
            await asyncio.sleep(wait)

    async def _look(self) -> bool:
        """Ask one node after the other until one says who holds what."""
        error: BaseException = ClusterDownError("no node of the cluster answers")
        ordered = sorted(self._seats.values(), key=lambda seat: not seat.breaker.closed)
        for node in dict.fromkeys([*(seat.node for seat in ordered), *self._seeds]):
            try:
                (reply,) = await self._seat(node).pipe.ask((("CLUSTER", "SLOTS"),), self._timeout)
                found = read_slots(reply, node)
            except (RedisError, OSError, ValueError, PipeFull) as fault:
                error = fault if isinstance(fault, (RedisError, OSError)) else RedisError(str(fault))
                continue
            if found:
                self._map = found
                await self._retire(found)
                waiting, self._unrouted = self._unrouted, []
                for call in waiting:
                    if not call.future.done():
                        self._dispatch(call)
                return True
        self._refuse_unrouted(error)
        return False

    async def _retire(self, found: ClusterMap) -> None:
        for node in [node for node in self._seats if node not in found.nodes]:
            await self._seats.pop(node).pipe.close()

    async def _probe(self, seat: _Seat) -> None:
        seat.breaker.probing()
        answered = False
        with suppress(RedisError, OSError, PipeFull):
            for _ in range(2):  # the first may have to connect
                await seat.pipe.ask((("PING",),), self._timeout)
            answered = True
        seat.breaker.probed(answered)
        if answered:
            logger.warning("redis cluster node %s: answers again", _name(seat.node))

    def _refuse_unrouted(self, error: BaseException) -> None:
        waiting, self._unrouted = self._unrouted, []
        for call in waiting:
            _refuse(call.future, error)


def _without_asking(call: _Call, inner: "asyncio.Future[list[Reply]]") -> list[Reply]:
    replies = inner.result()
    return replies[1::2] if len(replies) == 2 * len(call.commands) else replies


def _name(node: Node) -> str:
    return f"{node[0]}:{node[1]}"


def _refuse(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():  # else whoever asked gave up
        future.set_exception(error)
        future.exception()  # looked at: a waiter that is gone leaves no complaint behind
