"""One fetch from an origin that any number of clients read while it grows.

Must not know how responses are judged or stored: `FillOwner` decides, this keeps the bytes.
"""

import asyncio
from typing import Protocol

from msgspec import Struct

from edgeproxy.caching.decide import Again, Complete, OnResponse, Store, Unusable
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.edge.ports import Downstream
from edgeproxy.edge.reader import Reader
from edgeproxy.edge.routing import Route
from edgeproxy.edge.segments import joined
from edgeproxy.errors import BadResponse, EdgeProxyError, UpstreamError
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.origin import Origin
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
WINDOW = 8 * 1024 * 1024
"""Bytes that a reader may lag behind the fastest one once the body is no longer kept whole."""

CHUNK_OVERHEAD = 64
"""Bytes of memory that a piece of a body costs beyond its content."""

CollapseKey = tuple[bytes, bytes | None]
"""Cache key and variant; None while nobody knows what the key varies on."""


class FillOwner(Protocol):
    """Judges the head of a fill, and takes what it brought."""

    def now(self) -> float: ...
    def judge(self, fill: "Fill", head: ResponseHead) -> OnResponse: ...
    def reserve(self, size: int) -> bool: ...
    def release(self, size: int) -> None: ...
    def outgrown(self, fill: "Fill") -> bool: ...
    def not_kept(self, fill: "Fill") -> None: ...
    def completed(self, fill: "Fill", body: tuple[bytes, ...]) -> None: ...
    def broken(self, fill: "Fill", error: UpstreamError) -> bool: ...
    def ended(self, fill: "Fill") -> None: ...


class Moment(Struct, frozen=True):
    """When a fetch began: where the purge log stood, in wall seconds, and in monotonic ones."""

    stamp: Stamp
    purge_seq: int
    request_time: float
    started: float


class FillFor(Struct, frozen=True):
    """What is fetched, and what it is fetched for.

    `validated` is the stored response that the fetch validates, `others` are the variants that it offers
    instead, `completes` the stored part whose missing bytes it asks for; `conditionals_forwarded`: the
    origin sees the client's own conditions and ranges; `why` says why it is fetched;
    `stamp` and `purge_seq` where the purge log stood; `request_time` is wall and `started`
    monotonic seconds.
    """

    key: bytes
    request: RequestHead
    route: Route
    validated: StoredResponse | None
    soft_purged: bool
    why: Reason
    stamp: Stamp
    purge_seq: int
    request_time: float
    started: float
    store: bool
    leader: Downstream | None = None
    others: tuple[StoredResponse, ...] = ()
    completes: StoredResponse | None = None
    conditionals_forwarded: bool = False


class Fill:
    """The growing response (`upstream.ports.ResponseSink`); belongs to no client's connection."""

    __slots__ = (
        "_after",
        "_base",
        "_chunks",
        "_claimed",
        "_kept",
        "_owner",
        "_paused",
        "_reserved",
        "answered",
        "asked",
        "collapse_key",
        "complete",
        "decision",
        "ended",
        "error",
        "exchange",
        "head",
        "held",
        "job",
        "notice",
        "origin",
        "origin_seconds",
        "readers",
        "ready",
        "response_time",
        "size",
        "stamp",
        "storing",
        "trailers",
        "was_stored",
    )

    def __init__(self, job: FillFor, owner: FillOwner, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.collapse_key: CollapseKey | None = None
        self._owner = owner
        # response
        self.head: ResponseHead | None = None
        self.answered = 0  # the origin's own status
        self.origin: Origin | None = None
        self.origin_seconds = 0.0
        self.response_time = 0.0  # wall seconds
        self.decision: OnResponse | None = None
        self.error: EdgeProxyError | None = None
        self.asked: object = None  # the owner's, to go on elsewhere
        self.complete = False
        self.ended = False
        self.trailers: Fields | None = None
        self.ready: asyncio.Future[None] = loop.create_future()
        # body
        self.storing = False
        self.was_stored = False
        self.stamp: Stamp | None = None  # of an unsafe request's answer, once what it invalidates is gone
        self.held: tuple[bytes, ...] | None = None
        self.size = 0
        self.notice: float = job.route.policy.max_object_size  # bytes from which on the owner is asked
        self._chunks: list[bytes] = []
        self._base = 0  # chunks dropped before the first kept one
        self._kept = 0  # bytes in _chunks
        self._after: tuple[bytes, ...] = ()  # of a stored part, to follow what comes
        self._reserved = 0
        # flow
        self._claimed = False  # until then, whoever began it is about to join
        self.readers: list[Reader] = []
        self.exchange: OriginExchange | None = None
        self._paused = False

    def __repr__(self) -> str:
        state = "complete" if self.complete else f"error {self.error!r}" if self.error else "open"
        return (
            f"<Fill {self.job.key!r} {state} size={self.size} readers={len(self.readers)} "
            f"storing={self.storing} kept={self._kept} paused={self._paused}>"
        )

    # --- from the origin (ResponseSink)

    def on_interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on to the one who caused the fetch; 100 was answered before."""
        if head.status != 100 and self.job.leader is not None:
            self.job.leader.interim(head)

    def on_head(self, head: ResponseHead, origin: Origin) -> None:
        """Judge the response; those who wait are released."""
        self.head = head
        self.origin = origin
        self.response_time = self._owner.now()
        self.decision = self._owner.judge(self, head)
        self.answered = head.status
        self.storing = isinstance(self.decision, Store)
        if isinstance(self.decision, Unusable | Again):
            self.failed(BadResponse("the origin's answer is none to this request"))
            return
        if isinstance(self.decision, Complete):
            self._complete(self.decision)
        if not self.ready.done():
            self.ready.set_result(None)

    def _complete(self, decision: Complete) -> None:
        """The whole that a stored part and this answer make is what readers get."""
        self.head = decision.head
        self._after = decision.after
        for segment in decision.before:
            self.size += len(segment)
            self._take(segment)

    def comes_to_its_end(self) -> None:
        """What comes goes on to the body's end: what was stored of that is not wanted."""
        self._after = ()

    def only_passes(self) -> None:
        """It is not to be stored after all."""
        if self.storing:
            self.storing = False
            self.release_reserved()

    def on_data(self, data: bytes) -> None:
        """Keep a piece of the body, or hand it straight on where nobody else will need it."""
        if self.ended:
            return
        self.size += len(data)
        if not self.storing and not self._chunks and len(self.readers) == 1:
            reader = self.readers[0]
            if reader.out.writable:
                self._base += 1
                reader.at += 1
                reader.out.write(data)
                return
        self._take(data)
        for reader in tuple(self.readers):
            reader.pump()
        self.balance()

    def _take(self, data: bytes) -> None:
        self._chunks.append(data)
        self._kept += len(data)
        if self.storing:
            self._keep(len(data) + CHUNK_OVERHEAD)

    def on_end(self, trailers: Fields | None) -> None:
        """The body is whole."""
        for segment in self._after:
            self.size += len(segment)
            self._take(segment)
        if self.ended:
            return
        self.complete = True
        self.trailers = trailers
        if self.storing:
            self.storing = False
            self.was_stored = True
            self._owner.completed(self, joined(self._chunks))
        self._close()

    def on_error(self, error: UpstreamError) -> None:
        """The body broke: unless it goes on elsewhere, nothing is stored, and every reader is cut."""
        if not self._owner.broken(self, error):
            self.failed(error)

    def failed(self, error: EdgeProxyError) -> None:
        """The fetch came to nothing, before or after its head."""
        if self.error is not None or self.complete:
            return
        self.error = error
        self.storing = False
        self._close()

    def _close(self) -> None:
        if self.ended:
            return
        self.ended = True
        self.release_reserved()
        if not self.ready.done():
            self.ready.set_result(None)
        self._owner.ended(self)
        for reader in tuple(self.readers):
            reader.pump()
        self.exchange = None  # it refers back to here: a cycle would keep the body until it is collected

    # --- towards the clients

    @property
    def end(self) -> int:
        """Chunks that have come."""
        return self._base + len(self._chunks)

    @property
    def whole(self) -> bool:
        """Whether a new reader would still find the body's beginning."""
        return self._base == 0

    def as_fill(self) -> "Fill":
        """Itself (`collapse.Leading`)."""
        return self

    def chunk(self, at: int) -> bytes:
        """The chunk with that number."""
        return self._chunks[at - self._base]

    def join(self, out: Downstream) -> None:
        """Let a client read from the beginning."""
        self._claimed = True
        reader = Reader(self, out)
        self.readers.append(reader)
        out.on_writable = reader.writable
        out.on_gone = reader.gone
        if out.gone:
            self.leave(reader)
            return
        reader.pump()
        self.balance()

    def leave(self, reader: Reader) -> None:
        """A client is served or gone. Without readers, only what will be stored is worth fetching."""
        if reader in self.readers:
            self.readers.remove(reader)
            if not self.ended:
                self._give_up()
                self.balance()

    def abandon(self) -> None:
        """Nobody wants this fetch any more."""
        if not self.ended:
            if self.exchange is not None:
                self.exchange.abort()
            self.failed(UpstreamError("nobody waits for this response any more"))

    def attached(self, exchange: OriginExchange) -> None:
        """The way to pause the origin's connection, and to end it."""
        if self.ended:
            exchange.abort()
            return
        self.exchange = exchange
        if self._paused:
            exchange.pause()

    @property
    def origin_key(self) -> str:
        """The origin's name in metrics and log."""
        return self.origin.key if self.origin is not None else ""

    @property
    def shared_whole(self) -> bool:
        """Whether a new reader finds the whole body: kept so far, and to be kept."""
        return self._base == 0 and (self.storing or self.was_stored)

    def settle(self) -> None:
        """Whoever began it has joined or will not: give it up if nobody reads and nothing will be stored."""
        self._claimed = True
        self._give_up()

    def _give_up(self) -> None:
        if self._claimed and not self.ended and not self.readers and not self.storing:
            self.abandon()

    # --- flow

    def balance(self) -> None:
        """Drop what all have read, pause or resume the origin, cut those who lag too far behind."""
        if self.storing:
            return
        if self.readers and self._chunks:
            self._trim(min(reader.at for reader in self.readers))
        if self.ended:
            return
        ahead = self._kept
        if len(self.readers) > 1:
            fastest = max(reader.at for reader in self.readers)
            ahead = sum(len(chunk) for chunk in self._chunks[fastest - self._base :])
            if self._kept - ahead > WINDOW:
                for reader in [reader for reader in self.readers if reader.at == self._base]:
                    reader.out.abort()
        if ahead > HIGH_WATER and not self._paused:
            self._paused = True
            if self.exchange is not None:
                self.exchange.pause()
        elif self._paused and ahead <= LOW_WATER:
            self._paused = False
            if self.exchange is not None:
                self.exchange.resume()

    def _trim(self, at: int) -> None:
        count = at - self._base
        if count > 0:
            self._kept -= sum(len(chunk) for chunk in self._chunks[:count])
            del self._chunks[:count]
            self._base = at

    def _keep(self, size: int) -> None:
        """Count what is kept for the store; too much of it, and the fill only passes through."""
        if (self.size <= self.notice or self._owner.outgrown(self)) and self._owner.reserve(size):
            self._reserved += size
            return
        self.storing = False
        self.release_reserved()
        self._owner.not_kept(self)
        self._give_up()

    def release_reserved(self) -> None:
        """Give back what was counted: the body is let go, or counted as stored from now on."""
        if self._reserved:
            self._owner.release(self._reserved)
            self._reserved = 0
