"""Which origins may be asked: active checks, passive ejection, the operator's word, DNS.

Must not open connections or read the clock. An endpoint that fails is out for a while (its `circuit` is
open); then one request at a time may try it, so that a recovery meets no herd.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby

from edgeproxy.upstream.balancers import Balancer
from edgeproxy.upstream.origin import DOUBT, Address, Endpoint, Origin, Steer
from edgeproxy.upstream.settings import Ejection

LEAST_RAMP = 0.1
"""The share of its weight that an origin in its slow start begins with."""

Ejected = Callable[[Origin, str], None]
"""Told of each ejection: the origin, and why: failures, error_rate, latency or outrun; empty: it is back."""


def _unheard(origin: Origin, why: str) -> None:
    """For those who want to know nothing of ejections."""


class Roster:
    """The origins of an upstream and who of them is up.

    `usable` are the origins that may be chosen freely: of those that are up, the ones of the least
    priority. With less than the share `panic_below` of the addresses healthy, `panic` is on and all
    count as up that no operator took away. At `next_return` an endpoint that is out may be tried.
    One that tries it is waited for up to `patience`. `slow_start` and all times are (monotonic) seconds.
    """

    __slots__ = (
        "_back",
        "_balancer",
        "_ejection",
        "_heard",
        "_panic_below",
        "_patience",
        "_ramping",
        "_slow_start",
        "_tiers",
        "_was_up",
        "next_return",
        "origins",
        "panic",
        "usable",
    )

    def __init__(
        self,
        origins: Sequence[Origin],
        balancer: Balancer,
        ejection: Ejection,
        *,
        slow_start: float = 0.0,
        panic_below: float = 0.0,
        patience: float = 0.0,
        heard: Ejected = _unheard,
    ) -> None:
        self.origins = tuple(origins)
        self._balancer = balancer
        self._ejection = ejection
        self._heard = heard
        self._panic_below = panic_below
        self._patience = max(patience, ejection.seconds)
        self.panic = False
        self.usable: tuple[Origin, ...] = ()
        self._tiers: tuple[tuple[Origin, ...], ...] = ()
        self.next_return = math.inf
        # slow start
        self._slow_start = slow_start
        self._was_up: set[Origin] = set()
        self._back: set[Origin] = set()  # have been up, and are not
        self._ramping: set[Origin] = set()
        self._refresh()

    def __repr__(self) -> str:
        return f"<Roster {' '.join(f'{origin.key}={origin.state}' for origin in self.origins)}>"

    # --- choosing

    def choose(
        self, hash_key: bytes, now: float, tried: Collection[Origin] = (), *, risk: bool = True
    ) -> Endpoint | None:
        """The endpoint to ask next, or None when all are down.

        Origins in `tried` come last. `risk` allows to try one that was out and may be back; without
        it (the request could not be sent again) that happens only when nothing else is left.
        """
        if now >= self.next_return and (risk or not self.usable):
            returning = self._claim_return(now, tried)
            if returning is not None:
                return returning
        usable = self.usable
        if tried:
            usable = self._besides(tried) or usable
        if not usable:
            return None
        origin = usable[0] if len(usable) == 1 else self._balancer.pick(usable, hash_key)
        return origin.next_endpoint(now)

    def preferred(self, key: str, now: float) -> Endpoint | None:
        """An endpoint of the origin of that HOST:PORT, of any priority; None unless it is up."""
        for tier in self._tiers:
            for origin in tier:
                if origin.key == key:
                    return origin.next_endpoint(now)
        return None

    def elsewhere(self, tried: Collection[Origin]) -> bool:
        """Whether there is an origin to ask besides these."""
        return bool(self._besides(tried))

    def _besides(self, tried: Collection[Origin]) -> tuple[Origin, ...]:
        for tier in self._tiers:
            found = tuple(origin for origin in tier if origin not in tried)
            if found:
                return found
        return ()

    def _claim_return(self, now: float, tried: Collection[Origin]) -> Endpoint | None:
        """Let this one request try an endpoint whose time out has passed."""
        for origin in self.origins:
            if not origin.wanted or origin in tried:
                continue
            for endpoint in origin.endpoints:
                if 0 < endpoint.circuit.due(not self.usable) <= now:
                    endpoint.circuit.probe(now, self._patience)
                    self._refresh()
                    return endpoint
        return None

    # --- learning

    def succeeded(self, endpoint: Endpoint, now: float) -> None:
        """An exchange there went well."""
        endpoint.failures = 0
        endpoint.doubted_until = 0.0
        if endpoint.circuit.open_until:
            endpoint.circuit.close(now)
            self._refresh()
            self._heard(endpoint.origin, "")

    def failed(
        self,
        endpoint: Endpoint,
        now: float,
        *,
        connecting: bool = False,
        reached: bool = False,
        started: float | None = None,
    ) -> None:
        """An exchange there failed, begun at `started`.

        `connecting`: no connection came about, so other addresses of the origin are preferred at
        once. `reached`: the origin lives, yet answered 502, 503 or 504, reset, or broke off; that
        ejects no more than `max_ejected`, and no last one.
        """
        endpoint.failures += 1
        if endpoint.seen is not None:
            endpoint.seen.failed()
        if connecting and len(endpoint.origin.endpoints) > 1:
            endpoint.doubted_until = now + DOUBT
        limit = self._ejection.consecutive_failures
        if endpoint.circuit.open_until:
            if endpoint.circuit.probed_by(started):
                endpoint.circuit.open(self._ejection, now)
                self._refresh()
        elif limit and endpoint.failures >= limit and not (reached and self._spared(endpoint)):
            self._eject(endpoint, now, "failures")

    def outrun(self, endpoint: Endpoint, now: float, started: float) -> None:
        """Another, asked later than at `started`, answered first: that in a row is as bad as failures.

        It ejects no more than `max_ejected`, and no last one.
        """
        endpoint.failures += 1
        limit = self._ejection.consecutive_failures
        if endpoint.circuit.probed_by(started):
            endpoint.circuit.open(self._ejection, now)
            self._refresh()
        elif limit and endpoint.failures >= limit:
            self.outlying(endpoint, now, "outrun")

    def outlying(self, endpoint: Endpoint, now: float, why: str) -> None:
        """It fails or dawdles more than the others; that ejects no more than `max_ejected`."""
        if not endpoint.circuit.open_until and not self._spared(endpoint):
            self._eject(endpoint, now, why)

    def _eject(self, endpoint: Endpoint, now: float, why: str) -> None:
        endpoint.circuit.open(self._ejection, now)
        self._refresh()
        self._heard(endpoint.origin, why)

    def _spared(self, endpoint: Endpoint) -> bool:
        """Whether one that lives stays in, because enough others are out."""
        of_all = list(self._addresses())
        out = sum(bool(each.circuit.open_until) for each in of_all)
        most = min(max(1, int(self._ejection.max_ejected * len(of_all) + 1e-9)), len(of_all) - 1)
        return out >= (most if self._ejection.max_ejected else 0)

    def _addresses(self) -> Iterator[Endpoint]:
        """Of all origins that are neither steered away from nor found unhealthy."""
        return (endpoint for origin in self.origins if origin.wanted for endpoint in origin.endpoints)

    def abandoned(self, endpoint: Endpoint, now: float, started: float | None = None) -> None:
        """An exchange there, begun at `started`, ended without a verdict: another may try it at once."""
        if endpoint.circuit.probed_by(started):
            endpoint.circuit.retry(now)
            self._refresh()

    def set_active(self, key: str, healthy: bool) -> bool:
        """What an active check found; a good one ends an ejection. False if no origin has that key."""
        found = self.find(key)
        for origin in found:
            origin.checked = healthy
            if healthy:
                self._readmit(origin)
        self._refresh()
        return bool(found)

    def steer(self, key: str, state: Steer) -> list[Origin]:
        """The operator's word; `up` ends an ejection too. The origins with that key come back."""
        found = self.find(key)
        for origin in found:
            origin.steered = state
            if state is Steer.UP:
                self._readmit(origin)
        self._refresh()
        return found

    def resolved(self, origin: Origin, addresses: Sequence[Address]) -> list[Endpoint]:
        """The addresses of an origin now; those that went are returned."""
        gone = origin.resolved(addresses)
        self._refresh()
        return gone

    def find(self, key: str) -> list[Origin]:
        """The origins of that HOST:PORT; more than one where they differ in their path only."""
        return [origin for origin in self.origins if origin.key == key]

    def tick(self, now: float) -> None:
        """Let those that are in their slow start have more of their weight; about once a second."""
        for origin in tuple(self._ramping):
            if origin.ramp_from is None:
                origin.ramp_from = now
            share = (now - origin.ramp_from) / self._slow_start
            if share >= 1 or origin not in self._was_up:
                self._ramping.discard(origin)
                origin.ramp_from = None
                share = 1.0
            origin.weight = origin.full_weight * max(share, LEAST_RAMP)

    # --- inside

    def _readmit(self, origin: Origin) -> None:
        was_out = any(endpoint.circuit.open_until for endpoint in origin.endpoints)
        for endpoint in origin.endpoints:
            endpoint.failures = 0
            endpoint.circuit.forget()
        if was_out:
            self._heard(origin, "")

    def _refresh(self) -> None:
        """Work out who may be chosen, after any change."""
        steered = [origin for origin in self.origins if origin.steered is Steer.UP]
        known = sum(len(origin.endpoints) for origin in steered)
        healthy = sum(not endpoint.circuit.open_until for endpoint in self._addresses())
        self.panic = healthy < self._panic_below * known
        for origin in self.origins:
            origin.refresh(all_of_them=self.panic)
        up = [origin for origin in steered if (self.panic or origin.checked is not False) and origin.usable]
        up.sort(key=_priority)
        self._tiers = tuple(tuple(tier) for _, tier in groupby(up, _priority))
        self.usable = self._tiers[0] if self._tiers else ()
        self.next_return = math.inf
        if not self.panic:
            dues = (each.circuit.due(not self.usable) for each in self._addresses())
            self.next_return = min((due for due in dues if due), default=math.inf)
        if self._slow_start:
            self._follow(set(up))

    def _follow(self, up: set[Origin]) -> None:
        """Begin the slow start of those that are up again."""
        for origin in up & self._back:
            origin.ramp_from = None
            origin.weight = origin.full_weight * LEAST_RAMP
            self._ramping.add(origin)
        self._back |= self._was_up - up
        self._back -= up
        self._was_up = up


def _priority(origin: Origin) -> int:
    return origin.priority
