"""A page taken apart as it comes: text, and the places of its fragments, in order and within a bound.

Must not know clients or heads.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from edgeproxy.edge.esi.fragments import Fragments, Slot
from edgeproxy.edge.esi.parse import Event, Include, Parser
from edgeproxy.edge.ports import nothing
from edgeproxy.errors import EdgeProxyError

BOUND = 256 * 1024
"""Bytes of a page that wait for what stands before them; its writer waits then."""
SLOT_SIZE = 256
"""Bytes that a place for a fragment counts for."""

Part = bytes | Slot


def _size(part: Part) -> int:
    return SLOT_SIZE if isinstance(part, Slot) else len(part)


class Parts:
    """Takes a page's body, gives its parts; `on_room` is called when it is full no more.

    Fragments are asked for as soon as their tags have come, as far as `fragments` allows.
    """

    __slots__ = ("_end", "_fragments", "_news", "_parser", "_parts", "_was_full", "on_room", "size")

    def __init__(self, fragments: Fragments) -> None:
        self.on_room: Callable[[], None] = nothing
        self.size = 0
        self._fragments = fragments
        self._parser = Parser()
        self._parts: deque[Part] = deque()
        self._end: EdgeProxyError | bool = False  # True: the page is whole
        self._was_full = False
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Parts {len(self._parts)} size={self.size} end={self._end!r}>"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._end is not False

    @property
    def full(self) -> bool:
        """Whether the writer should wait; it may put more all the same."""
        return self.size >= BOUND

    def put(self, data: bytes) -> None:
        """Take a piece of the page; after the end it goes nowhere."""
        if not self.ended:
            self._take(self._parser.feed(data))

    def end(self, error: EdgeProxyError | None = None) -> None:
        """The page is whole, or with an error it is not."""
        if self.ended:
            return
        if error is None:
            self._take(self._parser.end())
        self._end = error or True
        self._news.set()

    def drop(self, error: EdgeProxyError) -> None:
        """Nobody wants more: what waits is let go, and `next` raises from now on."""
        self._parts.clear()
        self.size = 0
        self._end = error
        self._news.set()

    async def next(self) -> Part | None:
        """The next part; None at the end of the page. Raises what it ended with instead."""
        while not self._parts:
            if self._end is True:
                return None
            if self._end is not False:
                raise self._end.with_traceback(None)
            self._news.clear()
            await self._news.wait()
        part = self._parts.popleft()
        self.size -= _size(part)
        if self._was_full and self.size <= BOUND // 2:
            self._was_full = False
            self.on_room()
        return part

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Include) and self._fragments.drops(event):
                continue
            part = event if isinstance(event, bytes) else self._fragments.place(event)
            self._parts.append(part)
            self.size += _size(part)
        self._was_full = self._was_full or self.full
        self._news.set()
