"""An upstream: takes a request to an origin and its response to a sink, trying again where that is safe.

Must not know caching, routes or clients.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from edgeproxy.errors import (
    BadRequest,
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    FirstByteTimeout,
    NoHealthyOrigin,
    Overloaded,
    UpstreamError,
)
from edgeproxy.upstream.balancers import make_balancer
from edgeproxy.upstream.budget import RetryBudget
from edgeproxy.upstream.connection import Connection
from edgeproxy.upstream.course import UpstreamCourse, watches
from edgeproxy.upstream.dns import Resolver
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.names import Names
from edgeproxy.upstream.origin import Origin, Steer
from edgeproxy.upstream.outliers import Outliers
from edgeproxy.upstream.ports import PLAIN_GET, OriginRequest, ResponseSink
from edgeproxy.upstream.recorder import Recorder
from edgeproxy.upstream.retry import IDEMPOTENT, Again, may_retry
from edgeproxy.upstream.roster import Roster
from edgeproxy.upstream.settings import UpstreamSettings
from edgeproxy.upstream.shown import shown
from edgeproxy.upstream.supply import Supply, Tries

_log = logging.getLogger("edgeproxy.upstream")

GATEWAY_ERRORS = frozenset({502, 503, 504})


class Upstream:
    """A pool of origins. `start` before use, `close` in the end; both in the same event loop.

    `context` is for https origins; `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        origins: Sequence[Origin],
        recorder: Recorder,
        *,
        context: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = settings.name
        self.settings = settings
        self._recorder = recorder
        self._clock = clock
        balancer = make_balancer(settings.balance, origins, settings.hash_bound)
        self._roster = Roster(
            origins,
            balancer,
            settings.ejection,
            slow_start=settings.slow_start,
            panic_below=settings.panic_below,
            patience=_patience(settings),
            heard=self._ejected,
        )
        outliers = Outliers(settings.ejection)
        self._outliers = outliers if outliers.judges else None
        self._supply = Supply(settings, self._roster, self, context, clock)
        self._budget = RetryBudget(settings.retries.budget)
        # what counts as a failure of the origin, and is told apart from a good answer
        self._bad = GATEWAY_ERRORS | {status for status in settings.retries.status if status >= 500}
        self._watched = watches(settings)
        self._course = UpstreamCourse(self, self._roster, self._supply, self._budget, recorder, self._bad)
        # time
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._sweep_every = _sweep_interval(settings)
        self._ticked = 0.0
        self._names = Names(settings, resolver, self._roster, self._supply)

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self._roster!r} {self._supply!r}>"

    @property
    def connections(self) -> int:
        """Connections to origins now, idle ones and tunnels included."""
        return len(self._supply.connections)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock()

    # --- life

    async def start(self) -> None:
        """Begin to resolve names and to keep time."""
        self._ticked = self._clock()
        self._schedule()
        for origin in self._roster.origins:
            self._names.locate(origin)
        self._judge(self._ticked)
        self._course.start()

    async def close(self) -> None:
        """Close every connection and end every task; exchanges under way fail."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._course.close()
        await self._names.close()
        self._recorder.panic(self.name, False)
        self._supply.close()
        await asyncio.sleep(0)  # lets the transports tell that they are gone

    # --- exchanges

    async def exchange(self, request: OriginRequest, sink: ResponseSink) -> OriginExchange:
        """Send a request; returns once the final head was handed to `sink`, which may have more by then.

        Raises UpstreamError when no retry is left or safe, BadRequest for what cannot be written as
        a request, and whatever befell the request's body. Cancelled, it closes its connection.
        """
        self._budget.requests += 1
        now = self._clock()
        endpoint = None if request.prefer is None else self._roster.preferred(request.prefer, now)
        if self._watched:
            total = self.settings.retries.total if request.body is None else None
            tries = Tries(self.settings.retries.attempts, endpoint)
            if total is not None:
                tries.deadline = now + total
            return await self._persist(request, sink, tries)
        if endpoint is None:
            endpoint = self._roster.choose(request.hash_key, now, risk=request.method in IDEMPOTENT)
        connection = None if endpoint is None else self._supply.reuse(endpoint, request, now)
        if connection is None:
            tries = Tries(self.settings.retries.attempts, endpoint)
            return await self._persist(request, sink, tries)
        return await self.go_on(self.begin(connection, request, sink, now), request, sink)

    async def rest(self, request: OriginRequest, sink: ResponseSink, broken: Origin) -> OriginExchange | None:
        """As `exchange`, at another origin than the one that broke off; None where no retry is left."""
        tries = Tries(self.settings.retries.attempts)
        if self._closed or not self._course.once_more(broken, tries):
            return None
        return await self._persist(request, sink, tries)

    def idle(self, hash_key: bytes) -> Connection | None:
        """An idle connection to the origin whose turn it is; None: `exchange` has to see to one.

        It is for a GET, and `begun` at once; never where requests are watched. No turn is taken from an
        origin for nothing: all of them have an idle connection, or nobody is asked.
        """
        roster, now = self._roster, self._clock()
        if self._watched or now >= roster.next_return:
            return None
        for origin in roster.usable:
            for endpoint in origin.usable:
                if not endpoint.idle:
                    return None
        chosen = roster.choose(hash_key, now)
        return None if chosen is None else self._supply.reuse(chosen, PLAIN_GET, now)

    def begun(self, exchange: OriginExchange, head: bytes) -> None:
        """Send this head on the connection of `exchange`, which `idle` found."""
        self._budget.requests += 1
        exchange.connection.send(head, exchange)
        exchange.origin.active += 1

    async def go_on(
        self, exchange: OriginExchange, request: OriginRequest, sink: ResponseSink
    ) -> OriginExchange:
        """As `exchange`, once the request is under way."""
        try:
            await exchange.answered
        except UpstreamError as error:
            endpoint = exchange.connection.endpoint
            tries = Tries(self.settings.retries.attempts, endpoint=endpoint, exchange=exchange)
            if not self._plan(request, error, tries):
                raise
        except BaseException:
            exchange.abort()
            raise
        else:
            return exchange
        return await self._persist(request, sink, tries)

    async def _persist(self, request: OriginRequest, sink: ResponseSink, tries: Tries) -> OriginExchange:
        """The long way: connect, wait, try again."""
        while True:
            tries.exchange = None
            try:
                connection = await self.acquire(request, tries)
                if self._watched:
                    won = await self._course.run(connection, request, sink, tries)
                    if won is not None:
                        return won
                    continue
                exchange = tries.exchange = self.begin(connection, request, sink, self._clock())
                await exchange.answered
            except UpstreamError as error:
                if not self._plan(request, error, tries):
                    raise
            except BaseException:
                if tries.exchange is not None:
                    tries.exchange.abort()
                raise
            else:
                return exchange

    async def acquire(self, request: OriginRequest, tries: Tries) -> Connection:
        if not self._roster.usable:
            await self._names.first(self._clock)
        try:
            return await self._supply.acquire(request, tries)
        except NoHealthyOrigin:
            if self._names.error is not None:
                raise self._names.error from None
            raise
        except Overloaded:
            if not tries.hedge:
                self._recorder.overloaded(self.name)
            raise
        except UpstreamError as error:
            if tries.endpoint is not None and error.retry_safe:
                self._record(tries.endpoint.origin, error.proxy_error, tries.started)
                if isinstance(error, ConnectRefused | ConnectTimeout):
                    self._course.dropped(tries.endpoint.origin, tries.started)
            raise

    def begin(
        self, connection: Connection, request: OriginRequest, sink: ResponseSink, now: float
    ) -> OriginExchange:
        origin = connection.endpoint.origin
        try:
            exchange = connection.begin(request, sink, now)
        except ValueError as error:
            connection.close()
            raise BadRequest(f"the request cannot be passed on: {error}") from error
        origin.active += 1
        return exchange

    def _plan(self, request: OriginRequest, error: UpstreamError, tries: Tries) -> bool:
        """Whether to try again, and where; False: the error stands."""
        exchange = tries.exchange
        endpoint = tries.endpoint
        reused = exchange is not None and exchange.reused
        started = exchange is not None and exchange.connection.reader.started
        again = may_retry(request, error, reused=reused, started=started)
        if again is Again.NO or endpoint is None or self._closed:
            return False
        if again is Again.FRESH and not tries.fresh:
            tries.fresh = True
            return True
        tries.fresh = False
        return self._course.once_more(endpoint.origin, tries)

    # --- what a connection tells (connection.Owner)

    def answered(self, exchange: OriginExchange) -> None:
        endpoint = exchange.connection.endpoint
        status = exchange.status
        bad = status in self._bad
        if endpoint.seen is not None and not bad:
            endpoint.seen.answered(self._clock() - exchange.started)
        if bad:
            self._roster.failed(endpoint, self._clock(), reached=True, started=exchange.started)
        elif endpoint.circuit.open_until:
            self._roster.succeeded(endpoint, self._clock())
        if self._watched and not bad:
            self._course.learn(exchange)
        self._record(exchange.origin, status, exchange.started)

    def finished(self, exchange: OriginExchange, reusable: bool) -> None:
        exchange.origin.active -= 1
        connection = exchange.connection
        if exchange.status not in self._bad:
            connection.endpoint.failures = 0
        if reusable:
            self._supply.release(connection, self._clock())

    def failed(self, exchange: OriginExchange, error: Exception) -> None:
        exchange.origin.active -= 1
        endpoint = exchange.connection.endpoint
        now = self._clock()
        # An idle connection that ended as we used it says nothing of the origin, nor does a client's fault.
        raced = (
            exchange.reused and isinstance(error, ConnectionLost) and not exchange.connection.reader.started
        )
        if raced or not isinstance(error, UpstreamError):
            self._roster.abandoned(endpoint, now, exchange.started)
        else:
            silent = isinstance(error, FirstByteTimeout)
            self._roster.failed(endpoint, now, reached=not silent, started=exchange.started)
            if silent:
                self._course.dropped(exchange.origin, exchange.started)
        if not exchange.status and isinstance(error, UpstreamError):
            self._record(exchange.origin, error.proxy_error, exchange.started)

    def abandoned(self, exchange: OriginExchange) -> None:
        exchange.origin.active -= 1
        self._roster.abandoned(exchange.connection.endpoint, self._clock(), exchange.started)

    def closed(self, connection: Connection) -> None:
        self._supply.closed(connection)

    def _record(self, origin: Origin, code: int | str, started: float) -> None:
        self._recorder.origin_request(self.name, origin.key, code, self._clock() - started)

    def _ejected(self, origin: Origin, why: str) -> None:
        if why:
            self._recorder.ejected(self.name, origin.key, why)
            _log.warning("upstream %s: origin %s is left out for a while: %s", self.name, origin.key, why)
        else:
            _log.info("upstream %s: origin %s is back", self.name, origin.key)
        out = bool(origin.endpoints) and all(endpoint.circuit.open_until for endpoint in origin.endpoints)
        self._recorder.out(self.name, origin.key, out)

    # --- health and steering

    def available(self) -> bool:
        """Whether any origin may be asked, as far as is known."""
        return bool(self._roster.usable)

    def set_active(self, origin_key: str, healthy: bool) -> bool:
        """What an active check found; False if no origin has that key."""
        return self._roster.set_active(origin_key, healthy)

    def steer(self, origin_key: str, state: str) -> bool:
        """`up`, `drain` or `down` an origin; False if no origin has that key.

        Raises ValueError for other states.
        """
        wanted = Steer(state)
        found = self._roster.steer(origin_key, wanted)
        if wanted is Steer.DOWN:
            for origin in found:
                self._supply.drop_idle(origin.endpoints)
        return bool(found)

    def snapshot(self) -> list[dict[str, Any]]:
        """The origins as they are now, for operators: JSON-able."""
        return shown(self._roster, self._supply.pool.waiting, self._clock(), self._course.delay)

    # --- time

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._sweep_every, self._sweep)

    def _sweep(self) -> None:
        self._schedule()
        now = self._clock()
        self._supply.sweep(now)
        if now - self._ticked >= 1.0:
            self._ticked = now
            self._budget.tick()
            self._judge(now)

    def _judge(self, now: float) -> None:
        """What is done by time: slow starts, outliers, and telling of a panic."""
        roster = self._roster
        roster.tick(now)
        if self._outliers is not None:
            endpoints = [endpoint for origin in roster.origins for endpoint in origin.endpoints]
            for endpoint, why in self._outliers.judge(endpoints, now):
                roster.outlying(endpoint, now, why)
        self._recorder.panic(self.name, roster.panic)


def _patience(settings: UpstreamSettings) -> float:
    """Seconds after which a request that tries an origin anew has surely come to an end, or is forgotten."""
    timeouts = settings.timeouts
    return timeouts.queue + timeouts.connect + timeouts.first_byte


def _sweep_interval(settings: UpstreamSettings) -> float:
    """Seconds between sweeps: one, or a quarter of the shortest timeout, but not below 20 ms."""
    timeouts = settings.timeouts
    shortest = min(timeouts.first_byte, timeouts.between_bytes, timeouts.idle, settings.keepalive or 4.0)
    return min(1.0, max(shortest / 4, 0.02))
