"""Knows the command behind `make conformance`.

Must not know how the suite is run, scored or pinned.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from rich.console import Console

from tests.conformance import pins as pinned
from tests.conformance import report
from tests.conformance.measure import Broken, bench
from tests.conformance.package import NoTools, Unavailable, check_tools, installed, package_at
from tests.conformance.scoring import Outcome, totals
from tests.conformance.suite import Measured, measure

console = Console(highlight=False)


def main() -> int:
    """0: as pinned, or no Node here; 1: it differs from the pins, or could not be measured."""
    arguments = _arguments()
    try:
        check_tools()
    except NoTools as error:
        console.print(f"SKIPPED: {error}.", style="bold yellow", soft_wrap=True)
        return 0
    try:
        return _one(arguments) if arguments.id else _all(arguments)
    except (Unavailable, Broken) as error:
        console.print(f"NOT MEASURED: {error}", style="bold red", soft_wrap=True, markup=False)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description="The public HTTP cache tests.")
    parser.add_argument("--pin", action="store_true", help="write the outcomes into pins.yaml and README.md")
    parser.add_argument(
        "--package", metavar="DIR", type=Path, help="another edition of the suite; with --pin, note its sums"
    )
    parser.add_argument("--id", metavar="TEST", help="one test, with all that goes to and fro")
    arguments = parser.parse_args()
    if arguments.pin and arguments.id:
        parser.error("--pin goes with the whole suite")
    return arguments


def _one(arguments: argparse.Namespace) -> int:
    package = package_at(arguments.package) if arguments.package else installed()
    with bench(package) as place:
        console.print(place.dialogue(arguments.id), markup=False, soft_wrap=True)
    return 0


def _all(arguments: argparse.Namespace) -> int:
    if arguments.package:
        measured = measure(package_at(arguments.package))
        _show(measured)
        return _note(measured) if arguments.pin else 0
    pins = pinned.read()
    measured = measure(installed(), pins)
    _show(measured, pins)
    return _pin(pins, measured) if arguments.pin else _compare(pins, measured)


def _show(measured: Measured, pins: pinned.Pins | None = None) -> None:
    console.print(report.terminal(measured.suites))
    console.print(report.peers())
    for test in measured.tests:
        if test.kind != "check" and measured.outcomes[test.id] is not Outcome.YES:
            result = measured.results.get(test.id)
            why = result.why if result and not result.passed else measured.outcomes[test.id]
            pin = pins.failing.get(test.id) if pins is not None else None
            clause = f" (excused: contradicts {pin.clause})" if pin is not None and pin.clause else ""
            console.print(f"{test.kind} {test.id}: {why}{clause}", soft_wrap=True, markup=False)


def _pin(old: pinned.Pins, measured: Measured) -> int:
    new = pinned.moved(old, measured.tests, measured.outcomes, measured.suites)
    pinned.write(new)
    report.README.write_text(report.readme(new))
    for one in measured.against(old):
        console.print(f"{one}; look at its reason in pins.yaml", soft_wrap=True, markup=False)
    return 0


def _note(measured: Measured) -> int:
    """Another edition's sums are shown beside the peers'; its tests are not pinned one by one."""
    sums = totals(measured.suites)
    old = pinned.read()
    current = {**old.current, **{kind: list(sums[kind]) for kind in ("required", "optimal")}}
    new = dataclasses.replace(old, current=current)
    pinned.write(new)
    report.README.write_text(report.readme(new))
    return 0


def _compare(pins: pinned.Pins, measured: Measured) -> int:
    different = measured.against(pins)
    for one in different:
        console.print(f"NOT AS PINNED, {one}", style="bold red", soft_wrap=True, markup=False)
    if different:
        console.print(f"Where that is right: {pinned.COMMAND}, then the reasons in pins.yaml.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
