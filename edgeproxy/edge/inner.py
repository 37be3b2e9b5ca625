"""Requests made in this process that pass the cycle as a client's do; their answers are read here.

Must not know what they are made for, nor routes, caching or origins.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any

from edgeproxy.clock import Clock
from edgeproxy.edge.ports import Client, ClientBody, Downstream, nothing
from edgeproxy.errors import BadResponse, ClientGone, EdgeProxyError, IncompleteResponse
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

BOUND = 256 * 1024
"""Bytes of a body that wait for their reader before its writer has to."""

Piece = bytes | memoryview
Serve = Callable[[Downstream, float], Coroutine[Any, Any, None]]
"""Answers a request; received at that monotonic second."""


class Buffer:
    """A body between its writer and its one reader; `on_room` is called when it is full no more.

    What was put is read before the error that followed it.
    """

    __slots__ = ("_bound", "_end", "_held", "_loop", "_pieces", "_waiter", "_was_full", "on_room")

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: int = BOUND) -> None:
        self.on_room: Callable[[], None] = nothing
        self._loop = loop
        self._bound = bound
        self._held = 0
        self._pieces: deque[Piece] = deque()
        self._end: EdgeProxyError | bool = False  # True: the body is whole
        self._was_full = False
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Buffer {self._held}/{self._bound} bytes, end={self._end!r}>"

    @property
    def full(self) -> bool:
        """Whether the writer should wait; it may put more all the same."""
        return self._held >= self._bound

    def put(self, data: Piece) -> None:
        """Add a piece; after the end it goes nowhere."""
        if data and self._end is False:
            self._pieces.append(data)
            self._held += len(data)
            self._was_full = self._was_full or self.full
            self._wake()

    def end(self, error: EdgeProxyError | None = None) -> None:
        """The body is whole, or with an error it is not."""
        if self._end is False:
            self._end = error or True
            self._wake()

    def drop(self, error: EdgeProxyError) -> None:
        """The reader wants no more: what is kept is let go, and reading raises from now on."""
        self._pieces.clear()
        self._held = 0
        self._end = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Return when something was put or the body ended."""
        if not self._pieces and self._end is False:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def read(self) -> Piece:
        """The next piece; empty at the end. Raises what the body ended with."""
        while not self._pieces:
            if self._end is True:
                return b""
            if self._end is not False:
                raise self._end.with_traceback(None)
            await self.wait()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._was_full and self._held <= self._bound // 2:
            self._was_full = False
            self.on_room()
        return piece


class Inner:
    """A request of this process's own (`edge.ports.Downstream`): no client counts or waits for it.

    Whoever asked reads `answer`, then the body by `read` or `async for`, and calls `leave` where
    it wants no more; both raise IncompleteResponse where the answer was cut.
    """

    counted = False

    def __init__(
        self,
        head: RequestHead,
        client: Client,
        loop: asyncio.AbstractEventLoop,
        body: ClientBody | None = None,
        bound: int = BOUND,
    ) -> None:
        # request
        self.head = head
        self.client = client
        self.body = body
        # response
        self.status = 0
        self.started = False
        self.sent = 0
        self.length: int | None = None
        self.trailers: Fields | None = None
        self._answer: asyncio.Future[ResponseHead | EdgeProxyError] = loop.create_future()
        self._no_body = False
        # flow
        self.gone = False
        self.done: asyncio.Future[None] = loop.create_future()
        self.on_gone: Callable[[], None] = nothing
        self.on_writable: Callable[[], None] = nothing
        self._buffer = Buffer(loop, bound)
        self._buffer.on_room = self._room

    def __repr__(self) -> str:
        state = "gone" if self.gone else "done" if self.done.done() else "started" if self.started else "new"
        uri = self.head.target.uri
        return f"<{type(self).__name__} {self.head.method!r} {uri!r} {self.status or '-'} {state}>"

    # --- whoever asked

    async def answer(self) -> ResponseHead:
        """The head of the answer. Raises IncompleteResponse where none will come, ClientGone once left."""
        answer = await asyncio.shield(self._answer)
        if isinstance(answer, EdgeProxyError):
            raise answer.with_traceback(None)
        return answer

    async def read(self) -> Piece:
        """The next piece of the body; empty at its end. Raises IncompleteResponse, ClientGone once left."""
        return await self._buffer.read()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while piece := await self.read():
            yield piece

    def leave(self) -> None:
        """Want no more of the answer; what serves it is told, as by a client that goes."""
        left = ClientGone("nobody waits any more")
        self._buffer.drop(left)
        if self.gone:
            return
        self.gone = True
        over = self._over
        self._settle(left)
        if not over:
            self.on_gone()
        self.on_gone = self.on_writable = nothing

    # --- Downstream

    @property
    def writable(self) -> bool:
        """False while enough waits for the reader."""
        return not self._buffer.full

    def interim(self, head: ResponseHead) -> None:
        """Nobody here waits for a 1xx."""

    def start(self, status: int, reason: bytes, fields: Iterable[RawField], length: int | None) -> None:
        """Take the head; `length` is the body's in bytes, None where unknown."""
        if self.gone or self.started or self.done.done():
            return
        self.started = True
        self.status = status
        self.length = length
        self._no_body = self.head.method == b"HEAD" or status in (204, 304)
        self._answer.set_result(ResponseHead(status, reason, 1, Fields(fields)))

    def write(self, data: bytes | memoryview) -> None:
        """Take a piece of the body, whether or not `writable`."""
        if not self.gone and not self._no_body and not self.done.done():
            self.sent += len(data)
            self._buffer.put(data)

    def end(self, trailers: Fields | None = None) -> None:
        """The body is complete; anything but the announced length cuts it instead."""
        if self.gone or self.done.done():
            return
        if self.length is not None and not self._no_body and self.sent != self.length:
            self.abort()
            return
        self.trailers = trailers
        self._buffer.end()
        self.on_gone = self.on_writable = nothing
        self.done.set_result(None)

    def abort(self) -> None:
        """The reader must not take what it has for the whole; the writer hears of it as of a leaving."""
        cut = IncompleteResponse("an inner response was cut")
        self._buffer.end(cut)
        if self._over:
            return
        self._settle(cut)
        self.gone = True
        self.on_gone()
        self.on_gone = self.on_writable = nothing

    def switch(self, head: ResponseHead) -> None:
        """Never asked for."""
        raise BadResponse("an inner request cannot switch protocols")

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """There is no connection to take."""
        raise BadResponse("an inner request has no connection")

    # --- inside

    @property
    def _over(self) -> bool:
        """Whether the answer came to its end; `done` is cancelled with a task that waits for it."""
        return self.done.done() and not self.done.cancelled()

    def _settle(self, error: EdgeProxyError) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if not self._answer.done():
            self._answer.set_result(error)

    def _room(self) -> None:
        self.on_writable()


class Inners:
    """Serves inner requests, each in a task of its own, which ends with its answer.

    A fetch that others wait for outlives a reader that leaves; `close` ends all.
    """

    def __init__(self, serve: Serve, clock: Clock) -> None:
        self._serve = serve
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Inners {len(self._tasks)}>"

    def __len__(self) -> int:
        return len(self._tasks)

    def serve(self, inner: Inner) -> Inner:
        """Let an inner request be answered; who asks reads it, and leaves it when done."""
        task = asyncio.get_running_loop().create_task(self._serve(inner, self._clock.monotonic()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: inner.abort())  # one that never ran would leave its reader waiting
        return inner

    def ask(self, head: RequestHead, client: Client) -> Inner:
        """An inner request without a body, on its way."""
        return self.serve(Inner(head, client, asyncio.get_running_loop()))

    async def close(self) -> None:
        """End all that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
