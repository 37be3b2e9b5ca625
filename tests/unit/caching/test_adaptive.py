"""Lifetimes learnt from validations."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.adaptive import bounded, learn, replaces
from edgeproxy.caching.policy import CachePolicy

from .values import PLAIN, T0, stored

ADAPTIVE = CachePolicy(adaptive=(10.0, 100.0))


@pytest.mark.parametrize(("learnt", "seconds"), [(0, 10), (10, 10), (40, 40), (100, 100), (500, 100)])
def test_what_is_learnt_is_bounded(learnt: float, seconds: float) -> None:
    assert bounded(learnt, ADAPTIVE) == seconds
    assert bounded(learnt, PLAIN) == 0


@pytest.mark.parametrize(
    ("learnt", "changed", "age", "then"),
    [
        pytest.param(0, False, 10, 20, id="unchanged-all-the-while"),
        pytest.param(20, False, 20, 40, id="unchanged-again"),
        pytest.param(80, False, 80, 100, id="up-to-the-longest"),
        pytest.param(20, False, 19.9, 20, id="looked-too-soon-to-tell"),
        pytest.param(0, False, 3, 10, id="a-reload-of-what-is-new"),
        pytest.param(80, True, 80, 40, id="changed"),
        pytest.param(80, True, 1, 40, id="changed-however-soon"),
        pytest.param(15, True, 15, 10, id="down-to-the-shortest"),
        pytest.param(0, True, 15, 10, id="changed-from-the-beginning"),
        pytest.param(500, True, 500, 50, id="a-policy-that-was-narrowed"),
    ],
)
def test_what_a_validation_teaches(learnt: float, changed: bool, age: float, then: float) -> None:
    assert learn(learnt, ADAPTIVE, changed=changed, age=age) == then


def test_a_route_that_has_not_opted_in_learns_nothing() -> None:
    assert learn(33, PLAIN, changed=True, age=99) == 33
    assert learn(33, PLAIN, changed=False, age=99) == 33
    old, new = stored(learnt=40.0), stored()
    assert replaces(new, old, PLAIN, T0 + 99) is new


@pytest.mark.parametrize(
    ("body", "after", "then"),
    [
        pytest.param((b"0123456789",), 40, 80, id="the-same"),
        pytest.param((b"01234", b"56789"), 40, 80, id="the-same-in-other-segments"),
        pytest.param((b"0123456789",), 39, 40, id="the-same-too-soon"),
        pytest.param((b"012345678x",), 40, 20, id="another-of-the-same-size"),
        pytest.param((b"0",), 40, 20, id="another-size"),
    ],
)
def test_a_whole_answer_teaches_by_its_body(body: tuple[bytes, ...], after: float, then: float) -> None:
    old = stored("", learnt=40.0)
    new = replace(stored("", time=T0 + after), body=body, size=sum(map(len, body)))
    taught = replaces(new, old, ADAPTIVE, T0 + after)
    assert taught.learnt == then
    assert (taught.body, taught.response_time) == (body, T0 + after)


@given(st.floats(0, 1e6), st.booleans(), st.floats(0, 1e6))
def test_the_next_lifetime_is_within_bounds_and_moves_the_right_way(
    learnt: float, changed: bool, age: float
) -> None:
    then = learn(learnt, ADAPTIVE, changed=changed, age=age)
    assert 10 <= then <= 100
    current = bounded(learnt, ADAPTIVE)
    assert then <= current if changed else then >= current
