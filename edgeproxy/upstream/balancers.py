"""Which origin gets the next request, among those that may be asked.

Must not know health, connections or why an origin is not in the list.
"""

import bisect
import hashlib
import random
from collections.abc import Sequence
from typing import Protocol, assert_never

from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.settings import Balance

POINTS_PER_WEIGHT = 100


class Balancer(Protocol):
    """Chooses one of `origins`, which has at least two."""

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin: ...


class RoundRobin:
    """Smooth weighted turns: no origin gets its share in a burst."""

    __slots__ = ()

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin:
        total = 0
        best = origins[0]
        most = None
        for origin in origins:
            weight = origin.weight
            total += weight
            current = origin.current = origin.current + weight
            if most is None or current > most:
                best, most = origin, current
        best.current -= total
        return best


class LeastRequests:
    """Fewest requests in flight for its weight; equals take turns."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = 0

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin:
        self._turn += 1
        count = len(origins)
        start = self._turn % count
        best = origins[start]
        least = (best.active + 1) / best.weight
        for step in range(1, count):
            origin = origins[(start + step) % count]
            load = (origin.active + 1) / origin.weight
            if load < least:
                best, least = origin, load
        return best


class RandomTwo:
    """The less loaded of two drawn by weight: nearly as even as the least, without a herd."""

    __slots__ = ("_random",)

    def __init__(self, generator: random.Random | None = None) -> None:
        self._random = generator or random.Random()

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin:
        first = self._draw(origins, None)
        second = self._draw(origins, first)
        if second.active / second.weight < first.active / first.weight:
            return second
        return first

    def _draw(self, origins: Sequence[Origin], besides: Origin | None) -> Origin:
        total = sum(origin.weight for origin in origins if origin is not besides)
        left = self._random.random() * total
        drawn = origins[0]
        for origin in origins:
            if origin is besides:
                continue
            drawn = origin
            left -= origin.weight
            if left < 0:
                break
        return drawn


class ConsistentHash:
    """A ring of points by weight: when an origin leaves, only its own keys move."""

    __slots__ = ("_owners", "_points")

    def __init__(self, origins: Sequence[Origin]) -> None:
        ring = sorted(
            (_hash(f"{origin.key}#{point}".encode()), index)
            for index, origin in enumerate(origins)
            for point in range(POINTS_PER_WEIGHT * origin.weight)
        )
        self._points = [point for point, _ in ring]
        self._owners = [origins[index] for _, index in ring]

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin:
        owners = self._owners
        count = len(owners)
        start = bisect.bisect(self._points, _hash(hash_key))
        for step in range(count):
            owner = owners[(start + step) % count]
            if owner in origins:
                return owner
        return origins[0]


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def make_balancer(balance: Balance, origins: Sequence[Origin]) -> Balancer:
    """The balancer of that name, over all origins of an upstream."""
    match balance:
        case Balance.ROUND_ROBIN:
            return RoundRobin()
        case Balance.LEAST_REQUESTS:
            return LeastRequests()
        case Balance.RANDOM_TWO:
            return RandomTwo()
        case Balance.CONSISTENT_HASH:
            return ConsistentHash(origins)
        case _:
            assert_never(balance)
