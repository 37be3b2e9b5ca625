"""Bodies that an origin broke off, gone on with at another one: who reads them notices nothing.

Must not know when that is allowed (`caching.resume`), nor clients.
"""

import asyncio
import logging
from dataclasses import replace

from msgspec import Struct

from edgeproxy.caching.decide import Relay, Store
from edgeproxy.caching.resume import asking_for_the_rest, goes_on_after
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.outgoing import CONDITIONALS
from edgeproxy.errors import EdgeProxyError, IncompleteResponse, UpstreamError
from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.upstream.upstream import Upstream
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

_log = logging.getLogger("edgeproxy.edge")


class Asked(Struct):
    """What a fill's origin was asked, and how often the rest may still be asked for elsewhere."""

    upstream: Upstream
    request: OriginRequest
    left: int


class Resumptions:
    """Asks other origins for the rest of bodies, for one worker."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Resumptions {len(self._tasks)}>"

    def __len__(self) -> int:
        return len(self._tasks)

    def resume(self, fill: Fill, asked: Asked, error: UpstreamError) -> bool:
        """Begin to go on with a fill whose body broke off for `error`; False where there is no way on."""
        head, origin = fill.head, fill.origin
        if asked.left <= 0 or head is None or origin is None or fill.ended:
            return False
        if asked.request.method != b"GET" or asked.request.body is not None:
            return False
        if not isinstance(fill.decision, Store | Relay) or not isinstance(error, IncompleteResponse):
            return False
        wanted = asking_for_the_rest(head, fill.size)
        if not wanted:
            return False
        asked.left -= 1
        fields = (line for line in asked.request.fields if line[0].lower() not in CONDITIONALS)
        request = replace(asked.request, fields=(*fields, *wanted))
        task = asyncio.ensure_future(self._run(fill, asked.upstream, request, origin, error))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(
        self, fill: Fill, upstream: Upstream, request: OriginRequest, origin: Origin, error: UpstreamError
    ) -> None:
        try:
            exchange = await upstream.rest(request, Rest(fill, error), origin)
        except EdgeProxyError as again:
            _log.debug("the rest of %s did not come: %s", fill.job.key.decode("latin-1"), again)
            fill.failed(error)
        except BaseException:
            fill.failed(error)
            raise
        else:
            if exchange is None:
                fill.failed(error)
            else:
                fill.attached(exchange)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Rest:
    """Takes an answer that is to go on where a fill's body broke off (`upstream.ports.ResponseSink`)."""

    __slots__ = ("_error", "_fill", "_skip")

    def __init__(self, fill: Fill, error: UpstreamError) -> None:
        self._fill = fill
        self._error = error
        self._skip = 0

    def __repr__(self) -> str:
        return f"<Rest of {self._fill!r}>"

    def on_interim(self, head: ResponseHead) -> None:
        """The client is past that."""

    def on_head(self, head: ResponseHead, origin: Origin) -> None:
        """Go on with it, or give up: what readers have cannot be taken back."""
        fill = self._fill
        assert fill.head is not None
        skip = goes_on_after(fill.head, fill.size, head)
        if skip is None:
            fill.failed(self._error)
            return
        self._skip = skip
        fill.origin = origin
        fill.comes_to_its_end()

    def on_data(self, data: bytes) -> None:
        """Leave out what has come already."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        if self._skip:
            data, self._skip = data[self._skip :], 0
        self._fill.on_data(data)

    def on_end(self, trailers: Fields | None) -> None:
        """The body is whole, unless it ended before where it broke off."""
        if self._skip:
            self._fill.failed(self._error)
        else:
            self._fill.on_end(trailers)

    def on_error(self, error: UpstreamError) -> None:
        """It broke off once more."""
        self._fill.on_error(error)
