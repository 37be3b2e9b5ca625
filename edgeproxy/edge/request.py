"""One request on its way through the cycle, and the plan that it is served by.

Must not know how any step is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgeproxy.caching.key import cache_key
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.edge.deliver import Deliver
from edgeproxy.edge.heads import Heads
from edgeproxy.edge.ledger import Note
from edgeproxy.edge.lookup import NOTHING, Found
from edgeproxy.edge.outgoing import Outgoing
from edgeproxy.edge.ports import Downstream
from edgeproxy.edge.routing import Route, Router
from edgeproxy.upstream.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Plan:
    """What a configuration says about requests; replaced whole at a reload."""

    router: Router
    upstreams: Mapping[str, Upstream]
    outgoing: Outgoing
    deliver: Deliver
    heads: Heads
    max_body: int = 0  # bytes, where the route has no limit of its own; 0 for none


class Request:
    """One request on its way: what each step of the cycle learnt for the next."""

    __slots__ = (
        "found",
        "fwd",
        "head",
        "key",
        "looks",
        "note",
        "out",
        "plan",
        "route",
        "sliced",
        "upstream",
        "waits_until",
        "why",
    )

    def __init__(self, out: Downstream, plan: Plan, route: Route, upstream: Upstream, note: Note) -> None:
        self.out = out
        self.head = out.head
        self.plan = plan
        self.route = route
        self.upstream = upstream
        self.note = note
        target = out.head.target
        # The key is that of the URI as a GET would be routed, whatever the method.
        self.key = (
            cache_key(target, route.policy.key) if out.head.method == b"GET" else plan.router.key_of(target)
        )
        self.sliced = False  # for one slice, whose Range is part of its key
        self.looks = 0  # how often it looked again for what others fetched
        self.waits_until = 0.0  # on the loop's clock, for others' fetches; 0: it did not wait yet
        self.found: Found = NOTHING
        self.fwd = Fwd.BYPASS
        self.why = Reason.DISABLED

    def __repr__(self) -> str:
        return f"<Request {self.head.method!r} {self.key!r} {self.route.name} {self.fwd}>"
