"""One exchange with an origin, as its caller holds it.

Must not know how bytes are framed or where the connection came from.
"""

import asyncio
from typing import TYPE_CHECKING

from edgeproxy.errors import ConnectionLost, IncompleteResponse, UpstreamError
from edgeproxy.upstream.ports import OriginRequest, ResponseSink
from edgeproxy.wire.heads import ResponseHead

if TYPE_CHECKING:
    from edgeproxy.upstream.connection import Connection
    from edgeproxy.upstream.request_writer import RequestWriter


class OriginExchange:
    """A request on its way and its response.

    `answered` resolves once the final head was handed to the sink; `status` is that head's, 0
    before; `started` in monotonic seconds; `reused` says that the connection had served before;
    `finished` once nothing more will come.
    """

    __slots__ = (
        "answered",
        "connection",
        "event_stream",
        "finished",
        "origin",
        "request",
        "reused",
        "sink",
        "started",
        "status",
        "writer",
    )

    def __init__(
        self, connection: "Connection", request: OriginRequest, sink: ResponseSink, now: float, reused: bool
    ) -> None:
        self.connection = connection
        self.origin = connection.endpoint.origin
        self.request = request
        self.sink = sink
        self.started = now
        self.reused = reused
        self.writer: RequestWriter | None = None
        self.status = 0
        self.event_stream = False
        self.finished = False
        self.answered: asyncio.Future[None] = connection.loop.create_future()

    def __repr__(self) -> str:
        state = "finished" if self.finished else "answered" if self.answered.done() else "waiting"
        return f"<OriginExchange {self.request.method!r} {self.origin.key} {state}>"

    # --- for the caller

    def pause(self) -> None:
        """Take no more from the origin for now; nothing to do once finished."""
        if not self.finished:
            self.connection.pause_reading()

    def resume(self) -> None:
        """Go on taking."""
        if not self.finished:
            self.connection.resume_reading()

    def abort(self) -> None:
        """Give up: the sink hears nothing more, the connection is closed and never reused."""
        if not self.finished:
            self.connection.abandon(self)
        if not self.answered.done():
            self.answered.cancel()

    def expire(self, error: UpstreamError) -> bool:
        """Fail it with `error`, for it takes too long; False: some of its answer is there, look again."""
        return self.finished or self.connection.expire(self, error)

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """After a 101: the transport towards the origin and bytes already read from it.

        The caller sets its own protocol at once, and closes the transport in the end; until then it
        counts as a connection to the origin. RFC 9110 §7.8.
        """
        assert self.connection.reader.in_tunnel, "only a 101 makes a tunnel"
        return self.connection.hand_over()

    # --- for the connection

    def interim(self, head: ResponseHead) -> None:
        """A 1xx has come."""
        if self.answered.cancelled():
            self.connection.abandon(self)
        else:
            self.sink.on_interim(head)

    def head(self, head: ResponseHead) -> None:
        """The final head has come."""
        if self.answered.cancelled():  # whoever asked is gone, and its task yet to run
            self.connection.abandon(self)
            return
        self.status = head.status
        kind = head.fields.index.get(b"content-type")
        if kind is not None and kind[0][:17].lower() == b"text/event-stream":
            self.event_stream = True
        self.connection.answered(self)
        self.sink.on_head(head, self.origin)
        if not self.answered.done():
            self.answered.set_result(None)

    def fail(self, error: Exception) -> None:
        """The exchange broke off; the connection is closed already."""
        if not self.answered.done():
            self.answered.set_exception(error)
        elif not self.answered.cancelled():
            if not isinstance(error, UpstreamError):
                broken = IncompleteResponse("the request's body broke off")
                broken.__cause__ = error
                error = broken
            self.sink.on_error(error)


def lost_at_once() -> ConnectionLost:
    """The error of a connection that was gone before anything was sent on it."""
    error = ConnectionLost("the origin closed the connection before the request was sent")
    error.retry_safe = True
    return error
