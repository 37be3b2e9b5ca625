"""Fetching from an upstream for everybody at once: fills begun, judged, stored, and waited for.

Must not know clients: who reads a fill is the cycle's business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edgeproxy.caching import decide
from edgeproxy.caching.decide import CLIENTS_OWN, Again, Complete, Freshen, OnResponse, Relay, Store, Unusable
from edgeproxy.caching.invalidation import SAFE_METHODS
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.caching.tags import tags_of
from edgeproxy.clock import Clock
from edgeproxy.edge.collapse import Collapse
from edgeproxy.edge.compress import Compression
from edgeproxy.edge.deliver import body_length
from edgeproxy.edge.fill import CollapseKey, Fill, FillFor, Moment
from edgeproxy.edge.keeper import Keeper
from edgeproxy.edge.lookup import Lookup
from edgeproxy.edge.ports import Downstream
from edgeproxy.edge.resume import Asked, Resumptions
from edgeproxy.edge.routing import Route
from edgeproxy.edge.shield import Shield
from edgeproxy.edge.unstored import UnstoredAnswers
from edgeproxy.errors import EdgeProxyError, UpstreamError
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.upstream.upstream import Upstream
from edgeproxy.wire.heads import RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to an unsafe request, by what purges judge it."""

    key: bytes
    tags: tuple[bytes, ...]
    stamp: Stamp


Invalidate = Callable[[list[bytes], list[bytes], Answered | None], Awaitable[Stamp | None]]
"""Purges these cache keys and tags on the whole node, and returns when it holds.

Gives the stamp with which the answer outlives these purges and no other; None where another came first."""


class Fetcher:
    """Owns the fills of a worker (`fill.FillOwner`)."""

    def __init__(
        self,
        *,
        lookup: Lookup,
        compression: Compression,
        purges: PurgeTable,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        invalidate: Invalidate,
    ) -> None:
        self.collapse = Collapse()
        self.unstored = UnstoredAnswers()
        self.keeper = Keeper(lookup, compression, purges, clock, loop, self.collapse.vain, self.unstored)
        self.fills: set[Fill] = set()
        self.shield = Shield(clock, loop)
        self.resumptions = Resumptions()
        self.compression = compression
        self.lookup = lookup
        self._memory = lookup.memory
        self._purges = purges
        self._clock = clock
        self._loop = loop
        self._invalidate = invalidate

    def __repr__(self) -> str:
        return f"<Fetcher fills={len(self.fills)} {self.collapse!r}>"

    def begin(
        self,
        key: bytes,
        request: RequestHead,
        route: Route,
        *,
        store: bool,
        why: Reason,
        validated: StoredResponse | None = None,
        others: tuple[StoredResponse, ...] = (),
        completes: StoredResponse | None = None,
        soft_purged: bool = False,
        conditionals_forwarded: bool = False,
        leader: Downstream | None = None,
        collapse: CollapseKey | None = None,
        moment: Moment | None = None,
    ) -> Fill:
        """Make a fill; with `collapse` others can find it and wait for it. It began at `moment`, or now."""
        if moment is None:
            moment = self.moment(self._clock.monotonic())
        job = FillFor(
            key=key,
            request=request,
            route=route,
            validated=validated,
            others=others,
            completes=completes,
            soft_purged=soft_purged,
            conditionals_forwarded=conditionals_forwarded,
            why=why,
            stamp=moment.stamp,
            purge_seq=moment.purge_seq,
            request_time=moment.request_time,
            started=moment.started,
            store=store,
            leader=leader,
        )
        fill = Fill(job, self, self._loop)
        self.fills.add(fill)
        if collapse is not None:
            self.collapse.lead(collapse, fill)
        return fill

    def moment(self, started: float) -> Moment:
        """The moment at which a fetch begins, as purges see it; `started` in monotonic seconds."""
        purges = self._purges
        return Moment(purges.stamp(), purges.seq[0], self._clock.wall(), started)

    def joinable(self, collapse: CollapseKey) -> Fill | None:
        """The fill to wait for: none that began before a purge that names it, or whose beginning is gone."""
        found = self.collapse.find(collapse)
        fill = found.as_fill() if found is not None else None
        if fill is None or not fill.whole:
            return None
        job = fill.job
        if job.purge_seq != self._purges.seq[0]:
            head = fill.head
            tags = None if head is None else tags_of(head.fields, job.route.policy, job.request.target)
            if not self._purges.spared(job.key, tags, job.stamp):
                return None
        return fill

    async def run(
        self, fill: Fill, upstream: Upstream, request: OriginRequest, begun: OriginExchange | None = None
    ) -> None:
        """Send the request; returns when the head was judged. Raises EdgeProxyError where none came.

        `begun` is the exchange that it is under way in already.
        """
        try:
            if begun is None:
                upstream = await self.shield.admit(fill, upstream)
            early = fill.asked
            fill.asked = asked = Asked(upstream, request, upstream.settings.retries.attempts)
            if isinstance(early, UpstreamError) and not self.resumptions.resume(fill, asked, early):
                fill.failed(early)
            if begun is None:
                exchange = await upstream.exchange(request, fill)
            else:
                exchange = await upstream.go_on(begun, request, fill)
        except EdgeProxyError as error:
            self.shield.failed(fill, error)
            fill.failed(error)
            raise
        except BaseException:
            fill.failed(UpstreamError("the fetch was given up"))
            raise
        fill.attached(exchange)
        if isinstance(fill.decision, Unusable | Again):
            useless = fill.error or UpstreamError("the origin's answer is of no use")
            self.shield.failed(fill, useless)
            raise useless
        self.shield.answered(fill)

    async def invalidated(self, keys: list[bytes], tags: list[bytes], fill: Fill) -> None:
        """An unsafe method changed something: what is stored for these is void (RFC 9111 §4.4).

        The answer itself, in `fill`, is worth storing only as of after that.
        """
        for key in keys:
            self._memory.remove(key)
        if not keys and not tags:
            return
        job, head = fill.job, fill.head
        answer: Answered | None = None
        if isinstance(fill.decision, Store) and head is not None:
            answer = Answered(job.key, tags_of(head.fields, job.route.policy, job.request.target), job.stamp)
        fill.stamp = await self._invalidate(keys, tags, answer)
        if fill.stamp is not None and fill.held is not None:
            self._store(fill, fill.held, fill.stamp)

    async def close(self) -> None:
        """Let what is being removed from the shared tier be removed: its timeout bounds that."""
        await self.resumptions.close()
        await self.compression.close()
        await self.keeper.close()

    # --- FillOwner

    def now(self) -> float:
        """Wall seconds."""
        return self._clock.wall()

    def judge(self, fill: Fill, head: ResponseHead) -> OnResponse:
        """What to do with the response, now that its head is there."""
        job = fill.job
        now = fill.response_time
        fill.origin_seconds = self._clock.monotonic() - job.started
        decision: OnResponse
        validated, completes = self._live(job.validated), self._live(job.completes)
        others = tuple(other for other in job.others if not self.purged(other))
        if not job.store and job.validated is None:
            decision = Relay(job.why)
        elif head.status == 304 and (validated is not job.validated or len(others) < len(job.others)):
            decision = Again(Reason.PURGED)  # what it speaks of is gone
        elif head.status == 206 and completes is not job.completes:
            decision = Again(Reason.PURGED)  # what it would complete is gone
        else:
            decision = decide.on_response(
                job.request,
                head,
                validated,
                job.route.policy,
                now,
                others=others,
                completes=completes,
                conditionals_forwarded=job.conditionals_forwarded,
                request_time=job.request_time,
                soft_purged=job.soft_purged,
                stamp=job.stamp,
            )
        if isinstance(decision, Freshen):
            policy = job.route.policy
            decision, copies = self.compression.freshened(job.request, job.validated, decision, policy)
            if decision.keep is None:
                for stored in (decision.stored, *copies):
                    self.keeper.insert(stored, policy, now)
            else:
                if decision.keep not in CLIENTS_OWN:
                    self.keeper.drop(decision.stored)
                self.unstored.note(job, decision.stored, decision.keep, now)
        elif isinstance(decision, Again):
            self.collapse.release(fill)
            if validated is not None:
                self.keeper.drop(validated)
        elif isinstance(decision, Relay):
            if decision.drop and job.validated is not None:
                self.keeper.drop(job.validated)
            shared = job.store and job.request.method == b"GET" and not job.conditionals_forwarded
            if shared and decision.reason not in CLIENTS_OWN:
                self.collapse.vain.remember(job.key, self._clock.monotonic())
            self.collapse.release(fill)
            if job.store and decision.reason is not Reason.NOT_MODIFIED:
                self.unstored.note(job, head, decision.reason, now)
        elif isinstance(decision, Store) and self.collapse.leases is not None:
            length = body_length(head)
            more = self.collapse.not_shared(fill, length or 0)
            if length is None:
                fill.notice = min(fill.notice, more)
        return decision

    def purged(self, stored: StoredResponse) -> bool:
        """Whether a hard purge has named it since it was stored."""
        return self._purges.verdict(stored.key, stored.tags, stored.stamp) is Verdict.DEAD

    def _live(self, stored: StoredResponse | None) -> StoredResponse | None:
        return None if stored is None or self.purged(stored) else stored

    def reserve(self, size: int) -> bool:
        """Count bytes of a fill in flight in the memory budget."""
        return self._memory.reserve(size)

    def release(self, size: int) -> None:
        """Give back what `reserve` counted."""
        self._memory.release(size)

    def outgrown(self, fill: Fill) -> bool:
        """Whether what has so many bytes may still be stored; if not, why is remembered.

        Those who wait for it to lie in a tier that takes less are told.
        """
        most = fill.job.route.policy.max_object_size
        if fill.size <= most:
            fill.notice = min(most, self.collapse.not_shared(fill, fill.size))
            return True
        if fill.head is not None:
            self.unstored.note(fill.job, fill.head, Reason.TOO_LARGE, fill.response_time)
        return False

    def not_kept(self, fill: Fill) -> None:
        """What looked storable will not be stored."""
        self.collapse.not_shared(fill, None)

    def completed(self, fill: Fill, body: tuple[bytes, ...]) -> None:
        """Store a whole response, unless a purge came after its fetch began."""
        job = fill.job
        fill.release_reserved()
        if job.request.method in SAFE_METHODS:
            self._store(fill, body, job.stamp)
        elif fill.stamp is None:
            fill.held = body  # until what it invalidates is gone
        else:
            self._store(fill, body, fill.stamp)

    def _store(self, fill: Fill, body: tuple[bytes, ...], stamp: Stamp) -> None:
        head, decision = fill.head, fill.decision
        if head is None or not isinstance(decision, Store):
            return
        length = body_length(head)
        if fill.size != length and (length is not None or isinstance(decision, Complete)):
            return  # its parts were not those that their heads announced
        self.keeper.keep(fill.job, head, decision, body, stamp, fill.response_time, fill.origin_seconds)

    def broken(self, fill: Fill, error: UpstreamError) -> bool:
        """Whether the rest of a body that broke off is being asked for elsewhere, or will be."""
        if fill.asked is None:  # what was begun on the express lane broke off before `run` had its turn
            fill.asked = error
            return True
        return isinstance(fill.asked, Asked) and self.resumptions.resume(fill, fill.asked, error)

    def ended(self, fill: Fill) -> None:
        """Nothing more will come of this fill."""
        self.collapse.release(fill)
        self.fills.discard(fill)
