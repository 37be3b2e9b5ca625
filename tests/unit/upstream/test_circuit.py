from edgeproxy.upstream.circuit import Circuit
from edgeproxy.upstream.settings import Ejection

GROWING = Ejection(seconds=10.0, longest=60.0)


def whole() -> float:
    return 1.0


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest() -> None:
    of = Circuit()
    now, waits = 100.0, []
    for _ in range(5):
        of.open(GROWING, now, whole)
        waits.append(of.open_until - now)
        now = of.open_until
        of.probe(now, 30.0)
        assert (of.state, of.open_until) == ("half_open", now + 30.0)
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_longer_wait_is_spread_but_never_below_the_first() -> None:
    of = Circuit()
    of.open(GROWING, 0.0, lambda: 0.8)
    assert of.open_until == 10.0
    of.open(GROWING, 10.0, lambda: 0.8)
    assert of.open_until == 26.0
    for _ in range(50):
        of.open(GROWING, 100.0)
        assert 132.0 <= of.open_until <= 160.0


def test_a_short_return_is_no_recovery_and_a_long_one_is() -> None:
    of = Circuit()
    of.open(GROWING, 100.0, whole)
    of.close(110.0)
    of.open(GROWING, 115.0, whole)
    assert of.open_until == 135.0
    of.close(135.0)
    of.open(GROWING, 160.0, whole)
    assert of.open_until == 170.0


def test_only_what_began_with_the_probe_or_later_can_be_it() -> None:
    of = Circuit()
    assert not of.probed_by(None)
    of.open(GROWING, 5.0)
    assert not of.probed_by(6.0)
    of.probe(15.0, 30.0)
    assert not of.probed_by(14.9)
    assert of.probed_by(15.0)
    of.retry(16.0)
    assert (of.state, of.open_until) == ("open", 16.0)
    of.forget()
    assert of.state == "closed"
    assert repr(of) == "<Circuit closed>"
