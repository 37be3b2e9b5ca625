"""Traces, and runs over several sizes: with lifetimes, with samples."""

from contextlib import closing

import pytest

from edgeproxy.simulation.policies import OURS, Lru
from edgeproxy.simulation.ratios import Ratio, Sample
from edgeproxy.simulation.referee import Referee
from edgeproxy.simulation.replay import replay, sweep
from edgeproxy.simulation.trace import BESIDE, NEVER, Trace
from tests.benchmarks.traces import size_of, zipf


def test_trace_numbers_urls_and_keeps_their_largest_size() -> None:
    trace = Trace.of([(70, 5), (80, 7), (70, 9), (70, 0)])
    assert list(trace.requests) == [0, 1, 0, 0]
    assert list(trace.sizes) == [9, 7]
    assert list(trace.costs) == [9 + BESIDE, 7 + BESIDE]
    assert trace.footprint == 16 + 2 * BESIDE
    assert trace.asked_bytes == 34
    assert list(trace.next_uses) == [2, NEVER, 3, NEVER]
    assert len(trace) == 4


def test_hit_ratio_by_requests_and_by_bytes() -> None:
    trace = Trace.of([(1, 10), (2, 30), (2, 30), (1, 10), (3, 20)], beside=0)
    assert replay(trace, Lru(100, trace)) == Ratio(0.4, 0.4)
    assert replay(trace, Lru(35, trace)) == Ratio(0.2, 0.3)


def test_empty_trace_has_no_hits() -> None:
    trace = Trace()
    assert replay(trace, Lru(10, trace)) == Ratio(0.0, 0.0)


def test_expired_is_a_miss_and_renewed() -> None:
    trace = Trace.of([(1, 10)] * 5, beside=0)
    trace.times.extend([0.0, 5.0, 10.0, 15.0, 25.0])
    assert replay(trace, Lru(100, trace), ttl=10.0).requests == 0.4
    assert replay(trace, Lru(100, trace), ttl=100.0).requests == 0.8


def test_sweep_has_one_row_a_size_smallest_first() -> None:
    trace = Trace.of((number, size_of(number)) for number in zipf(3000, 300, 0.9, seed=1))
    steps: list[None] = []
    rows = list(sweep(trace, [1 << 22, 1 << 18, 1 << 22], step=lambda: steps.append(None)))
    assert [row.size for row in rows] == [1 << 18, 1 << 22]
    assert len(steps) == 2 * len(rows[0].ratios)
    for small, large in zip(rows[0].ratios.values(), rows[1].ratios.values(), strict=True):
        assert small.requests < large.requests


@pytest.mark.parametrize("alpha", [0.7, 1.0])
def test_sample_of_the_urls_finds_about_the_same(alpha: float) -> None:
    """Whether or not the most popular URLs are in it."""
    requests = zipf(60_000, 6_000, alpha, seed=1)
    whole = Trace.of((number, 8000) for number in requests)
    size = whole.footprint // 10
    all_of_it = next(iter(sweep(whole, [size]))).ratios
    for which in range(4):
        part = Trace.of((number, 8000) for number in requests if number % 4 == which)
        got = len(part) / len(whole) / 0.25
        sampled = next(iter(sweep(part, [size], sample=Sample(0.25, got, got)))).ratios
        for name, ratio in all_of_it.items():
            assert sampled[name].requests == pytest.approx(ratio.requests, abs=0.03)
            assert sampled[name].bytes == pytest.approx(ratio.bytes, abs=0.03)


def test_referee_adds_its_policies() -> None:
    pytest.importorskip("libcachesim")
    trace = Trace.of((number, size_of(number)) for number in zipf(3000, 300, 0.9, seed=1))
    with closing(Referee(trace)) as referee:
        (row,) = sweep(trace, [1 << 21], referee=referee)
    assert list(row.ratios) == [OURS, "LRU", "FIFO", "GDSF", "Belady", "SIEVE", "S3-FIFO", "W-TinyLFU"]
    assert all(0 < ratio.requests < 1 for ratio in row.ratios.values())
