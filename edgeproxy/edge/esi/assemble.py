"""Pages put together on their way to a client: text as it comes, fragments in their places.

Must not know where a page comes from. What is assembled is stored nowhere.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from edgeproxy.clock import Clock
from edgeproxy.edge.esi.fragments import Fragment, Fragments, Slot, scope_of
from edgeproxy.edge.esi.page import assembled_fields, is_encoded, is_markup, unencoded, whole
from edgeproxy.edge.esi.parts import Parts
from edgeproxy.edge.inner import Inners
from edgeproxy.edge.ports import Downstream, nothing
from edgeproxy.edge.routing import Route
from edgeproxy.errors import ClientGone, IncludeFailed, IncompleteResponse
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

TELL_EVERY = 10.0
"""Seconds between two log lines about pages that cannot be read."""

_LEFT = "the client left before its page was complete"
_log = logging.getLogger("edgeproxy.edge")


class Assembler:
    """Puts pages together; fragments are inner requests."""

    def __init__(self, inners: Inners, clock: Clock) -> None:
        self._inners = inners
        self._clock = clock
        self._told = 0.0  # until when an encoded page is no news

    def __repr__(self) -> str:
        return f"<Assembler {self._inners!r}>"

    def page(self, out: Downstream, route: Route) -> "Page":
        """What a request on a route with `esi` is answered to, in its client's place."""
        return Page(out, route, self._inners, self._encoded)

    def _encoded(self, page: "Page") -> None:
        now = self._clock.monotonic()
        if now >= self._told:
            self._told = now + TELL_EVERY
            uri = page.head.target.uri.decode("latin-1")
            _log.warning("%s came encoded, unasked: it is passed on with its ESI tags as they are", uri)


class Page:
    """Stands before a client (`edge.ports.Downstream`): takes a page, and gives what is made of it.

    What turns out to be no page passes through as it is. Once the answer has begun, `finish` is to
    be awaited, and in the end `close`, whatever happened.
    """

    def __init__(
        self, out: Downstream, route: Route, inners: Inners, on_encoded: Callable[["Page"], None]
    ) -> None:
        # request
        self.head = unencoded(out.head)
        self.client = out.client
        self.counted = out.counted
        self.body = out.body
        self._route = route
        # response
        self.started = False
        self._out = out
        self._on_encoded = on_encoded
        self._through = True
        self._status: tuple[int, bytes] = (0, b"")
        self._fields: list[RawField] = []
        self._left: int | None = None
        # page
        self.fragments = Fragments(self.head, out.client, scope_of(out, route), inners)
        self.parts = Parts(self.fragments)
        self.parts.on_room = self._room_for_parts
        # flow
        self.done = out.done
        self.on_writable: Callable[[], None] = nothing
        self.on_gone: Callable[[], None] = nothing
        self._given_up = False
        self._room = asyncio.Event()
        self._assembling: asyncio.Task[None] | None = None
        out.on_writable = self._client_takes
        out.on_gone = self._client_left

    def __repr__(self) -> str:
        kind = "new" if not self.started else "through" if self._through else repr(self.parts)
        return f"<Page {kind} {self.fragments!r} for {self._out!r}>"

    @property
    def asked(self) -> RequestHead:
        """The request that brings the page, whole and unencoded."""
        return whole(self.head)

    # --- Downstream

    @property
    def writable(self) -> bool:
        """False while enough of the page waits, or the client's write buffer is full."""
        return self._out.writable if self._through else not self.parts.full

    @property
    def gone(self) -> bool:
        """True once nobody wants any more of the page."""
        return self._given_up or self._out.gone

    @property
    def status(self) -> int:
        """The status that was written; 0 before."""
        return self._out.status

    @property
    def sent(self) -> int:
        """Bytes of body that the client got."""
        return self._out.sent

    def interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx."""
        self._out.interim(head)

    def start(self, status: int, reason: bytes, fields: Iterable[RawField], length: int | None) -> None:
        """Take the final head; that of a page waits for the first of its body."""
        if self.gone or self.started:
            return
        self.started = True
        lines = Fields(fields)
        if not is_markup(status, lines):
            self._out.start(status, reason, lines.raw, length)
        elif is_encoded(lines):
            self._on_encoded(self)
            self._out.start(status, reason, lines.raw, length)
        elif self.head.method == b"HEAD":
            self._out.start(status, reason, assembled_fields(lines, self._route), None)
        else:
            self._through = False
            self._status = (status, reason)
            self._fields = assembled_fields(lines, self._route)
            self._left = length
            # Its writer may want to see what it writes go on before it is through.
            self._assembling = asyncio.get_running_loop().create_task(self._assemble())

    def write(self, data: bytes | memoryview) -> None:
        """Take a piece of the body, whether or not `writable`."""
        if self._through:
            self._out.write(data)
            return
        if self._left is not None:
            self._left -= len(data)
        self.parts.put(bytes(data))

    def end(self, trailers: Fields | None = None) -> None:
        """The page is complete; its trailers are not those of what comes of it."""
        if self._through:
            self._out.end(trailers)
        elif self._left:
            self.abort()
        else:
            self.on_writable = self.on_gone = nothing
            self.parts.end()

    def abort(self) -> None:
        """The page is not complete: its writer is let go, its client cut where the answer has begun."""
        if self._through:
            self._out.abort()
        elif not self.parts.ended:
            self._given_up = True
            self.parts.end(IncompleteResponse("a page broke before its end"))
            self._let_go()

    def switch(self, head: ResponseHead) -> None:
        """Write the head of a 101."""
        self._out.switch(head)

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """Leave HTTP."""
        return self._out.take_over()

    # --- towards the client

    async def finish(self) -> None:
        """Return when the page's client has it, or left.

        Raises EdgeProxyError where a part is missing that may not be.
        """
        if self._assembling is not None:
            await self._assembling

    async def close(self) -> None:
        """End what is under way."""
        if self._assembling is not None:
            self._assembling.cancel()
            await asyncio.gather(self._assembling, return_exceptions=True)

    async def _assemble(self) -> None:
        try:
            while (part := await self.parts.next()) is not None:
                if isinstance(part, Slot):
                    await self._include(part)
                else:
                    await self._send(part)
            self._begin()
            self._out.end()
        except ClientGone:
            if not self._out.gone:
                raise
        finally:
            self._give_up()

    async def _include(self, slot: Slot) -> None:
        """Write the fragment of a place; its `alt`, or nothing, where it failed before it began."""
        include = slot.include
        try:
            await self._copy(self.fragments.need(slot))
        except IncludeFailed:
            if include.alt is None:
                if not include.continue_on_error:
                    raise
                return
            try:
                await self._copy(self.fragments.ask(include.alt))
            except IncludeFailed:
                if not include.continue_on_error:
                    raise

    async def _copy(self, fragment: Fragment) -> None:
        """Write a fragment. Raises IncludeFailed where none of it was written."""
        uri = fragment.head.target.uri.decode("latin-1")
        try:
            try:
                head = await fragment.answer()
                if not 200 <= head.status <= 299:
                    raise IncludeFailed(f"fragment {uri}: {head.status}")
                if is_encoded(head.fields):
                    raise IncludeFailed(f"fragment {uri} came encoded, unasked")
                piece = await fragment.read()
            except IncompleteResponse as error:
                raise IncludeFailed(f"fragment {uri}: {error}") from error
            while piece:
                await self._send(piece)
                piece = await fragment.read()
        finally:
            self.fragments.done(fragment)

    async def _send(self, data: bytes | memoryview) -> None:
        self._begin()
        while not self._out.writable and not self._out.gone:
            self._room.clear()
            await self._room.wait()
        if self._out.gone:
            raise ClientGone(_LEFT)
        self._out.write(data)

    def _begin(self) -> None:
        if not self._out.started:
            self._out.start(*self._status, self._fields, None)

    # --- flow

    def _room_for_parts(self) -> None:
        self.on_writable()

    def _client_takes(self) -> None:
        if self._through:
            self.on_writable()
        else:
            self._room.set()

    def _client_left(self) -> None:
        self._give_up()
        self._room.set()

    def _give_up(self) -> None:
        """Tell all that still bring something that nobody wants it."""
        self._given_up = True
        self.parts.drop(ClientGone(_LEFT))
        self.fragments.leave()
        self._let_go()

    def _let_go(self) -> None:
        """Tell the page's writer that it writes for nobody."""
        on_gone, self.on_gone = self.on_gone, nothing
        self.on_writable = nothing
        on_gone()
