"""Windows and verdicts, second by second."""

import pytest

from edgeproxy.upstream.origin import Endpoint
from edgeproxy.upstream.outliers import Outliers, Seen
from edgeproxy.upstream.settings import Ejection
from tests.unit.upstream.helpers import make_origin


def endpoints(count: int) -> list[Endpoint]:
    return [make_origin(f"http://o{index}.test").endpoints[0] for index in range(count)]


def judged(of: Outliers, among: list[Endpoint], now: float = 1.0) -> list[tuple[int, str]]:
    return [(among.index(endpoint), why) for endpoint, why in of.judge(among, now)]


def saw(of: Outliers, endpoint: Endpoint, answers: int = 0, failures: int = 0, seconds: float = 0.1) -> None:
    for _ in range(answers):
        of.of(endpoint).answered(seconds)
    for _ in range(failures):
        of.of(endpoint).failed()


RATE = Outliers(Ejection(error_rate=0.5, window=10, min_requests=10))
SLOW = Outliers(Ejection(slower_than=3, window=10, min_requests=10))


def test_there_is_nothing_to_judge_by_unless_asked() -> None:
    assert not Outliers(Ejection()).judges
    assert RATE.judges
    assert SLOW.judges
    assert "error_rate=0.5" in repr(RATE)


def test_a_rate_of_failures_is_found_and_few_requests_are_no_rate() -> None:
    among = endpoints(3)
    saw(RATE, among[0], answers=6, failures=6)
    saw(RATE, among[1], answers=7, failures=6)
    saw(RATE, among[2], failures=9)
    assert judged(RATE, among) == [(0, "error_rate")]


def test_the_worst_comes_first() -> None:
    among = endpoints(2)
    saw(RATE, among[0], answers=5, failures=5)
    saw(RATE, among[1], failures=10)
    assert judged(RATE, among) == [(1, "error_rate"), (0, "error_rate")]


def test_what_is_older_than_the_window_counts_no_more() -> None:
    among = endpoints(1)
    saw(RATE, among[0], failures=9)
    assert judged(RATE, among, 1.0) == []
    saw(RATE, among[0], answers=20)
    assert judged(RATE, among, 5.0) == []
    assert among[0].seen is not None
    assert (among[0].seen.requests, among[0].seen.failures) == (29, 9)
    judged(RATE, among, 11.0)
    assert (among[0].seen.requests, among[0].seen.failures) == (20, 0)
    judged(RATE, among, 15.0)
    assert (among[0].seen.requests, among[0].seen.answers) == (0, 0)
    assert among[0].seen.seconds == pytest.approx(0)


def test_one_that_was_found_begins_anew_and_one_that_is_out_is_not_judged() -> None:
    among = endpoints(1)
    saw(RATE, among[0], failures=10)
    assert judged(RATE, among) == [(0, "error_rate")]
    assert judged(RATE, among) == []
    saw(RATE, among[0], failures=10)
    among[0].circuit.open_until = 5.0
    assert judged(RATE, among) == []
    among[0].circuit.open_until = 0.0
    assert judged(RATE, among) == []  # what it did when it was out counts no more


def test_one_much_slower_than_the_others_is_found() -> None:
    among = endpoints(3)
    for endpoint, seconds in zip(among, (0.1, 0.12, 0.4), strict=True):
        saw(SLOW, endpoint, answers=10, seconds=seconds)
    assert judged(SLOW, among) == [(2, "latency")]


@pytest.mark.parametrize("times", [(0.1, 0.1, 0.29), (0.001, 0.001, 0.019), (2.0, 2.0, 2.0), (5.0,)])
def test_near_enough_or_fast_enough_or_alone_is_no_outlier(times: tuple[float, ...]) -> None:
    among = endpoints(len(times))
    for endpoint, seconds in zip(among, times, strict=True):
        saw(SLOW, endpoint, answers=10, seconds=seconds)
    assert judged(SLOW, among) == []


def test_a_mean_reads_well() -> None:
    seen = Seen()
    assert seen.mean == 0
    seen.answered(0.5)
    seen.failed()
    assert repr(seen) == "<Seen 1/2 failed, mean 0.500 s>"
