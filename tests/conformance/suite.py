"""Knows a whole measurement: run, score, what differs from the pins asked once more, alone.

Must not know how any of it is done or shown.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.measure import Bench, Result, bench
from tests.conformance.package import Case, Package, tests_of
from tests.conformance.pins import Difference, Pins, differences
from tests.conformance.scoring import Outcome, Tally, strict, tally

ASKED_AGAIN = 8  # with more to ask again something is broken, and time is not to be lost on it
AGAIN = 45.0  # seconds after which nothing is asked again


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of the suite says, all of it."""

    tests: tuple[Case, ...]
    results: Mapping[str, Result]
    outcomes: Mapping[str, Outcome]

    @property
    def suites(self) -> dict[str, Tally]:
        return tally(self.tests, self.outcomes)

    def against(self, pins: Pins) -> tuple[Difference, ...]:
        return differences(pins, self.tests, self.outcomes)


def measure(package: Package, pins: Pins | None = None) -> Measured:
    """Runs the suite once; with `pins`, what differs from them is run again alone and that counts.

    The suite runs a hundred tests at a time that wait for seconds to pass; on a busy machine one may
    come late. Raises Unavailable, Broken.
    """
    tests = tests_of(package)
    with bench(package) as place:
        measured = _measured(tests, place.run_all())
        again = _roots(measured.against(pins)) if pins else ()
        if again and len(again) <= ASKED_AGAIN:
            measured = _asked_again(measured, again, place)
    return measured


def _measured(tests: tuple[Case, ...], results: Mapping[str, Result]) -> Measured:
    passed = {name: result.passed for name, result in results.items()}
    return Measured(tests, results, strict(tests, passed))


def _roots(different: tuple[Difference, ...]) -> tuple[str, ...]:
    """Those that do not differ only because another one does."""
    ids = {one.test.id for one in different}
    return tuple(one.test.id for one in different if not ids.intersection(one.test.depends_on))


def _asked_again(measured: Measured, names: tuple[str, ...], place: Bench) -> Measured:
    results = dict(measured.results)
    deadline = time.monotonic() + AGAIN
    for name in names:
        if time.monotonic() < deadline:
            results[name] = place.run_one(name)
    return _measured(measured.tests, results)
