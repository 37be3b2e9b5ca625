"""Stale responses for clients that need not wait: for a slow origin, a full one, or a dead one.

Must not know how a fetch is made. RFC 9111 §4.2.4, RFC 5861; DESIGN §8 says how Cache-Status tells.
"""

import asyncio
from collections.abc import Callable
from math import floor

from edgeproxy.caching import decide
from edgeproxy.caching.decide import UseStale
from edgeproxy.caching.on_delay import on_delay
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.clock import Clock
from edgeproxy.edge.deliver import How
from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.ledger import Outcome
from edgeproxy.edge.request import Request
from edgeproxy.edge.revalidations import Revalidations
from edgeproxy.upstream.ports import OriginRequest

Revalidate = Callable[[Request, StoredResponse], bool]
"""Starts a validation in the background, unless one is under way or not due."""


class Instead:
    """Answers with what is stored instead of what would take too long."""

    def __init__(self, fetcher: Fetcher, revalidations: Revalidations, clock: Clock) -> None:
        self._fetcher = fetcher
        self._revalidations = revalidations
        self._shield = fetcher.shield
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Instead of {self._shield!r}>"

    def at_once(self, request: Request, validated: StoredResponse | None, revalidate: Revalidate) -> bool:
        """Answer a request that wants a validation, where the origin is held down or has no room now.

        False: it has to be asked. Nothing was forwarded for this request, whatever goes on behind it.
        """
        gate = self._shield.admissions.of(request.upstream)
        if gate is not None:
            gate.asked(request.key)
        decision = None if validated is None else self.foreseen(request)
        if validated is None or decision is None:
            return False
        self._serve(request, decision, How(ttl=floor(decision.ttl), detail=decision.reason))
        revalidate(request, validated)
        return True

    def foreseen(self, request: Request) -> UseStale | None:
        """What a request that wants a validation gets without one; None: its origin is asked."""
        held = self._shield.held(request.key)
        decision: decide.OnFailure | None = None
        if held is not None:
            decision = self._held_down(request, held.status, disconnected=not held.bad)
        if not isinstance(decision, UseStale):
            gate = self._shield.admissions.of(request.upstream)
            if gate is not None and gate.busy:
                decision = self._stale(request, Reason.ADMISSION)
        return decision if isinstance(decision, UseStale) else None

    async def follows(self, request: Request, fill: Fill) -> bool:
        """Wait for the head of another's fetch, so long as the route says; True: answered without it."""
        if fill.ready.done():
            return False
        wait = request.route.collapse_timeout
        patience = self.patience(request, fill)
        if patience is not None and patience < wait:
            if patience > 0:
                await asyncio.wait((fill.ready,), timeout=patience)
            if fill.ready.done():
                return False
            if self._slow(request, collapsed=True):
                return True
            wait -= patience
        gate = self._shield.admissions.of(request.upstream)
        if gate is not None:
            gate.joined(request.key)
        await asyncio.wait((fill.ready,), timeout=wait)
        return False

    def patience(self, request: Request, fill: Fill | None = None) -> float | None:
        """Seconds that a client waits before it gets a stale response; None: as long as it takes.

        For a fetch under way they began with it: its origin is slow for everybody.
        """
        slow = request.route.stale_if_slow
        if slow is None or not isinstance(self._stale(request, Reason.STALE_IF_SLOW), UseStale):
            return None
        begun = 0.0 if fill is None else self._clock.monotonic() - fill.job.started
        return max(0.0, slow - begun)

    async def led(self, request: Request, fill: Fill, outgoing: OriginRequest, patience: float) -> bool:
        """Lead a fetch that goes on whoever waits; True: the client got a stale response meanwhile.

        Raises as `Fetcher.run`.
        """
        running = self._fetcher.run(fill, request.upstream, outgoing)
        task = self._revalidations.own(running)
        try:
            done, _ = await asyncio.wait((task,), timeout=patience)
        except BaseException:
            self._revalidations.left(task, fill)
            raise
        if not done and self._slow(request, collapsed=False):
            self._revalidations.left(task, fill)
            return True
        await task
        return False

    def skipped(self, request: Request) -> bool:
        """Answer where too much is fetched in the background for one more; False: it has to be asked."""
        decision = self._stale(request, Reason.STALE_IF_SLOW)
        if isinstance(decision, UseStale):
            self._serve(request, decision, How(ttl=floor(decision.ttl), detail=decision.reason))
        return isinstance(decision, UseStale)

    # --- what is stored

    def _stale(self, request: Request, why: Reason) -> decide.OnFailure:
        return on_delay(
            request.head,
            self._live(request),
            request.route.policy,
            self._clock.wall(),
            why=why,
            soft_purged=request.found.soft_purged,
        )

    def _held_down(self, request: Request, status: int | None, *, disconnected: bool) -> decide.OnFailure:
        decision = decide.on_failure(
            request.head,
            self._live(request),
            request.route.policy,
            self._clock.wall(),
            disconnected=disconnected and status is None,
            status=status,
            soft_purged=request.found.soft_purged,
        )
        if not isinstance(decision, UseStale):
            return decision
        return UseStale(decision.stored, decision.age, decision.ttl, decision.lifetime, Reason.BACKOFF)

    def _live(self, request: Request) -> StoredResponse | None:
        stored = request.found.stored
        return None if stored is None or self._fetcher.purged(stored) else stored

    def _slow(self, request: Request, *, collapsed: bool) -> bool:
        """Answer with a stale response in the place of what is awaited, if it still may be used."""
        decision = self._stale(request, Reason.STALE_IF_SLOW)
        if not isinstance(decision, UseStale):
            return False
        how = How(fwd=request.fwd, collapsed=collapsed, ttl=floor(decision.ttl), detail=Reason.STALE_IF_SLOW)
        self._serve(request, decision, how)
        return True

    def _serve(self, request: Request, decision: UseStale, how: How) -> None:
        note, policy = request.note, request.route.policy
        note.outcome = Outcome.STALE if decision.ttl <= 0 else Outcome.HIT
        note.reason = decision.reason
        if how.fwd is None:
            note.saved = decision.stored.origin_seconds
        stored = self._fetcher.compression.presented(request.head, decision.stored, policy)
        request.plan.deliver.stored(request.out, stored, request.route, decision.age, how)
