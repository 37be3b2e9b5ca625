"""One request on a client connection, and the framing of its response (RFC 9112 §6, §7).

Must not know routes, caching or origins.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from edgeproxy.edge.ports import Client, nothing
from edgeproxy.errors import BadRequest, ClientGone
from edgeproxy.server.body import RequestBodyReader
from edgeproxy.server.phase import Hold
from edgeproxy.wire.chunked import LAST_CHUNK, chunk_prefix, encode_last
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.framing import Framing, Length, keep_alive, request_framing
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.hop_by_hop import strip_hop_by_hop
from edgeproxy.wire.serialise import response_head_bytes

if TYPE_CHECKING:
    from edgeproxy.server.protocol import ClientConnection

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JOIN_BELOW = 16 * 1024
"""Bytes up to which pieces are joined for one write rather than gathered."""
_BODILESS = frozenset((b"GET", b"HEAD"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


def without_length(fields: Iterable[RawField]) -> list[RawField]:
    """The fields without Content-Length: what is framed otherwise must not announce one."""
    return [field for field in fields if field[0].lower() != b"content-length"]


class Exchange:
    """One request and the way back to its client (`edge.ports.Downstream`)."""

    counted = True

    __slots__ = (
        "_chunked",
        "_connection",
        "_left",
        "_no_body",
        "_unsent",
        "body",
        "client",
        "close_after",
        "done",
        "gone",
        "head",
        "on_gone",
        "on_writable",
        "received",
        "sent",
        "started",
        "status",
        "task",
    )

    def __init__(
        self,
        connection: "ClientConnection",
        head: RequestHead,
        client: Client,
        body: RequestBodyReader | None,
        keep_alive: bool,
        received: float,
        done: "asyncio.Future[None]",
    ) -> None:
        # request
        self.head = head
        self.client = client
        self.body = body
        self.received = received
        # response
        self.status = 0
        self.started = False
        self.sent = 0
        self.close_after = not keep_alive
        self._chunked = False
        self._no_body = False
        self._left: int | None = None
        self._unsent = b""
        # flow
        self.gone = False
        self.done = done
        self.on_writable: Callable[[], None] = nothing
        self.on_gone: Callable[[], None] = nothing
        self.task: asyncio.Task[None] | None = None
        self._connection = connection

    def __repr__(self) -> str:
        state = "gone" if self.gone else "done" if self.done.done() else "started" if self.started else "new"
        return f"<Exchange {self.head.method!r} {self.head.target.uri!r} {self.status or '-'} {state}>"

    @property
    def writable(self) -> bool:
        """False while the client's write buffer is full."""
        return not self._connection.flow.paused

    def interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx; clients of HTTP/1.0 do not know them (RFC 9110 §15.2)."""
        if self.started or self.gone or self.head.minor == 0:
            return
        fields = strip_hop_by_hop(head.fields).raw
        self._connection.write(response_head_bytes(head.status, head.reason, without_length(fields)))

    def continue_(self) -> None:
        """Tell a client that waits for it to send its body (RFC 9110 §10.1.1)."""
        if not self.started and not self.gone and self.head.minor:
            self._connection.write(CONTINUE)

    def start(self, status: int, reason: bytes, fields: Iterable[RawField], length: int | None) -> None:
        """Write the final head; without a known `length`, frame by chunks or by the close."""
        if self.gone or self.started:
            return
        self.started = True
        self.status = status
        lines = list(fields)
        minor = self.head.minor
        self._no_body = self.head.method == b"HEAD" or status in (204, 304)
        if length is None and not self._no_body:
            lines = without_length(lines)
            if minor:
                self._chunked = True
                lines.append((b"Transfer-Encoding", b"chunked"))
            else:
                self.close_after = True
        self._left = length
        if self._connection.last_words or self._early():
            self.close_after = True
        if self.close_after:
            lines.append((b"Connection", b"close"))
        elif minor == 0:
            lines.append((b"Connection", b"keep-alive"))
        # It waits for the first of the body that may follow at once: two writes cost twice one.
        self._unsent = response_head_bytes(status, reason, lines)
        if not self._no_body:
            self.done.get_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Send a head that nothing has followed yet."""
        if self._unsent and not self.gone:
            self._send()

    def _send(self, *pieces: bytes | memoryview) -> None:
        if self._unsent:
            pieces, self._unsent = (self._unsent, *pieces), b""
        if sum(map(len, pieces)) <= JOIN_BELOW:
            self._connection.write(b"".join(pieces))
        else:
            self._connection.write_many(pieces)

    def _early(self) -> bool:
        """Whether this response overtakes its request so far that the connection has to end."""
        body = self.body
        if body is None or body.complete:
            return False
        body.answered()
        return body.error is not None or body.unasked or (body.left or 0) > self._connection.linger

    def write(self, data: bytes | memoryview) -> None:
        """Write a piece of the body."""
        if self.gone or self._no_body or not data:
            return
        if self._left is not None and len(data) > self._left:
            data = data[: self._left]  # beyond it, a client would read the next response
            self.close_after = True
            if not data:
                return
        self.sent += len(data)
        if self._chunked:
            self._send(chunk_prefix(len(data)), data, b"\r\n")
            return
        if self._left is not None:
            self._left -= len(data)
        head = self._unsent
        if not head:
            self._connection.write(data)
        elif len(data) <= JOIN_BELOW:
            self._unsent = b""
            self._connection.write(head + data)
        else:
            self._send(data)

    def end(self, trailers: Fields | None = None) -> None:
        """The body is complete; anything but the announced length cuts the connection instead."""
        if self.gone or self.done.done():
            return
        if not self._no_body and self._left:
            self.abort()
            return
        if self._chunked:
            self._send(encode_last(trailers) if trailers else LAST_CHUNK)
        elif self._unsent:
            self._send()
        self.on_writable = self.on_gone = nothing  # let the reader go: no cycle is left for the collector
        self.done.set_result(None)
        self._connection.exchange_ended(self)

    def abort(self) -> None:
        """Cut the connection: the client must not take what it has for the whole."""
        self._flush()
        if not self.done.done():
            self.done.set_result(None)
        self._connection.abort()

    def left(self) -> None:
        """The client is gone; called by the connection, once."""
        if self.gone:
            return
        self.gone = True
        if self.body is not None:
            self.body.fail(ClientGone("the client closed its connection"))
        if not self.done.done():
            self.done.set_result(None)
        self.on_gone()
        self.on_gone = self.on_writable = nothing

    def switch(self, head: ResponseHead) -> None:
        """Write the head of a 101; what follows is no HTTP (RFC 9110 §7.8)."""
        if not self.gone:
            self.status = head.status
            self.started = True
            lines = [line for line in head.fields.raw if line[0].lower() not in _FRAMING]
            self._connection.write(response_head_bytes(head.status, head.reason, lines))

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """Leave HTTP: the transport and what was already read from it."""
        if not self.done.done():
            self.done.set_result(None)
        return self._connection.hand_over()


def begin_exchange(
    connection: "ClientConnection",
    head: RequestHead,
    client: Client,
    loop: asyncio.AbstractEventLoop,
    received: float,
) -> Exchange:
    """An exchange for a request, its body framed; `received` in monotonic seconds.

    Raises BadRequest: 400, 417, 501.
    """
    framing = request_framing(head)
    expects = head.fields.get(b"expect") if head.minor else None
    if expects is not None and expects.lower() != b"100-continue":
        raise BadRequest("only 100-continue can be expected", 417)
    exchange = Exchange(connection, head, client, None, keep_alive(head), received, loop.create_future())
    length = framing.n if isinstance(framing, Length) else None
    if framing is Framing.NONE or (length == 0 and head.method in _BODILESS):
        return exchange
    exchange.body = RequestBodyReader(
        length,
        lambda: connection.hold(Hold.BODY),
        lambda: connection.release(Hold.BODY),
        exchange.continue_ if expects is not None else None,
    )
    return exchange
