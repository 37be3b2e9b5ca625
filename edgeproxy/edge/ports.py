"""What the edge asks of the side that holds the client's connection.

Must not know how bytes reach a socket.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from edgeproxy.upstream.ports import RequestBody
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the peer, or whom a trusted proxy names.

    `address` is textual; `scheme` is what the client used; `forwarded_for` is the chain a
    trusted proxy sent, to be continued; `trusted` says that the peer may speak for others.
    """

    address: bytes
    scheme: bytes
    forwarded_for: bytes | None = None
    forwarded_host: bytes | None = None
    trusted: bool = False


class ClientBody(RequestBody, Protocol):
    """A request's body, with the bound that a route puts on it."""

    def limit(self, size: int) -> None:
        """Take at most that many bytes in all; 0 for no bound. Raises BadRequest 413."""
        ...


def nothing() -> None:
    """The callback of those who wait for nothing."""


class Downstream(Protocol):
    """One request and the way back to its client."""

    head: RequestHead
    client: Client
    counted: bool  # False: asked by this process; neither counted nor logged as a client's request
    on_writable: Callable[[], None]  # called when `writable` turns true
    on_gone: Callable[[], None]  # called when `gone` turns true
    done: "asyncio.Future[None]"  # resolved when the response ended, was aborted, or the client left

    @property
    def body(self) -> ClientBody | None:
        """The request's body, if it has one."""
        ...

    @property
    def writable(self) -> bool:
        """False while the client's write buffer is full."""
        ...

    @property
    def gone(self) -> bool:
        """True once the client left: writes go nowhere."""
        ...

    @property
    def started(self) -> bool:
        """True once a final head was written."""
        ...

    @property
    def status(self) -> int:
        """The status that was written; 0 before."""
        ...

    @property
    def sent(self) -> int:
        """Bytes of body handed to the transport."""
        ...

    def interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx; nothing for clients of HTTP/1.0."""
        ...

    def start(self, status: int, reason: bytes, fields: Iterable[RawField], length: int | None) -> None:
        """Write the final head; `length` is the body's in bytes, None where unknown."""
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Write a piece of the body, whether or not `writable`."""
        ...

    def end(self, trailers: Fields | None = None) -> None:
        """The body is complete."""
        ...

    def abort(self) -> None:
        """Cut the connection: the client must see that the body is not complete."""
        ...

    def switch(self, head: ResponseHead) -> None:
        """Write the head of a 101 (RFC 9110 §7.8)."""
        ...

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """Leave HTTP: the transport, and bytes already read from it."""
        ...
