"""Which origins may be asked: active checks, passive ejection, the operator's word, DNS.

Must not open connections or read the clock. An endpoint that fails is out for a while; then one
request at a time may try it, so that a recovery meets no herd.
"""

import math
from collections.abc import Collection, Sequence

from edgeproxy.upstream.balancers import Balancer
from edgeproxy.upstream.origin import DOUBT, Address, Endpoint, Origin, Steer
from edgeproxy.upstream.settings import Ejection


class Roster:
    """The origins of an upstream and who of them is up.

    `usable` are the origins that may be chosen freely: those in reserve only if there are no others.
    At `next_return` an endpoint that is out may be tried.
    All times are monotonic seconds.
    """

    __slots__ = ("_balancer", "_ejection", "_reserve", "next_return", "origins", "usable")

    def __init__(self, origins: Sequence[Origin], balancer: Balancer, ejection: Ejection) -> None:
        self.origins = tuple(origins)
        self._balancer = balancer
        self._ejection = ejection
        self.usable: tuple[Origin, ...] = ()
        self._reserve: tuple[Origin, ...] = ()
        self.next_return = math.inf
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

    def elsewhere(self, tried: Collection[Origin]) -> bool:
        """Whether there is an origin to ask besides these."""
        return bool(self._besides(tried))

    def _besides(self, tried: Collection[Origin]) -> tuple[Origin, ...]:
        return tuple(origin for origin in self.usable if origin not in tried) or tuple(
            origin for origin in self._reserve if origin not in tried
        )

    def _claim_return(self, now: float, tried: Collection[Origin]) -> Endpoint | None:
        """Let this one request try an endpoint whose time out has passed."""
        for origin in self.origins:
            if not origin.wanted or origin in tried:
                continue
            for endpoint in origin.endpoints:
                if endpoint.out_until and endpoint.out_until <= now:
                    endpoint.out_until = now + self._ejection.seconds
                    self._refresh()
                    return endpoint
        return None

    # --- learning

    def succeeded(self, endpoint: Endpoint) -> None:
        """An exchange there went well."""
        endpoint.failures = 0
        endpoint.doubted_until = 0.0
        if endpoint.out_until:
            endpoint.out_until = 0.0
            endpoint.origin.refresh()
            self._refresh()

    def failed(
        self, endpoint: Endpoint, now: float, *, connecting: bool = False, reached: bool = False
    ) -> None:
        """An exchange there failed.

        `connecting`: no connection came about, so other addresses of the origin are preferred at
        once. `reached`: the origin lives, yet answered 502, 503 or 504, reset, or broke off; that
        ejects no last origin.
        """
        endpoint.failures += 1
        origin = endpoint.origin
        if connecting and len(origin.endpoints) > 1:
            endpoint.doubted_until = now + DOUBT
        limit = self._ejection.consecutive_failures
        spared = reached and self.usable == (origin,) and origin.usable == (endpoint,)
        if endpoint.out_until or (limit and endpoint.failures >= limit and not spared):
            endpoint.out_until = now + self._ejection.seconds
            origin.refresh()
            self._refresh()

    def abandoned(self, endpoint: Endpoint, now: float) -> None:
        """An exchange there ended without a verdict: one that was out may be tried at once."""
        if endpoint.out_until:
            endpoint.out_until = now
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

    # --- inside

    def _readmit(self, origin: Origin) -> None:
        for endpoint in origin.endpoints:
            endpoint.failures = 0
            endpoint.out_until = 0.0
        origin.refresh()

    def _refresh(self) -> None:
        up = [origin for origin in self.origins if origin.wanted and origin.usable]
        self._reserve = tuple(origin for origin in up if origin.reserve)
        self.usable = tuple(origin for origin in up if not origin.reserve) or self._reserve
        self.next_return = min(
            (
                endpoint.out_until
                for origin in self.origins
                if origin.wanted
                for endpoint in origin.endpoints
                if endpoint.out_until
            ),
            default=math.inf,
        )
