"""What a client gets of a fetch: the growing response, a stored one that the fetch confirmed, a stale one.

Must not know how the fetch came about.
"""

from math import floor

from edgeproxy.caching import decide
from edgeproxy.caching.decide import Freshen, Relay, UseStale
from edgeproxy.clock import Clock
from edgeproxy.edge.deliver import How
from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.ledger import Outcome
from edgeproxy.edge.lookup import NOTHING
from edgeproxy.edge.request import Request
from edgeproxy.errors import BadResponse, EdgeProxyError


class Answers:
    """Answers clients from fills."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self._fetcher = fetcher
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Answers {self._fetcher!r}>"

    def answer(self, request: Request, fill: Fill, *, collapsed: bool) -> None:
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
            self.from_stored(request, decision, fill.answered, collapsed)
        else:
            note.outcome = Outcome.COLLAPSED if collapsed else Outcome.MISS
            self.grow(request, fill, collapsed=collapsed)

    def grow(self, request: Request, fill: Fill, *, collapsed: bool) -> None:
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

    def from_stored(
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
        stored = self._fetcher.compression.presented(request.head, decision.stored, request.route.policy)
        request.plan.deliver.stored(request.out, stored, request.route, decision.age, how, private)

    def failed(self, request: Request, error: EdgeProxyError, *, collapsed: bool) -> None:
        """No head came: a stale response where one may be used, else the error."""
        if request.found.stored is not None and self._fetcher.purged(request.found.stored):
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
        self.from_stored(request, decision, None, collapsed)
