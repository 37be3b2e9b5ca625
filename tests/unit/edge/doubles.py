"""A client and an owner of fills without sockets, for units of the edge.

Must not know what is tested.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from edgeproxy.caching.decide import OnResponse, Relay, Store
from edgeproxy.caching.freshness import Lifetime
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.edge.fill import Fill, FillFor
from edgeproxy.edge.ports import nothing
from edgeproxy.errors import UpstreamError
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead

OK = ResponseHead(200, b"OK", 1, Fields([]))


class Out:
    """A Downstream that takes up to `room` bytes before it is full."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.data = bytearray()
        self.sizes: list[int] = []
        self.interims: list[int] = []
        self.ended = self.aborted = self.gone = self.started = False
        self.trailers: Fields | None = None
        self.on_writable: Callable[[], None] = nothing
        self.on_gone: Callable[[], None] = nothing

    @property
    def writable(self) -> bool:
        return len(self.data) < self.room

    def interim(self, head: ResponseHead) -> None:
        self.interims.append(head.status)

    def start(self, status: int, reason: bytes, fields: Iterable[RawField], length: int | None) -> None:
        self.started = True

    def write(self, data: bytes | memoryview) -> None:
        self.data += data
        self.sizes.append(len(data))

    def end(self, trailers: Fields | None = None) -> None:
        assert not self.ended
        self.ended = True
        self.trailers = trailers

    def abort(self) -> None:
        self.aborted = True
        self.leave()

    def leave(self) -> None:
        """As a client that goes."""
        self.gone = True
        self.on_gone()

    def take(self, room: int) -> None:
        """As a client that reads on."""
        self.room += room
        self.on_writable()


class Origin:
    """An OriginExchange that notes what is asked of it."""

    def __init__(self) -> None:
        self.paused = self.aborted = False
        self.pauses = 0

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


class Owner:
    """A FillOwner that decides as it is told."""

    def __init__(self, *, store: bool = False, budget: int = 1 << 40) -> None:
        self.decision: OnResponse = Relay(Reason.NO_STORE)
        if store:
            self.decision = Store(cast("Lifetime", None))
        self.budget = budget
        self.reserved = 0
        self.stored: list[tuple[bytes, ...]] = []
        self.over: list[Fill] = []
        self.too_large: list[Fill] = []
        self.not_shared: list[Fill] = []

    def now(self) -> float:
        return 0.0

    def judge(self, fill: Fill, head: ResponseHead) -> OnResponse:
        return self.decision

    def reserve(self, size: int) -> bool:
        if self.reserved + size > self.budget:
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        self.reserved -= size

    def outgrown(self, fill: Fill) -> bool:
        self.too_large.append(fill)
        return False

    def not_kept(self, fill: Fill) -> None:
        self.not_shared.append(fill)

    def completed(self, fill: Fill, body: tuple[bytes, ...]) -> None:
        fill.release_reserved()
        self.stored.append(body)

    def broken(self, fill: Fill, error: UpstreamError) -> bool:
        return False

    def ended(self, fill: Fill) -> None:
        self.over.append(fill)


class Job:
    """As much of a FillFor as a fill looks at."""

    def __init__(self, leader: Out | None = None, largest: int = 1 << 24) -> None:
        self.key = b"key"
        self.leader = leader
        self.route = self
        self.policy = CachePolicy(max_object_size=largest)


def fill(
    owner: Owner, loop: Any, *, leader: Out | None = None, largest: int = 1 << 24, head: bool = True
) -> tuple[Fill, Origin]:
    """A fill whose head has come, and its origin."""
    made = Fill(cast("FillFor", Job(leader, largest)), owner, loop)
    origin = Origin()
    if head:
        made.on_head(OK, cast("Any", None))
        made.attached(cast("Any", origin))
    return made, origin
