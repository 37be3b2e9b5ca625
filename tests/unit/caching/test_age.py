"""Age (RFC 9111 §4.2.3, §5.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.age import age_value, corrected_initial_age, current_age, date_value, from_the_future
from edgeproxy.caching.directives import MAX_SECONDS

from .values import T0, answer, at, lines, stored


@pytest.mark.parametrize(
    ("fields", "age"),
    [
        pytest.param([], 0, id="s5.1-absent"),
        pytest.param(["Age: 30"], 30, id="s5.1-plain"),
        pytest.param(["Age: 7200,0"], 7200, id="s5.1-first-member-old"),
        pytest.param(["Age: 0,7200"], 0, id="s5.1-first-member-new"),
        pytest.param(["Age: 7200", "Age: 0"], 7200, id="s5.1-first-line-old"),
        pytest.param(["Age: 0", "Age: 7200"], 0, id="s5.1-first-line-new"),
        pytest.param(["Age: abc"], 0, id="s5.1-not-a-number-is-ignored"),
        pytest.param(["Age: -7200"], 0, id="s5.1-negative-is-ignored"),
        pytest.param(["Age: 7200.0"], 0, id="s5.1-fraction-is-ignored"),
        pytest.param(["Age: 7200;foo=111"], 0, id="s5.1-parameter-is-ignored"),
        pytest.param(["Age: ,7200"], 0, id="s5.1-empty-first-member-is-ignored"),
        pytest.param(["Age: 99999999999"], MAX_SECONDS, id="s1.2.2-overflow"),
        pytest.param(["Age: " + "9" * 5000], MAX_SECONDS, id="s1.2.2-overflow-of-any-length"),
    ],
)
def test_age_value(fields: list[str], age: int) -> None:
    assert age_value(lines(*fields)) == age


@pytest.mark.parametrize(
    ("fields", "delay", "age"),
    [
        pytest.param([(b"Date", at(0))], 0.0, 0.0, id="s4.2.3-new"),
        pytest.param([(b"Date", at(-10))], 0.0, 10.0, id="s4.2.3-apparent-age"),
        pytest.param([(b"Date", at(10))], 0.0, 0.0, id="s4.2.3-date-ahead-is-no-negative-age"),
        pytest.param([(b"Date", at(0))], 2.5, 2.5, id="s4.2.3-response-delay"),
        pytest.param([(b"Date", at(0)), (b"Age", b"5")], 2.5, 7.5, id="s4.2.3-corrected-age-value"),
        pytest.param([(b"Date", at(-30)), (b"Age", b"5")], 2.5, 30.0, id="s4.2.3-the-greater"),
        pytest.param([(b"Age", b"5")], 0.0, 5.0, id="s6.6.1-no-date"),
        pytest.param([(b"Date", b"foo")], 0.0, 0.0, id="s6.6.1-invalid-date"),
        pytest.param([(b"Date", at(0))], -3.0, 0.0, id="clock-that-stepped-back"),
    ],
)
def test_corrected_initial_age(fields: list[tuple[bytes, bytes]], delay: float, age: float) -> None:
    assert corrected_initial_age(lines(*fields), T0 - delay, T0) == age


def test_a_date_cut_to_whole_seconds_adds_no_age() -> None:
    assert corrected_initial_age(lines((b"Date", at(0))), T0 + 0.9, T0 + 0.9) == 0.0
    assert corrected_initial_age(lines((b"Date", at(-1))), T0 + 0.9, T0 + 0.9) == 1.0


def test_resident_time_is_added() -> None:
    response = stored("max-age=60", "Age: 30", delay=2.0)
    assert current_age(response, T0) == 32.0
    assert current_age(response, T0 + 3.5) == 35.5


def test_a_clock_that_stepped_back_makes_nothing_younger() -> None:
    assert current_age(stored("max-age=60", "Age: 30"), T0 - 1000) == 30.0


def test_date_stands_in_for_itself() -> None:
    assert date_value(answer().fields, T0 + 5) == T0
    assert date_value(lines(), T0 + 5) == T0 + 5


@given(
    age=st.integers(0, 10**9),
    date=st.integers(-(10**6), 10**6),
    delay=st.floats(-10, 100),
    first=st.floats(-100, 10**6),
    later=st.floats(0, 10**6),
)
def test_age_is_monotonic(age: int, date: int, delay: float, first: float, later: float) -> None:
    response = stored(answer((b"Age", b"%d" % age), (b"Date", at(date))), delay=delay)
    before, after = current_age(response, T0 + first), current_age(response, T0 + first + later)
    assert after >= before >= 0
    assert after >= age


@pytest.mark.parametrize(("ahead", "believed"), [(-5.0, True), (0.0, True), (10.0, True), (10.5, False)])
def test_clocks_may_differ_by_some_seconds_and_no_more(ahead: float, believed: bool) -> None:
    assert from_the_future(1000.0 + ahead, 1000.0) is not believed
