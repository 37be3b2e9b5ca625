import pytest

from edgeproxy.upstream.balancers import RoundRobin
from edgeproxy.upstream.origin import DOUBT, Address, Endpoint, Origin, Steer, unix_address
from edgeproxy.upstream.roster import Roster
from edgeproxy.upstream.settings import Ejection
from tests.unit.upstream.helpers import make_origin


def roster(*origins: Origin, failures: int = 2, seconds: float = 10.0) -> Roster:
    return Roster(origins, RoundRobin(), Ejection(failures, seconds))


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
    of.succeeded(a.endpoints[0])
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
    of.succeeded(trial)
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
    assert of.choose(b"", 9.0) is None


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
    of.succeeded(first)
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
