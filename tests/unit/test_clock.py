import time

import pytest

from edgeproxy.clock import SteadyClock


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_follows_agrees_with_one_from_before_the_machine_s_stepped(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    first = SteadyClock()
    truly = time.time
    monkeypatch.setattr(time, "time", lambda: truly() + step)
    late = SteadyClock()
    assert late.wall() - first.wall() == pytest.approx(step, abs=10)
    late.follow(first.anchor)
    assert late.wall() == pytest.approx(first.wall(), abs=10)
