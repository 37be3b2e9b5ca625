"""One client connection: bytes in, requests in order, responses out (RFC 9112 §9).

Must not know routes, caching or origins: hits come from `fast`, all else from `serve`.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from edgeproxy.edge.ports import Client, Downstream
from edgeproxy.edge.trip import Trip
from edgeproxy.errors import BadRequest
from edgeproxy.server.exchange import Exchange, begin_exchange
from edgeproxy.server.flow import Flow
from edgeproxy.server.intake import Intake
from edgeproxy.server.listening import Listening
from edgeproxy.server.phase import Hold, Phase
from edgeproxy.wire.request_head import parse_request_head

HEADS_A_TURN = 32
WRITE_HIGH = 256 * 1024
WRITE_LOW = 64 * 1024
_IDLE = Phase.IDLE


def _no_answer(data: bytes) -> None:
    """The fast path of a connection that is draining or closed."""


class ClientConnection(asyncio.Protocol):
    """One client connection. `listening` holds what all connections of a listener share.

    `deadline` is the monotonic second at which the phase has lasted too long, 0 where only silence counts.
    """

    __slots__ = (
        "_answer",
        "_client",
        "_eof",
        "_fast",
        "_held",
        "_intake",
        "_listening",
        "_note_hit",
        "_transport",
        "_turn",
        "active",
        "deadline",
        "draining",
        "exchange",
        "flow",
        "peer",
        "phase",
    )

    def __init__(self, listening: Listening) -> None:
        # connection
        self._listening = listening
        self._fast = listening.fast
        self._answer: Callable[[bytes], bytes | tuple[bytes, ...] | None] = self._fast.answer
        self._note_hit: Callable[[bytes], None] | None = None
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer = b""
        self.phase = Phase.FRESH
        self.active = self.deadline = 0.0
        self.draining = 0  # 1: once more, having said so; 2: not once more
        self._client: Client | None = None
        self._eof = False
        # exchange
        self.exchange: Exchange | Trip | None = None
        self._intake = Intake()
        self._held = self._intake.buffer  # asking it costs no call
        self._turn = False  # whether the next heads wait for a turn of the loop
        # flow
        self.flow: Flow = cast("Flow", None)

    def __repr__(self) -> str:
        return f"<ClientConnection {self.peer!r} {self.phase.name} {self._intake!r} {self.flow!r}>"

    # --- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listening = self._listening
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        self.flow = Flow(self._transport)
        self.active = listening.now
        self.deadline = self.active + listening.limits.header_timeout
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]).encode() if isinstance(name, tuple) else b"unix"
        if listening.trusts(self.peer):
            self._fast = listening.fast_trusted
            self._answer = self._fast.answer
        if listening.hits is not None:
            self._note_hit = listening.hits(self.peer, self._fast)
        refusal = listening.admit(self)
        if refusal is not None:
            self._refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = Phase.CLOSED
        self._answer = _no_answer
        self._listening.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.left()

    def eof_received(self) -> bool:
        """A half-closed client still gets the answers to what it asked."""
        self._eof = True
        exchange = self.exchange
        if exchange is not None and exchange.body is not None and not exchange.body.complete:
            if self.phase is Phase.LINGER:
                self.close()
            elif exchange.body.error is None:
                self.abort()  # the request will never be whole
        elif self._transport.get_extra_info("sslcontext") is not None:
            return False  # TLS ends both ways at once
        elif exchange is None and (not self._intake or self.phase is Phase.HEAD):
            self.close()
        else:
            self._listening.half_closed[self] = (self._listening.now, 0)
        return True

    # --- bytes in

    def data_received(self, data: bytes) -> None:
        self.active = self._listening.now
        tried = b""
        if self.exchange is None and not self._held:
            answer = self._answer(tried := data)
            if answer is not None:
                transport = self._transport
                transport.write(answer) if isinstance(answer, bytes) else transport.writelines(answer)
                self.phase = _IDLE
                if self._note_hit is not None:
                    self._note_hit(data)
                return
        self._receive(data, tried)

    def _receive(self, data: bytes, tried: bytes) -> None:
        if self.phase is Phase.CLOSED or self.phase is Phase.FAREWELL:
            self._listening.parting(self, len(data))
            return
        exchange = self.exchange
        if exchange is not None and exchange.body is not None and exchange.body.wants_more():
            try:
                data = exchange.body.feed(data)
            except BadRequest as error:
                self._bad_body(exchange, error)
                return
            if self.phase is Phase.LINGER:
                self._intake.add(data)
                if exchange.body.complete:
                    self._next_exchange()
                return
        self._intake.add(data)
        if self.exchange is None and not self._turn:
            self._next(tried)
        elif len(self._intake) > self._listening.limits.pipelined:
            self.hold(Hold.PIPELINE)

    def _next(self, tried: bytes = b"") -> None:
        """Take heads from what came until an exchange begins or none is whole; `tried` is no quick hit."""
        self._turn = False
        turns = 0
        while self.exchange is None and self.phase not in (Phase.CLOSED, Phase.FAREWELL):
            if self.flow.paused:
                self.hold(Hold.WRITE)
                return
            if turns == HEADS_A_TURN:
                self._in_a_turn()
                return
            turns += 1
            try:
                head = self._intake.head(self._listening.limits.head)
                if head is None:
                    self._await_head()
                    return
                self._begin(head, tried)
            except BadRequest as error:
                self._refuse(error)
                return

    def _in_a_turn(self) -> None:
        """Go on after a turn of the loop: others come in between, and nothing recurses."""
        if not self._turn:
            self._turn = True
            self._listening.loop.call_soon(self._next)
        if len(self._intake) > self._listening.limits.pipelined:
            self.hold(Hold.PIPELINE)

    def _await_head(self) -> None:
        """No whole head is there: go on reading, with one deadline however its bytes drip."""
        if self._eof:
            self.close()
            return
        if self._intake and self.phase is not Phase.HEAD:
            self.phase = Phase.HEAD
            self.deadline = self.active + self._listening.limits.header_timeout
        self.release(Hold.PIPELINE)

    def _begin(self, data: bytes, tried: bytes) -> None:
        """Answer one head from the fast path, or start an exchange. Raises BadRequest."""
        listening = self._listening
        answer = self._answer(data) if data != tried else None
        if answer is not None:
            self.phase = Phase.IDLE
            self.write(answer) if isinstance(answer, bytes) else self.write_many(answer)
            if self._note_hit is not None:
                self._note_hit(data)
            return
        client = self._client_of(data)
        trip = listening.take(self, client, data, self._fast)
        if trip is not None:
            self.phase = Phase.EXCHANGE
            self.exchange = trip
            return
        head = parse_request_head(data, client.scheme, listening.limits.head)
        exchange = begin_exchange(self, head, client, listening.loop, listening.clock())
        self.phase = Phase.EXCHANGE
        self.exchange = exchange
        body = exchange.body
        if body is not None and not body.complete:
            self.release(Hold.PIPELINE)
            if self._intake:
                self._intake.add(body.feed(self._intake.all()))
        exchange.task = listening.serve(exchange)

    def unpack(self, trip: Trip) -> Downstream:
        """The exchange that goes on with a request that turned out not to be plain (`ExpressClient`)."""
        exchange = begin_exchange(self, trip.head, trip.client, self._listening.loop, trip.note.received)
        if self.exchange is trip:
            self.exchange = exchange
        else:
            exchange.left()
        return exchange

    def _client_of(self, data: bytes) -> Client:
        if self._client is None:
            self._client = Client(
                self.peer, self._listening.scheme, trusted=self._listening.trusts(self.peer)
            )
        return self._listening.identify(self._client, data) if self._client.trusted else self._client

    # --- what goes wrong

    def _refuse(self, error: BadRequest) -> None:
        """Answer a request that never became an exchange, and close."""
        self._listening.refused(self, error)
        if not self._transport.is_closing():
            self._transport.write(self._listening.refusal(error))
        self.farewell()

    def _bad_body(self, exchange: Exchange | Trip, error: BadRequest) -> None:
        exchange.close_after = True
        if self.phase is Phase.LINGER or exchange.body is None:
            self.farewell()
            return
        self.hold(Hold.OVER)
        exchange.body.fail(error)

    def expired(self, error: BadRequest) -> None:
        """A timeout of the client's side struck."""
        if self.exchange is not None and self.phase is Phase.EXCHANGE:
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
        self.flow.paused = True
        if self.exchange is None:
            # A client that asks without reading gets no more answers until it reads.
            self.hold(Hold.WRITE)
        self._stalls()

    def _stalls(self) -> None:
        self.flow.measure()
        self._listening.stalled[self] = self._listening.now

    def resume_writing(self) -> None:
        self.flow.paused = False
        if self.phase is not Phase.CLOSED:
            self._listening.stalled.pop(self, None)
        self.release(Hold.WRITE)
        if self.exchange is not None:
            self.exchange.on_writable()
        elif self._intake and not self._turn:
            self._in_a_turn()

    def hold(self, why: Hold) -> None:
        """Read no more from the client for this reason."""
        self.flow.hold(why)

    def release(self, why: Hold) -> None:
        """Read on unless there is another reason not to."""
        if self.flow.release(why):
            self.active = self._listening.now

    @property
    def linger(self) -> int:
        """Bytes of a request's body that are read past the response to keep the connection."""
        return self._listening.limits.linger

    @property
    def last_words(self) -> bool:
        """Whether the next response is the last on this connection."""
        return bool(self.draining or self._eof) and not self._intake

    # --- ends

    def exchange_ended(self, exchange: Exchange | Trip) -> None:
        """The response is out: go on with the next request, linger for the body, or close."""
        body = exchange.body
        if body is None or body.complete:
            if body is not None:
                body.discard()  # what nobody took must not hold up what is read next
            self._next_exchange()
        elif exchange.close_after or body.error is not None:
            self.farewell()
        else:
            self.phase = Phase.LINGER
            self.deadline = self._listening.now + self._listening.limits.linger_timeout
            body.shorten(self._listening.limits.linger)
            body.discard()

    def _next_exchange(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None and (exchange.close_after or (self.last_words and self.draining != 1)):
            self.close()
            return
        self.phase = Phase.IDLE
        self.active = self._listening.now
        if self.flow.paused:
            self.hold(Hold.WRITE)
        elif self._intake:
            self._in_a_turn()
        else:
            self.release(Hold.PIPELINE)

    def drain(self, *, patient: bool = False) -> None:
        """Close now if idle, or when `patient` after its next response; else after the one under way."""
        self.draining = 1 if patient else 2
        self._answer = _no_answer
        if patient:
            return
        if self.phase is Phase.IDLE and not self._intake and not self._listening.waiting(self._transport):
            self.close()
        elif self.phase is Phase.FRESH:
            self.deadline = min(self.deadline, self._listening.now + self._listening.limits.linger_timeout)

    def farewell(self) -> None:
        """Close as soon as the client did, or soon: unread bytes would reset the last answer away."""
        if self.phase is Phase.CLOSED:
            return
        if self._eof or self._listening.crowded or not self._transport.can_write_eof():
            self.close()
            return
        self.exchange = None
        self.phase = Phase.FAREWELL
        self._answer = _no_answer
        self.deadline = self._listening.now + self._listening.limits.linger_timeout
        self._intake.all()
        self._transport.write_eof()
        self.release(Hold.BODY | Hold.PIPELINE | Hold.WRITE | Hold.OVER)

    def close(self) -> None:
        """Close once everything written is out."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._answer = _no_answer
            if self._transport.get_write_buffer_size():
                self._stalls()  # even that has its time
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection, by a reset: the client must not take what it has for the whole."""
        self.phase = Phase.CLOSED
        self._answer = _no_answer
        self.flow.reset()

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Leave HTTP for good: the transport, and bytes already read."""
        self.exchange = None
        self.phase = Phase.CLOSED
        self._answer = _no_answer
        self._listening.forget(self)
        return self._transport, self._intake.all()
