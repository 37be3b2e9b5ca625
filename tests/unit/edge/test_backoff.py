"""Keys held down after a failed validation: doubling, spread, capped, bounded, one try at a time."""

import pytest

from edgeproxy.edge.backoff import Backoff


def test_each_wait_doubles_up_to_ten_times_the_first() -> None:
    backoff = Backoff(draw=lambda: 0.5)
    waits = []
    for _ in range(6):
        backoff.failed(b"a", 1.0, 0.0)
        held = backoff.of(b"a")
        assert held is not None
        waits.append(held.until)
    assert waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(("draw", "wait"), [(0.0, 0.75), (0.5, 1.0), (0.999, 1.2495)])
def test_waits_are_spread(draw: float, wait: float) -> None:
    backoff = Backoff(draw=lambda: draw)
    backoff.failed(b"a", 1.0, 0.0)
    held = backoff.of(b"a")
    assert held is not None
    assert held.until == pytest.approx(wait)


def test_one_tries_when_the_wait_is_over_and_success_forgets() -> None:
    backoff = Backoff(draw=lambda: 0.5)
    backoff.failed(b"a", 1.0, 0.0, status=503)
    held = backoff.of(b"a")
    assert held is not None
    assert held.status == 503
    assert [backoff.probes(held, now) for now in (0.9, 1.0, 1.0, 1.5, 2.0)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    backoff.succeeded(b"a")
    assert backoff.of(b"a") is None


def test_it_is_bounded_and_may_be_off() -> None:
    backoff = Backoff(remembered=2)
    for key in (b"a", b"b", b"c"):
        backoff.failed(key, 1.0, 0.0)
    backoff.failed(b"d", 0.0, 0.0)
    assert len(backoff) == 2
    assert backoff.of(b"a") is backoff.of(b"d") is None
    assert repr(backoff) == "<Backoff 2>"
