"""Knows one connection to Redis, shared by all who ask: what waits is sent in one write, answered in order.

Must not know what the commands mean. Nobody who asks owns the connection: one that gives up leaves
its reply to be read and thrown away, so replies cannot shift from one to another (redis/redis-py#2624).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from edgeproxy.store.redis_link import Argument, Command, Link, Reply, pack

logger = logging.getLogger("edgeproxy.store")

LATE = 0.01
"""Seconds that a loop may be late before its timeouts look at the socket once more."""
MOST_LOOKS = 5
"""So often in a row."""

Observe = Callable[[str, float], None]
"""Told of each answered command: its name, and the seconds from sending to the reply."""


class PipeFull(Exception):
    """More commands wait than the pipe takes."""


class Pipe(Protocol):
    """Takes commands to Redis, wherever in it their key is."""

    def start(self) -> None: ...
    def connect(self) -> None: ...
    async def close(self) -> None: ...
    def send(self, *command: Argument) -> "asyncio.Future[Reply]": ...
    def ask(
        self, commands: Sequence[Command], timeout: float | None = None
    ) -> "asyncio.Future[list[Reply]]": ...


class _Asked:
    """Commands that belong together, and who waits for their replies."""

    __slots__ = ("count", "data", "due", "future", "name", "replies", "resent", "sent", "single")

    def __init__(self, commands: Sequence[Command], future: "asyncio.Future[Any]", due: float) -> None:
        self.data = pack(commands)
        self.count = len(commands)
        self.name = str(commands[-1][0])
        self.future = future
        self.due = due
        self.single = False
        self.replies: list[Reply] = []
        self.sent = 0.0
        self.resent = False


class CommandPipe:
    """Commands of many tasks over one connection, opened when first needed and again after a fault.

    Each is answered within its own timeout or that of the pipe, `silence` seconds; a connection on which
    nothing is heard for that long is closed. `max_waiting` bounds the commands without a reply.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        silence: float = 5.0,
        *,
        patience: float = 5.0,
        max_waiting: int = 1024,
        observe: Observe | None = None,
    ) -> None:
        self._connect = connect
        self._silence = silence
        self._patience = patience  # seconds to connect, names and greetings included
        self._max_waiting = max_waiting
        self._observe = observe
        # state
        self._link: Link | None = None
        self._opening: asyncio.Task[None] | None = None
        self._waiting: deque[_Asked] = deque()
        self._sent: deque[_Asked] = deque()
        self._unproven = False  # nothing was heard since the oldest of those sent went out
        self._heard = 0.0
        # timers, on the loop's clock
        self._flush_due = False
        self._flush_asked = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._looks = 0
        self._started = False

    def __repr__(self) -> str:
        state = "connected" if self._link is not None else "not connected"
        return f"<CommandPipe {state}, {len(self._waiting)} waiting, {len(self._sent)} sent>"

    def start(self) -> None:
        """Begin to send what is asked for."""
        self._loop = asyncio.get_running_loop()
        self._started = True

    def connect(self) -> None:
        """Open the connection before anything is asked for: in a crowd, it would take its time."""
        if not (self._link is not None and self._link.open) and self._opening is None and self._started:
            self._opening = self._loop.create_task(self._open(), name="redis-pipe")

    async def close(self) -> None:
        """Give up what waits and close the connection; every waiter gets ConnectionError."""
        self._started = False
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])  # not `await` itself: our own cancellation stays ours
            self._opening = None
        closed = ConnectionError("the pipe was closed")
        if self._link is not None:
            self._link.close(closed)
        self._fail(self._waiting, closed)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def send(self, *command: Argument) -> "asyncio.Future[Reply]":
        """Queue a command; the future gets the reply, ResponseError, or what broke the connection.

        Raises PipeFull. A future that was cancelled before it was sent is not sent.
        """
        asked = self._add((command,), None)
        asked.single = True
        return asked.future

    def ask(self, commands: Sequence[Command], timeout: float | None = None) -> "asyncio.Future[list[Reply]]":
        """Queue commands that are sent together; the future gets all replies, or the first error.

        `timeout` in seconds, after which it is RedisTimeout. Raises PipeFull.
        """
        return self._add(commands, timeout).future

    def _add(self, commands: Sequence[Command], timeout: float | None) -> _Asked:
        if len(self._waiting) + len(self._sent) >= self._max_waiting:
            raise PipeFull(f"{self._max_waiting} commands wait for Redis")
        if not self._started:
            raise ConnectionError("the pipe was closed")
        loop = self._loop
        due = loop.time() + (self._silence if timeout is None else timeout)
        asked = _Asked(commands, loop.create_future(), due)
        self._waiting.append(asked)
        if not self._flush_due:
            self._flush_due = True
            self._flush_asked = loop.time()
            loop.call_soon(self._flush)
        if self._alarm is None or due < self._alarm_at:
            self._set_alarm(due)
        return asked

    # --- sending ----------------------------------------------------------------

    def _flush(self) -> None:
        """Send all that waits in one write; open the connection first where there is none."""
        self._flush_due = False
        link = self._link
        if link is None or not link.open:
            if self._waiting:
                self.connect()
            return
        now = perf_counter()
        held_up = self._loop.time() - self._flush_asked  # by us: Redis has its time all the same
        if not self._sent:
            self._unproven = True
            self._heard = self._loop.time()
        data: list[bytes] = []
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.future.done():
                asked.sent = now
                asked.due += held_up
                data.append(asked.data)
                self._sent.append(asked)
        if data:
            link.write(b"".join(data) if len(data) > 1 else data[0])

    async def _open(self) -> None:
        connection: AbstractConnection | None = None
        try:
            connection = self._connect()
            async with asyncio.timeout(self._patience):
                await connection.connect()  # type: ignore[no-untyped-call]
            self._link = Link(connection, self._received, self._lost)
        except (RedisError, OSError) as error:
            self._fail(self._waiting, error)
        except Exception as error:  # a fault of the library must not end the pipe for good
            logger.exception("unexpected, while talking to Redis; please report it")
            self._fail(self._waiting, ConnectionError(f"unexpected: {error!r}"))
        finally:
            self._opening = None
            if connection is not None and self._link is None:
                with suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
        if self._link is not None:
            self._flush_asked = self._loop.time()
            self._flush()

    # --- replies ----------------------------------------------------------------

    def _received(self, replies: list[Reply]) -> None:
        self._heard = self._loop.time()
        self._unproven = False
        now = perf_counter()
        for reply in replies:
            if not self._sent:
                if self._link is not None:
                    self._link.close(RedisConnectionError("a reply that nobody asked for"))
                return
            asked = self._sent[0]
            asked.replies.append(reply)
            if len(asked.replies) == asked.count:
                self._sent.popleft()
                if self._observe is not None:
                    self._observe(asked.name, now - asked.sent)
                if not asked.future.done():
                    _give(asked)
            if isinstance(reply, ReadOnlyError) and self._link is not None:
                # It was the master and is not any more: ask again where the master is.
                self._link.close(RedisConnectionError("has become a replica"))
                return

    def _lost(self, link: Link, error: Exception) -> None:
        """The connection is over: what was sent gets no reply.

        One that turns out to have been closed while idle is opened again once: every command of ours may
        be sent twice.
        """
        if link is not self._link:
            return
        self._link = None
        if self._unproven and self._started and not isinstance(error, RedisTimeout):
            again = [asked for asked in self._sent if not asked.resent and not asked.future.done()]
            self._sent = deque(asked for asked in self._sent if asked.resent)
            for asked in again:
                asked.resent = True
            self._waiting.extendleft(reversed(again))
        self._fail(self._sent, error)
        if self._waiting and not self._flush_due:
            self._flush_due = True
            self._flush_asked = self._loop.time()
            self._loop.call_soon(self._flush)

    @staticmethod
    def _fail(those: deque[_Asked], error: Exception) -> None:
        while those:
            _refuse(those.popleft().future, error)

    # --- timeouts ---------------------------------------------------------------

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        """Give up on what is overdue, and on a connection that says nothing."""
        self._alarm = None
        now = self._loop.time()
        if self._looks < MOST_LOOKS and self._may_be_in_time(now):
            self._looks += 1
            self._set_alarm(now + LATE)
            return
        self._looks = 0
        earliest: float | None = None
        for queue in (self._sent, self._waiting):
            for asked in queue:
                if asked.future.done():
                    continue
                if asked.due <= now:
                    _refuse(asked.future, RedisTimeout("no answer in time"))
                elif earliest is None or asked.due < earliest:
                    earliest = asked.due
        if self._sent and self._link is not None:
            quiet = self._heard + self._silence
            if quiet <= now:
                self._link.close(RedisTimeout(f"nothing heard for {self._silence * 1000:.0f} ms"))
            else:
                earliest = quiet if earliest is None else min(earliest, quiet)
        if earliest is not None:
            self._set_alarm(max(earliest, now + 0.001))

    def _may_be_in_time(self, now: float) -> bool:
        """Whether the loop is late, not Redis: the reply lies in the socket, or the command was not sent."""
        link = self._link
        if link is None:
            return now - self._alarm_at > LATE and bool(self._waiting)
        return (self._flush_due and bool(self._waiting)) or (bool(self._sent) and link.unread())


def _give(asked: _Asked) -> None:
    future = asked.future
    for reply in asked.replies:
        if isinstance(reply, Exception):
            _refuse(future, reply)
            return
    future.set_result(asked.replies[0] if asked.single else asked.replies)


def _refuse(future: "asyncio.Future[Any]", error: Exception) -> None:
    if future.done():  # whoever asked gave up
        return
    with suppress(asyncio.InvalidStateError):
        future.set_exception(error)
        future.exception()  # looked at: a waiter that is gone leaves no complaint behind
