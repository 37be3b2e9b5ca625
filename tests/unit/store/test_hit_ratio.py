"""The hit ratio of the policy that ships: never below LRU, and near the best online policy of libCacheSim.

Bounds are in points, as measured on these traces and rounded up; tests/benchmarks/README.md has the long run.
"""

from collections.abc import Callable, Iterator

import pytest

from edgeproxy.simulation.policies import Lru, Shipped
from edgeproxy.simulation.replay import replay
from edgeproxy.simulation.trace import Trace
from tests.benchmarks.hit_ratio import cases, gaps, measure
from tests.benchmarks.traces import EQUAL, moved_on, size_of

ONLINE = ("LRU", "FIFO", "Sieve", "S3FIFO", "WTinyLFU", "ARC", "GDSF")
BELOW_BEST = 0.06
BELOW_BEST_IN_THE_MEAN = 0.0
BELOW_LRU_BY_BYTES = 0.02
CASES = {name: (trace, sizes) for name, trace, sizes in cases(12_000, 1_500, seed=7)}


@pytest.mark.parametrize("name", CASES)
def test_never_below_lru(name: str) -> None:
    trace, sizes = CASES[name]
    for size in sizes:
        mine, theirs = replay(trace, Shipped(size, trace)), replay(trace, Lru(size, trace))
        assert mine.requests >= theirs.requests, size
        assert mine.bytes >= theirs.bytes - BELOW_LRU_BY_BYTES, size


def test_near_the_best_online_policy_everywhere_and_above_it_in_the_mean() -> None:
    pytest.importorskip("libcachesim")
    behind = list(distances())
    assert min(behind) >= -BELOW_BEST
    assert sum(behind) / len(behind) >= -BELOW_BEST_IN_THE_MEAN


def distances() -> Iterator[float]:
    for trace, sizes in CASES.values():
        for ratios in measure(trace, sizes, ONLINE):
            yield gaps(ratios)["best"].requests


@pytest.mark.parametrize(("size", "below"), [(size_of, 0.0), (lambda number: EQUAL, 0.07)])
def test_when_all_urls_change_at_once_it_recovers(size: Callable[[int], int], below: float) -> None:
    """Each new URL must be asked for once more than LRU needs: the one known case below it."""
    trace = Trace.of(((number, size(number)) for number in moved_on(30_000, 3_000, seed=3)), beside=0)
    budget = trace.footprint * 3 // 10
    mine, theirs = replay(trace, Shipped(budget, trace)), replay(trace, Lru(budget, trace))
    assert mine.requests >= theirs.requests - below
