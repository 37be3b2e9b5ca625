"""One connection to an origin: bytes to a reader, a writer's bytes to the socket, and its end.

Must not choose origins, retry, or know what a response is for.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable
from typing import Protocol, cast

from edgeproxy.errors import (
    ConnectionLost,
    FirstByteTimeout,
    IncompleteResponse,
    UpstreamError,
)
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.origin import Endpoint
from edgeproxy.upstream.ports import OriginRequest, ResponseSink
from edgeproxy.upstream.request_head import HeadMaker
from edgeproxy.upstream.request_writer import RequestWriter
from edgeproxy.upstream.response_reader import ResponseReader
from edgeproxy.upstream.settings import Timeouts, UpstreamSettings

WRITE_HIGH_WATER = 64 * 1024
RESCUE_LIMIT = 256 * 1024
_TROUBLE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Owner(Protocol):
    """Whoever pools the connection."""

    def answered(self, exchange: OriginExchange) -> None:
        """The final head has come."""

    def finished(self, exchange: OriginExchange, reusable: bool) -> None:
        """The response is complete."""

    def failed(self, exchange: OriginExchange, error: Exception) -> None:
        """The exchange broke off: an UpstreamError, or what befell the request's body."""

    def abandoned(self, exchange: OriginExchange) -> None:
        """Nobody wanted the exchange any more."""

    def closed(self, connection: "Connection") -> None:
        """The connection is no more."""


class Connection(asyncio.Protocol):
    """A connection that carries one exchange after another.

    `usable_until` is the monotonic second after which it is not used again; `closed` once it is
    given up, whether or not the socket is gone already.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        owner: Owner,
        settings: UpstreamSettings,
        heads: HeadMaker,
        clock: Callable[[], float],
    ) -> None:
        # connection
        self.endpoint = endpoint
        self.opened_at = clock()
        self.usable_until = self.opened_at + settings.keepalive
        self.closed = False
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.reader = ResponseReader(settings.head_limits, settings.lenient)
        self.handed_over = False
        self._owner = owner
        self._timeouts: Timeouts = settings.timeouts
        self._heads = heads
        self._clock = clock
        self._tls = endpoint.origin.location.tls
        # exchange
        self.exchange: OriginExchange | None = None
        self.used = False
        self._quiet = False
        self._quiet_since = 0.0
        self._looked_again = False
        self._reading_paused = False

    def __repr__(self) -> str:
        state = (
            "closed" if self.closed else "tunnel" if self.handed_over else "busy" if self.exchange else "idle"
        )
        return f"<Connection {self.endpoint.address} {state}>"

    # --- an exchange

    def begin(self, request: OriginRequest, sink: ResponseSink, now: float) -> OriginExchange:
        """Send a request; its future head is `answered` of what is returned.

        Raises ValueError, nothing sent, where the request's head cannot be written.
        """
        head = self._heads.make(request, self.endpoint.origin.location)
        exchange = OriginExchange(self, request, sink, now, self.used)
        self.send(head, exchange)
        return exchange

    def send(self, head: bytes, exchange: OriginExchange) -> None:
        """Send a request whose head is written already."""
        transport = self.transport
        assert transport is not None
        assert self.exchange is None
        request = exchange.request
        self.exchange = exchange
        self.used = True
        self._quiet = self._looked_again = False
        self.reader.begin(request.method, exchange, exchange.sink, request.upgrade is not None)
        if request.body is None:
            transport.write(head)
        else:
            exchange.writer = RequestWriter(transport, request.body, self._body_failed, self._clock)
            exchange.writer.start(head)

    def host(self, authority: bytes) -> bytes:
        """The Host that this origin is asked for, where the client asked for `authority`."""
        return self._heads.host(authority, self.endpoint.origin.location)

    def answered(self, exchange: OriginExchange) -> None:
        """The final head has come: what does it mean for the request's body, and what next?"""
        self._looked_again = False
        writer = exchange.writer
        if writer is not None and exchange.status >= 400 and not writer.done:
            # The origin does not want the rest (RFC 9112 §9.3): this connection ends with the response.
            writer.stop()
        if exchange.status == 101:
            self.pause_reading()
        self._owner.answered(exchange)

    def abandon(self, exchange: OriginExchange) -> None:
        """Nobody wants that exchange any more: nothing can be read past it, so the connection ends."""
        if self.exchange is exchange:
            self._detach(exchange)
            self.close()
            self._owner.abandoned(exchange)

    def expire(self, exchange: OriginExchange, error: UpstreamError) -> bool:
        """End an exchange whose time is over, unless its answer lies in the socket: our loop was late."""
        if self._poll(select.POLLIN) and not self._looked_again:
            self._looked_again = True
            return False
        self._fail(exchange, error)
        return True

    def pause_reading(self) -> None:
        """Read no more until `resume_reading`; no timeout counts meanwhile."""
        if not self._reading_paused and not self.closed and self.transport is not None:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._reading_paused:
            self._reading_paused = False
            self._quiet = False
            if not self.closed and self.transport is not None:
                self.transport.resume_reading()

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """After a 101: the transport, reading on, and what was read already."""
        assert self.transport is not None
        self.handed_over = True
        self.resume_reading()
        return self.transport, self.reader.tunnelled

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()  # unasked: whatever it is, it answers none of our requests
            return
        self._quiet = False
        try:
            complete = self.reader.feed(data)
        except UpstreamError as error:
            self._fail(exchange, error)
        else:
            if complete and self.exchange is exchange:
                self._complete(exchange)

    def eof_received(self) -> bool:
        exchange = self.exchange
        if exchange is None:
            self.close()
            return False
        try:
            complete = self.reader.feed_eof()
        except UpstreamError as error:
            self._fail(exchange, error)
        else:
            if complete:
                self._complete(exchange)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        exchange = self.exchange
        if exchange is not None and isinstance(error, OSError) and exchange.writer is not None:
            self._rescue(exchange)
            exchange = self.exchange
        if exchange is not None and not self.handed_over:
            self._fail(exchange, self._lost(error))
        self._gone()

    def pause_writing(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.writer is not None:
            exchange.writer.block()

    def resume_writing(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.writer is not None:
            exchange.writer.unblock()

    # --- the end of exchanges and of the connection

    def shut(self) -> None:
        """End the connection with whatever goes on: the whole upstream closes."""
        exchange = self.exchange
        if exchange is None or self.handed_over:
            self.close()
        else:
            self._fail(exchange, self._lost(None))

    def close(self) -> None:
        """Give the connection up at once."""
        if self.transport is not None:
            self.transport.abort()
        self._gone()

    def _gone(self) -> None:
        if not self.closed:
            self.closed = True
            self._owner.closed(self)

    def _complete(self, exchange: OriginExchange) -> None:
        reader = self.reader
        writer = exchange.writer
        reusable = reader.persistent and not reader.surplus and not self.closed
        if writer is not None:
            reusable = reusable and writer.flushed
        trailers = reader.trailers
        self._detach(exchange)
        if not reusable:
            self.close()
        elif self._reading_paused:
            self.resume_reading()
        self._owner.finished(exchange, reusable)
        exchange.sink.on_end(trailers)

    def _detach(self, exchange: OriginExchange) -> None:
        self.exchange = None
        self.reader.stop()
        exchange.finished = True
        if exchange.writer is not None:
            exchange.writer.stop()

    def _fail(self, exchange: OriginExchange, error: Exception) -> None:
        self._detach(exchange)
        self.close()
        self._owner.failed(exchange, error)
        exchange.fail(error)

    def _body_failed(self, error: Exception) -> None:
        if self.exchange is not None:
            self._fail(self.exchange, error)

    def _lost(self, error: Exception | None) -> UpstreamError:
        why = f": {error}" if error else ""
        lost: UpstreamError
        if self.reader.in_head:
            lost = ConnectionLost(f"the origin ended the connection before its answer{why}")
        else:
            lost = IncompleteResponse(f"the origin ended the connection in the middle of its answer{why}")
        lost.__cause__ = error
        return lost

    def _rescue(self, exchange: OriginExchange) -> None:
        """Our write failed, but the origin may have answered before it closed: read that answer."""
        if self._tls or self.transport is None:
            return
        try:
            with socket.socket(fileno=socket.dup(self.transport.get_extra_info("socket").fileno())) as spare:
                while self.exchange is exchange:
                    data = spare.recv(RESCUE_LIMIT, socket.MSG_DONTWAIT)
                    if data:
                        self.data_received(data)
                    else:
                        self.eof_received()
        except (OSError, AttributeError):
            return  # nothing (more) there

    # --- time

    def sweep(self, now: float) -> None:
        """End what takes too long; called every now and then."""
        exchange = self.exchange
        if self.handed_over:
            if exchange is not None and self.transport is not None and self.transport.is_closing():
                self._detach(exchange)
                self._owner.finished(exchange, False)
                self._gone()
            return
        if exchange is None or self._reading_paused:
            return
        error = (
            self._first_byte_overdue(exchange, now)
            if self.reader.in_head
            else self._body_overdue(exchange, now)
        )
        if error is None:
            return
        if not self._looked_again and self._poll(select.POLLIN):
            # Our loop was late, not the origin: what it sent lies in the socket.
            self._looked_again = True
            return
        self._fail(exchange, error)

    def _first_byte_overdue(self, exchange: OriginExchange, now: float) -> UpstreamError | None:
        writer = exchange.writer
        since = exchange.started
        if writer is not None:
            if writer.blocked_at:
                if now - writer.blocked_at >= self._timeouts.between_bytes:
                    return FirstByteTimeout("the origin takes no more of the request's body")
                return None
            if not writer.done:
                return None  # the client's turn: its own timeout counts
            since = writer.done_at
        if now - since >= self._timeouts.first_byte:
            return FirstByteTimeout(f"no answer within {self._timeouts.first_byte:g} s")
        return None

    def _body_overdue(self, exchange: OriginExchange, now: float) -> UpstreamError | None:
        if not self._quiet:
            self._quiet = True
            self._quiet_since = now
            self._looked_again = False
            return None
        limit = self._timeouts.idle if exchange.event_stream else self._timeouts.between_bytes
        if now - self._quiet_since >= limit:
            return IncompleteResponse(f"nothing more of the body within {limit:g} s")
        return None

    def ended(self) -> bool:
        """Whether the origin ended this idle connection, or sent something unasked, as of this moment."""
        return self.closed or self._poll(0 if self._tls else select.POLLIN)

    def _poll(self, events: int) -> bool:
        """Ask the kernel, not the loop, which may be late; 0.5 µs."""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            assert self.transport is not None
            poll = select.poll()
            poll.register(self.transport.get_extra_info("socket").fileno(), events | _TROUBLE)
            return bool(poll.poll(0))
        return False
