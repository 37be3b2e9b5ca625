from edgeproxy.upstream.health import Tally


def verdicts(tally: Tally, results: str) -> list[bool | None]:
    return [tally.seen(result == "+") for result in results]


def test_an_origin_counts_as_healthy_from_its_first_good_check() -> None:
    assert verdicts(Tally(3, 2), "+") == [True]


def test_it_takes_its_number_of_failures_in_a_row() -> None:
    assert verdicts(Tally(3, 2), "--+---") == [None, None, True, None, None, False]


def test_an_unhealthy_origin_is_told_once_and_needs_its_number_of_good_checks() -> None:
    assert verdicts(Tally(1, 2), "---+-++") == [False, None, None, None, None, None, True]


def test_each_good_check_of_a_healthy_origin_is_told() -> None:
    assert verdicts(Tally(1, 2), "+++") == [True, True, True]
