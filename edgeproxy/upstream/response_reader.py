"""An origin's bytes into a response: heads, body, trailers, and where it ends.

Must not know sockets, pools or time. One reader serves a connection, one response after another:
`begin`, then `feed` until it says that the response is complete. RFC 9112 §6.3.
"""

from typing import Final, Protocol

from edgeproxy.errors import BadResponse, ConnectionLost, IncompleteResponse
from edgeproxy.upstream.plain_head import match_plain
from edgeproxy.upstream.ports import ResponseSink
from edgeproxy.wire.chunked import ChunkedDecoder, FramingError
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.framing import BodyFraming, Framing, Length, keep_alive, response_framing
from edgeproxy.wire.heads import ResponseHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.response_head import find_response_head_end, parse_response_head

MAX_INTERIMS = 16
MAX_TRAILER = 8 * 1024

# States. Plain numbers: each segment is dispatched on them.
_OFF: Final = 0
_HEAD: Final = 1
_COUNTED: Final = 2
_CHUNKED: Final = 3
_UNTIL_CLOSE: Final = 4
_TUNNEL: Final = 5
_STATE_NAMES = ("off", "head", "counted", "chunked", "until-close", "tunnel")


class HeadReceiver(Protocol):
    """Takes the heads of a response; the body goes to the sink directly."""

    def interim(self, head: ResponseHead) -> None: ...
    def head(self, head: ResponseHead) -> None: ...


class ResponseReader:
    """Frames responses.

    `started`: a byte of this response has come. `persistent`: the connection may be used again, as
    far as the origin says. `surplus`: bytes came beyond the end, so it must not. `tunnelled` keeps
    what came after a 101. `whole`: as the final head is handed on, all of a body of known length is there.
    """

    __slots__ = (
        "_buffer",
        "_decoder",
        "_interims",
        "_left",
        "_lenient",
        "_limits",
        "_method",
        "_receiver",
        "_scanned",
        "_sink",
        "_state",
        "_upgrade",
        "keep_alive_field",
        "persistent",
        "started",
        "surplus",
        "tunnelled",
        "whole",
    )

    def __init__(self, limits: HeadLimits, lenient: frozenset[str] = frozenset()) -> None:
        # connection
        self._limits = limits
        self._lenient = lenient
        # response
        self._state = _OFF
        self._method = b""
        self._upgrade = False
        self._receiver: HeadReceiver | None = None
        self._sink: ResponseSink | None = None
        self._buffer = bytearray()
        self._scanned = 0
        self._interims = 0
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self.started = False
        self.persistent = False
        self.surplus = False
        self.whole = False
        self.keep_alive_field: bytes | None = None
        self.tunnelled = b""

    def __repr__(self) -> str:
        return f"<ResponseReader {_STATE_NAMES[self._state]} left={self._left} held={len(self._buffer)}>"

    @property
    def in_head(self) -> bool:
        """The final head is yet to come."""
        return self._state == _HEAD

    @property
    def in_tunnel(self) -> bool:
        """A 101 has come: what follows is not HTTP."""
        return self._state == _TUNNEL

    @property
    def trailers(self) -> Fields | None:
        """Trailer fields of the complete response, None where there were none."""
        if self._decoder is None:
            return None
        return self._decoder.trailers or None

    def begin(self, method: bytes, receiver: HeadReceiver, sink: ResponseSink, upgrade: bool = False) -> None:
        """A request with that method was sent; `upgrade` says that it asked for one."""
        self._state = _HEAD
        self._method = method
        self._receiver = receiver
        self._sink = sink
        self._upgrade = upgrade
        self._interims = 0
        self._decoder = None
        self.started = False
        self.surplus = False

    def hand_to(self, sink: ResponseSink) -> None:
        """Hand the body on to this sink from now on."""
        if self._sink is not None:
            self._sink = sink

    def stop(self) -> None:
        """Hand nothing more to anybody."""
        self._state = _OFF
        self._receiver = self._sink = None
        self._buffer.clear()

    def feed(self, data: bytes) -> bool:
        """Take bytes of the socket; True once the response is complete.

        Raises BadResponse, and IncompleteResponse where a chunked body is malformed.
        """
        state = self._state
        if state == _HEAD:
            return self._feed_head(data)
        if state == _COUNTED:
            return self._feed_counted(data)
        if state == _CHUNKED:
            return self._feed_chunked(data)
        if state == _UNTIL_CLOSE:
            assert self._sink is not None
            self._sink.on_data(data)
        elif state == _TUNNEL:
            self.tunnelled += data
        else:
            self.surplus = True
        return False

    def feed_eof(self) -> bool:
        """The origin sends no more; True if that completes the response.

        Raises ConnectionLost before the final head, IncompleteResponse in a body that should go on.
        """
        if self._state == _UNTIL_CLOSE:
            self._state = _OFF
            return True
        if self._state == _HEAD:
            raise ConnectionLost(
                "the origin closed in the middle of a head"
                if self.started
                else "the origin closed unanswered"
            )
        if self._state in (_COUNTED, _CHUNKED):
            raise IncompleteResponse("the origin closed before the body was complete")
        return False

    # --- one state each

    def _feed_head(self, data: bytes) -> bool:
        self.started = True
        if self._buffer:
            self._buffer += data
            if b"\n" not in data:
                return self._keep_waiting(len(data))
            data = bytes(self._buffer)
        start = 0
        while True:
            end = find_response_head_end(data, start, start + self._scanned, "bare_lf" in self._lenient)
            if end < 0:
                self._buffer[:] = data[start:]
                self._scanned = len(self._buffer)
                return self._keep_waiting(self._scanned)
            self._scanned = 0
            self._buffer.clear()
            whole = data[start:end]
            plain = match_plain(whole, self._method, self._limits)
            if plain is not None:
                self.persistent = True
                head, framing = plain
                return self._deliver(head, framing, data[end:])
            head = parse_response_head(whole, self._limits, self._lenient)
            if head.status >= 200 or head.status == 101:
                return self._final(head, data[end:])
            self._interims += 1
            if self._interims > MAX_INTERIMS:
                raise BadResponse(f"more than {MAX_INTERIMS} interim responses")
            assert self._receiver is not None
            self._receiver.interim(head)
            start = end
            if start == len(data) or self._state != _HEAD:
                return False

    def _keep_waiting(self, news: int) -> bool:
        """Part of a head is held, `news` bytes of it not looked at: refuse early what cannot become one."""
        held = self._buffer
        if len(held) > self._limits.max_head:
            raise BadResponse("response head too large")
        if not held.startswith(b"HTTP/1."[: len(held)]):
            raise BadResponse("the origin's answer is not HTTP/1")
        if held.find(b"\n\n", max(len(held) - news - 1, 0)) >= 0 and "bare_lf" not in self._lenient:
            raise BadResponse("bare LF in the response head")
        return False

    def _final(self, head: ResponseHead, rest: bytes) -> bool:
        if head.status == 101:
            return self._switch(head, rest)
        framing = response_framing(head, self._method, self._lenient)
        self.persistent = keep_alive(head)
        return self._deliver(head, framing, rest)

    def _deliver(self, head: ResponseHead, framing: BodyFraming, rest: bytes) -> bool:
        """Hand the final head on, and what there is of the body."""
        if isinstance(framing, Length):
            self._left = framing.n
            state = _COUNTED if framing.n else _OFF
        elif framing is Framing.NONE:
            state = _OFF
        elif framing is Framing.CHUNKED:
            self._decoder = ChunkedDecoder(MAX_TRAILER)
            state = _CHUNKED
        else:
            self.persistent = False
            state = _UNTIL_CLOSE
        self._state = state
        self.whole = state == _OFF or (state == _COUNTED and len(rest) >= self._left)
        keeps = head.fields.index.get(b"keep-alive")
        self.keep_alive_field = keeps[0] if keeps else None
        receiver = self._receiver
        assert receiver is not None
        receiver.head(head)
        if self._receiver is not receiver:  # stopped meanwhile
            return False
        if state == _OFF:
            self.surplus = bool(rest)
            return True
        return self.feed(rest) if rest else False

    def _switch(self, head: ResponseHead, rest: bytes) -> bool:
        if not self._upgrade:
            raise BadResponse("101 without a request to upgrade")
        self._state = _TUNNEL
        self.persistent = False
        self.tunnelled = rest
        assert self._receiver is not None
        self._receiver.head(head)
        return False

    def _feed_counted(self, data: bytes) -> bool:
        left = self._left - len(data)
        sink = self._sink
        assert sink is not None
        if left > 0:
            self._left = left
            sink.on_data(data)
            return False
        if left < 0:
            self.surplus = True
            data = data[:left]
        self._left = 0
        self._state = _OFF
        sink.on_data(data)
        return True

    def _feed_chunked(self, data: bytes) -> bool:
        assert self._decoder is not None
        try:
            pieces, done, rest = self._decoder.feed(data)
        except FramingError as error:
            raise IncompleteResponse(f"the origin's chunked body is malformed: {error}") from error
        sink = self._sink
        assert sink is not None
        if done:
            self._state = _OFF
            self.surplus = bool(rest)
        if pieces:  # however small the origin's chunks, the pieces handed on are few
            sink.on_data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return done
