"""How often requests may pass a fresh response."""

from dataclasses import replace

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.edge.refreshes import Refreshes
from edgeproxy.edge.routing import Route, Router

ROUTE = Router(
    load_text("upstreams: {o: {origins: ['http://127.0.0.1:1']}}\nroutes: [{name: all, upstream: o}]", {})
).routes[0]


def at_rate(rate: float, name: str = "all") -> Route:
    return replace(ROUTE, name=name, forced_refreshes=rate)


def allowed(refreshes: Refreshes, route: Route, now: float, tries: int = 1000) -> int:
    return sum(refreshes.allows(route, now) for _ in range(tries))


@pytest.mark.parametrize(
    ("rate", "workers", "at_once"),
    [
        pytest.param(100, 1, 100, id="a-second-s-worth"),
        pytest.param(100, 4, 25, id="a-worker-s-share"),
        pytest.param(1, 1, 1, id="one"),
        pytest.param(1, 4, 1, id="at-least-one"),
        pytest.param(0.5, 1, 1, id="less-than-one-a-second"),
        pytest.param(2.5, 1, 2, id="no-half-ones"),
        pytest.param(0, 1, 0, id="none"),
        pytest.param(0, 4, 0, id="none-of-any-share"),
    ],
)
def test_how_many_pass_at_once(rate: float, workers: int, at_once: int) -> None:
    assert allowed(Refreshes(workers), at_rate(rate), 5.0) == at_once


@pytest.mark.parametrize(
    ("rate", "workers", "seconds", "more"),
    [
        pytest.param(100, 1, 0.5, 50, id="half-a-second"),
        pytest.param(100, 1, 1, 100, id="a-second"),
        pytest.param(100, 1, 3600, 100, id="no-more-than-a-second-s-worth"),
        pytest.param(100, 4, 1, 25, id="a-worker-s-share"),
        pytest.param(0.5, 1, 1.75, 0, id="not-yet"),
        pytest.param(0.5, 1, 2, 1, id="one-in-two-seconds"),
        pytest.param(0.5, 2, 2, 0, id="not-yet-for-this-worker"),
        pytest.param(0.5, 2, 4, 1, id="one-in-four-seconds-for-this-worker"),
        pytest.param(0, 1, 3600, 0, id="never"),
    ],
)
def test_how_many_pass_later(rate: float, workers: int, seconds: float, more: int) -> None:
    refreshes = Refreshes(workers)
    allowed(refreshes, at_rate(rate), 5.0)
    assert allowed(refreshes, at_rate(rate), 5.0 + seconds) == more


def test_what_is_refused_does_not_put_off_the_next() -> None:
    refreshes = Refreshes(1)
    assert refreshes.allows(at_rate(1), 0.0)
    assert [refreshes.allows(at_rate(1), step / 4) for step in range(1, 9)] == [
        False,
        False,
        False,
        True,
        False,
        False,
        False,
        True,
    ]


def test_each_route_has_its_own() -> None:
    refreshes = Refreshes(1)
    assert allowed(refreshes, at_rate(3, "one"), 0.0) == 3
    assert allowed(refreshes, at_rate(2, "other"), 0.0) == 2
    assert allowed(refreshes, at_rate(3, "one"), 0.0) == 0


def test_a_rate_that_a_reload_changed_counts_from_then_on() -> None:
    refreshes = Refreshes(1)
    assert allowed(refreshes, at_rate(100), 0.0) == 100
    assert allowed(refreshes, at_rate(2), 10.0) == 2
    assert allowed(refreshes, at_rate(0), 20.0) == 0
    assert allowed(refreshes, at_rate(100), 20.5) == 50
