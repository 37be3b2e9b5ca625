"""Knows how a result counts: strictly, by the rule of the suite's own display.

Must not know how results come about, or which are expected.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from tests.conformance.package import Case

KINDS = ("required", "optimal", "check")


class Outcome(StrEnum):
    """What a test says of the proxy: of a *check*, yes and no are equally good."""

    YES = "yes"
    NO = "no"
    DEPENDENCY = "dependency"  # a test that it depends on did not pass, so that it says nothing


def strict(tests: Iterable[Case], passed: Mapping[str, bool]) -> dict[str, Outcome]:
    """Each test's outcome: yes when it passed and every test it depends on counts as yes."""
    by_id = {test.id: test for test in tests}
    outcomes: dict[str, Outcome] = {}

    def outcome(name: str) -> Outcome:
        if name not in by_id:
            return Outcome.NO
        if name not in outcomes:
            grounded = all(outcome(other) is Outcome.YES for other in by_id[name].depends_on)
            own = Outcome.YES if passed.get(name, False) else Outcome.NO
            outcomes[name] = own if grounded else Outcome.DEPENDENCY
        return outcomes[name]

    for name in by_id:
        outcome(name)
    return {name: outcomes[name] for name in by_id}


Tally = dict[str, tuple[int, int]]  # kind -> passed, of


def tally(tests: Iterable[Case], outcomes: Mapping[str, Outcome]) -> dict[str, Tally]:
    """Passed and all, by suite and kind."""
    suites: dict[str, Tally] = {}
    for test in tests:
        suite = suites.setdefault(test.suite, dict.fromkeys(KINDS, (0, 0)))
        passed, of = suite[test.kind]
        suite[test.kind] = passed + (outcomes[test.id] is Outcome.YES), of + 1
    return suites


def totals(suites: Mapping[str, Tally]) -> Tally:
    """The sum over all suites."""
    return {
        kind: (
            sum(suite[kind][0] for suite in suites.values()),
            sum(suite[kind][1] for suite in suites.values()),
        )
        for kind in KINDS
    }
