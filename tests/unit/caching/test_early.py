"""XFetch: monotone, certain for the popular, and as many refreshes as the paper says."""

import random
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.early import NEVER, ahead_of, early_chance, revalidates_early

SECONDS = st.floats(0, 100)
SCALES = st.floats(1e-4, 10)
COUNTS = st.integers(1, 100_000)


@pytest.mark.parametrize(
    ("left", "scale", "requests", "step", "chance"),
    [
        pytest.param(1.0, 0.0, 1000, 0.0, 0.0, id="off"),
        pytest.param(1.0, 1.0, 0, 0.0, 0.0, id="nobody-asks"),
        pytest.param(2.0, 1.0, 1, 0.0, exp(-2), id="one-request-is-xfetch"),
        pytest.param(2.0, 1.0, 3, 0.0, 1 - (1 - exp(-2)) ** 3, id="any-of-three"),
        pytest.param(0.0, 1.0, 1, 0.0, 1.0, id="at-its-end"),
        pytest.param(-1.0, 1.0, 1, 0.0, 1.0, id="past-its-end"),
        pytest.param(NEVER * 0.01 + 1, 0.01, 100_000, 1.0, 0.0, id="far-ahead"),
        pytest.param(2.0, 1.0, 1, 2.0, (1 - exp(-2)) / 2, id="the-mean-over-the-step"),
        pytest.param(1.0, 0.2, 200, 1.0, 1.0, id="popular-in-its-last-second"),
        pytest.param(1.0, 0.005, 1, 1.0, 0.005, id="asked-for-once-and-cheap"),
    ],
)
def test_chances(left: float, scale: float, requests: int, step: float, chance: float) -> None:
    assert early_chance(left, scale, requests, step) == pytest.approx(chance, abs=1e-9)


@given(left=SECONDS, more=SECONDS, scale=SCALES, requests=COUNTS, step=st.floats(0, 1))
def test_it_is_a_chance_that_grows_towards_the_end(
    left: float, more: float, scale: float, requests: int, step: float
) -> None:
    near, far = early_chance(left, scale, requests, step), early_chance(left + more, scale, requests, step)
    assert 0.0 <= far <= near + 1e-9
    assert near <= 1.0


@given(left=SECONDS, scale=SCALES, more=SCALES, requests=COUNTS, others=COUNTS, step=st.floats(0, 1))
def test_it_grows_with_the_cost_and_with_the_requests(
    left: float, scale: float, more: float, requests: int, others: int, step: float
) -> None:
    chance = early_chance(left, scale, requests, step)
    assert chance <= early_chance(left, scale, requests + others, step) + 1e-9
    assert chance <= early_chance(left, scale + more, requests, step) + 1e-9


@given(left=st.floats(0.01, 5), scale=st.floats(0.05, 2), requests=st.integers(1, 200))
def test_judged_at_once_is_as_likely_as_each_by_itself(left: float, scale: float, requests: int) -> None:
    none = 1.0
    for _ in range(requests):
        none *= 1 - early_chance(left, scale, 1)
    assert early_chance(left, scale, requests) == pytest.approx(1 - none, abs=1e-9)


def test_the_draw_decides() -> None:
    chance = early_chance(1.0, 1.0, 1)
    assert revalidates_early(1.0, 1.0, 1, chance - 1e-6)
    assert not revalidates_early(1.0, 1.0, 1, chance)


def test_n_requests_draw_the_largest_of_n() -> None:
    chance = random.Random(20261124)
    scale, requests, runs = 0.2, 50, 2000
    mean = sum(max(-scale * log(chance.random()) for _ in range(requests)) for _ in range(runs)) / runs
    assert ahead_of(scale, requests) == pytest.approx(mean, rel=0.05)
    assert ahead_of(scale, 0) == 0.0
    assert ahead_of(scale, 99) == pytest.approx(ahead_of(scale, 100), rel=0.01)


def test_few_requests_revalidate_at_the_same_time() -> None:
    """Requests at a steady rate, an origin that takes `delta`: the paper bounds those within one fetch."""
    chance = random.Random(1)
    delta, rate, runs = 0.1, 200, 300
    started = expired = 0
    for _ in range(runs):
        left, fetching = 5.0, 0.0
        while left > 0:
            left -= 1 / rate
            if fetching:  # another one before the first is back?
                fetching -= 1 / rate
                started += revalidates_early(left, delta, 1, chance.random())
                if fetching <= 0:
                    break
            elif revalidates_early(left, delta, 1, chance.random()):
                started, fetching = started + 1, delta
        else:
            expired += 1
    assert started / runs < 8  # of the 20 requests that come while one is under way
    assert expired / runs < 0.2  # the rest begins in time, and is back in time
