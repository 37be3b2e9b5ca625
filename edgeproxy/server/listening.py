"""What the client connections of one listener share: limits, the way to answers, one sweep for timeouts.

Must not know routes, caching or origins.
"""

import asyncio
import ipaddress
import select
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeproxy.clock import Clock
from edgeproxy.edge.fastpath import FastPath
from edgeproxy.edge.ports import Client
from edgeproxy.edge.trip import Trip
from edgeproxy.errors import BadRequest
from edgeproxy.server.limits import ClientLimits
from edgeproxy.server.phase import Phase

if TYPE_CHECKING:
    from edgeproxy.server.exchange import Exchange
    from edgeproxy.server.protocol import ClientConnection

PARTING_RATE = 64 * 1024 * 1024
"""Bytes after the last answer that cost a connection a second of its farewell."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Listening:
    """Shared by all connections of one listener in one worker.

    `now` is the coarse monotonic clock in seconds; `sweep` is to be called once a second.
    """

    def __init__(
        self,
        *,
        scheme: bytes,
        limits: ClientLimits,
        fast: FastPath,
        fast_trusted: FastPath,
        serve: Callable[["Exchange"], "asyncio.Task[None]"],
        take: Callable[["ClientConnection", Client, bytes, FastPath], Trip | None],
        refusal: Callable[[BadRequest], bytes],
        refused: Callable[["ClientConnection", BadRequest], None],
        hits: Callable[[bytes, FastPath], Callable[[bytes], None]] | None,
        identify: Callable[[Client, bytes], Client],
        trusted: tuple[Network, ...],
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        open_now: Callable[[], int] | None = None,
    ) -> None:
        self.scheme = scheme
        self.limits = limits
        self.fast = fast
        self.fast_trusted = fast_trusted
        self.serve = serve
        self.take = take
        self.refusal = refusal
        self.refused = refused
        self.hits = hits
        self.identify = identify
        self.loop = loop
        self.clock = clock.monotonic
        self.now = clock.monotonic()
        self.connections: set[ClientConnection] = set()
        self.turned_away: set[ClientConnection] = set()  # refused, reading why
        self.half_closed: dict[ClientConnection, tuple[float, int]] = {}  # quiet since when, at which byte
        self.stalled: dict[ClientConnection, float] = {}  # takes nothing, since when
        self._peers: Counter[bytes] = Counter()
        self._trusted = trusted
        self._draining = False
        self._open_now = open_now or (lambda: len(self.connections))

    def __repr__(self) -> str:
        return f"<Listening {self.scheme!r} connections={len(self.connections)} stalled={len(self.stalled)}>"

    def trust(self, networks: tuple[Network, ...]) -> None:
        """From now on, these are the `trusted_proxies`; connections keep what they were."""
        self._trusted = networks

    def drain(self, *, patient: bool = False) -> None:
        """Close idle connections now, or when `patient` after one more response, the others after theirs."""
        self._draining = True
        for connection in list(self.connections):
            connection.drain(patient=patient)

    def trusts(self, peer: bytes) -> bool:
        """Whether the peer may speak for others (`trusted_proxies`)."""
        if not self._trusted or peer == b"unix":
            return bool(self._trusted)
        try:
            address = ipaddress.ip_address(peer.decode())
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        return any(address in network for network in self._trusted)

    def admit(self, connection: "ClientConnection") -> BadRequest | None:
        """Count a connection in; or the reason to refuse it, which then does not count."""
        refusal = None
        if self._open_now() >= self.limits.connections:
            refusal = BadRequest("too many connections", 503)
        elif 0 < self.limits.per_client <= self._peers[connection.peer]:
            refusal = BadRequest("too many connections from this address", 429)
        if refusal is not None:
            self.turned_away.add(connection)
            return refusal
        self.connections.add(connection)
        self._peers[connection.peer] += 1
        if self._draining:  # it was on its way here when this began
            connection.drain(patient=True)
        return None

    @property
    def crowded(self) -> bool:
        """Whether there is no more time for those who were turned away to read why."""
        return len(self.turned_away) > self.limits.connections

    @staticmethod
    def waiting(transport: asyncio.Transport) -> bool:
        """Whether bytes lie in the socket that the loop has not seen yet."""
        sock = transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def parting(self, connection: "ClientConnection", size: int) -> None:
        """Bytes after the last answer: read past everyone, but what comes fast gets less time."""
        connection.deadline -= size / PARTING_RATE
        if connection.phase is Phase.FAREWELL and connection.deadline < self.now:
            connection.close()

    def forget(self, connection: "ClientConnection") -> None:
        """Count a connection out; again does nothing."""
        self.stalled.pop(connection, None)
        self.half_closed.pop(connection, None)
        self.turned_away.discard(connection)
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self._peers[connection.peer] -= 1
        if self._peers[connection.peer] <= 0:
            del self._peers[connection.peer]

    def sweep(self) -> None:
        """Close what has timed out; one pass over the connections, no timer for each."""
        now = self.now
        limits = self.limits
        for connection in (*self.connections, *self.turned_away):
            phase = connection.phase
            if phase is Phase.EXCHANGE:
                if _owes_body(connection) and now - connection.active > limits.body_timeout:
                    connection.expired(BadRequest("the request's body stalled", 408))
            elif phase is Phase.IDLE:
                if not connection.flow.holds and now - connection.active > limits.idle_timeout:
                    connection.close()
            elif phase is not Phase.CLOSED and now > connection.deadline:
                connection.expired(BadRequest("the request's head did not arrive in time", 408))
        for connection, since in tuple(self.stalled.items()):
            if connection.flow.progressed():
                self.stalled[connection] = now
            elif now - since > limits.write_timeout:
                connection.abort()

        for connection, (since, sent) in tuple(self.half_closed.items()):
            exchange = connection.exchange
            if exchange is None or not exchange.started or exchange.sent != sent:
                self.half_closed[connection] = (now, exchange.sent if exchange is not None else 0)
            elif now - since > limits.linger_timeout and not connection.flow.paused:
                # A closed socket looks half-closed until it is written to, and nothing is to be written.
                connection.abort()

    def abort(self) -> None:
        """Cut whatever is still open."""
        for connection in (*self.connections, *self.turned_away):
            connection.abort()


def _owes_body(connection: "ClientConnection") -> bool:
    """Whether the client is to send bytes of a body, and could."""
    body = connection.exchange.body if connection.exchange is not None else None
    return body is not None and not body.complete and body.error is None and not connection.flow.holds
