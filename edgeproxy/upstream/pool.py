"""Who holds which connection to an origin, and who waits for one.

Must not do IO: each call changes state and returns, or hands over, what its caller then opens or
closes.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

from edgeproxy.errors import PoolExhausted
from edgeproxy.upstream.origin import Endpoint, Origin


class Pooled(Protocol):
    """A connection, as the pool sees it; `usable_until` in monotonic seconds."""

    endpoint: Endpoint
    usable_until: float


Grant = Pooled | Endpoint
"""What a waiter gets: a connection to use, or an endpoint at which a place is reserved to open one."""


class Waiter:
    """One request in the queue; `granted` takes what it waited for, or says that it waits no more."""

    __slots__ = ("granted", "tried")

    def __init__(self, granted: Callable[[Grant], bool], tried: Collection[Origin] = ()) -> None:
        self.granted = granted
        self.tried = tried


class Pool:
    """The connections of one upstream: at most `limit` to each origin, `max_pending` requests waiting."""

    __slots__ = ("_dead", "_waiters", "limit", "max_pending")

    def __init__(self, limit: int, max_pending: int) -> None:
        self.limit = limit
        self.max_pending = max_pending
        self._waiters: deque[Waiter] = deque()
        self._dead: list[Pooled] = []

    def __repr__(self) -> str:
        return f"<Pool limit={self.limit} waiting={len(self._waiters)}/{self.max_pending}>"

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiters)

    # --- taking

    def reuse(self, endpoint: Endpoint, now: float) -> Pooled | None:
        """The idle connection used last, if it is young enough; `dead` tells the others."""
        idle = endpoint.idle
        while idle:
            connection = idle.pop()
            if now < connection.usable_until:
                return connection
            self._dead.append(connection)
        return None

    def reuse_any(self, origin: Origin, now: float) -> Pooled | None:
        """An idle connection to any address of the origin that may be chosen."""
        for endpoint in origin.usable:
            connection = self.reuse(endpoint, now)
            if connection is not None:
                return connection
        return None

    def reserve(self, endpoint: Endpoint) -> bool:
        """Claim a place to open a connection; False when the origin's limit is reached."""
        if endpoint.origin.held >= self.limit:
            return False
        endpoint.opening += 1
        endpoint.origin.opening += 1
        endpoint.origin.held += 1
        return True

    def has_room(self, origin: Origin) -> bool:
        """Whether the origin has an idle connection or a place for one more."""
        return origin.held < self.limit or any(endpoint.idle for endpoint in origin.usable)

    def opened(self, connection: Pooled) -> None:
        """The connection for a reserved place is there, in use."""
        connection.endpoint.opening -= 1
        connection.endpoint.origin.opening -= 1
        connection.endpoint.connections.add(connection)

    def wait(self, waiter: Waiter) -> None:
        """Queue up. Raises PoolExhausted when `max_pending` already do."""
        if len(self._waiters) >= self.max_pending:
            raise PoolExhausted(f"{self.limit} connections busy and {self.max_pending} requests waiting")
        self._waiters.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    # --- giving back

    def release(self, connection: Pooled, now: float) -> bool:
        """A connection is free: the first who waits gets it, else it idles. False: close it."""
        endpoint = connection.endpoint
        if endpoint.retired or connection.usable_until <= now:
            return False
        while self._waiters:
            waiter = self._next(endpoint.origin)
            if waiter is None:
                break
            if waiter.granted(connection):
                return True
        endpoint.idle.append(connection)
        return True

    def cancelled(self, endpoint: Endpoint, now: float) -> None:
        """Nothing was opened at the reserved place."""
        endpoint.opening -= 1
        endpoint.origin.opening -= 1
        endpoint.origin.held -= 1
        self.offer(endpoint.origin, now)

    def closed(self, connection: Pooled, now: float) -> None:
        """A connection is no more; saying it twice does no harm."""
        endpoint = connection.endpoint
        if connection not in endpoint.connections:
            return
        endpoint.connections.remove(connection)
        if connection in endpoint.idle:
            endpoint.idle.remove(connection)
        endpoint.origin.held -= 1
        self.offer(endpoint.origin, now)

    def offer(self, origin: Origin, now: float) -> None:
        """Give the origin's free places to those who wait."""
        while self._waiters and origin.wanted and origin.held < self.limit:
            endpoint = origin.next_endpoint(now)
            waiter = self._next(origin) if endpoint is not None else None
            if endpoint is None or waiter is None:
                return
            self.reserve(endpoint)
            if not waiter.granted(endpoint):
                endpoint.opening -= 1
                endpoint.origin.opening -= 1
                endpoint.origin.held -= 1

    # --- what is to be closed

    def dead(self) -> list[Pooled]:
        """Connections that `reuse` found too old, told once: the caller closes them."""
        if not self._dead:
            return self._dead
        dead, self._dead = self._dead, []
        return dead

    def expired(self, origin: Origin, now: float) -> list[Pooled]:
        """Idle connections that are too old or whose address is gone; no longer in the pool's idle."""
        found: list[Pooled] = []
        for endpoint in origin.endpoints:
            # oldest first: a young one after old ones stays
            while endpoint.idle and endpoint.idle[0].usable_until <= now:
                found.append(endpoint.idle.pop(0))
        return found

    def _next(self, origin: Origin) -> Waiter | None:
        """The first waiter that has not tried this origin, taken out of the queue."""
        for waiter in self._waiters:
            if origin not in waiter.tried:
                self._waiters.remove(waiter)
                return waiter
        return None
