"""Large representations fetched, stored and served in aligned slices.

Must not know how one slice is looked up, fetched or stored: each is an inner request of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from edgeproxy.caching.directives import of_request
from edgeproxy.caching.preconditions import Precondition, evaluate
from edgeproxy.caching.ranges import ByteRange, Parts, Unsatisfiable, select_ranges
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.slices import (
    Sliced,
    as_whole,
    first_wanted,
    slice_key,
    slice_range,
    sliced,
    slices_of,
    within,
)
from edgeproxy.clock import Clock
from edgeproxy.edge.deliver import How, laid_out
from edgeproxy.edge.heads import CACHE_STATUS
from edgeproxy.edge.inner import Inner, Inners
from edgeproxy.edge.ledger import FROM_CACHE, Note, Outcome
from edgeproxy.edge.outgoing import CONDITIONALS
from edgeproxy.edge.outlet import Outlet
from edgeproxy.edge.ports import Downstream
from edgeproxy.edge.request import Request
from edgeproxy.edge.vain import Vain
from edgeproxy.errors import ClientGone, EdgeProxyError, IncompleteResponse
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

Wanted = bytes | tuple[int, int, int]
"""Bytes of framing, or of which slice the bytes from where up to where."""
MOST_LOOKED_AT = 256
"""Slices of one range that are looked for before its answer begins."""
Forget = Callable[[bytes], Awaitable[object]]
"""Removes what is stored under a cache key from all tiers."""


class Slice(Inner):
    """The inner request for one slice of what `outer` asks for."""

    def __init__(self, outer: Request, index: int, received: float) -> None:
        size = outer.route.policy.slice_size
        fields = outer.head.fields.without(CONDITIONALS).plus((b"Range", slice_range(index, size)))
        loop = asyncio.get_running_loop()
        super().__init__(replace(outer.head, fields=fields), outer.out.client, loop)
        self.index = index
        self.outer = outer
        self.note = Note(received, outer.route.name, upstream=outer.upstream.name)

    @property
    def request(self) -> Request:
        """The request as the cycle serves it."""
        outer = self.outer
        request = Request(self, outer.plan, outer.route, outer.upstream, self.note)
        request.key = slice_key(outer.key, self.index, outer.route.policy.slice_size)
        request.sliced = True
        return request


class Slices:
    """Answers requests out of slices, where the origin lets itself be asked for those."""

    def __init__(
        self,
        serve: Callable[[Downstream, float], Coroutine[Any, Any, None]],
        forget: Forget,
        pieces_of: Callable[[bytes], list[bytes]],
        age_of: Callable[[bytes, float], float | None],
        clock: Clock,
    ) -> None:
        self.inners = Inners(serve, clock)
        self._forget = forget
        self._pieces_of = pieces_of
        self._age_of = age_of
        self._clock = clock
        self._whole = Vain()  # keys whose origin does not do slices, for a while

    def __repr__(self) -> str:
        return f"<Slices {self.inners!r}>"

    def takes(self, request: Request) -> bool:
        """Whether to put the answer together of slices: unless the whole is stored, being small enough."""
        if not request.route.policy.slice_size or request.sliced or request.head.method != b"GET":
            return False
        stored = request.found.stored
        whole = stored is not None and stored.status != 206
        return not whole and not self._whole.holds(request.key, self._clock.monotonic())

    async def serve(self, request: Request) -> bool:
        """Answer a GET; False, and nothing done, where this origin does not do slices of it."""
        size = request.route.policy.slice_size
        first = self._ask(request, first_wanted(request.head, size))
        try:
            head = await self._head(request, first)
            if head.status == 416 and first.index:
                # Its Range may be out of place, or not count at all (If-Range): the first slice tells.
                first.leave()
                first = self._ask(request, 0)
                head = await self._head(request, first)
            of = sliced(head, first.index, size)
            kept = first.note.stored or first.note.outcome in FROM_CACHE
            if of is not None and kept:
                await self._assembled(request, first, head, of)
            elif head.status in (206, 416):  # 416: empty, so that there is no first byte to ask for
                if not _asks_for_itself(request):  # else it says nothing of what others get
                    self._whole.remember(request.key, self._clock.monotonic())
                return False
            else:
                self._note(request, first)
                await self._through(request.out, first, head)
        finally:
            first.leave()
        return True

    def _ask(self, request: Request, index: int) -> Slice:
        piece = Slice(request, index, self._clock.monotonic())
        self.inners.serve(piece)
        return piece

    @staticmethod
    async def _head(request: Request, piece: Slice) -> ResponseHead:
        """The head of a slice; who waits for it in vain lets it go. Raises ClientGone."""
        out = request.out
        out.on_gone = piece.leave
        if out.gone:
            piece.leave()
        return await piece.answer()

    @staticmethod
    def _note(request: Request, piece: Slice) -> None:
        note, inner = request.note, piece.note
        note.outcome, note.reason, note.origin = inner.outcome, inner.reason, inner.origin
        note.request_id = inner.request_id

    @staticmethod
    async def _through(out: Downstream, piece: Slice, head: ResponseHead) -> None:
        """Pass on what is no slice: the whole, an error, a redirect."""
        out.start(head.status, head.reason, head.fields, piece.length)
        outlet = Outlet(out)
        try:
            async for data in piece:
                await outlet.write(data)
        except ClientGone:
            return
        except IncompleteResponse:
            out.abort()
            return
        finally:
            outlet.close()
        out.end(piece.trailers)

    async def _assembled(self, request: Request, first: Slice, head: ResponseHead, of: Sliced) -> None:
        out, deliver = request.out, request.plan.deliver
        self._note(request, first)
        whole = as_whole(request.key, head.fields, of.size)
        precondition = evaluate(request.head, whole)
        if precondition is not Precondition.PROCEED:
            deliver.precondition(out, precondition, whole.fields.raw)
            return
        layout: Sequence[bytes | ByteRange] = (ByteRange(0, of.size),)
        status, reason = 200, b"OK"
        fields = whole.fields.plus((b"Content-Length", b"%d" % of.size))
        match select_ranges(request.head, whole):
            case Unsatisfiable() as unsatisfiable:
                deliver.unsatisfiable(out, unsatisfiable, whole.fields.raw)
                return
            case Parts() as parts:
                status, reason = 206, b"Partial Content"
                fields, layout = laid_out(parts, whole.fields, of.size)
        ages = self._ages(request, first, layout)
        hit = first.note.outcome in FROM_CACHE
        if {hit, *(age is not None for age in ages)} == {True, False}:
            request.note.outcome = Outcome.MISS
            fields = self._restated(request, first, fields)
        fields = _as_old_as(fields, max((age for age in ages if age is not None), default=0.0))
        size = sum(len(item) if isinstance(item, bytes) else item.stop - item.start for item in layout)
        out.start(status, reason, fields, size)
        await self._pour(request, first, of, layout)

    def _ages(
        self, request: Request, first: Slice, layout: Sequence[bytes | ByteRange]
    ) -> list[float | None]:
        """How old the slices behind the first are, None for those that are not here; a short look."""
        size, now = request.route.policy.slice_size, self._clock.wall()
        wanted = (slices_of(item, size) for item in layout if not isinstance(item, bytes))
        indexes = islice(chain.from_iterable(wanted), MOST_LOOKED_AT)
        return [self._age_of(slice_key(request.key, at, size), now) for at in indexes if at != first.index]

    @staticmethod
    def _restated(request: Request, first: Slice, fields: Fields) -> Fields:
        """The fields with this cache's member of Cache-Status for all slices, not for the first alone."""
        how = How(fwd=Fwd.PARTIAL, stored=first.note.stored, detail=Reason.PART_STORED)
        status = request.plan.deliver.cache_status(how, request.route.policy, request.key)
        lines = list(fields)
        at = max(index for index, line in enumerate(lines) if line[0] == CACHE_STATUS)
        lines[at] = (CACHE_STATUS, status)
        return Fields(lines)

    async def _pour(
        self, request: Request, first: Slice, of: Sliced, layout: Sequence[bytes | ByteRange]
    ) -> None:
        outlet = Outlet(request.out)
        try:
            async with aclosing(self._pieces(request, first, of, layout)) as pieces:
                async for data in pieces:
                    await outlet.write(data)
        except ClientGone:
            return
        except EdgeProxyError as error:
            request.note.reason = error.proxy_error
            request.out.abort()
            return
        finally:
            outlet.close()
        request.out.end()

    async def _pieces(
        self, request: Request, first: Slice, of: Sliced, layout: Sequence[bytes | ByteRange]
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """The body; while one slice is written, the next is asked for."""
        ahead: Slice | None = None
        piece: Slice | None = first
        try:
            for item, following in _with_next(_wanted(layout, request.route.policy.slice_size)):
                if isinstance(item, bytes):
                    yield item
                    continue
                index, start, stop = item
                if piece is None or piece.index != index:
                    piece = ahead if ahead is not None and ahead.index == index else self._ask(request, index)
                    ahead = None
                if ahead is None and following is not None and following != index:
                    ahead = self._ask(request, following)
                if piece is not first:
                    piece = await self._same(request, piece, first, of)
                async for data in _cut(piece, start, stop):
                    yield data
                piece.leave()
                piece = None
        finally:
            for left in (piece, ahead):
                if left is not None:
                    left.leave()

    async def _same(self, request: Request, piece: Slice, first: Slice, of: Sliced) -> Slice:
        """That slice, if it is of the same representation; one that was stored before is fetched anew.

        Raises IncompleteResponse where the representation changed under way: nothing of it is kept.
        """
        slice_size = request.route.policy.slice_size
        for attempt in (1, 2):
            found = sliced(await piece.answer(), piece.index, slice_size)
            if found == of:
                return piece
            piece.leave()
            if found is None:
                raise IncompleteResponse("a slice did not come")
            await self._forget(slice_key(request.key, piece.index, slice_size))
            if attempt == 1:
                piece = self._ask(request, piece.index)
        # Two origins that disagree would cut every answer: for a while it is fetched whole.
        self._whole.remember(request.key, self._clock.monotonic())
        for key in {slice_key(request.key, first.index, slice_size), *self._pieces_of(request.key)}:
            await self._forget(key)
        raise IncompleteResponse("the representation changed while it was put together of slices")


def _as_old_as(fields: Fields, age: float) -> Fields:
    """The fields with an Age of at least so many seconds: the whole is as old as its oldest part."""
    told = fields.get(b"age")
    if age < 1 or (told is not None and told.isdigit() and int(told) >= int(age)):
        return fields
    return fields.replaced(b"Age", b"%d" % age)


def _asks_for_itself(request: Request) -> bool:
    """Whether the answer to this request may be no other's, whatever the origin says."""
    fields = request.head.fields
    honoured = request.route.policy.request_directives
    return b"authorization" in fields or b"no-store" in of_request(fields, honoured)


async def _cut(piece: Slice, start: int, stop: int) -> AsyncGenerator[bytes | memoryview, None]:
    """The bytes of a slice from `start` up to `stop`."""
    at = 0
    async for data in piece:
        low, high = max(0, start - at), min(len(data), stop - at)
        at += len(data)
        if low < high:
            yield memoryview(data)[low:high]
        if at >= stop:
            return


def _wanted(layout: Sequence[bytes | ByteRange], slice_size: int) -> Iterator[Wanted]:
    """The body in order: framing, and of which slice the bytes from where up to where."""
    for item in layout:
        if isinstance(item, bytes):
            yield item
        elif item.start < item.stop:
            for index in slices_of(item, slice_size):
                yield index, *within(item, index, slice_size)


def _with_next(wanted: Iterator[Wanted]) -> Iterator[tuple[Wanted, int | None]]:
    """Each item, and the index of the slice that is needed after it."""
    held: list[Wanted] = []
    for item in wanted:
        if not isinstance(item, bytes):
            for before in held:
                yield before, item[0]
            held = []
        held.append(item)
    for last in held:
        yield last, None
