"""Knows one connection to Redis, shared by all who ask: what waits is sent in one write, answered in order.

Must not know what the commands mean. Nobody who asks owns the connection: one that gives up leaves
its reply to be read and thrown away, so replies cannot shift from one to another (redis/redis-py#2624).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

logger = logging.getLogger("edgeproxy.store")

Argument = bytes | str | int
Reply = object
MAX_BATCH = 64


class PipeFull(Exception):
    """More commands wait than the pipe takes."""


class CommandPipe:
    """Commands of many tasks over one connection, opened when first needed and again after a fault.

    The connection's own timeouts bound each reply; `max_waiting` bounds what waits to be sent.
    """

    def __init__(self, connect: Callable[[], AbstractConnection], max_waiting: int = 1024) -> None:
        self._connect = connect
        self._max_waiting = max_waiting
        self._connection: AbstractConnection | None = None
        self._waiting: deque[tuple[Sequence[Argument], asyncio.Future[Reply]]] = deque()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "connected" if self._connection is not None else "not connected"
        return f"<CommandPipe {state}, {len(self._waiting)} waiting>"

    def start(self) -> None:
        """Begin to send what is asked for."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis-pipe")

    async def close(self) -> None:
        """Give up what waits and close the connection; every waiter gets ConnectionError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])  # not `await` itself: our own cancellation stays ours
            self._task = None
        self._fail([future for _, future in self._waiting], ConnectionError("the pipe was closed"))
        self._waiting.clear()

    def send(self, *command: Argument) -> asyncio.Future[Reply]:
        """Queue a command; the future gets the reply, ResponseError, or what broke the connection.

        Raises PipeFull. A future that was cancelled before it was sent is not sent.
        """
        if len(self._waiting) >= self._max_waiting:
            raise PipeFull(f"{self._max_waiting} commands wait for Redis")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._wanted.set()
        return future

    async def _run(self) -> None:
        try:
            while True:
                await self._wanted.wait()
                batch = self._take()
                if batch:
                    await self._exchange(batch)
        finally:
            await self._disconnect()

    def _take(self) -> list[tuple[Sequence[Argument], asyncio.Future[Reply]]]:
        batch: list[tuple[Sequence[Argument], asyncio.Future[Reply]]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            command, future = self._waiting.popleft()
            if not future.done():
                batch.append((command, future))
        if not self._waiting:
            self._wanted.clear()
        return batch

    async def _exchange(self, batch: list[tuple[Sequence[Argument], asyncio.Future[Reply]]]) -> None:
        """Send a batch and give out its replies; a broken connection fails what was not answered.

        A connection that turns out to have been closed while idle is opened again once: every
        command of ours may be sent twice.
        """
        unanswered = deque(future for _, future in batch)
        commands = [command for command, _ in batch]
        try:
            if self._connection is not None:
                try:
                    await self._converse(self._connection, commands, unanswered)
                except (RedisConnectionError, OSError):
                    if len(unanswered) < len(commands):
                        raise
                    await self._disconnect()
                else:
                    return
            self._connection = self._connect()
            await self._connection.connect()  # type: ignore[no-untyped-call]
            await self._converse(self._connection, commands, unanswered)
        except (RedisError, OSError) as error:
            self._fail(unanswered, error)
            await self._disconnect()
        except Exception as error:  # a fault of the library must not end the pipe for good
            logger.exception("unexpected, while talking to Redis; please report it")
            self._fail(unanswered, ConnectionError(f"unexpected: {error!r}"))
            await self._disconnect()
        except asyncio.CancelledError:
            self._fail(unanswered, ConnectionError("the pipe was closed"))
            raise

    @staticmethod
    async def _converse(
        connection: AbstractConnection,
        commands: list[Sequence[Argument]],
        unanswered: deque[asyncio.Future[Reply]],
    ) -> None:
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        while unanswered:
            try:
                reply: Reply = await connection.read_response()
            except ResponseError as error:
                reply = error
            _give(unanswered.popleft(), reply)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    @staticmethod
    def _fail(
        futures: Sequence[asyncio.Future[Reply]] | deque[asyncio.Future[Reply]], error: Exception
    ) -> None:
        for future in futures:
            _give(future, error)


def _give(future: asyncio.Future[Reply], reply: Reply) -> None:
    if future.done():  # whoever asked gave up
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
        future.exception()  # looked at: a waiter that is gone leaves no complaint behind
    else:
        future.set_result(reply)
