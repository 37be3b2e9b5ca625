import random

from edgeproxy.upstream.concurrency import DROPPED, FIRST, Limiter
from edgeproxy.upstream.settings import Concurrency


def window(of: Limiter, seconds: float, now: float, active: int | None = None) -> float:
    """Twenty answers that took so long, spread over 0.1 s; the end of the window."""
    for number in range(20):
        of.answered(seconds, of.limit if active is None else active, now + number / 180)
    return now + 0.2


def test_it_doubles_while_the_origin_keeps_its_time() -> None:
    of, now, seen = Limiter(Concurrency(1, 100)), 0.0, []
    for _ in range(4):
        seen.append(of.limit)
        now = window(of, 0.01, now)
    assert seen == [FIRST, 32, 64, 100]
    assert repr(of) == "<Limiter 100 of 1-100>"


def test_it_does_not_grow_where_nobody_asks_for_more() -> None:
    of = Limiter(Concurrency(1, 100))
    window(of, 0.01, 0.0, active=3)
    assert of.limit == FIRST


def test_it_falls_to_the_least_while_the_origin_dawdles_and_creeps_up_after_it() -> None:
    of = Limiter(Concurrency(4, 100))
    now = window(of, 0.01, 0.0)
    for _ in range(20):
        now = window(of, 0.1, now)
    assert of.limit == 4
    now = window(of, 0.01, now)
    assert of.limit == 5


def test_within_the_tolerance_it_does_not_fall() -> None:
    of = Limiter(Concurrency(4, 100))
    now = window(of, 0.01, 0.0)
    for _ in range(5):
        now = window(of, 0.019, now)
    assert of.limit == 100


def test_the_shortest_time_is_forgotten_after_a_while() -> None:
    of = Limiter(Concurrency(4, 100))
    now = window(of, 0.01, 0.0)
    for _ in range(20):
        now = window(of, 0.1, now)
    assert of.limit == 4
    now = window(of, 0.1, now + 400)
    assert of.limit == 5


def test_quick_pages_and_slow_ones_are_no_overload() -> None:
    draw, of, now = random.Random(2), Limiter(Concurrency(4, 100)), 0.0
    seen = []
    for _ in range(2000):
        for number in range(20):
            of.answered(draw.choice((0.005, 0.1)), of.limit, now + number / 180)
        now += 0.2
        seen.append(of.limit)
    assert sum(seen) / len(seen) > 90


def test_what_is_fast_enough_is_not_compared() -> None:
    of, now = Limiter(Concurrency(4, 100)), 0.0
    for seconds in (0.0002, 0.004) * 10:
        now = window(of, seconds, now)
    assert of.limit == 100


def test_what_was_under_way_together_lowers_it_once() -> None:
    of = Limiter(Concurrency(2, 100))
    assert of.dropped(0.0, 10.0)
    for _ in range(16):
        assert not of.dropped(5.0, 10.0)
    assert of.limit == int(FIRST * DROPPED)
    assert of.dropped(10.0, 20.0)
    assert of.limit == int(int(FIRST * DROPPED) * DROPPED)


def test_after_an_outage_it_doubles_up_to_half_of_what_it_was() -> None:
    of, now = Limiter(Concurrency(1, 64)), 0.0
    while of.limit < 64:
        now = window(of, 0.01, now)
    for step in range(20):
        of.dropped(now + step, now + step)
    assert of.limit == 1
    seen, now = [], now + 30
    for _ in range(7):
        now = window(of, 0.01, now)
        seen.append(of.limit)
    assert seen == [2, 4, 8, 16, 32, 35, 38]


def test_it_finds_what_an_origin_with_a_queue_bears() -> None:
    """An origin that does 20 at once; beyond that each waits."""
    draw = random.Random(1)
    of, now = Limiter(Concurrency(2, 500)), 0.0
    seen = []
    for _ in range(200):
        took = 0.01 * max(1.0, of.limit / 20) * draw.uniform(0.9, 1.1)
        now = window(of, took, now)
        seen.append(of.limit)
    assert all(20 <= limit <= 80 for limit in seen[50:])


def test_very_many_answers_at_once_are_not_all_kept() -> None:
    of = Limiter(Concurrency(1, 2))
    for _ in range(1000):
        of.answered(0.01, 1, 5.0)
    assert len(of._samples) <= 4 * 2 + 21
