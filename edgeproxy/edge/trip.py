"""One plain request on its way to an origin and back: the exchange of its client, the sink of its origin.

Must not know sockets. What turns out not to be plain is handed on, as it stands, to the way that knows
everything: a `Fill`, an exchange and `Forwarder.resume`. A test holds the answers of both ways together.
"""

from collections.abc import Callable

from edgeproxy.caching import decide
from edgeproxy.caching.decide import CLIENTS_OWN, Relay, Store
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.storability import forbidden
from edgeproxy.edge.fill import CollapseKey, Fill, FillFor
from edgeproxy.edge.hot import JOIN_BELOW
from edgeproxy.edge.lane import ExpressClient, Lane
from edgeproxy.edge.ledger import Note, Outcome
from edgeproxy.edge.outgoing import end_to_end
from edgeproxy.edge.ports import Client, nothing
from edgeproxy.edge.request import Plan, Request
from edgeproxy.edge.routing import Route
from edgeproxy.errors import UpstreamError
from edgeproxy.upstream.connection import Connection
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.ports import PLAIN_GET
from edgeproxy.upstream.upstream import Upstream
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import parse_request_head
from edgeproxy.wire.serialise import response_head_bytes

_ANY = HeadLimits(1 << 30, 1 << 30, 1 << 30)  # they were kept when it was recognised
_NOT_CACHED = Relay(Reason.DISABLED)


class _Nobody:
    """Takes what comes after all is said."""

    def on_interim(self, head: ResponseHead) -> None: ...
    def on_head(self, head: ResponseHead, origin: Origin) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self, trailers: Fields | None) -> None: ...
    def on_error(self, error: UpstreamError) -> None: ...


NOBODY = _Nobody()


class _UnderWay(OriginExchange):
    """The exchange with the origin; its failure is for the trip to take, until that has handed it on."""

    __slots__ = ("trip",)

    def __init__(self, connection: Connection, trip: "Trip", now: float) -> None:
        super().__init__(connection, PLAIN_GET, trip, now, connection.used)
        self.trip: Trip | None = trip

    def fail(self, error: Exception) -> None:
        trip, self.trip = self.trip, None
        if trip is not None and trip.fill is None and not trip.failing():
            return
        super().fail(error)


class Trip:
    """One plain request to an origin and back: the exchange of its client, the sink of its origin.

    `fill` is set once it was handed on; from then on it is over for this.
    """

    counted = True
    body = None
    error = None  # what fails is handed on

    __slots__ = (
        "_client",
        "_connection",
        "_content",
        "_data",
        "_decision",
        "_head",
        "_lane",
        "_moment",
        "_parsed",
        "_plain",
        "_plan",
        "_upstream",
        "close_after",
        "collapse_key",
        "fill",
        "fwd",
        "gone",
        "key",
        "note",
        "on_writable",
        "route",
        "sent",
        "started",
        "status",
        "under_way",
    )

    def __init__(
        self,
        lane: Lane,
        connection: ExpressClient,
        client: Client,
        data: bytes,
        plain: RequestHead,
        route: Route,
        key: bytes,
        plan: Plan,
        upstream: Upstream,
        origin_connection: Connection,
    ) -> None:
        # request
        self._lane = lane
        self._connection = connection
        self._client = client
        self._data = data
        self._plain = plain
        self._parsed: RequestHead | None = None
        self.route = route
        self.key = key
        self._plan = plan
        self._upstream = upstream
        clock = lane.clock
        now = clock.monotonic()
        self.note = note = Note(now)
        note.route = route.name
        note.upstream = upstream.name
        if route.policy.enabled:
            self.fwd = Fwd.URI_MISS
            note.outcome = Outcome.MISS
            note.reason = Reason.NOT_STORED
        else:
            self.fwd = Fwd.BYPASS
            note.outcome = Outcome.BYPASS
            note.reason = Reason.DISABLED
        # fetch
        self._moment = lane.fetcher.moment(now)
        self.under_way = _UnderWay(origin_connection, self, now)
        self.collapse_key: CollapseKey | None = None
        self.fill: Fill | None = None
        # response
        self._head: ResponseHead | None = None
        self._decision: Store | Relay = _NOT_CACHED
        self._content = b""
        self.status = 0
        self.started = False
        self.sent = 0
        self.close_after = False
        self.gone = False
        self.on_writable: Callable[[], None] = nothing

    def __repr__(self) -> str:
        return f"<Trip {self._plain.target.uri!r} {'handed on' if self.fill else self.status or '-'}>"

    @property
    def client(self) -> Client:
        """Who asks."""
        return self._client

    @property
    def head(self) -> RequestHead:
        """The request's head, read whole when somebody wants it."""
        if self._parsed is None:
            self._parsed = parse_request_head(self._data, self._plain.target.scheme, _ANY)
        return self._parsed

    # --- from the origin (ResponseSink)

    def on_interim(self, head: ResponseHead) -> None:
        """Not plain: others may be passed on before the final head."""
        self.hand_on().on_interim(head)

    def on_head(self, head: ResponseHead, origin: Origin) -> None:
        """Judge the response, or let the other way do so."""
        if not self.under_way.connection.reader.whole or head.status in (101, 304):
            self.hand_on().on_head(head, origin)
            return
        policy = self.route.policy
        if policy.enabled:
            refused = forbidden(head, policy)
            if refused is not None:
                self._decision = Relay(refused)
            else:
                now = self._lane.clock.wall()
                decision = decide.on_response(self._plain, head, None, policy, now)
                if not isinstance(decision, Relay | Store):
                    self.hand_on().on_head(head, origin)
                    return
                self._decision = decision
        self._head = head
        self.note.origin = origin.key

    def on_data(self, data: bytes) -> None:
        """The body, all of it: what comes in pieces was handed on with the head."""
        self._content = data

    def on_error(self, error: UpstreamError) -> None:
        """It broke off."""
        self.hand_on().on_error(error)

    def on_end(self, trailers: Fields | None) -> None:
        """The response is whole: store it or remember why not, and answer."""
        head = self._head
        assert head is not None
        note = self.note
        decision = self._decision
        lane = self._lane
        if isinstance(decision, Store):
            self._store(head, decision)
            note.stored = True
        elif self.route.policy.enabled:
            note.reason = decision.reason
            self._refused(head, decision)
        self._over()
        if not self.gone:
            self._answer(head)
        lane.ledger.finished(self, self.status or 499, note)
        if not self.gone:
            self._connection.exchange_ended(self)

    def _answer(self, head: ResponseHead) -> None:
        heads, note, route = self._plan.heads, self.note, self.route
        cache_status = self._plan.deliver.forwarded(
            self.fwd, head.status, note.stored, route.policy, self.key, note.reason
        )
        closes = self.close_after = self._connection.last_words
        written = None if closes else heads.spliced(head, route, cache_status)
        if written is None:
            lines = heads.relayed(head, route, cache_status, self._lane.clock.wall())
            if closes:
                lines.append((b"Connection", b"close"))
            written = response_head_bytes(head.status, head.reason, lines)
        content = self._content
        self.started = True
        self.status = head.status
        self.sent = len(content)
        if len(content) <= JOIN_BELOW:
            self._connection.write(written + content)
        else:
            self._connection.write_many((written, content))

    def _job(self, request: RequestHead) -> FillFor:
        moment = self._moment
        return FillFor(
            self.key,
            request,
            self.route,
            None,
            soft_purged=False,
            why=Reason.NOT_STORED,
            stamp=moment.stamp,
            purge_seq=moment.purge_seq,
            request_time=moment.request_time,
            started=moment.started,
            store=True,
        )

    def _store(self, head: ResponseHead, decision: Store) -> None:
        lane, moment = self._lane, self._moment
        body = (self._content,) if self._content else ()
        now = lane.clock.wall()
        spent = lane.clock.monotonic() - moment.started
        key = self.route.policy.key
        selects = key.headers or key.cookies or b"vary" in head.fields.index
        request = end_to_end(self.head) if selects else self._plain
        lane.fetcher.keeper.keep(self._job(request), head, decision, body, moment.stamp, now, spent)

    def _refused(self, head: ResponseHead, decision: Relay) -> None:
        fetcher, clock = self._lane.fetcher, self._lane.clock
        reason = decision.reason
        if reason not in CLIENTS_OWN:
            fetcher.collapse.vain.remember(self.key, clock.monotonic())
        now = clock.wall()
        if not fetcher.unstored.noted(self.key, reason, now):
            fetcher.unstored.note(self._job(self._plain), head, reason, now)

    # --- what is not plain

    def failing(self) -> bool:
        """The exchange with the origin fails: whether there is a way on that takes the error."""
        if self._lane.closed:
            self._over()
            return False
        self.hand_on()
        return True

    def as_fill(self) -> Fill:
        """For those who want to wait for it too."""
        return self.hand_on()

    def hand_on(self) -> Fill:
        """Go on by the way that knows everything; what has come so far is not lost."""
        if self.fill is not None:
            return self.fill
        route, lane = self.route, self._lane
        collapse = self.collapse_key
        out = self._connection.unpack(self)
        out.head = end_to_end(out.head)
        request = Request(out, self._plan, route, self._upstream, self.note)
        request.fwd = self.fwd
        request.why = Reason.NOT_STORED if route.policy.enabled else Reason.DISABLED
        self.fill = fill = lane.fetcher.begin(
            self.key,
            out.head,
            route,
            store=route.policy.enabled,
            why=request.why,
            conditionals_forwarded=not route.policy.enabled,
            leader=out,
            collapse=collapse,
            moment=self._moment,
        )
        self._over()
        lane.handed_on += 1
        under_way = self.under_way
        under_way.sink = fill
        under_way.connection.reader.hand_to(fill)
        lane.run(lane.cycle.resume(request, fill, under_way))
        return fill

    # --- from the client's side

    def left(self) -> None:
        """The client is gone: go on only for what others may get."""
        self.gone = True
        if self.collapse_key is None:
            self._over()
            self.under_way.abort()
            self._lane.ledger.finished(self, 499, self.note)

    def _over(self) -> None:
        """Nothing more of it goes this way."""
        lane = self._lane
        self.under_way.trip = None
        self.under_way.sink = NOBODY  # no cycle is left for the collector
        lane.trips.discard(self)
        lane.fetcher.collapse.release(self)
