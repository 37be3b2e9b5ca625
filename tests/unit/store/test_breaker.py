"""When the breaker opens, and that only a probe closes it."""

from edgeproxy.store.breaker import Breaker, BreakerState


def test_opens_after_faults_in_a_row() -> None:
    breaker = Breaker(threshold=3)
    assert not breaker.failed(1.0)
    assert not breaker.failed(2.0)
    breaker.succeeded()
    assert not breaker.failed(3.0)
    assert not breaker.failed(4.0)
    assert breaker.closed
    assert breaker.failed(5.0)
    assert not breaker.closed
    assert breaker.opened_at == 5.0


def test_opens_once() -> None:
    breaker = Breaker(threshold=1)
    assert breaker.failed(1.0)
    assert not breaker.failed(2.0)
    assert breaker.opened_at == 1.0


def test_late_answer_does_not_close_it() -> None:
    breaker = Breaker(threshold=1)
    breaker.failed(1.0)
    breaker.succeeded()
    assert breaker.state is BreakerState.OPEN


def test_probes_are_spread_out_up_to_the_longest_wait() -> None:
    breaker = Breaker(threshold=1, shortest=0.1, longest=0.5)
    breaker.failed(1.0)
    waits = []
    for _ in range(4):
        waits.append(breaker.wait)
        breaker.probing()
        assert breaker.state is BreakerState.HALF_OPEN
        assert not breaker.closed
        breaker.probed(answered=False)
    assert waits == [0.1, 0.2, 0.4, 0.5]


def test_probe_that_is_answered_closes_it_and_starts_afresh() -> None:
    breaker = Breaker(threshold=2, shortest=0.1)
    breaker.failed(1.0)
    breaker.failed(1.0)
    breaker.probing()
    breaker.probed(answered=False)
    breaker.probing()
    breaker.probed(answered=True)
    assert breaker.closed
    assert not breaker.failed(2.0)
    assert breaker.failed(3.0)
    assert breaker.wait == 0.1
