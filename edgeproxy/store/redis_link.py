"""Knows the bytes on one open connection to Redis: commands packed, replies in the order of the commands.

Must not know what the commands mean, nor how a connection is opened.
"""

import asyncio
from collections.abc import Callable, Sequence
from select import POLLIN, poll

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

Argument = bytes | str | int
Command = Sequence[Argument]
Reply = object

_pack: Callable[[tuple[Argument, ...]], bytes] = getattr(hiredis, "pack_command")  # noqa: B009 (its stub errs)
_ERRORS: dict[str, Callable[[str], Exception]] = {
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "MOVED": MovedError,
    "NOPERM": NoPermissionError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "TRYAGAIN": TryAgainError,
}


def error_of(text: str) -> Exception:
    """The exception for an error reply; of those that we tell apart the text goes on after the code."""
    code, _, rest = text.partition(" ")
    made = _ERRORS.get(code)
    if made is None and "-READONLY " in rest:  # from a script Redis 6 says it only in the text
        return ReadOnlyError(rest)
    if made is None or (made in (AskError, MovedError) and not rest):
        return ResponseError(text)
    return made(rest or text)


def pack(commands: Sequence[Command]) -> bytes:
    """Commands as they go over the wire."""
    return b"".join([_pack(tuple(command)) for command in commands])


class Link(asyncio.Protocol):
    """An open connection, taken over from redis-py after its greetings.

    `received` gets the replies of each piece that came in; `lost` is told once why there are no more.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        received: Callable[[list[Reply]], None],
        lost: Callable[["Link", Exception], None],
    ) -> None:
        self._received = received
        self._lost = lost
        self._reader = hiredis.Reader(replyError=error_of, protocolError=InvalidResponse)
        self._over = False
        # redis-py's streams cost a task switch and a timer for each reply: its greetings are used, its
        # reading is not. There is no public name for the transport.
        writer = getattr(connection, "_writer", None)
        if writer is None:
            raise RedisConnectionError("closed while it was being opened")
        self._writer = writer  # would close the transport when it goes
        self._transport: asyncio.Transport = writer.transport
        self._transport.set_protocol(self)
        for name in ("_reader", "_writer"):  # nothing of it is theirs any more
            setattr(connection, name, None)

    def __repr__(self) -> str:
        return f"<Link {'over' if self._over else 'open'}>"

    @property
    def open(self) -> bool:
        """Whether commands may be written."""
        return not self._over and not self._transport.is_closing()

    def unread(self) -> bool:
        """Whether something lies in the socket that the loop has not read yet."""
        sock = self._transport.get_extra_info("socket")
        if not self.open or sock is None:
            return False
        looked = poll()
        looked.register(sock.fileno(), POLLIN)
        return bool(looked.poll(0))

    def write(self, data: bytes) -> None:
        """Send packed commands."""
        self._transport.write(data)

    def close(self, reason: Exception) -> None:
        """Close at once, for that reason."""
        self._end(reason)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        replies: list[Reply] = []
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                replies.append(reply)
        except InvalidResponse as error:
            self.close(error)
            return
        self._received(replies)  # none too: something was heard

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc if isinstance(exc, OSError) else RedisConnectionError("closed by Redis"))

    def _end(self, reason: Exception) -> None:
        if not self._over:
            self._over = True
            self._lost(self, reason)
