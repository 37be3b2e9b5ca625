"""The requests that are plain, taken: those that nothing stored answers, forwarded without a task.

Must not know sockets, nor how a request goes on once it is under way (`trip`).

Plain is: a GET of the fast path's kind, a route that changes nothing on the way, an idle connection to the
origin, and an answer that comes in one piece, head, length and body.
"""

from edgeproxy.edge.fastpath import FastPath
from edgeproxy.edge.fill import CollapseKey
from edgeproxy.edge.lane import ExpressClient, Lane
from edgeproxy.edge.ports import Client
from edgeproxy.edge.trip import Trip


class Express(Lane):
    """Takes the requests that are plain, for one worker."""

    def take(self, connection: ExpressClient, client: Client, data: bytes, fast: FastPath) -> "Trip | None":
        """Send the request whose head is `data` on its way, or do nothing: None.

        `fast` has just found nothing stored for it.
        """
        missed, fast.missed = fast.missed, None
        # Of these very bytes: while a connection drains, nobody asked the fast path about them.
        if missed is None or missed[0] != data or self.closed:
            return None
        _, plain, route, key = missed
        if not route.plain:
            return None
        fetcher = self.fetcher
        collapse: CollapseKey | None = None
        lookup = fetcher.lookup
        leases = fetcher.collapse.leases
        vain = route.policy.enabled and fetcher.collapse.vain.holds(key, self.clock.monotonic())
        if route.policy.enabled and not vain:
            if (lookup.aliases and route.policy.no_vary_search) or not lookup.absent(key):
                return None
            if route.collapse:
                collapse = (key, None)
                if fetcher.collapse.find(collapse) is not None:
                    return None
        plan, target = self.cycle.plan, plain.target
        lines = plan.outgoing.plain_lines(data, client)
        if lines is None:
            return None
        upstream = plan.upstreams[route.upstream or ""]
        if leases is not None and collapse is not None and not leases.take_at_once(collapse):
            return None
        origin_connection = upstream.idle(target.authority + target.origin_form)
        if origin_connection is None:
            if leases is not None and collapse is not None:
                leases.give_back(collapse)
            return None
        if vain:
            self.ledger.looked_up("memory", False)
        elif route.policy.enabled:
            lookup.missed()
        trip = Trip(self, connection, client, data, plain, route, key, plan, upstream, origin_connection)
        if collapse is not None:
            fetcher.collapse.lead(collapse, trip)
        host = origin_connection.host(target.authority)
        path = origin_connection.endpoint.origin.location.prefix + route.origin_target(target)
        head, trip.note.request_id = plan.outgoing.plain_head(path, host, lines, target, client)
        upstream.begun(trip.under_way, head)
        self.trips.add(trip)
        self.taken += 1
        return trip
