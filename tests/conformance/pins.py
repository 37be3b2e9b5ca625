"""Knows the pins: what the suite says of edgeproxy today, each deviation and each choice with its reason.

Must not know how the suite is run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.package import HERE, NAME, VERSION, Case
from tests.conformance.scoring import KINDS, Outcome, Tally

PINS = HERE / "pins.yaml"
COMMAND = "make conformance ARGS=--pin"
HEAD = f"""\
# What {NAME}@{VERSION} says of edgeproxy. Reasons and clauses are written by hand; the rest, outcomes,
# order and sums, by `{COMMAND}`, which keeps the reasons.
#   failing  required and optimal tests that do not pass; a required one needs a clause of an RFC
#   checks   what the suite leaves to each cache: the outcome that was chosen, and why
"""


@dataclass(frozen=True, slots=True)
class Pin:
    """One test's pinned outcome; `clause` is the rule that an excused test contradicts."""

    outcome: Outcome
    reason: str = ""
    clause: str = ""


@dataclass(frozen=True, slots=True)
class Pins:
    """All that is pinned. `current` is the sums of the suite's newest edition (--package --pin)."""

    failing: dict[str, Pin] = field(default_factory=dict)
    checks: dict[str, Pin] = field(default_factory=dict)
    suites: dict[str, Tally] = field(default_factory=dict)
    current: dict[str, Any] = field(default_factory=dict)

    def expected(self, test: Case) -> Outcome | None:
        """The pinned outcome; None for a check that is not pinned."""
        if test.kind != "check":
            return self.failing[test.id].outcome if test.id in self.failing else Outcome.YES
        return self.checks[test.id].outcome if test.id in self.checks else None


def read(path: Path = PINS) -> Pins:
    """What the file says; nothing where there is no file yet."""
    if not path.exists():
        return Pins()
    told = yaml.safe_load(path.read_text())
    return Pins(
        failing={name: _pin(one) for name, one in told["failing"].items()},
        checks={name: _pin(one) for name, one in told["checks"].items()},
        suites={
            suite: {kind: (one[kind][0], one[kind][1]) for kind in KINDS}
            for suite, one in told["suites"].items()
        },
        current=told["current"],
    )


def _pin(told: Mapping[str, str]) -> Pin:
    return Pin(Outcome(told["outcome"]), told.get("reason", ""), told.get("clause", ""))


def moved(
    old: Pins, tests: Iterable[Case], outcomes: Mapping[str, Outcome], suites: dict[str, Tally]
) -> Pins:
    """The pins for these outcomes, with the reasons of `old`."""
    tests = tuple(tests)
    known = old.failing | old.checks

    def pins(wanted: Iterable[Case]) -> dict[str, Pin]:
        return {t.id: replace(known.get(t.id, Pin(Outcome.NO)), outcome=outcomes[t.id]) for t in wanted}

    return Pins(
        failing=pins(t for t in tests if t.kind != "check" and outcomes[t.id] is not Outcome.YES),
        checks=pins(t for t in tests if t.kind == "check"),
        suites=suites,
        current=old.current,
    )


def write(pins: Pins, path: Path = PINS) -> None:
    """Writes the file that `read` reads."""
    told = {
        "failing": {name: _plain(pin) for name, pin in pins.failing.items()},
        "checks": {name: _plain(pin) for name, pin in pins.checks.items()},
        "current": pins.current,
    }
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=110)
    rows = "".join(
        f"  {suite}: {{{', '.join(f'{kind}: [{one[kind][0]}, {one[kind][1]}]' for kind in KINDS)}}}\n"
        for suite, one in pins.suites.items()
    )
    path.write_text(f"{HEAD}\n{text}suites:  # passed, of\n{rows}")


def _plain(pin: Pin) -> dict[str, str]:
    clause = {"clause": pin.clause} if pin.clause else {}
    return {"outcome": str(pin.outcome), **clause, "reason": pin.reason}


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that does not come out as pinned."""

    test: Case
    pinned: Outcome | None
    now: Outcome

    def __str__(self) -> str:
        was = f"pinned {self.pinned or 'nothing'}, now {self.now}"
        return f"{self._verdict}: {self.test.kind} {self.test.id}: {was}"

    @property
    def _verdict(self) -> str:
        if self.test.kind == "check":
            return "differs"
        return "better" if self.now is Outcome.YES else "worse"


def differences(pins: Pins, tests: Iterable[Case], outcomes: Mapping[str, Outcome]) -> tuple[Difference, ...]:
    """What does not come out as pinned, in the suite's order."""
    return tuple(
        Difference(test, pins.expected(test), outcomes[test.id])
        for test in tests
        if pins.expected(test) is not outcomes[test.id]
    )
