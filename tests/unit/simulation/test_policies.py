"""The policies to compare with, against libCacheSim's of the same names, and by hand."""

from contextlib import closing

import pytest

from edgeproxy.simulation.policies import OURS, OWN, Belady, Fifo, Gdsf, Lru, Shipped
from edgeproxy.simulation.referee import Referee
from edgeproxy.simulation.replay import replay
from edgeproxy.simulation.trace import Trace
from tests.benchmarks.traces import EQUAL, size_of, zipf

REQUESTS = zipf(20_000, 2_000, 0.8, seed=5)
EQUALS = Trace.of(((number, EQUAL) for number in REQUESTS), beside=0)
SIZED = Trace.of(((number, size_of(number) // 64 + 1) for number in REQUESTS), beside=0)


@pytest.mark.parametrize("trace", [EQUALS, SIZED], ids=["equal", "sized"])
@pytest.mark.parametrize("name", ["LRU", "FIFO", "GDSF", "Belady"])
def test_referee_finds_the_same_hit_ratio(name: str, trace: Trace) -> None:
    pytest.importorskip("libcachesim")
    with closing(Referee(trace)) as referee:
        for share in (0.03, 0.1, 0.3):
            budget = int(trace.footprint * share)
            mine = replay(trace, OWN[name](budget, trace))
            requests, of_bytes = referee(name, budget)
            assert mine.requests == pytest.approx(requests, abs=0.015)
            assert mine.bytes == pytest.approx(of_bytes, abs=0.02)


def test_nobody_beats_belady_where_sizes_are_equal() -> None:
    budget = EQUALS.footprint // 10
    ratios = {name: replay(EQUALS, policy(budget, EQUALS)).requests for name, policy in OWN.items()}
    assert max(ratios, key=ratios.__getitem__) == "Belady"
    assert ratios[OURS] > ratios["LRU"] > ratios["FIFO"]


@pytest.mark.parametrize("policy", OWN.values(), ids=OWN)
def test_what_is_larger_than_the_cache_is_not_held(policy: type[Lru]) -> None:
    trace = Trace.of([(1, 500), (2, 20), (1, 500), (2, 20)], beside=0)
    assert replay(trace, policy(100, trace)).requests == 0.25


def names(trace: list[int], policy: type[Lru], size: int = 1, room: int = 2) -> list[bool]:
    made = Trace.of(((number, size) for number in trace), beside=0)
    held = policy(room, made)
    hits = []
    for at, number in enumerate(made.requests):
        hits.append(held.touch(number, at))
        if not hits[-1]:
            held.insert(number, size, at)
    return hits


def test_lru_gives_up_what_was_used_longest_ago() -> None:
    assert names([1, 2, 1, 3, 1, 2], Lru) == [False, False, True, False, True, False]


def test_fifo_gives_up_what_came_first() -> None:
    assert names([1, 2, 1, 3, 1], Fifo) == [False, False, True, False, False]


def test_belady_gives_up_what_is_used_last_and_stores_nothing_in_vain() -> None:
    assert names([1, 2, 3, 2, 3, 9, 2, 1], Belady) == [False, False, False, True, True, False, True, False]


def test_gdsf_gives_up_the_large_first() -> None:
    trace = Trace.of([(1, 60), (2, 10), (3, 50)], beside=0)
    policy = Gdsf(100, trace)
    for at, number in enumerate(trace.requests):
        policy.insert(number, trace.costs[number], at)
    assert [policy.touch(number, 3) for number in range(3)] == [False, True, True]


def test_heap_stays_small_where_hits_are_many() -> None:
    trace = Trace.of([(1, 10)], beside=0)
    policy = Gdsf(100, trace)
    policy.insert(0, 10, 0)
    for at in range(5000):
        policy.touch(0, at)
    assert len(policy._heap) <= 1030


def test_shipped_admits_up_to_its_share() -> None:
    trace = Trace.of([(1, 26), (2, 25)], beside=0)
    policy = Shipped(100, trace)
    policy.insert(0, 26, 0)
    policy.insert(1, 25, 1)
    assert not policy.touch(0, 2)
    assert policy.touch(1, 3)
