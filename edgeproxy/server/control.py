"""Knows how the supervisor and a worker talk: calls with answers and notes, over a socket pair.

Must not know what is said: handlers are given by both sides.
"""

import asyncio
import inspect
import itertools
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from edgeproxy.errors import EdgeProxyError

MAX_FRAME = 64 * 1024 * 1024  # bytes; a configuration is far below
MAX_UNSENT = 2 * MAX_FRAME
MAX_AT_WORK = 256  # calls of the other side that are not answered yet

Handler = Callable[..., Any]
"""Takes a call's arguments; returns, or awaits and returns, what can be sent."""

_log = logging.getLogger("edgeproxy.control")


class ControlError(EdgeProxyError):
    """A call that the other side refused, or that it did not answer."""


class ChannelClosed(ControlError):
    """The other side is gone."""


class _Call(msgspec.Struct, frozen=True, array_like=True, tag=0):
    number: int  # 0: a note, wants no answer
    name: str
    args: list[Any]


class _Answer(msgspec.Struct, frozen=True, array_like=True, tag=1):
    number: int
    result: Any = None
    error: str | None = None


class Channel(asyncio.Protocol):
    """One end of a control channel.

    Whatever this end is asked is looked up in `handlers`; `closed` is done once the other
    side is gone.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._at_work: set[asyncio.Task[None]] = set()
        self._decoder = msgspec.msgpack.Decoder(_Call | _Answer)
        self._encoder = msgspec.msgpack.Encoder()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, sock: socket.socket, handlers: Mapping[str, Handler]) -> "Channel":
        """Talk over one half of a `socketpair`, which the channel owns from now on."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        _, channel = await loop.create_unix_connection(lambda: cls(handlers), sock=sock)
        return channel

    def __repr__(self) -> str:
        state = "closed" if self.closed.done() else "open"
        return f"<Channel {state} pending={len(self._pending)} at_work={len(self._at_work)}>"

    # asking

    async def call(self, name: str, *args: Any, timeout: float) -> Any:
        """Ask the other side and wait for its answer for at most `timeout` seconds.

        Raises ControlError when it refuses or is too late, ChannelClosed when it is gone.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            self._send(_Call(number, name, list(args)))
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError as late:
            raise ControlError(f"no answer to {name} within {timeout:g} s") from late
        finally:
            self._pending.pop(number, None)

    def notify(self, name: str, *args: Any) -> None:
        """Tell the other side, without an answer; a note to one that is gone is lost."""
        if not self.closed.done():
            self._send(_Call(0, name, list(args)))

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, message: _Call | _Answer) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ChannelClosed("the other process is gone")
        if self.unsent > MAX_UNSENT:
            raise ControlError("the other process takes no messages")
        frame = self._encoder.encode(message)
        if len(frame) > MAX_FRAME:
            raise ControlError(f"a message of {len(frame)} bytes is too long")
        self._transport.write(len(frame).to_bytes(4, "big") + frame)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by their class
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "big")
            if size > MAX_FRAME:
                _log.error("the control channel carries nonsense (a frame of %d bytes): closed", size)
                self.close()
                return
            if len(self._buffer) < 4 + size:
                return
            message = self._decoder.decode(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            if isinstance(message, _Answer):
                self._answered(message)
            else:
                self._asked(message)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ChannelClosed("the other process is gone"))
        for task in self._at_work:
            task.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # answering

    def _answered(self, answer: _Answer) -> None:
        future = self._pending.get(answer.number)
        if future is None or future.done():
            return
        if answer.error is not None:
            future.set_exception(ControlError(answer.error))
        else:
            future.set_result(answer.result)

    def _asked(self, call: _Call) -> None:
        if len(self._at_work) >= MAX_AT_WORK:
            self._reply(call, error="too many calls at once")
            return
        task = asyncio.get_running_loop().create_task(self._work(call))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _work(self, call: _Call) -> None:
        try:
            result = self._handlers[call.name](*call.args)
            if inspect.isawaitable(result):
                result = await result
        except EdgeProxyError as refused:
            self._reply(call, error=str(refused))
        except Exception as error:  # a worker must answer whatever happens in it
            _log.exception("%s failed", call.name)
            self._reply(call, error=f"{type(error).__name__}: {error}")
        else:
            self._reply(call, result=result)

    def _reply(self, call: _Call, result: Any = None, error: str | None = None) -> None:
        if call.number == 0 or self.closed.done():
            return
        try:
            self._send(_Answer(call.number, result, error))
        except ControlError as unsent:
            _log.warning("the answer to %s was not sent: %s", call.name, unsent)
