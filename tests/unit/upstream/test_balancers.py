"""Distributions, each over all weights."""

import random
from collections import Counter

import pytest

from edgeproxy.upstream.balancers import (
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


def test_consistent_hash_keeps_a_key_at_its_origin_and_follows_weights() -> None:
    among = origins(2, 1, 1)
    balancer = ConsistentHash(among)
    first = picks(balancer, among, 4000)
    assert picks(balancer, among, 4000) == first
    counts = Counter(first)
    assert 0.4 < counts[0] / 4000 < 0.6


def test_consistent_hash_moves_only_the_keys_of_the_one_that_left() -> None:
    among = origins(1, 1, 1, 1)
    balancer = ConsistentHash(among)
    before = picks(balancer, among, 2000)
    left = [origin for origin in among if origin is not among[2]]
    after = [among.index(balancer.pick(left, b"%d" % index)) for index in range(2000)]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {old for old, _ in moved} == {2}
    assert 0.15 < len(moved) / 2000 < 0.35  # about one in four
    assert {new for _, new in moved} == {0, 1, 3}


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
