import pytest

from edgeproxy.upstream.balancers import RoundRobin
from edgeproxy.upstream.origin import DOUBT, Address, Endpoint, Origin, Steer, unix_address
from edgeproxy.upstream.outliers import Outliers
from edgeproxy.upstream.roster import Roster
from edgeproxy.upstream.settings import Ejection
from tests.unit.upstream.helpers import make_origin


def roster(
    *origins: Origin, failures: int = 2, seconds: float = 10.0, most: float = 0.5, **how: float
) -> Roster:
    return Roster(origins, RoundRobin(), Ejection(failures, seconds, max_ejected=most), **how)  # type: ignore[arg-type]


def two() -> tuple[Origin, Origin]:
    return make_origin("http://a.test"), make_origin("http://b.test")


def chosen(of: Roster, now: float = 0.0, count: int = 6, **how: bool) -> set[str]:
    found = [of.choose(b"", now, **how) for _ in range(count)]
    return {endpoint.origin.key for endpoint in found if endpoint is not None}


def fail(of: Roster, endpoint: Endpoint, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        of.failed(endpoint, now)


def test_failures_in_a_row_eject_and_a_success_between_starts_over() -> None:
    a, b = two()
    of = roster(a, b)
    of.failed(a.endpoints[0], 0)
    of.succeeded(a.endpoints[0], 0.0)
    of.failed(a.endpoints[0], 0)
    assert chosen(of) == {"a.test:80", "b.test:80"}
    of.failed(a.endpoints[0], 0)
    assert chosen(of) == {"b.test:80"}
    assert repr(of) == "<Roster a.test:80=ejected b.test:80=up>"


def test_after_its_time_one_request_tries_and_its_success_readmits() -> None:
    a, b = two()
    of = roster(a, b)
    fail(of, a.endpoints[0], 2)
    trial = of.choose(b"", 10.0)
    assert trial is a.endpoints[0]
    assert chosen(of, 10.0) == {"b.test:80"}
    of.succeeded(trial, 0.0)
    assert chosen(of, 10.0) == {"a.test:80", "b.test:80"}


def test_a_trial_that_fails_keeps_it_out_for_another_while() -> None:
    a, b = two()
    of = roster(a, b)
    fail(of, a.endpoints[0], 2)
    assert of.choose(b"", 10.0) is a.endpoints[0]
    of.failed(a.endpoints[0], 12.0, reached=True)
    assert chosen(of, 21.9) == {"b.test:80"}
    assert of.choose(b"", 22.0) is a.endpoints[0]


def test_a_trial_without_a_verdict_is_the_next_ones() -> None:
    a, b = two()
    of = roster(a, b)
    fail(of, a.endpoints[0], 2)
    assert of.choose(b"", 10.0) is a.endpoints[0]
    of.abandoned(a.endpoints[0], 11.0)
    assert of.choose(b"", 11.0) is a.endpoints[0]
    of.abandoned(b.endpoints[0], 11.0)
    assert b.usable


def test_what_cannot_be_sent_twice_tries_nobody_while_another_is_up() -> None:
    a, b = two()
    of = roster(a, b)
    fail(of, a.endpoints[0], 2)
    assert chosen(of, 10.0, risk=False) == {"b.test:80"}
    fail(of, b.endpoints[0], 2, now=5.0)
    assert of.choose(b"", 10.0, risk=False) is a.endpoints[0]


def test_all_down_is_nobody() -> None:
    a, b = two()
    of = roster(a, b)
    fail(of, a.endpoints[0], 2)
    fail(of, b.endpoints[0], 2)
    assert of.choose(b"", 0.9) is None


def test_with_nobody_left_one_request_a_second_tries_each_address_however_long_it_was_to_be_out() -> None:
    (a,) = (make_origin(),)
    of = roster(a)
    fail(of, a.endpoints[0], 2)
    for second in range(1, 100):
        assert of.choose(b"", second - 0.01) is None
        assert of.choose(b"", second) is a.endpoints[0]
        assert of.choose(b"", second) is None  # one at a time
        of.failed(a.endpoints[0], second)
    assert of.choose(b"", 100.0) is a.endpoints[0]
    of.succeeded(a.endpoints[0], 100.0)
    assert of.usable == (a,)


def test_the_last_origin_is_not_ejected_by_what_shows_that_it_lives() -> None:
    (a,) = (make_origin(),)
    of = roster(a)
    for _ in range(5):
        of.failed(a.endpoints[0], 0, reached=True)
    assert of.usable == (a,)
    of.failed(a.endpoints[0], 0)
    assert of.usable == ()


def test_ejection_can_be_off() -> None:
    (a,) = (make_origin(),)
    of = roster(a, failures=0)
    fail(of, a.endpoints[0], 50)
    assert of.usable == (a,)


def test_tried_origins_come_last_and_never_as_a_trial() -> None:
    a, b = two()
    of = roster(a, b)
    assert {of.choose(b"", 0, (a,)) for _ in range(4)} == {b.endpoints[0]}
    assert of.choose(b"", 0, (a, b)) is not None
    assert of.elsewhere((a,))
    assert not of.elsewhere((a, b))
    fail(of, a.endpoints[0], 2)
    assert of.choose(b"", 10.0, (a,)) is b.endpoints[0]


def test_reserves_serve_when_nobody_else_can() -> None:
    a, spare = make_origin("http://a.test"), make_origin("http://spare.test", 0)
    of = roster(a, spare)
    assert chosen(of) == {"a.test:80"}
    assert of.choose(b"", 0, (a,)) is spare.endpoints[0]
    of.set_active("a.test:80", False)
    assert chosen(of) == {"spare.test:80"}


def test_active_checks_rule_and_a_good_one_ends_an_ejection() -> None:
    a, b = two()
    of = roster(a, b)
    assert of.set_active("a.test:80", False)
    assert (chosen(of), a.state) == ({"b.test:80"}, "unhealthy")
    assert of.set_active("a.test:80", True)
    fail(of, a.endpoints[0], 2)
    assert of.set_active("a.test:80", True)
    assert chosen(of) == {"a.test:80", "b.test:80"}
    assert not of.set_active("c.test:80", True)


@pytest.mark.parametrize("state", [Steer.DRAIN, Steer.DOWN])
def test_the_operators_word_rules(state: Steer) -> None:
    a, b = two()
    of = roster(a, b)
    assert of.steer("a.test:80", state) == [a]
    assert (chosen(of), a.state) == ({"b.test:80"}, state.value)
    fail(of, a.endpoints[0], 2)
    assert chosen(of, 50.0) == {"b.test:80"}
    of.steer("a.test:80", Steer.UP)
    assert chosen(of) == {"a.test:80", "b.test:80"}
    assert of.steer("c.test:80", state) == []


def test_addresses_come_and_go_and_those_that_stay_keep_what_they_know() -> None:
    a = make_origin(addresses=2)
    of = roster(a)
    first, second = a.endpoints
    first.failures = 1
    gone = of.resolved(a, [first.address, Address(2, ("127.0.0.9", 80))])
    assert gone == [second]
    assert second.retired
    assert a.endpoints[0] is first
    assert str(a.endpoints[1].address) == "127.0.0.9:80"
    assert of.resolved(a, []) == list(a.endpoints) or a.endpoints == ()
    assert (of.choose(b"", 0), a.state) == (None, "unresolved")


def test_an_origin_with_one_address_out_goes_on_with_the_other() -> None:
    a = make_origin(addresses=2)
    of = roster(a)
    fail(of, a.endpoints[0], 2)
    assert {of.choose(b"", 0) for _ in range(4)} == {a.endpoints[1]}
    assert a.state == "up"


def test_an_address_that_takes_no_connection_is_doubted_and_later_tried_by_one() -> None:
    a = make_origin(addresses=2)
    of = roster(a, failures=0)
    first, second = a.endpoints
    of.failed(first, 0.0, connecting=True)
    assert {of.choose(b"", 1.0) for _ in range(4)} == {second}
    second.opening = 1  # busier than the doubted one
    assert {of.choose(b"", DOUBT) for _ in range(3)} == {first, second}
    of.failed(second, DOUBT, connecting=True)
    assert of.choose(b"", DOUBT) is not None  # doubted ones serve where there are no others
    of.succeeded(first, 0.0)
    assert first.doubted_until == 0


def test_the_least_busy_address_comes_first_and_equals_take_turns() -> None:
    a = make_origin(addresses=3)
    a.endpoints[1].opening = 2
    assert {a.next_endpoint(0) for _ in range(6)} == {a.endpoints[0], a.endpoints[2]}
    assert a.next_endpoint(0, a.endpoints) is None


def test_addresses_read_well() -> None:
    assert str(Address(10, ("::1", 80, 0, 0))) == "[::1]:80"
    assert str(unix_address("/a.sock")) == "unix:/a.sock"
    assert repr(make_origin()) == "<Origin origin.test:80 up 0 active, 0 held>"


# --- priorities


def test_backups_are_asked_only_while_none_of_a_lower_priority_is_up() -> None:
    first, second, third = (make_origin(f"http://p{level}.test", priority=level) for level in (0, 1, 2))
    reserve = make_origin("http://reserve.test", 0)
    of = roster(reserve, third, second, first)
    assert of.usable == (first,)
    of.set_active(first.key, False)
    assert of.usable == (second,)
    of.steer(second.key, Steer.DRAIN)
    assert of.usable == (third,)
    fail(of, third.endpoints[0], 2)
    assert of.usable == (reserve,)
    of.set_active(first.key, True)
    assert of.usable == (first,)


def test_a_retry_goes_on_to_the_backups_in_their_order() -> None:
    first, second, third = (make_origin(f"http://p{level}.test", priority=level) for level in (0, 1, 2))
    of = roster(third, second, first)
    assert of.choose(b"", 0, (first,)) is second.endpoints[0]
    assert of.choose(b"", 0, (first, second)) is third.endpoints[0]
    assert of.elsewhere((first, second))
    assert not of.elsewhere((first, second, third))


def test_an_origin_that_is_preferred_is_chosen_as_long_as_it_is_up() -> None:
    first, second = make_origin("http://a.test"), make_origin("http://b.test", priority=1)
    of = roster(first, second)
    assert of.preferred("b.test:80", 0) is second.endpoints[0]
    assert of.preferred("c.test:80", 0) is None
    of.steer("b.test:80", Steer.DRAIN)
    assert of.preferred("b.test:80", 0) is None


# --- how many may be out


def many(count: int) -> list[Origin]:
    return [make_origin(f"http://o{index}.test") for index in range(count)]


@pytest.mark.parametrize(
    ("count", "most", "out"),
    [
        *((1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (10, 0.5, 5), (10, 0.1, 1)),
        *((10, 0.01, 1), (10, 1.0, 9), (2, 1.0, 1), (10, 0.0, 0), (10, 0.3, 3)),
    ],
)
def test_no_more_than_the_cap_are_out_of_those_that_live(count: int, most: float, out: int) -> None:
    among = many(count)
    of = roster(*among, most=most)
    for origin in among:
        for _ in range(3):
            of.failed(origin.endpoints[0], 0.0, reached=True)
    assert sum(origin.state == "ejected" for origin in among) == out
    assert len(of.usable) == count - out


def test_the_dead_are_out_beyond_the_cap_and_count_in_it() -> None:
    among = many(4)
    of = roster(*among)
    for origin in among[:3]:
        fail(of, origin.endpoints[0], 2)
    assert of.usable == (among[3],)
    of.failed(among[3].endpoints[0], 0, reached=True)
    of.failed(among[3].endpoints[0], 0, reached=True)
    assert of.usable == (among[3],)


def test_outliers_are_out_within_the_cap_and_come_back_by_a_trial() -> None:
    heard: list[tuple[str, str]] = []
    among = many(2)
    of = Roster(
        among, RoundRobin(), Ejection(5, 10.0), heard=lambda origin, why: heard.append((origin.key, why))
    )
    of.outlying(among[0].endpoints[0], 0.0, "latency")
    of.outlying(among[0].endpoints[0], 0.0, "latency")
    of.outlying(among[1].endpoints[0], 0.0, "error_rate")
    assert heard == [("o0.test:80", "latency")]
    assert of.usable == (among[1],)
    trial = of.choose(b"", 10.0)
    assert trial is among[0].endpoints[0]
    of.succeeded(trial, 0.0)
    assert len(of.usable) == 2


def test_what_fails_is_counted_where_it_is_judged() -> None:
    among = many(2)
    of = roster(*among)
    seen = Outliers(Ejection(error_rate=0.5)).of(among[0].endpoints[0])
    of.failed(among[0].endpoints[0], 0, connecting=True)
    assert (seen.requests, seen.failures) == (1, 1)


# --- panic


def test_with_too_few_healthy_all_are_used_but_those_an_operator_took_away() -> None:
    among = many(5)
    of = roster(*among, panic_below=0.5)
    of.steer(among[4].key, Steer.DOWN)
    of.set_active(among[0].key, False)
    fail(of, among[1].endpoints[0], 2)
    assert (of.panic, len(of.usable)) == (False, 2)
    of.set_active(among[2].key, False)
    assert of.panic
    assert set(of.usable) == set(among[:4])
    assert chosen(of, count=12) == {origin.key for origin in among[:4]}
    assert [origin.state for origin in among] == ["unhealthy", "ejected", "unhealthy", "up", "down"]
    of.succeeded(among[1].endpoints[0], 0.0)
    assert not of.panic
    assert set(of.usable) == {among[1], among[3]}


def test_without_a_threshold_there_is_no_panic() -> None:
    among = many(2)
    of = roster(*among)
    for origin in among:
        fail(of, origin.endpoints[0], 2)
    assert (of.panic, of.usable) == (False, ())


# --- slow start


def test_an_origin_that_returns_comes_back_to_its_weight_slowly() -> None:
    a, b = make_origin("http://a.test", 2), make_origin("http://b.test", 2)
    of = roster(a, b, slow_start=10.0)
    assert (a.weight, b.weight) == (2, 2)  # nobody returns at the start
    fail(of, a.endpoints[0], 2)
    of.succeeded(a.endpoints[0], 0.0)
    assert a.weight == pytest.approx(0.2)
    for now, weight in ((100.0, 0.2), (105.0, 1.0), (109.0, 1.8), (110.0, 2.0), (120.0, 2.0)):
        of.tick(now)
        assert a.weight == pytest.approx(weight)
    assert b.weight == 2


def test_one_that_goes_again_in_its_slow_start_begins_anew_when_it_returns() -> None:
    a, b = two()
    of = roster(a, b, slow_start=10.0)
    for _ in range(2):
        of.steer(a.key, Steer.DRAIN)
        of.tick(200.0)
        of.steer(a.key, Steer.UP)
        of.tick(200.0)
        of.tick(204.0)
        assert a.weight == pytest.approx(0.4)


def test_turns_follow_the_weight_of_a_slow_start() -> None:
    a, b = two()
    of = roster(a, b, slow_start=10.0)
    of.set_active(a.key, False)
    of.set_active(a.key, True)
    of.tick(0.0)
    of.tick(2.5)
    picks = [of.choose(b"", 2.5) for _ in range(50)]
    assert picks.count(a.endpoints[0]) == 10  # a quarter of what b gets


def test_names_that_are_resolved_for_the_first_time_are_no_return() -> None:
    a, b = two()
    found = a.endpoints
    a.resolved([])
    of = roster(a, b, slow_start=10.0)
    of.resolved(a, [endpoint.address for endpoint in found])
    assert a.weight == 1
