"""A request's body on its way into an origin's socket, with backpressure.

Must not know responses, pools or who the client is. RFC 9112 §6.
"""

import asyncio
from collections.abc import Callable

from edgeproxy.upstream.ports import RequestBody
from edgeproxy.wire.chunked import chunk_prefix, encode_chunk, encode_last
from edgeproxy.wire.fields import Fields

GATHER = 16 * 1024
"""Up to here joining pieces is cheaper than handing them over apart (bytes)."""


class RequestWriter:
    """Sends one head and the body that belongs to it (it is a BodyConsumer).

    `done_at` is the monotonic second at which the last byte was handed over, 0 before;
    `blocked_at` the one since when the origin takes nothing, 0 while it does. `failed` is called
    when the body breaks off.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_clock",
        "_failed",
        "_gathered",
        "_left",
        "_stopped",
        "_transport",
        "blocked_at",
        "done_at",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        body: RequestBody,
        failed: Callable[[Exception], None],
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._body = body
        self._failed = failed
        self._clock = clock
        length = body.length
        self._chunked = length is None
        self._left = length or 0
        self._gathered: list[bytes] | None = None
        self._stopped = False
        self.done_at = 0.0
        self.blocked_at = 0.0

    def __repr__(self) -> str:
        state = (
            "done" if self.done else "stopped" if self._stopped else "blocked" if self.blocked_at else "open"
        )
        return f"<RequestWriter {'chunked' if self._chunked else self._left} {state}>"

    @property
    def done(self) -> bool:
        """The whole body was handed to the transport."""
        return self.done_at > 0

    @property
    def flushed(self) -> bool:
        """The whole body has left for the origin's side of the socket."""
        return self.done and self._transport.get_write_buffer_size() == 0

    def start(self, head: bytes) -> None:
        """Send the head, and in the same write what there is of the body."""
        self._gathered = [head]
        self._body.attach(self)
        if not self._stopped:
            self._flush()

    def stop(self) -> None:
        """Send no more of the body."""
        if not self._stopped and not self.done:
            self._body.detach()
        self._stopped = True

    def block(self) -> None:
        """The transport is full."""
        if not self.blocked_at and not self._stopped and not self.done:
            self.blocked_at = self._clock()
            self._body.pause()

    def unblock(self) -> None:
        """The transport takes more."""
        if self.blocked_at:
            self.blocked_at = 0.0
            if not self._stopped and not self.done:
                self._body.resume()

    # --- BodyConsumer

    def on_body(self, data: bytes) -> None:
        if self._stopped:
            return
        if self._chunked:
            if len(data) > GATHER:
                self._put([chunk_prefix(len(data)), data, b"\r\n"])
            else:
                self._put([encode_chunk(data)])
            return
        self._left -= len(data)
        if self._left < 0:
            self._break(ValueError("the request's body is longer than its length"))
            return
        self._put([data])

    def on_body_end(self, trailers: Fields | None) -> None:
        if self._stopped:
            return
        if self._chunked:
            self._put([encode_last(trailers)])
        elif self._left:
            self._break(ValueError("the request's body is shorter than its length"))
            return
        self.done_at = self._clock()

    def on_body_error(self, error: Exception) -> None:
        if not self._stopped:
            self._break(error)

    # --- inside

    def _break(self, error: Exception) -> None:
        self.stop()
        self._failed(error)

    def _flush(self) -> None:
        """Write what was gathered, and gather no more."""
        if self._gathered is not None:
            gathered, self._gathered = self._gathered, None
            self._put(gathered)

    def _put(self, pieces: list[bytes]) -> None:
        if self._gathered is not None:
            self._gathered += pieces
            if sum(map(len, self._gathered)) > GATHER:
                self._flush()
        elif len(pieces) == 1:
            self._transport.write(pieces[0])
        elif sum(map(len, pieces)) <= GATHER:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)
