"""The fragments of one page: asked for through the cache ahead of need, in order, within bounds.

Must not know what is done with what they bring.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from edgeproxy.caching.uris import resolve
from edgeproxy.edge.esi.page import fragment_client, fragment_head
from edgeproxy.edge.esi.parse import Include
from edgeproxy.edge.inner import Inner, Inners
from edgeproxy.edge.ports import Client, Downstream
from edgeproxy.edge.routing import Route
from edgeproxy.errors import IncludeFailed
from edgeproxy.wire.heads import RequestHead

AHEAD = 4
"""Fragments of one page under way at once; fragments of fragments come one at a time."""
BOUND = 64 * 1024
"""Bytes of one fragment that wait until its place in the page comes."""


@dataclass(slots=True)
class Budget:
    """How many fragments a page may still ask for, those of its fragments included."""

    left: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in a page something is: `depth` 0 for the page itself, 1 for its fragments."""

    depth: int
    max_depth: int
    budget: Budget


class Fragment(Inner):
    """The request for one fragment, which may be a page itself."""

    def __init__(
        self, head: RequestHead, client: Client, loop: asyncio.AbstractEventLoop, scope: Scope
    ) -> None:
        super().__init__(head, client, loop, bound=BOUND)
        self.scope = scope


def scope_of(out: Downstream, route: Route) -> Scope:
    """Where what is answered there stands: in a page, or it is one."""
    if isinstance(out, Fragment):
        return out.scope
    assert route.esi is not None
    return Scope(0, route.esi.max_depth, Budget(route.esi.max_includes))


class Slot:
    """The place of an include in its page, and its fragment once that was asked for."""

    __slots__ = ("error", "fragment", "include")

    def __init__(self, include: Include) -> None:
        self.include = include
        self.fragment: Fragment | None = None
        self.error: IncludeFailed | None = None

    def __repr__(self) -> str:
        return f"<Slot {self.include.src!r} {self.fragment!r}>"


class Fragments:
    """Asks for the fragments of a page; `request` is its own, whose client they are for."""

    def __init__(self, request: RequestHead, client: Client, scope: Scope, inners: Inners) -> None:
        self._request = request
        self._client = client
        self._scope = scope
        self._inners = inners
        self._ahead = AHEAD if scope.depth == 0 else 1
        self._waiting: deque[Slot] = deque()
        self._running: set[Fragment] = set()

    def __repr__(self) -> str:
        under_way = f"running={len(self._running)} waiting={len(self._waiting)}"
        return f"<Fragments depth={self._scope.depth} {under_way}>"

    def place(self, include: Include) -> Slot:
        """A place for it; asked for at once where few enough are under way."""
        slot = Slot(include)
        self._waiting.append(slot)
        self._go_on()
        return slot

    def need(self, slot: Slot) -> Fragment:
        """The fragment of a place that has come. Raises IncludeFailed where it is not asked for."""
        while self._waiting and slot.fragment is None and slot.error is None:
            self._ask_for(self._waiting.popleft())
        if slot.fragment is None:
            assert slot.error is not None
            raise slot.error
        return slot.fragment

    def ask(self, reference: bytes) -> Fragment:
        """Ask for a fragment now. Raises IncludeFailed beyond a limit, and where it is no http(s) URI."""
        scope = self._scope
        refused = self._refused()
        if refused is not None:
            raise refused
        page = self._request.target
        target = resolve(reference, page)
        if target is None:
            raise IncludeFailed(f"no http or https URL: {reference[:100].decode('latin-1')}")
        scope.budget.left -= 1
        fragment = Fragment(
            fragment_head(self._request, target),
            fragment_client(self._client, page, target),
            asyncio.get_running_loop(),
            Scope(scope.depth + 1, scope.max_depth, scope.budget),
        )
        self._running.add(fragment)
        self._inners.serve(fragment)
        return fragment

    def _refused(self) -> IncludeFailed | None:
        """Why no fragment is asked for any more."""
        scope = self._scope
        if scope.depth >= scope.max_depth:
            return IncludeFailed(f"fragments more than {scope.max_depth} deep")
        return IncludeFailed("too many fragments in one page") if scope.budget.left <= 0 else None

    def drops(self, include: Include) -> bool:
        """Whether nothing will ever stand in its place: a page may hold thousands that are too many."""
        return include.continue_on_error and self._refused() is not None

    def done(self, fragment: Fragment) -> None:
        """Nothing more is wanted of it: another's turn."""
        fragment.leave()
        self._running.discard(fragment)
        self._go_on()

    def leave(self) -> None:
        """Nothing more is wanted of any."""
        self._waiting.clear()
        for fragment in list(self._running):
            fragment.leave()
        self._running.clear()

    def _go_on(self) -> None:
        while self._waiting and len(self._running) < self._ahead:
            self._ask_for(self._waiting.popleft())

    def _ask_for(self, slot: Slot) -> None:
        try:
            slot.fragment = self.ask(slot.include.src)
        except IncludeFailed as error:
            slot.error = error
