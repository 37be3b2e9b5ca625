"""Fresh responses revalidated in the background shortly before their end.

Must not know when that is due (`caching.early`), nor connections. Costs a hit nothing: the fast path asks
when it makes an answer's bytes anew, once a second at most.
"""

import random
from collections.abc import Callable

from edgeproxy.caching.decide import UseStored, on_request
from edgeproxy.caching.early import revalidates_early
from edgeproxy.caching.key import cache_key
from edgeproxy.caching.reasons import Reason
from edgeproxy.clock import Clock
from edgeproxy.edge.forward import Forwarder
from edgeproxy.edge.ledger import Note
from edgeproxy.edge.outgoing import end_to_end
from edgeproxy.edge.ports import Client
from edgeproxy.edge.request import Plan, Request
from edgeproxy.wire.heads import RequestHead

NOBODY = b"unknown"
"""Whom such a request is sent for, in X-Forwarded-For: many asked, and none of them waits."""


class Early:
    """Starts revalidations of what is still fresh, for one worker; `started` counts them."""

    def __init__(
        self, plan: Plan, forwarder: Forwarder, clock: Clock, draw: Callable[[], float] = random.random
    ) -> None:
        self.plan = plan
        self.started = 0
        self._forwarder = forwarder
        self._clock = clock
        self._draw = draw

    def __repr__(self) -> str:
        return f"<Early started={self.started}>"

    def one(self, request: Request, decision: UseStored) -> None:
        """One request was answered from the store the long way: revalidate, if it draws that."""
        stored = decision.stored
        scale = request.route.early * stored.origin_seconds
        if decision.reason is not Reason.FRESH or stored.status == 206 or request.sliced:
            return
        if revalidates_early(decision.ttl, scale, 1, self._draw()):
            self._start(request, decision)

    def many(self, head: RequestHead) -> None:
        """Those who are answered with what `head` asks for drew it between them."""
        plan, target = self.plan, head.target
        route = plan.router.match(target, b"GET")
        upstream = plan.upstreams.get(route.upstream or "") if route is not None else None
        if route is None or upstream is None:
            return
        fetcher = self._forwarder.fetcher
        key = cache_key(target, route.policy.key)
        found = fetcher.lookup.peek(key, head, route.policy)
        if route.policy.compress:
            found = fetcher.compression.basis(head, found)
        now = self._clock.wall()
        decision = on_request(head, found.stored, route.policy, now, soft_purged=found.soft_purged)
        if isinstance(decision, UseStored):
            asked = Asked(end_to_end(head))
            request = Request(asked, plan, route, upstream, Note(0.0))  # type: ignore[arg-type]
            request.found = found
            self._start(request, decision)

    def _start(self, request: Request, decision: UseStored) -> None:
        gate = self._forwarder.fetcher.shield.admissions.of(request.upstream)
        if request.plan.outgoing.loops(request.head) or (gate is not None and gate.busy):
            return
        request.why = Reason.EARLY
        self.started += self._forwarder.revalidate(request, decision.stored)


class Asked:
    """What a request that nobody waits for needs of a client."""

    __slots__ = ("client", "head")

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.client = Client(NOBODY, head.target.scheme)
