"""Which origin gets the next request, among those that may be asked.

Must not know health, connections or why an origin is not in the list.
"""

import bisect
import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from typing import Protocol, assert_never

from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.settings import Balance

POINTS_PER_WEIGHT = 256
"""Points on the ring for a weight of 1: shares of the keys come out within some 6 % of their weight."""
MOST_POINTS = 1 << 16
"""On one ring; with more weight than that takes, each unit of it has fewer points."""
FEW = 4
"""An origin with so few requests in flight is not drowned: its keys stay, whatever the mean is."""


class Balancer(Protocol):
    """Chooses one of `origins`, which has at least two."""

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin: ...


class RoundRobin:
    """Smooth weighted turns: no origin gets its share in a burst."""

    __slots__ = ()

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin:
        total = 0.0
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
        least = (best.active + best.opening + 1) / best.weight
        for step in range(1, count):
            origin = origins[(start + step) % count]
            load = (origin.active + origin.opening + 1) / origin.weight
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
        if _load(second) / second.weight < _load(first) / first.weight:
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
    """A ring of points by weight: when an origin leaves, only its own keys move.

    Loads are bounded: an origin with more than `bound` times its share of the requests in flight
    leaves the next ones to the next on the ring, so that a hot key cannot drown it; 0 for no bound.
    """

    __slots__ = ("_bound", "_count", "_owners", "_points")

    def __init__(self, origins: Sequence[Origin], bound: float = 0.0) -> None:
        total = sum(origin.full_weight for origin in origins)
        scale = min(POINTS_PER_WEIGHT, MOST_POINTS / max(total, 1))
        ring = sorted(
            (_hash(f"{origin.key}#{point}".encode()), index)
            for index, origin in enumerate(origins)
            for point in range(max(1, round(scale * origin.full_weight)))
        )
        self._points = [point for point, _ in ring]
        self._owners = [origins[index] for _, index in ring]
        self._count = len(origins)
        self._bound = bound

    def pick(self, origins: Sequence[Origin], hash_key: bytes) -> Origin:
        place = _hash(hash_key)
        start = bisect.bisect(self._points, place)
        first = self._owners[start % len(self._owners)]
        if first.active + first.opening < FEW and first.weight == first.full_weight and first in origins:
            return first  # nearly always
        chance = (place & 0xFFFF) / 0x10000  # of this key, for origins that take only some of theirs
        per_weight = self._per_weight(origins)
        seen: list[Origin] = []
        for owner in self._from(start):
            if owner in seen:
                continue
            if owner in origins and _takes(owner, chance, per_weight):
                return owner
            seen.append(owner)
            if len(seen) == self._count:
                break
        return next((owner for owner in seen if owner in origins), origins[0])

    def _per_weight(self, origins: Sequence[Origin]) -> float:
        """Requests in flight that each unit of weight may have, this one counted."""
        if not self._bound:
            return math.inf
        active = sum(_load(origin) for origin in origins) + 1
        return self._bound * active / sum(origin.weight for origin in origins)

    def _from(self, start: int) -> Iterator[Origin]:
        owners = self._owners
        count = len(owners)
        for step in range(count):
            yield owners[(start + step) % count]


def _takes(origin: Origin, chance: float, per_weight: float) -> bool:
    """Whether an origin takes one more request for a key of its own."""
    if chance * origin.full_weight >= origin.weight:
        return False  # it is in its slow start, and this key is not yet among its own
    load = _load(origin)
    return load < FEW or load < per_weight * origin.weight


def _load(origin: Origin) -> int:
    """Requests there, those that wait for their connection included: a burst must see itself."""
    return origin.active + origin.opening


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def make_balancer(balance: Balance, origins: Sequence[Origin], bound: float = 0.0) -> Balancer:
    """The balancer of that name, over all origins of an upstream; `bound` is for consistent hashing."""
    match balance:
        case Balance.ROUND_ROBIN:
            return RoundRobin()
        case Balance.LEAST_REQUESTS:
            return LeastRequests()
        case Balance.RANDOM_TWO:
            return RandomTwo()
        case Balance.CONSISTENT_HASH:
            return ConsistentHash(origins, bound)
        case _:
            assert_never(balance)
