"""Shows what came of a run: for a terminal, for programs, and for the README.

Must not know how it was measured.
"""

import dataclasses
import json
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tests.chaos.run import Result

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table: written by make chaos ARGS=--write -->", "<!-- end of the table -->"
COLUMNS = (
    "fault",
    "sent",
    "failed",
    "5xx relayed",
    "stale",
    "wrong bytes",
    "wrong ages",
    "slowest, s",
    "recovery, s",
)


def rows(results: Sequence[Result]) -> dict[str, tuple[str, ...]]:
    """By name: one for each scenario, one for all that were drawn at random."""
    told = [each for each in results if not each.random]
    at_random = [each for each in results if each.random]
    if at_random:
        told.append(_together(at_random))
    return {each.name: _row(each) for each in told}


def _row(result: Result) -> tuple[str, ...]:
    if result.skipped:
        return (result.title, f"SKIPPED: {result.skipped}", *[""] * (len(COLUMNS) - 2))
    return (
        result.title,
        f"{result.sent:,}",
        f"{result.failures:,}",
        f"{result.relayed:,}",
        f"{result.stale:,}",
        str(len(result.wrong)),
        str(len(result.ages)),
        f"{result.slowest:.1f}",
        "never" if result.recovery is None else f"{result.recovery:.1f}",
    )


def _together(results: Sequence[Result]) -> Result:
    failed: Counter[str] = Counter()
    for each in results:
        failed.update(each.failed)
    recoveries = [each.recovery for each in results if not each.skipped]
    return Result(
        "random",
        f"{len(results)} times one or two of these, drawn at random",
        sent=sum(each.sent for each in results),
        failed=dict(failed),
        relayed=sum(each.relayed for each in results),
        stale=sum(each.stale for each in results),
        wrong=[one for each in results for one in each.wrong],
        ages=[one for each in results for one in each.ages],
        slowest=max(each.slowest for each in results),
        recovery=None
        if None in recoveries
        else max((one for one in recoveries if one is not None), default=0.0),
    )


def terminal(results: Sequence[Result]) -> Table:
    """The table for people."""
    table = Table(title="What clients saw")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for name, each in rows(results).items():
        table.add_row(name, *each[1:])
    return table


def as_json(seed: int, results: Sequence[Result]) -> str:
    """All that was measured, drawn ones one by one."""
    return (
        json.dumps({"seed": seed, "results": [dataclasses.asdict(each) for each in results]}, indent=1) + "\n"
    )


def markdown(seed: int, results: Sequence[Result]) -> str:
    """The table for the README, and what it was measured on."""
    lines = [" | ".join(COLUMNS), "|".join(["---", *["---:"] * (len(COLUMNS) - 1)])]
    lines += [" | ".join(each) for each in rows(results).values()]
    table = "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)
    machine = f"Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"
    return f"{table}\n\nSeed {seed}; {machine}.\n"


def write(seed: int, results: Sequence[Result]) -> None:
    """Put the table into the README, between its marks."""
    text = README.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    README.write_text(f"{before}{BEGIN}\n{markdown(seed, results)}{after}")
