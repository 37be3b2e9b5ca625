"""Waiting for somebody else's fetch, and what that came to.

Must not know what one does who waited in vain.
"""

from dataclasses import dataclass

from edgeproxy.caching import decide
from edgeproxy.caching.compression import agreed_names
from edgeproxy.caching.decide import Again, Freshen, Store, Unusable, UseStale
from edgeproxy.caching.ranges import answers
from edgeproxy.caching.vary import variant_of
from edgeproxy.clock import Clock
from edgeproxy.edge.answers import Answers
from edgeproxy.edge.deliver import body_length
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.instead import Instead
from edgeproxy.edge.request import Request


@dataclass(frozen=True, slots=True)
class Served:
    """A follower has its answer."""


@dataclass(frozen=True, slots=True)
class Regroup:
    """A follower waited for another variant than its own, which is this one."""

    variant: bytes


@dataclass(frozen=True, slots=True)
class InVain:
    """A follower waited in vain and fetches for itself."""


Followed = Served | Regroup | InVain


class Follower:
    """Answers clients from a fetch that another one began."""

    def __init__(self, answers: Answers, instead: Instead, clock: Clock) -> None:
        self._answers = answers
        self._instead = instead
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Follower {self._answers!r}>"

    async def follow(self, request: Request, fill: Fill) -> Followed:
        route = request.route
        if await self._instead.follows(request, fill):
            return Served()
        if fill.head is None or isinstance(fill.decision, Unusable | Again):
            if fill.error is None or isinstance(fill.decision, Again):
                return InVain()
            self._answers.failed(request, fill.error, collapsed=True)
            return Served()
        if isinstance(fill.decision, Freshen) and fill.decision.keep is not None:
            return InVain()  # this very answer made it the leader's own
        if isinstance(fill.decision, Freshen | UseStale) and not answers(request.head, fill.decision.stored):
            return InVain()  # a part, and not of what this one asks for
        if isinstance(fill.decision, Store | Freshen):
            answer = fill.head if isinstance(fill.decision, Store) else fill.decision.stored
            names = agreed_names(answer, route.policy, body_length(fill.head))
            mine = variant_of(request.head, names, route.policy)
            if mine != variant_of(fill.job.request, names, route.policy):
                return Regroup(mine)
            if isinstance(fill.decision, Store) and not fill.shared_whole:
                return InVain()
        elif not isinstance(fill.decision, UseStale) or not self._takes(request, fill, fill.decision):
            return InVain()
        self._answers.answer(request, fill, collapsed=True)
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
