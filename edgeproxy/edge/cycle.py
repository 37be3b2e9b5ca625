"""The life of one request that the fast path did not answer: each step one method, in order.

Must not know sockets. Decisions are `caching.decide`'s; this carries them out.
"""

import asyncio
import logging
from collections.abc import Coroutine
from math import floor
from typing import Any, assert_never

from edgeproxy.caching import decide
from edgeproxy.caching.decide import Forward, OnlyIfCachedMiss, UseStaleAndRevalidate, UseStored, Validate
from edgeproxy.caching.early_hints import early_hints
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.clock import Clock
from edgeproxy.edge.asking import Asking
from edgeproxy.edge.compress import Compression
from edgeproxy.edge.deliver import How
from edgeproxy.edge.early import Early
from edgeproxy.edge.esi.assemble import Assembler
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.forward import Forwarder
from edgeproxy.edge.inner import Inners
from edgeproxy.edge.instead import Instead
from edgeproxy.edge.ledger import Ledger, Note, Outcome
from edgeproxy.edge.lookup import NOTHING, Found, Lookup
from edgeproxy.edge.outgoing import CONDITIONALS, end_to_end, hops_left, upgrade_of
from edgeproxy.edge.ports import Downstream
from edgeproxy.edge.refreshes import Refreshes
from edgeproxy.edge.request import Plan, Request
from edgeproxy.edge.slices import Slice, Slices
from edgeproxy.errors import BadRequest, EdgeProxyError, IncludeFailed, NotStored, Source
from edgeproxy.upstream.exchange import OriginExchange

TELL_EVERY = 10.0
"""Seconds between two log lines about the same kind of failure of an upstream, or the same fragment."""
MOST_TOLD = 1000

_log = logging.getLogger("edgeproxy.edge")


class Cycle:
    """Serves requests by a plan."""

    def __init__(
        self,
        plan: Plan,
        *,
        lookup: Lookup,
        forwarder: Forwarder,
        compression: Compression,
        ledger: Ledger,
        clock: Clock,
        workers: int = 1,
    ) -> None:
        self.plan = plan
        self._lookup = lookup
        self._asking = Asking(lookup)
        self._forwarder = forwarder
        self._compression = compression
        self._ledger = ledger
        self._clock = clock
        self._refreshes = Refreshes(workers)
        self.early = Early(plan, forwarder, clock)
        self._slices = Slices(self._slice, forwarder.forget, lookup.pieces.of, lookup.age_of, clock)
        self.inners = Inners(self.serve, clock)
        self._pages = Assembler(self.inners, clock)
        self._told: dict[tuple[str, str], float] = {}  # until when, by upstream and kind of error

    def __repr__(self) -> str:
        return f"<Cycle {self._lookup!r} {self._forwarder!r}>"

    @property
    def instead(self) -> Instead:
        """Who serves stale what would take too long."""
        return self._forwarder.instead

    async def close(self) -> None:
        """End the inner requests under way."""
        await self.inners.close()
        await self._slices.inners.close()

    async def serve(self, out: Downstream, received: float) -> None:
        """Answer one request, whatever happens; returns when the client has its answer."""
        plan, note = self.plan, Note(received)
        await self._finish(out, plan, note, self._serve(out, plan, note))

    async def resume(self, request: Request, fill: Fill, begun: OriginExchange) -> None:
        """Go on with a request whose fetch is under way in `begun`, for `fill`."""
        resumed = self._forwarder.resume(request, fill, begun)
        await self._finish(request.out, request.plan, request.note, resumed)

    async def _slice(self, out: Downstream, received: float) -> None:
        """Answer the inner request for a slice."""
        assert isinstance(out, Slice)
        request = out.request
        await self._finish(out, request.plan, request.note, self._cached(request))

    async def _finish(
        self, out: Downstream, plan: Plan, note: Note, serving: Coroutine[Any, Any, None]
    ) -> None:
        try:
            await serving
        except EdgeProxyError as error:
            note.outcome = Outcome.ERROR
            note.reason = error.proxy_error
            self._tell(error, note)
            plan.deliver.error(out, error, self._clock.wall())
        except asyncio.CancelledError:
            out.abort()
            raise
        except Exception:
            _log.exception("internal error while serving %s", out.head.target.uri.decode("latin-1"))
            note.outcome = Outcome.ERROR
            plan.deliver.error(out, EdgeProxyError("internal error"), self._clock.wall())
        finally:
            if not out.done.done() and not out.gone:
                await out.done
            self._ledger.finished(out, out.status or 499, note)

    def _tell(self, error: EdgeProxyError, note: Note) -> None:
        """Log what an origin did, which its clients are not told; each kind now and then."""
        if error.source is not Source.UPSTREAM:
            return
        which = str(error) if isinstance(error, IncludeFailed) else error.proxy_error
        kind, now = (note.upstream, which), self._clock.monotonic()
        if now >= self._told.get(kind, 0.0):
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[kind] = now + TELL_EVERY
            _log.warning("upstream %s: %s (%s)", note.upstream, error, error.proxy_error)

    async def _serve(self, out: Downstream, plan: Plan, note: Note) -> None:
        head = out.head
        route = plan.router.match(head.target, head.method)
        if route is None:
            raise BadRequest("no route for this host and path", 404)
        note.route = route.name
        if out.body is not None:
            out.body.limit(plan.max_body if route.max_body_size is None else route.max_body_size)
        to = route.redirect(head.target)
        if to is not None:
            note.outcome = Outcome.BYPASS
            plan.deliver.redirect(out, to, route.redirect_status, self._clock.wall())
            return
        upstream = plan.upstreams[route.upstream or ""]
        if route.canary is not None and route.canary.takes(head, out.client):
            other = plan.upstreams[route.canary.route.upstream or ""]
            if other.available():
                route, upstream = route.canary.route, other
        note.upstream = upstream.name
        upgrade = upgrade_of(out)
        head = out.head = end_to_end(head)
        if hops_left(head) == 0:
            note.outcome = Outcome.BYPASS
            plan.deliver.final_recipient(out, self._clock.wall())
        elif route.esi is None:
            await self._answer(Request(out, plan, route, upstream, note), upgrade)
        else:
            page = self._pages.page(out, route)
            request = Request(page, plan, route, upstream, note)
            request.head = page.asked
            try:
                await self._answer(request, upgrade)
                await page.finish()
            finally:
                await page.close()

    async def _answer(self, request: Request, upgrade: bytes | None) -> None:
        """Answer from the cache, or past it; returns when the head is out and the body flows."""
        out, head, plan, route, note = request.out, request.head, request.plan, request.route, request.note
        with_body = out.body is not None and head.method in (b"GET", b"HEAD")
        if route.policy.enabled and upgrade is None and not with_body:
            await self._cached(request)
            return
        plan.outgoing.check_loop(head)
        if with_body and route.policy.enabled:
            # What a GET carries may decide over its answer, and is no part of any key.
            request.why = Reason.REQUEST_BODY
        note.reason = request.why
        if upgrade is not None:
            await self._forwarder.upgrade(request, upgrade)
        else:
            await self._forwarder.alone(request)

    # --- look up, decide

    async def _cached(self, request: Request) -> None:
        head, route = request.head, request.route
        request.found = await self._found(request)
        if self._slices.takes(request):
            if await self._slices.serve(request):
                return
            request.found = await self._found(request)  # a purge may have come while slices were tried
        decision = self._decide(request, route.policy)
        forced = isinstance(decision, Validate) and decision.fwd is Fwd.REQUEST
        if forced and not self._refreshes.allows(route, self._clock.monotonic()):
            decision = self._decide(request, route.unforced)
        request.note.reason = request.why = decision.reason
        match decision:
            case UseStored():
                self._hit(request, decision)
                if route.early:
                    self.early.one(request, decision)
            case UseStaleAndRevalidate():
                self._hit(request, decision)
                if not request.plan.outgoing.loops(head):
                    self._forwarder.revalidate(request, decision.stored)
            case Validate():
                request.plan.outgoing.check_loop(head)
                request.fwd = decision.fwd
                if route.early_hints:
                    self._hint(request, decision.stored)
                if not await self._forwarder.together(request, decision.stored):
                    await self._cached(request)
            case Forward():
                request.plan.outgoing.check_loop(head)
                request.fwd = decision.fwd
                if decision.store and not self._goes_as_it_is(request):
                    if not await self._forwarder.together(request, None):
                        await self._cached(request)
                else:
                    await self._forwarder.alone(request, store=decision.store)
            case OnlyIfCachedMiss():
                raise NotStored("not stored, and the request wants nothing else (only-if-cached)")
            case _:
                assert_never(decision)

    async def _found(self, request: Request) -> Found:
        """What the tiers hold for it."""
        head, policy = request.head, request.route.policy
        if head.method not in (b"GET", b"HEAD"):
            return NOTHING
        found = self._lookup.find(request.key, head, policy)
        shared = self._lookup.shared is not None and not self._forwarder.vain(request.key)
        if found.stored is None and shared:
            found = await self._asking.in_shared(request.key, head, policy, found)
        elif shared:
            found = await self._lookup.more_recent(request.key, head, policy, found)
        return self._compression.basis(head, found) if policy.compress else found

    def _decide(self, request: Request, policy: CachePolicy) -> decide.OnRequest:
        found = request.found
        return decide.on_request(
            request.head,
            found.stored,
            policy,
            self._clock.wall(),
            soft_purged=found.soft_purged,
            vary_miss=found.stored is None and found.others,
        )

    def _goes_as_it_is(self, request: Request) -> bool:
        """Whether the origin is to see what the client asks for, and not the whole for everybody.

        Its conditions too, where the whole could not be stored lately: the origin may answer 304.
        """
        head = request.head
        if request.sliced:
            return False
        if head.method != b"GET" or b"range" in head.fields:
            return True
        return not CONDITIONALS.isdisjoint(head.fields.index) and self._forwarder.vain(request.key)

    @staticmethod
    def _hint(request: Request, stored: StoredResponse) -> None:
        """Tell the client of what the page will want, while the origin is asked (RFC 8297)."""
        hints = early_hints(stored.fields)
        if hints is not None:
            request.out.interim(hints)

    def _hit(self, request: Request, decision: UseStored | UseStaleAndRevalidate) -> None:
        stored = decision.stored
        stale = decision.ttl <= 0
        request.note.outcome = Outcome.STALE if stale else Outcome.HIT
        request.note.saved = stored.origin_seconds
        if request.looks and not stale:  # somebody else's fetch was waited for
            request.note.outcome = Outcome.COLLAPSED
            how = How(fwd=request.fwd, stored=True, collapsed=True, ttl=floor(decision.ttl))
        else:
            how = How(ttl=floor(decision.ttl), detail=decision.reason)
        stored = self._compression.presented(request.head, stored, request.route.policy)
        request.plan.deliver.stored(request.out, stored, request.route, decision.age, how)
