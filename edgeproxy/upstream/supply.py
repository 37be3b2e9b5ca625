"""Connections for requests: an idle one, a new one, or the first that comes free.

Must not send requests, judge answers or decide on retries.
"""

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgeproxy.errors import ConnectRefused, NoHealthyOrigin, Overloaded, PoolExhausted, UpstreamError
from edgeproxy.upstream.connect import open_connection
from edgeproxy.upstream.connection import Connection, Owner
from edgeproxy.upstream.exchange import OriginExchange, lost_at_once
from edgeproxy.upstream.origin import Endpoint, Origin
from edgeproxy.upstream.pool import Grant, Pool, Waiter
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.upstream.request_head import HeadMaker
from edgeproxy.upstream.retry import IDEMPOTENT
from edgeproxy.upstream.roster import Roster
from edgeproxy.upstream.settings import UpstreamSettings


@dataclass(slots=True)
class Tries:
    """How far one request has come.

    `left` retries remain; `chosen` is an endpoint picked already, for the next try; `fresh` asks for
    a new connection to the origin of `endpoint`, where the last try went; `exchange` is that try's,
    None if it never had a connection. `hedge`: a second copy of a request under way, for which no
    origin is risked and nothing waited for. A try may last until `until` seconds (monotonic), and none
    after `deadline`.
    """

    left: int
    chosen: Endpoint | None = None
    tried: list[Origin] = field(default_factory=list)
    fresh: bool = False
    endpoint: Endpoint | None = None
    exchange: OriginExchange | None = None
    started: float = 0.0
    hedge: bool = False
    hedged: bool = False
    until: float = math.inf
    deadline: float = math.inf


class Supply:
    """The connections of one upstream, busy and idle, and the way to one more."""

    def __init__(
        self,
        settings: UpstreamSettings,
        roster: Roster,
        owner: Owner,
        context: ssl.SSLContext | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._roster = roster
        self._owner = owner
        self._context = context
        self._clock = clock
        self._heads = HeadMaker(settings.host_header)
        self.pool = Pool(settings.max_connections, settings.max_pending)
        self.connections: set[Connection] = set()
        self._limited = settings.concurrency is not None
        self._over = False

    def __repr__(self) -> str:
        return f"<Supply {len(self.connections)} connections, {self.pool!r}>"

    # --- getting one

    async def acquire(self, request: OriginRequest, tries: Tries) -> Connection:
        """A connection to the best origin that was not tried yet.

        Raises NoHealthyOrigin, PoolExhausted, ConnectRefused, ConnectTimeout, TlsFailure.
        """
        tries.started = now = self._clock()
        per_try = self._settings.retries.per_try if request.body is None else None
        tries.until = tries.deadline if per_try is None else min(now + per_try, tries.deadline)
        wait = min(self._settings.timeouts.queue, max(tries.until - now, 0.0))
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            tries.started = now = self._clock()
            if self._over:
                raise self._nobody("closing")
            endpoint = tries.endpoint = self._choose(request, tries, now)
            try:
                connection = await self._connect(endpoint, request, tries, deadline, now)
            except PoolExhausted:
                self._roster.abandoned(endpoint, now, now)
                raise
            if connection.endpoint is not endpoint:
                self._roster.abandoned(endpoint, now, now)  # it was not tried after all
            if not connection.closed:
                return connection

    async def _connect(
        self, endpoint: Endpoint, request: OriginRequest, tries: Tries, deadline: float, now: float
    ) -> Connection:
        """A connection there, or wherever there is room first; its origin is `tries.endpoint`'s."""
        connection = None if tries.fresh else self.reuse(endpoint, request, now)
        if connection is None:
            grant = self._claim(endpoint, request, tries, now) or await self._wait(tries, deadline)
            if isinstance(grant, Endpoint):
                tries.endpoint = grant
                return await self._open(grant, tries)
            assert isinstance(grant, Connection)
            connection = grant
        tries.endpoint = connection.endpoint
        return connection

    def _choose(self, request: OriginRequest, tries: Tries, now: float) -> Endpoint:
        chosen, tries.chosen = tries.chosen, None
        last = tries.endpoint
        if chosen is None and tries.fresh and last is not None and last in last.origin.usable:
            chosen = last
        if chosen is not None and not chosen.origin.full:
            return chosen
        besides: Sequence[Origin] = tries.tried
        if self._limited:
            besides = [*besides, *(origin for origin in self._roster.origins if origin.full)]
        risk = request.method in IDEMPOTENT and not tries.hedge
        endpoint = self._roster.choose(request.hash_key, now, besides, risk=risk)
        if endpoint is None:
            raise self._nobody("every origin is down, drained or ejected")
        if endpoint.origin.full:
            raise Overloaded(f"{self._settings.name}: as many requests under way as the origins bear")
        return endpoint

    def _nobody(self, why: str) -> NoHealthyOrigin:
        return NoHealthyOrigin(f"{self._settings.name}: {why}")

    def reuse(self, endpoint: Endpoint, request: OriginRequest, now: float) -> Connection | None:
        """An idle connection there, without waiting; None: `acquire` one."""
        pool = self.pool
        while True:
            connection = pool.reuse(endpoint, now)
            for old in pool.dead():
                assert isinstance(old, Connection)
                old.close()
            if connection is None:
                return None
            assert isinstance(connection, Connection)
            # What cannot be sent twice asks the kernel first; the rest would be sent again.
            if request.method in IDEMPOTENT or not connection.ended():
                return connection
            connection.close()

    def _claim(self, endpoint: Endpoint, request: OriginRequest, tries: Tries, now: float) -> Grant | None:
        """A place to open a connection, if need be at another origin; else whatever is idle."""
        pool = self.pool
        if pool.reserve(endpoint):
            return endpoint
        origin = endpoint.origin
        idle = pool.reuse_any(origin, now)
        if idle is not None:
            if not tries.fresh:
                return idle
            assert isinstance(idle, Connection)
            idle.close()  # makes room for a new one
            if pool.reserve(endpoint):
                return endpoint
        busy = (other for other in self._roster.usable if other.full or not pool.has_room(other))
        besides = [*tries.tried, *busy]
        if not self._roster.elsewhere(besides):
            return None
        other = self._roster.choose(request.hash_key, now, besides)
        if other is None:
            return None
        if pool.reserve(other):
            return other
        return pool.reuse_any(other.origin, now)

    async def _wait(self, tries: Tries, deadline: float) -> Grant:
        """Queue for what comes free, until `deadline` of the loop's time."""
        if self._limited:
            raise Overloaded(f"{self._settings.name}: all connections busy")
        if tries.hedge:
            raise PoolExhausted(f"{self._settings.name}: no connection free for a second copy")
        future: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()

        def granted(grant: Grant) -> bool:
            if future.done():
                return False
            future.set_result(grant)
            return True

        waiter = Waiter(granted, tuple(tries.tried))
        self.pool.wait(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        except BaseException as error:
            self.pool.leave(waiter)
            if future.done() and not future.cancelled():
                self.give_back(future.result())
            if isinstance(error, TimeoutError):
                wait = self._settings.timeouts.queue
                raise PoolExhausted(
                    f"{self._settings.name}: no connection came free within {wait:g} s"
                ) from error
            raise

    # --- opening

    async def _open(self, endpoint: Endpoint, tries: Tries) -> Connection:
        """Connect at the reserved place; where it is refused, the origin's other addresses in turn."""
        attempted = {endpoint}
        while True:
            tries.endpoint = endpoint
            try:
                return await self._open_at(endpoint, tries)
            except ConnectRefused:
                sibling = endpoint.origin.next_endpoint(self._clock(), attempted)
                if sibling is None or not self.pool.reserve(sibling):
                    raise
                attempted.add(sibling)
                endpoint = sibling

    async def _open_at(self, endpoint: Endpoint, tries: Tries) -> Connection:
        settings = self._settings
        location = endpoint.origin.location
        connection = Connection(endpoint, self._owner, settings, self._heads, self._clock)
        try:
            await open_connection(
                endpoint.address,
                lambda: connection,
                min(settings.timeouts.connect, max(tries.until - self._clock(), 0.0)),
                self._context if location.tls else None,
                settings.tls.server_name or location.host,
            )
        except UpstreamError:
            now = self._clock()
            self.pool.cancelled(endpoint, now)
            self._roster.failed(endpoint, now, connecting=True, started=tries.started)
            raise
        except BaseException:
            now = self._clock()
            self.pool.cancelled(endpoint, now)
            self._roster.abandoned(endpoint, now, tries.started)
            raise
        endpoint.doubted_until = 0.0
        self.pool.opened(connection)
        self.connections.add(connection)
        if self._over:
            connection.close()
            raise self._nobody("closing")
        if connection.closed:
            self.closed(connection)
            raise lost_at_once()
        return connection

    # --- giving back

    def release(self, connection: Connection, now: float) -> None:
        """An exchange is over and its connection whole: keep it, or close it if it is not worth keeping."""
        settings = self._settings
        until = now + settings.keepalive
        told = connection.reader.keep_alive_field
        if told is not None:
            until = min(until, now + _keep_alive_seconds(told))
        if settings.max_age is not None:
            until = min(until, connection.opened_at + settings.max_age)
        connection.usable_until = until
        if not self.pool.release(connection, now):
            connection.close()

    def closed(self, connection: Connection) -> None:
        """A connection is no more."""
        self.connections.discard(connection)
        self.pool.closed(connection, self._clock())

    def give_back(self, grant: Grant) -> None:
        """Give back what was granted to someone who is gone."""
        now = self._clock()
        if isinstance(grant, Endpoint):
            self.pool.cancelled(grant, now)
        else:
            assert isinstance(grant, Connection)
            if not grant.closed and not self.pool.release(grant, now):
                grant.close()

    # --- time and the end

    def sweep(self, now: float) -> None:
        """Close what idled too long, end what takes too long, wake those for whom there is room."""
        for connection in tuple(self.connections):
            connection.sweep(now)
        for origin in self._roster.origins:
            for old in self.pool.expired(origin, now):
                assert isinstance(old, Connection)
                old.close()
            self.pool.offer(origin, now)

    def drop_idle(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Close the idle connections of these endpoints."""
        for endpoint in endpoints:
            for connection in tuple(endpoint.idle):
                assert isinstance(connection, Connection)
                connection.close()

    def close(self) -> None:
        """Close everything, at once; nothing is opened or waited for any more."""
        self._over = True
        for connection in tuple(self.connections):
            connection.shut()


def _keep_alive_seconds(value: bytes) -> float:
    """How long an origin's `Keep-Alive: timeout=n` lets us use its connection, with a second to spare."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.strip().lower() == b"timeout" and number.strip().isdigit():
            seconds = min(int(number), 86400)
            return max(seconds - 1.0, seconds / 2)
    return 86400.0
