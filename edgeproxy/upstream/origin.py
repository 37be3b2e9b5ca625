"""An origin and the addresses it answers at: who is up, and what is in flight there.

Must not open connections, resolve names or choose among origins.
"""

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from edgeproxy.upstream.circuit import Circuit
from edgeproxy.upstream.location import Location

if TYPE_CHECKING:
    from edgeproxy.upstream.concurrency import Limiter
    from edgeproxy.upstream.outliers import Seen
    from edgeproxy.upstream.pool import Pooled

LAST = 1 << 30
"""The priority of those that are asked when nobody else can be."""

DOUBT = 10.0
"""How long an address is avoided, for another of the same origin, after it took no connection (seconds)."""


@dataclass(frozen=True, slots=True)
class Address:
    """A socket address: `family` as in `socket`, `sockaddr` as `connect` takes it."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | str

    def __str__(self) -> str:
        if isinstance(self.sockaddr, str):
            return f"unix:{self.sockaddr}"
        host, port = self.sockaddr[0], self.sockaddr[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unix_address(path: str) -> Address:
    """The address of a unix socket."""
    return Address(socket.AF_UNIX, path)


class Steer(StrEnum):
    """What the operator wants of an origin: `drain` and `down` send nothing new; `down` also drops idle."""

    UP = "up"
    DRAIN = "drain"
    DOWN = "down"


class Endpoint:
    """One address of an origin, with the connections to it.

    `circuit` is open while it may not be chosen freely; until `doubted_until` other addresses of the
    origin are preferred, because no connection came about; `retired` once DNS no longer names it;
    `seen` is what its answers were like lately, where that is judged.
    """

    __slots__ = (
        "address",
        "circuit",
        "connections",
        "doubted_until",
        "failures",
        "idle",
        "opening",
        "origin",
        "retired",
        "seen",
    )

    def __init__(self, origin: "Origin", address: Address) -> None:
        self.origin = origin
        self.address = address
        # health
        self.failures = 0
        self.circuit = Circuit()
        self.doubted_until = 0.0
        self.retired = False
        self.seen: Seen | None = None
        # connections
        self.idle: list[Pooled] = []
        self.connections: set[Pooled] = set()
        self.opening = 0

    def __repr__(self) -> str:
        state = "retired" if self.retired else f"out({self.failures})" if self.circuit.open_until else "in"
        held = f"{len(self.connections)} connections, {len(self.idle)} idle, {self.opening} opening"
        return f"<Endpoint {self.address} {state}, {held}>"

    @property
    def busy(self) -> int:
        """Connections in use or being opened."""
        return len(self.connections) - len(self.idle) + self.opening


class Origin:
    """One host:port of an upstream.

    `key` names it in metrics and the admin API; `checked` is what active checks said last, None
    before the first; `reserve` (weight 0) is asked only when no other can be, and those of a higher
    `priority` only when none of a lower can; `usable` are the endpoints that may be chosen freely;
    `weight` is below `full_weight` from `ramp_from` on, while it comes back slowly; `active` counts
    requests in flight, `opening` those whose connection is being opened, `held` all its connections;
    `limiter` bounds both together, where that is switched on.
    """

    __slots__ = (
        "active",
        "checked",
        "current",
        "endpoints",
        "full_weight",
        "held",
        "key",
        "limiter",
        "location",
        "opening",
        "priority",
        "ramp_from",
        "reserve",
        "steered",
        "turn",
        "usable",
        "weight",
    )

    def __init__(self, location: Location, weight: int = 1, priority: int = 0) -> None:
        # identity
        self.location = location
        self.key = location.key
        self.full_weight = max(weight, 1)
        self.reserve = weight == 0
        self.priority = LAST if self.reserve else priority
        # health
        self.checked: bool | None = None
        self.steered = Steer.UP
        self.endpoints: tuple[Endpoint, ...] = ()
        self.usable: tuple[Endpoint, ...] = ()
        # load
        self.weight: float = self.full_weight
        self.ramp_from: float | None = None
        self.active = 0
        self.opening = 0
        self.held = 0
        self.limiter: Limiter | None = None
        # turns, of the balancer and within the origin
        self.current: float = 0
        self.turn = 0

    def __repr__(self) -> str:
        return f"<Origin {self.key} {self.state} {self.active} active, {self.held} held>"

    @property
    def wanted(self) -> bool:
        """Neither steered away from nor found unhealthy by active checks."""
        return self.steered is Steer.UP and self.checked is not False

    @property
    def full(self) -> bool:
        """Whether it has as many requests in flight as it bears."""
        limiter = self.limiter
        return limiter is not None and self.active + self.opening >= limiter.limit

    @property
    def state(self) -> str:
        """In one word, for operators: up, drain, down, unhealthy, ejected or unresolved."""
        if self.steered is not Steer.UP:
            return str(self.steered)
        if self.checked is False:
            return "unhealthy"
        if not self.endpoints:
            return "unresolved"
        return "ejected" if all(endpoint.circuit.open_until for endpoint in self.endpoints) else "up"

    def refresh(self, *, all_of_them: bool = False) -> None:
        """Work out `usable` anew, after any change of an endpoint; those that are out too, if need be."""
        if all_of_them:
            self.usable = self.endpoints
        else:
            self.usable = tuple(endpoint for endpoint in self.endpoints if not endpoint.circuit.open_until)

    def resolved(self, addresses: Sequence[Address]) -> list[Endpoint]:
        """Take the addresses that the name has now; the endpoints that went are returned, retired."""
        known = {endpoint.address: endpoint for endpoint in self.endpoints}
        now = dict.fromkeys(addresses)
        self.endpoints = tuple(known.get(address) or Endpoint(self, address) for address in now)
        gone = [endpoint for address, endpoint in known.items() if address not in now]
        for endpoint in gone:
            endpoint.retired = True
        self.refresh()
        return gone

    def next_endpoint(self, now: float, besides: Collection[Endpoint] = ()) -> Endpoint | None:
        """The usable endpoint with the least to do, in turn among equals; the doubted last.

        One whose doubt has passed is tried by this request alone. None if all usable ones are in
        `besides`.
        """
        usable = self.usable
        if len(usable) == 1 and not besides:
            return usable[0]
        self.turn += 1
        start = self.turn % max(len(usable), 1)
        inturn = [endpoint for endpoint in usable[start:] + usable[:start] if endpoint not in besides]
        if not inturn:
            return None
        trusted = [endpoint for endpoint in inturn if endpoint.doubted_until <= now]
        chosen = min(trusted or inturn, key=_busy)
        if chosen.doubted_until:
            chosen.doubted_until = now + DOUBT
        return chosen


def _busy(endpoint: Endpoint) -> int:
    return endpoint.busy
