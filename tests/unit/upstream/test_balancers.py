"""Distributions, each over all weights."""

import random
from collections import Counter

import pytest

from edgeproxy.upstream.balancers import (
    FEW,
    MOST_POINTS,
    Balancer,
    ConsistentHash,
    LeastRequests,
    RandomTwo,
    RoundRobin,
    make_balancer,
)
from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.settings import Balance
from tests.unit.upstream.helpers import make_origin


def origins(*weights: int) -> list[Origin]:
    return [make_origin(f"http://o{index}.test:80", weight) for index, weight in enumerate(weights)]


def picks(balancer: Balancer, among: list[Origin], count: int) -> list[int]:
    return [among.index(balancer.pick(among, b"%d" % index)) for index in range(count)]


def test_round_robin_keeps_weights_exactly_and_smoothly() -> None:
    assert picks(RoundRobin(), origins(5, 1, 1), 7) == [0, 0, 1, 0, 2, 0, 0]


def test_round_robin_goes_on_when_one_leaves_and_returns() -> None:
    three = origins(1, 1, 1)
    balancer = RoundRobin()
    picks(balancer, three, 4)
    picks(balancer, three[:2], 10)
    assert Counter(picks(balancer, three, 30)) == {0: 10, 1: 10, 2: 10}


def test_least_requests_takes_the_idlest_for_its_weight() -> None:
    among = origins(1, 2)
    among[0].active, among[1].active = 2, 4
    balancer = LeastRequests()
    assert picks(balancer, among, 4) == [1, 1, 1, 1]  # (4+1)/2 is less than (2+1)/1
    among[1].active = 6
    assert picks(balancer, among, 4) == [0, 0, 0, 0]


def test_least_requests_gives_equals_their_turns() -> None:
    assert Counter(picks(LeastRequests(), origins(1, 1, 1), 30)) == {0: 10, 1: 10, 2: 10}


def test_random_two_prefers_the_less_loaded_of_two() -> None:
    among = origins(1, 1)
    among[0].active = 5
    assert set(picks(RandomTwo(random.Random(1)), among, 50)) == {1}


def test_random_two_draws_by_weight() -> None:
    counts = Counter(picks(RandomTwo(random.Random(1)), origins(3, 1, 1), 5000))
    assert 0.5 < counts[0] / 5000 < 0.7  # 3 of 5
    assert abs(counts[1] - counts[2]) < 300


WEIGHTS = [(1, 1, 1), (1, 2, 3), (5, 1, 1), (10, 1), (100, 50, 50, 1)]


def shares(counts: Counter[int], weights: tuple[int, ...]) -> list[float]:
    """What each got, as a multiple of what its weight entitles it to."""
    total, weight = sum(counts.values()), sum(weights)
    return [counts[index] / total * weight / each for index, each in enumerate(weights)]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_round_robin_gives_each_its_weight_and_nobody_two_turns_too_many(weights: tuple[int, ...]) -> None:
    among, total = origins(*weights), sum(weights)
    turns = picks(RoundRobin(), among, 3 * total)
    assert Counter(turns) == {index: 3 * weight for index, weight in enumerate(weights)}
    for length in range(1, total):  # smooth: at no time is anybody ahead by more than its next turn
        for index, weight in enumerate(weights):
            due = length * weight / total
            assert abs(turns[:length].count(index) - due) < len(weights) - 1 + 1e-9


def in_flight(balancer: Balancer, among: list[Origin], count: int, held: int, seed: int = 1) -> Counter[int]:
    """Picks of requests of which `held` are always under way, each ended at random."""
    draw, busy, counts = random.Random(seed), [], Counter[int]()
    for index in range(count):
        if len(busy) >= held:
            busy.pop(draw.randrange(len(busy))).active -= 1
        origin = balancer.pick(among, b"%d" % draw.randrange(10**9))
        origin.active += 1
        busy.append(origin)
        counts[among.index(origin)] += 1
        assert index < held or sum(each.active for each in among) == held
    return counts


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (5, 1, 1), (10, 1)])
def test_least_requests_keeps_what_is_in_flight_by_weight(weights: tuple[int, ...]) -> None:
    counts = in_flight(LeastRequests(), origins(*weights), 6000, held=20 * sum(weights))
    assert all(0.93 < share < 1.07 for share in shares(counts, weights)), counts


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (5, 1, 1), (10, 1)])
def test_random_two_comes_near_the_weights(weights: tuple[int, ...]) -> None:
    counts = in_flight(RandomTwo(random.Random(1)), origins(*weights), 6000, held=20 * sum(weights))
    assert all(0.85 < share < 1.25 for share in shares(counts, weights)), counts


@pytest.mark.parametrize("weights", WEIGHTS)
def test_consistent_hash_gives_each_keys_by_its_weight(weights: tuple[int, ...]) -> None:
    among = origins(*weights)
    counts = Counter(picks(ConsistentHash(among), among, 20_000))
    assert all(0.75 < share < 1.25 for share in shares(counts, weights)), shares(counts, weights)


def test_consistent_hash_keeps_a_key_at_its_origin() -> None:
    among = origins(2, 1, 1)
    first = picks(ConsistentHash(among), among, 4000)
    assert picks(ConsistentHash(among), among, 4000) == first


@pytest.mark.parametrize("count", [2, 3, 5, 10, 50])
@pytest.mark.parametrize("bound", [0.0, 1.25])
def test_consistent_hash_moves_only_the_keys_of_the_one_that_left(count: int, bound: float) -> None:
    among = origins(*[1] * count)
    balancer = ConsistentHash(among, bound)
    before = picks(balancer, among, 5000)
    moved = []
    for gone in range(min(count, 5)):
        left = [origin for origin in among if origin is not among[gone]]
        after = [among.index(balancer.pick(left, b"%d" % index)) for index in range(5000)]
        changes = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert {old for old, _ in changes} == {gone}
        assert count < 3 or len({new for _, new in changes}) > 1  # shared out among those who stay
        moved.append(len(changes) / 5000)
    assert all(0.7 / count < share < 1.35 / count for share in moved), moved
    assert sum(moved) / len(moved) == pytest.approx(1 / count, rel=0.2)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_consistent_hash_over_one_origin_more_moves_its_share_and_nothing_else(count: int) -> None:
    among = origins(*[1] * (count + 1))
    few, more = ConsistentHash(among[:-1]), ConsistentHash(among)
    keys = [b"%d" % index for index in range(5000)]
    moved = [new for key in keys if (new := more.pick(among, key)) is not few.pick(among[:-1], key)]
    assert set(moved) == {among[-1]}
    assert 0.7 < len(moved) / 5000 * (count + 1) < 1.3


def test_a_hot_key_drowns_nobody() -> None:
    among = origins(1, 1, 1)
    balancer = ConsistentHash(among, 1.25)
    for _ in range(300):
        balancer.pick(among, b"hot").active += 1
    loads = sorted(origin.active for origin in among)
    assert loads[-1] <= 1.25 * 100 + 1
    assert loads[-2] <= 1.25 * 100 + 1
    free = ConsistentHash(among)
    assert len({free.pick(among, b"hot") for _ in range(10)}) == 1


def test_bounded_loads_go_by_weight() -> None:
    among = origins(3, 1)
    balancer = ConsistentHash(among, 1.25)
    for _ in range(400):
        balancer.pick(among, b"hot").active += 1
    assert among[0].active <= 1.25 * 300 + 1
    assert among[1].active <= 1.25 * 100 + 1


def test_a_few_requests_stay_with_their_origin_whatever_the_mean() -> None:
    among = origins(*[1] * 10)
    balancer = ConsistentHash(among, 1.25)
    first = balancer.pick(among, b"key")
    for _ in range(FEW):
        assert balancer.pick(among, b"key") is first
        first.active += 1
    assert balancer.pick(among, b"key") is not first


def test_in_its_slow_start_an_origin_takes_a_part_of_its_keys_and_always_the_same() -> None:
    among = origins(1, 1, 1)
    balancer = ConsistentHash(among, 1.25)
    whole = picks(balancer, among, 6000)
    among[1].weight = 0.3
    part = picks(balancer, among, 6000)
    ours = {index for index, origin in enumerate(part) if origin == 1}
    assert ours < {index for index, origin in enumerate(whole) if origin == 1}
    assert 0.2 < len(ours) / whole.count(1) < 0.4
    among[1].weight = 0.6
    assert ours < {index for index, origin in enumerate(picks(balancer, among, 6000)) if origin == 1}


def test_where_all_are_in_their_slow_start_somebody_is_asked_all_the_same() -> None:
    among = origins(1, 1)
    for origin in among:
        origin.weight = 0.0001
    assert len(picks(ConsistentHash(among, 1.25), among, 200)) == 200


def test_a_ring_has_its_bound_whatever_the_weights() -> None:
    among = origins(*[1000] * 20, 1)
    balancer = ConsistentHash(among)
    assert len(balancer._points) <= 1.1 * MOST_POINTS


def test_consistent_hash_answers_for_origins_it_does_not_know() -> None:
    strangers = origins(1, 1)
    assert ConsistentHash(origins(1)).pick(strangers, b"key") is strangers[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (Balance.ROUND_ROBIN, RoundRobin),
        (Balance.LEAST_REQUESTS, LeastRequests),
        (Balance.RANDOM_TWO, RandomTwo),
        (Balance.CONSISTENT_HASH, ConsistentHash),
    ],
)
def test_each_name_has_its_balancer(name: Balance, kind: type) -> None:
    assert isinstance(make_balancer(name, origins(1)), kind)
