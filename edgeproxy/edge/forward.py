"""Requests that go on towards an origin: alone, together with others, in the background, as a tunnel.

Must not know when a stored response would do instead.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import floor

from edgeproxy.caching import decide
from edgeproxy.caching.compression import agreed_names
from edgeproxy.caching.decide import Again, Freshen, Relay, Store, Unusable, UseStale
from edgeproxy.caching.invalidation import SAFE_METHODS, invalidated_tags, invalidated_targets
from edgeproxy.caching.parts import completable
from edgeproxy.caching.ranges import answers
from edgeproxy.caching.reasons import Fwd
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import conditional_fields
from edgeproxy.caching.vary import normalised_fields, variant_of
from edgeproxy.clock import Clock
from edgeproxy.edge.aid import FUTILE, NO_AID, Aid
from edgeproxy.edge.deliver import How, body_length
from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import CollapseKey, Fill
from edgeproxy.edge.followed import Alone, Followed, Regroup, Served
from edgeproxy.edge.ledger import Outcome
from edgeproxy.edge.lookup import NOTHING
from edgeproxy.edge.outgoing import CONDITIONALS, request_id
from edgeproxy.edge.request import Request
from edgeproxy.edge.revalidations import Revalidations
from edgeproxy.edge.tunnel import Tunnels
from edgeproxy.edge.vain import Vain
from edgeproxy.errors import BadResponse, EdgeProxyError, UpstreamError
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.wire.heads import ResponseHead

REGROUPS = 3
"""So often a follower may turn out to want another variant before it fetches for itself."""


def _cancel_this_task() -> Callable[[], None]:
    """For a fetch that nobody but this client wants."""
    task = asyncio.current_task()

    def cancel() -> None:
        if task is not None:
            task.cancel()

    return cancel


class Forwarder:
    """Carries requests to upstreams and their responses back."""

    def __init__(
        self, fetcher: Fetcher, revalidations: Revalidations, tunnels: Tunnels, clock: Clock
    ) -> None:
        self.fetcher = fetcher
        self.revalidations = revalidations
        self.tunnels = tunnels
        self._clock = clock
        self._unaided = Vain()  # keys whose origin makes nothing of what is stored already

    def __repr__(self) -> str:
        return f"<Forwarder {self.fetcher!r} {self.revalidations!r} {self.tunnels!r}>"

    def vain(self, key: bytes) -> bool:
        """Whether this key's responses could not be shared lately."""
        return self.fetcher.collapse.vain.holds(key, self._clock.monotonic())

    async def forget(self, key: bytes) -> list[bytes]:
        """Remove what is stored under this key, in all tiers; its variants."""
        return await self.fetcher.forget(key)

    # --- alone

    async def alone(self, request: Request, *, store: bool = False) -> None:
        """Forward a request as it is, body and all; with `store` its answer may be of use to others."""
        out, head, route = request.out, request.head, request.route
        bypasses = request.fwd in (Fwd.BYPASS, Fwd.METHOD)
        request.note.outcome = Outcome.BYPASS if bypasses else Outcome.MISS
        fill = self.fetcher.begin(
            request.key,
            head,
            route,
            store=store,
            why=request.why,
            conditionals_forwarded=True,
            leader=out,
        )
        # What others may get must be what the origin answers to the fields that they share.
        asked = replace(head, fields=normalised_fields(head, route.policy)) if store else head
        outgoing = request.plan.outgoing.request(asked, out.client, route, body=out.body)
        request.note.request_id = request_id(outgoing)
        safe = head.method in SAFE_METHODS
        if safe:  # else the answer tells what to invalidate, whoever is left to read it
            out.on_gone = _cancel_this_task()
        await self.fetcher.run(fill, request.upstream, outgoing)
        assert fill.head is not None
        request.note.origin = fill.origin_key
        try:
            if not safe:
                await self._invalidate(request, fill, fill.head)
            self._grow(request, fill, collapsed=False)
        finally:
            fill.settle()

    async def _invalidate(self, request: Request, fill: Fill, head: ResponseHead) -> None:
        """Let go what an unsafe request made outdated."""
        router = request.plan.router
        named = (router.key_of(target) for target in invalidated_targets(request.head, head))
        keys, tags = list(dict.fromkeys(named)), list(invalidated_tags(request.head, head))
        await self.fetcher.invalidated(keys, tags, fill)

    async def upgrade(self, request: Request, protocol: bytes) -> None:
        """Let the origin switch protocols, and become a tunnel if it does (RFC 9110 §7.8)."""
        out, head, route = request.out, request.head, request.route
        request.note.outcome = Outcome.BYPASS
        request.fwd = Fwd.BYPASS
        fill = self.fetcher.begin(request.key, head, route, store=False, why=request.why, leader=out)
        outgoing = request.plan.outgoing.request(head, out.client, route, upgrade=protocol)
        request.note.request_id = request_id(outgoing)
        out.on_gone = _cancel_this_task()
        await self.fetcher.run(fill, request.upstream, outgoing)
        assert fill.head is not None
        request.note.origin = fill.origin_key
        if fill.head.status == 101 and fill.exchange is not None:
            out.switch(fill.head)
            self.tunnels.join(
                out.take_over(), fill.exchange.take_over(), request.upstream.settings.timeouts.idle
            )
            fill.on_end(None)  # what flows from now on is nobody's response
        else:
            self._grow(request, fill, collapsed=False)
            fill.settle()

    # --- together

    async def together(self, request: Request, validated: StoredResponse | None) -> None:
        """Wait for a fetch under way, or lead one (RFC 9111 §4, collapsed requests)."""
        head = request.head
        variant = request.found.variant
        collapses = (
            request.route.collapse
            and head.method == b"GET"
            and request.out.body is None
            and b"authorization" not in head.fields
            and not self.vain(request.key)
        )
        for _ in range(REGROUPS):
            fill = self.fetcher.joinable((request.key, variant)) if collapses else None
            if fill is None:
                break
            match await self._follow(request, fill):
                case Served():
                    return
                case Regroup(wanted):
                    variant = wanted
                case Alone():
                    collapses = False
        else:
            collapses = False
        await self._lead(request, validated, variant, collapses)

    async def _follow(self, request: Request, fill: Fill) -> Followed:
        route = request.route
        if not fill.ready.done():
            await asyncio.wait((fill.ready,), timeout=route.collapse_timeout)
        if fill.head is None or isinstance(fill.decision, Unusable | Again):
            if fill.error is None or isinstance(fill.decision, Again):
                return Alone()
            self._failed(request, fill.error, collapsed=True)
            return Served()
        if isinstance(fill.decision, Freshen) and fill.decision.keep is not None:
            return Alone()  # this very answer made it the leader's own
        if isinstance(fill.decision, Freshen | UseStale) and not answers(request.head, fill.decision.stored):
            return Alone()  # a part, and not of what this one asks for
        if isinstance(fill.decision, Store | Freshen):
            answer = fill.head if isinstance(fill.decision, Store) else fill.decision.stored
            names = agreed_names(answer, route.policy, body_length(fill.head))
            mine = variant_of(request.head, names, route.policy)
            if mine != variant_of(fill.job.request, names, route.policy):
                return Regroup(mine)
            if isinstance(fill.decision, Store) and not fill.shared_whole:
                return Alone()
        elif not isinstance(fill.decision, UseStale) or not self._takes(request, fill, fill.decision):
            return Alone()
        self._answer(request, fill, collapsed=True)
        return Served()

    def _takes(self, request: Request, fill: Fill, decision: UseStale) -> bool:
        """Whether a follower may have the stale response that the leader got for an error."""
        assert fill.head is not None
        own = decide.on_failure(
            request.head,
            decision.stored,
            request.route.policy,
            self._clock.wall(),
            disconnected=False,
            status=fill.head.status,
            soft_purged=fill.job.soft_purged,
        )
        return isinstance(own, UseStale)

    async def _lead(
        self, request: Request, validated: StoredResponse | None, variant: bytes | None, collapses: bool
    ) -> None:
        aid = self._aid(request, validated)
        fill = self._begin(request, validated, aid, (request.key, variant) if collapses else None)
        outgoing = self._shared_request(request, validated, aid=aid)
        request.note.request_id = request_id(outgoing)
        await self._carry(request, fill, outgoing)

    async def resume(self, request: Request, fill: Fill, begun: OriginExchange) -> None:
        """Go on with a plain request whose fetch is under way in `begun`, for `fill`."""
        if request.route.policy.enabled:
            await self._carry(request, fill, self._shared_request(request, None), begun)
            return
        outgoing = request.plan.outgoing.request(request.head, request.out.client, request.route)
        request.out.on_gone = _cancel_this_task()
        await self.fetcher.run(fill, request.upstream, outgoing, begun)
        request.note.origin = fill.origin_key
        try:
            self._grow(request, fill, collapsed=False)
        finally:
            fill.settle()

    async def _carry(
        self, request: Request, fill: Fill, outgoing: OriginRequest, begun: OriginExchange | None = None
    ) -> None:
        try:
            await self.fetcher.run(fill, request.upstream, outgoing, begun)
        except UpstreamError as error:
            if not isinstance(fill.decision, Again):
                self._failed(request, error, collapsed=False)
                return
            # What was hoped for did not help: now, and for a while, as if nothing were stored.
            if fill.decision.reason in FUTILE:
                self._unaided.remember(request.key, self._clock.monotonic())
            fill = self._begin(request, None, NO_AID, None)
            await self.fetcher.run(fill, request.upstream, self._shared_request(request, None))
        try:
            self._answer(request, fill, collapsed=False)
        finally:
            fill.settle()

    def _aid(self, request: Request, validated: StoredResponse | None) -> Aid:
        """What is stored that could spare the origin a part of its answer, or all of it."""
        stored, policy = request.found.stored, request.route.policy
        if validated is not None or request.head.method != b"GET" or request.sliced:
            return NO_AID
        if self._unaided.holds(request.key, self._clock.monotonic()):
            return NO_AID
        if stored is not None:
            return Aid(completes=stored) if completable(stored) else NO_AID
        if request.fwd is Fwd.VARY_MISS:
            return Aid(others=tuple(self.fetcher.lookup.others(request.key, request.head, policy)))
        return NO_AID

    def _begin(
        self, request: Request, validated: StoredResponse | None, aid: Aid, collapse: CollapseKey | None
    ) -> Fill:
        return self.fetcher.begin(
            request.key,
            request.head,
            request.route,
            store=True,
            why=request.why,
            validated=validated,
            others=aid.others,
            completes=aid.completes,
            soft_purged=request.found.soft_purged,
            leader=request.out,
            collapse=collapse,
        )

    def revalidate(self, request: Request, stored: StoredResponse) -> None:
        """Validate a stored response that was just served stale, unless that is under way."""
        collapse = (request.key, stored.variant)
        if self.fetcher.joinable(collapse) is not None or self.revalidations.skips():
            return
        head = request.head
        if head.method != b"GET":
            head = replace(head, method=b"GET")
        fill = self.fetcher.begin(
            request.key,
            head,
            request.route,
            store=True,
            why=request.why,
            validated=stored,
            soft_purged=request.found.soft_purged,
            collapse=collapse,
        )
        outgoing = self._shared_request(request, stored, method=b"GET")
        self.revalidations.start(self.fetcher, fill, request.upstream, outgoing)

    def _shared_request(
        self,
        request: Request,
        validated: StoredResponse | None,
        method: bytes | None = None,
        aid: Aid = NO_AID,
    ) -> OriginRequest:
        """A request whose answer is for all: the client's own conditions are answered here."""
        head = request.head
        fields = normalised_fields(head, request.route.policy)
        if fields is not head.fields:
            head = replace(head, fields=fields)
        add = aid.fields if validated is None else conditional_fields(validated)
        if request.sliced:
            add = (*add, (b"Range", request.head.fields.get(b"range") or b""))
        return request.plan.outgoing.request(
            head, request.out.client, request.route, drop=CONDITIONALS, add=add, method=method
        )

    # --- back to the client

    def _answer(self, request: Request, fill: Fill, *, collapsed: bool) -> None:
        """Answer from a fill whose head was judged."""
        note = request.note
        note.origin = fill.origin_key
        decision = fill.decision
        assert fill.head is not None
        if isinstance(decision, Freshen | UseStale):
            if isinstance(decision, UseStale):
                note.outcome = Outcome.STALE
            else:
                note.outcome = Outcome.COLLAPSED if collapsed else Outcome.VALIDATED
            self._from_stored(request, decision, fill.answered, collapsed)
        else:
            note.outcome = Outcome.COLLAPSED if collapsed else Outcome.MISS
            self._grow(request, fill, collapsed=collapsed)

    def _grow(self, request: Request, fill: Fill, *, collapsed: bool) -> None:
        assert fill.head is not None
        if isinstance(fill.decision, Relay):  # why it is not stored tells more than why it was fetched
            request.note.reason = fill.decision.reason
        request.note.stored = fill.storing or fill.was_stored
        how = How(
            fwd=request.fwd,
            fwd_status=fill.answered,
            stored=request.note.stored,
            collapsed=collapsed,
            detail=request.note.reason,
        )
        request.plan.deliver.growing(request.out, fill, how, self._clock.wall())

    def _from_stored(
        self, request: Request, decision: Freshen | UseStale, status: int | None, collapsed: bool
    ) -> None:
        kept = isinstance(decision, Freshen) and decision.keep is None
        reason = decision.keep if isinstance(decision, Freshen) and decision.keep else decision.reason
        request.note.reason = reason
        how = How(
            fwd=request.fwd,
            fwd_status=status,
            stored=kept,
            collapsed=collapsed,
            ttl=floor(decision.ttl),
            detail=reason,
        )
        private = decision.for_requester if isinstance(decision, Freshen) and not collapsed else ()
        stored = self.fetcher.compression.presented(request.head, decision.stored, request.route.policy)
        request.plan.deliver.stored(request.out, stored, request.route, decision.age, how, private)

    def _failed(self, request: Request, error: EdgeProxyError, *, collapsed: bool) -> None:
        """No head came: a stale response where one may be used, else the error."""
        if request.found.stored is not None and self.fetcher.purged(request.found.stored):
            request.found = NOTHING
        decision = decide.on_failure(
            request.head,
            request.found.stored,
            request.route.policy,
            self._clock.wall(),
            disconnected=not isinstance(error, BadResponse),
            soft_purged=request.found.soft_purged,
        )
        if not isinstance(decision, UseStale):
            raise error.with_traceback(None)  # followers raise the same one
        request.note.outcome = Outcome.STALE
        self._from_stored(request, decision, None, collapsed)
