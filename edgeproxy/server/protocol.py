"""One client connection: bytes in, requests in order, responses out (RFC 9112 §9).

Must not know routes, caching or origins: hits come from `fast`, all else from `serve`.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from edgeproxy.edge.ports import Client
from edgeproxy.errors import BadRequest
from edgeproxy.server.body import RequestBodyReader
from edgeproxy.server.exchange import Exchange
from edgeproxy.server.listening import Listening
from edgeproxy.server.phase import Phase
from edgeproxy.wire.framing import Framing, Length, keep_alive, request_framing
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.request_head import find_head_end, looks_hopeless, parse_request_head

HEADS_A_TURN = 32
WRITE_HIGH = 256 * 1024
WRITE_LOW = 64 * 1024


def _no_answer(data: bytes) -> None:
    """The fast path of a connection that is draining or closed."""


class ClientConnection(asyncio.Protocol):
    """One client connection. `listening` holds what all connections of a listener share."""

    __slots__ = (
        "_answer",
        "_buffer",
        "_client",
        "_fast",
        "_half_closed",
        "_listening",
        "_reading_paused",
        "_scanned",
        "_transport",
        "active",
        "draining",
        "exchange",
        "made",
        "peer",
        "phase",
        "write_paused",
        "written",
    )

    def __init__(self, listening: Listening) -> None:
        # connection
        self._listening = listening
        self._fast = listening.fast
        self._answer: Callable[[bytes], bytes | tuple[bytes, ...] | None] = self._fast.answer
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer = b""
        self.phase = Phase.FRESH
        self.made = self.active = 0.0
        self.draining = False
        self._client: Client | None = None
        self._half_closed = False
        # exchange
        self.exchange: Exchange | None = None
        self._buffer = bytearray()
        self._scanned = 0  # bytes of it known to hold no end of a head
        # flow
        self.write_paused = False
        self.written = 0
        self._reading_paused = False

    def __repr__(self) -> str:
        return f"<ClientConnection {self.peer!r} {self.phase.name} buffered={len(self._buffer)}>"

    # --- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        self.active = self.made = self._listening.now
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]).encode() if isinstance(name, tuple) else b"unix"
        if self._listening.trusts(self.peer):
            self._fast = self._listening.fast_trusted
            self._answer = self._fast.answer
        refusal = self._listening.admit(self)
        if refusal is not None:
            self._transport.write(self._listening.refusal(refusal))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = Phase.CLOSED
        self._listening.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.left()

    def eof_received(self) -> bool:
        """A half-closed client still gets the answer to what it asked."""
        exchange = self.exchange
        if exchange is None or (exchange.body is not None and not exchange.body.complete):
            return False
        self._half_closed = True
        exchange.close_after = True
        return self._transport.get_extra_info("sslcontext") is None

    # --- bytes in

    def data_received(self, data: bytes) -> None:
        self.active = self._listening.now
        if self.exchange is None and not self._buffer:
            answer = self._answer(data)
            if answer is not None:
                if isinstance(answer, bytes):
                    self._transport.write(answer)
                else:
                    self._transport.writelines(answer)
                if self._listening.hit is not None:
                    self._note_hit(data)
                return
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self.phase is Phase.CLOSED:
            return
        exchange = self.exchange
        if exchange is not None and exchange.body is not None and exchange.body.wants_more():
            try:
                data = exchange.body.feed(data)
            except BadRequest as error:
                self._bad_body(exchange, error)
                return
            if self.phase is Phase.LINGER and not exchange.body.wants_more():
                self._buffer += data
                self._next_exchange()
                return
        self._buffer += data
        if self.exchange is None:
            self._next()
        elif len(self._buffer) > self._listening.limits.pipelined:
            self.pause_reading()

    def _next(self) -> None:
        """Take heads from the buffer until an exchange begins or no whole head is left."""
        turns = 0
        buffer = self._buffer
        while buffer and self.exchange is None and self.phase is not Phase.CLOSED:
            if self.write_paused:
                return
            turns += 1
            if turns > HEADS_A_TURN:
                self._listening.loop.call_soon(self._next)
                return
            try:
                head = self._take_head()
                if head is None:
                    return
                self._begin(head)
            except BadRequest as error:
                self._refuse(error)
                return
        if not buffer and self.exchange is None and self.phase is not Phase.CLOSED:
            self.phase = Phase.IDLE
            self.resume_reading()

    def _take_head(self) -> bytes | None:
        """Cut one head off the buffer; None while it is not complete. Raises BadRequest."""
        buffer = self._buffer
        limits = self._listening.limits.head
        skipped = 0
        while skipped < 2 and buffer.startswith(b"\r\n"):
            del buffer[:2]
            skipped += 1
        if not buffer:
            return None
        end = find_head_end(buffer, 0, self._scanned)
        if end < 0 or end > limits.max_head:
            if end > 0 or len(buffer) > limits.max_head:
                if buffer.find(b"\r\n", 0, limits.max_target + 32) < 0:
                    raise BadRequest(f"request line over {limits.max_target} bytes", 414)
                raise BadRequest(f"request head over {limits.max_head} bytes", 431)
            if looks_hopeless(buffer):
                raise BadRequest("not an HTTP/1 request")
            if self.phase is not Phase.HEAD:
                # From here on `active` stays: a head has one deadline, however its bytes drip.
                self.phase = Phase.HEAD
                self._listening.heads[self] = self.active
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        head = bytes(buffer[:end])
        del buffer[:end]
        return head

    def _begin(self, data: bytes) -> None:
        """Answer one head from the fast path, or start an exchange. Raises BadRequest."""
        listening = self._listening
        if self.phase is Phase.HEAD:
            listening.heads.pop(self, None)
        answer = self._answer(data)
        if answer is not None:
            self.phase = Phase.IDLE
            self.write(answer) if type(answer) is bytes else self.write_many(
                cast("tuple[bytes, ...]", answer)
            )
            return
        client = self._client_of(data)
        head = parse_request_head(data, client.scheme, listening.limits.head)
        self.phase = Phase.EXCHANGE
        exchange = self._exchange_for(head, client)
        self.exchange = exchange
        body = exchange.body
        if body is not None and self._buffer and not body.complete:
            rest = body.feed(bytes(self._buffer))
            self._buffer[:] = rest
        exchange.task = listening.serve(exchange)

    def _note_hit(self, head: bytes) -> None:
        hot = self._fast.last
        if hot is not None and self._listening.hit is not None:
            self._listening.hit(self, head, hot)

    def _client_of(self, data: bytes) -> Client:
        if self._client is None:
            self._client = Client(
                self.peer, self._listening.scheme, trusted=self._listening.trusts(self.peer)
            )
        return self._listening.identify(self._client, data) if self._client.trusted else self._client

    def _exchange_for(self, head: RequestHead, client: Client) -> Exchange:
        """Frame the request. Raises BadRequest: 400, 417, 501."""
        framing = request_framing(head)
        expects = head.fields.get(b"expect") if head.minor else None
        if expects is not None and expects.lower() != b"100-continue":
            raise BadRequest("only 100-continue can be expected", 417)
        done = self._listening.loop.create_future()
        exchange = Exchange(self, head, client, None, keep_alive(head), self._listening.clock(), done)
        if framing is Framing.NONE:
            return exchange
        length = framing.n if isinstance(framing, Length) else None
        exchange.body = RequestBodyReader(
            length,
            self.pause_reading,
            self.resume_reading,
            exchange.continue_ if expects is not None else None,
        )
        return exchange

    # --- what goes wrong

    def _refuse(self, error: BadRequest) -> None:
        """Answer a request that never became an exchange, and close."""
        self._listening.heads.pop(self, None)
        self._listening.refused(self, error)
        if not self._transport.is_closing():
            self._transport.write(self._listening.refusal(error))
        self.close()

    def _bad_body(self, exchange: Exchange, error: BadRequest) -> None:
        exchange.close_after = True
        if self.phase is Phase.LINGER or exchange.body is None:
            self.close()
            return
        self.pause_reading()
        exchange.body.fail(error)

    def expired(self, error: BadRequest) -> None:
        """A timeout of the client's side struck."""
        if self.exchange is not None and self.exchange.body is not None and self.phase is Phase.EXCHANGE:
            self._bad_body(self.exchange, error)
        elif self.phase is Phase.HEAD:
            self._refuse(error)
        else:
            self.close()

    # --- bytes out

    def write(self, data: bytes | memoryview) -> None:
        """Write to the client."""
        self._transport.write(data)

    def write_many(self, data: tuple[bytes | memoryview, ...]) -> None:
        """Write several pieces to the client without joining them."""
        self._transport.writelines(data)

    def pause_writing(self) -> None:
        self.write_paused = True
        if self.exchange is None:
            # A client that asks without reading gets no more answers until it reads.
            self.pause_reading()
        self.written = self._transport.get_write_buffer_size()
        self._listening.stalled[self] = self._listening.now

    def resume_writing(self) -> None:
        self.write_paused = False
        self._listening.stalled.pop(self, None)
        if self.exchange is not None:
            self.exchange.on_writable()
        elif self._buffer:
            self._next()
        else:
            self.resume_reading()

    def progressed(self) -> bool:
        """Whether the client took bytes since this was last asked."""
        left = self._transport.get_write_buffer_size()
        moved, self.written = left < self.written, left
        return moved

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self.active = self._listening.now
            self._transport.resume_reading()

    @property
    def waits_for_body(self) -> bool:
        """True while the client owes bytes of a body."""
        body = self.exchange.body if self.exchange is not None else None
        return body is not None and not body.complete and not self._reading_paused

    # --- ends

    def exchange_ended(self, exchange: Exchange) -> None:
        """The response is out: go on with the next request, linger for the body, or close."""
        body = exchange.body
        if body is not None and not body.complete and body.error is None:
            self._linger(body)
        elif body is not None and body.error is not None:
            self.close()
        else:
            self._next_exchange()

    def _linger(self, body: RequestBodyReader) -> None:
        """Read on for a while: a close with unread bytes would reset the response away."""
        self.phase = Phase.LINGER
        body.shorten(self._listening.limits.linger)
        body.discard()
        if body.complete:
            self._next_exchange()

    def _next_exchange(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None and (exchange.close_after or self.draining):
            self.close()
            return
        self.phase = Phase.IDLE
        self.active = self._listening.now
        if self._buffer:
            # The next head waits for a turn of the loop: no recursion through pipelined requests.
            self._listening.loop.call_soon(self._next)
        else:
            self.resume_reading()

    def drain(self) -> None:
        """Close now if idle, else after the response under way."""
        self.draining = True
        self._answer = _no_answer
        if self.exchange is None and self.phase in (Phase.IDLE, Phase.FRESH):
            self.close()

    def close(self) -> None:
        """Close once everything written is out."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._answer = _no_answer
            self._listening.heads.pop(self, None)
            self._transport.close()

    def abort(self) -> None:
        """Close at once, unsent bytes lost: the client must notice."""
        self.phase = Phase.CLOSED
        self._answer = _no_answer
        self._listening.heads.pop(self, None)
        self._transport.abort()

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Leave HTTP for good: the transport, and bytes already read."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        self.exchange = None
        self.phase = Phase.CLOSED
        self._listening.forget(self)
        return self._transport, rest
