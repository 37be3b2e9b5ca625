"""A request's body on its way from the client's socket to whoever consumes it.

Must not know who that is: an origin, or nobody.
"""

from collections import deque
from collections.abc import Callable

from edgeproxy.errors import BadRequest, EdgeProxyError
from edgeproxy.upstream.ports import BodyConsumer
from edgeproxy.wire.chunked import ChunkedDecoder, FramingError
from edgeproxy.wire.fields import Fields

HIGH_WATER = 64 * 1024
MAX_TRAILER = 8 * 1024


class RequestBodyReader:
    """Frames a body and hands it on piece by piece (RFC 9112 §6).

    Bytes that arrive before `attach` or while paused are kept up to `HIGH_WATER`; beyond,
    `pause_reading` is asked for.
    """

    __slots__ = (
        "_answered",
        "_consumer",
        "_decoder",
        "_first",
        "_kept",
        "_kept_size",
        "_left",
        "_max",
        "_pause_reading",
        "_paused",
        "_reading_paused",
        "_resume_reading",
        "_seen",
        "complete",
        "consumed",
        "error",
        "length",
        "trailers",
    )

    def __init__(
        self,
        length: int | None,
        pause_reading: Callable[[], None],
        resume_reading: Callable[[], None],
        first: Callable[[], None] | None = None,
    ) -> None:
        # framing
        self.length = length
        self._left = length or 0
        self._decoder = ChunkedDecoder(MAX_TRAILER) if length is None else None
        self._max = 0
        self._seen = 0
        self.complete = length == 0
        self.error: EdgeProxyError | None = None
        self.trailers: Fields | None = None
        # flow
        self.consumed = False
        self._consumer: BodyConsumer | None = None
        self._answered = False  # whether a response is on its way already
        self._kept: deque[bytes] = deque()
        self._kept_size = 0
        self._paused = False
        self._reading_paused = False
        self._pause_reading = pause_reading
        self._resume_reading = resume_reading
        self._first = first

    def __repr__(self) -> str:
        state = "complete" if self.complete else f"error {self.error}" if self.error else "open"
        return f"<RequestBodyReader length={self.length} seen={self._seen} kept={self._kept_size} {state}>"

    # --- from the client's socket

    @property
    def left(self) -> int | None:
        """Bytes still to come; None where only the last chunk will tell."""
        return None if self._decoder is not None else self._left

    @property
    def unasked(self) -> bool:
        """Whether the client still waits to be told to go on (RFC 9110 §10.1.1)."""
        return self._first is not None

    def wants_more(self) -> bool:
        """Whether bytes of the connection still belong to this body."""
        return not self.complete

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the connection; what lies beyond the body comes back.

        Raises BadRequest (400 for broken framing, 413 beyond the limit).
        """
        if self._decoder is None:
            piece, rest = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
            self._left -= len(piece)
            done = self._left == 0
            pieces = [piece] if piece else []
        else:
            try:
                pieces, done, rest = self._decoder.feed(data)
            except FramingError as error:
                raise BadRequest(f"request body: {error}") from error
            if len(pieces) > 1:  # however small the chunks, the pieces are few
                pieces = [b"".join(pieces)]
        for piece in pieces:
            self._seen += len(piece)
            if self._max and self._seen > self._max:
                raise BadRequest(f"request body over {self._max} bytes", 413)
            self._take(piece)
        if done:
            self.complete = True
            if self._decoder is not None:
                self.trailers = self._decoder.trailers
            self._finish()
        return rest

    def fail(self, error: EdgeProxyError) -> None:
        """The rest of the body will not come."""
        if self.complete or self.error is not None:
            return
        self.error = error
        if self._consumer is not None and not self._kept:
            self._consumer.on_body_error(error)

    # --- towards the consumer (RequestBody)

    def attach(self, consumer: BodyConsumer) -> None:
        """Start the flow: kept bytes first; the client gets its 100 (Continue) now if it waits for one."""
        self._consumer = consumer
        self._paused = False
        if self._first is not None and not self.complete:
            self._first()
        self._first = None
        self._flush()

    def detach(self) -> None:
        """Whoever consumed has no more use for the body."""
        self._consumer = None
        if self._answered and not self.complete:
            self.discard()

    def answered(self) -> None:
        """The response is on its way: whoever detaches now will not try again."""
        self._answered = True
        if self._consumer is None and not self.complete:
            self.discard()

    def pause(self) -> None:
        """The consumer is full."""
        self._paused = True

    def resume(self) -> None:
        """The consumer takes more."""
        self._paused = False
        self._flush()

    def limit(self, size: int) -> None:
        """Take at most that many bytes in all; 0 for no bound. Raises BadRequest 413."""
        self._max = size
        if size and max(self.length or 0, self._seen) > size:
            raise BadRequest(f"request body over {size} bytes", 413)

    def shorten(self, size: int) -> None:
        """Take at most `size` more bytes before BadRequest."""
        self._max = self._seen + size

    def discard(self) -> None:
        """Nobody wants the rest: read it past everyone, so that the connection can go on."""
        self._consumer = _Nobody()
        self._paused = False
        self._flush()

    # --- inside

    def _take(self, piece: bytes) -> None:
        if self._consumer is not None and not self._paused and not self._kept:
            self.consumed = True
            self._consumer.on_body(piece)
            return
        self._kept.append(piece)
        self._kept_size += len(piece)
        if self._kept_size >= HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._pause_reading()

    def _flush(self) -> None:
        while self._kept and self._consumer is not None and not self._paused:
            piece = self._kept.popleft()
            self._kept_size -= len(piece)
            self.consumed = True
            self._consumer.on_body(piece)
        if not self._kept:
            if self._reading_paused:
                self._reading_paused = False
                self._resume_reading()
            self._finish()

    def _finish(self) -> None:
        consumer = self._consumer
        if consumer is None or self._kept:
            return
        if self.complete:
            self._consumer = None
            consumer.on_body_end(self.trailers)
        elif self.error is not None:
            self._consumer = None
            consumer.on_body_error(self.error)


class _Nobody:
    """Consumes and forgets."""

    def on_body(self, data: bytes) -> None: ...

    def on_body_end(self, trailers: Fields | None) -> None: ...

    def on_body_error(self, error: Exception) -> None: ...
