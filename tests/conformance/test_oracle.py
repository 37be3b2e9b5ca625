"""edgeproxy's decisions beside a second reading of the RFCs, on random sequences of exchanges."""

import pytest
from hypothesis import event, given, settings

from . import oracle
from .differences import EXPLAINED, Explained
from .oracle import Answered, Asked, Kept
from .sequences import T0, Difference, Step, Two
from .strategies import STEPS


def unexplained(differences: list[Difference]) -> list[Difference]:
    return [found for found in differences if not any(known.explains(found) for known in EXPLAINED)]


@given(STEPS)
@settings(max_examples=1500)
def test_the_two_readings_differ_only_where_that_is_explained(steps: list[Step]) -> None:
    differences = list(Two().differences(steps))
    for known in EXPLAINED:
        if any(known.explains(found) for found in differences):
            event(known.name)
    assert unexplained(differences) == []


@pytest.mark.parametrize("known", EXPLAINED, ids=lambda known: known.name)
def test_each_explained_difference_is_still_there(known: Explained) -> None:
    differences = list(Two().differences(list(known.shown_by)))
    assert any(known.explains(found) for found in differences)
    assert unexplained(differences) == []


# --- the second reading itself is held to a few cases worked out by hand


def kept(control: str, *fields: tuple[str, str], status: int = 200) -> Kept:
    lines = (("Cache-Control", control), ("Date", "Tue, 14 Nov 2023 22:13:20 GMT"), *fields)
    return Kept(Asked("GET", "http://shop.example/1", ()), Answered(status, lines, T0, T0))


@pytest.mark.parametrize(
    ("control", "after", "wish", "do", "age"),
    [
        ("max-age=60", 59.5, "", "reuse", 59),
        ("max-age=60", 60.0, "", "validate", None),
        ("max-age=60, stale-while-revalidate=5", 65.0, "", "reuse-stale", 65),
        ("max-age=60, stale-while-revalidate=5", 65.5, "", "validate", None),
        ("max-age=60", 70.0, "max-stale=10", "reuse-stale", 70),
        ("max-age=60", 70.5, "max-stale=10", "validate", None),
        ("max-age=60", 30.0, "max-age=30", "reuse", 30),
        ("max-age=60", 30.5, "max-age=30", "validate", None),
        ("max-age=60", 50.0, "min-fresh=10", "reuse", 50),
        ("max-age=60", 50.5, "min-fresh=10", "validate", None),
        ("max-age=60", 60.0, "only-if-cached", "504", None),
    ],
)
def test_the_second_reading(control: str, after: float, wish: str, do: str, age: int | None) -> None:
    asked = Asked("GET", "http://shop.example/1", (("Cache-Control", wish),) if wish else ())
    verdict = oracle.read(asked, [kept(control)], T0 + after)
    assert (verdict.do, verdict.age) == (do, age)


@pytest.mark.parametrize(
    "text",
    ["Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023"],
)
def test_the_second_reading_of_dates(text: str) -> None:
    assert oracle.seconds_of_date(text) == T0
