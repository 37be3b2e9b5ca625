"""Knows how results are shown: a table in the terminal, and the part of the README that follows the pins.

Must not know how results come about.
"""

from collections.abc import Iterable, Mapping

from rich.table import Table

from tests.conformance.package import HERE, NAME, VERSION
from tests.conformance.pins import Pin, Pins
from tests.conformance.scoring import KINDS, Tally, totals

README = HERE / "README.md"
BEGIN = "<!-- written by `make conformance ARGS=--pin`, down to the end -->\n"

# required, optimal; scored strictly too.
NPM_PEERS = {"nginx": (94, 50), "Traffic Server": (126, 65)}  # of 165 and 95
CURRENT_PEERS = {  # of 160 and 105
    "HAProxy": (89, 40),
    "Fastly": (96, 49),
    "nginx": (100, 59),
    "Varnish": (119, 45),
    "Souin": (121, 44),
    "Squid": (122, 59),
    "Apache httpd": (131, 68),
    "Traffic Server": (134, 73),
    "all of these together": (155, 88),
}


def terminal(suites: Mapping[str, Tally]) -> Table:
    """By suite and in sum: passed of all."""
    table = Table("suite", title="HTTP cache tests, scored strictly: passed of all")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for suite, tallied in suites.items():
        table.add_row(suite, *(_of(tallied[kind]) for kind in KINDS))
    table.add_section()
    table.add_row("all", *(_of(totals(suites)[kind]) for kind in KINDS), style="bold")
    return table


def peers() -> Table:
    """What others reach, in both editions of the suite."""
    table = Table("others", "required", "optimal", title="Beside them")
    for edition, others in (("npm edition", NPM_PEERS), ("current edition", CURRENT_PEERS)):
        table.add_section()
        table.add_row(edition, *(("165", "95") if others is NPM_PEERS else ("160", "105")), style="bold")
        for name, (required, optimal) in others.items():
            table.add_row(name, str(required), str(optimal))
    return table


def _of(tallied: tuple[int, int]) -> str:
    return f"{tallied[0]} of {tallied[1]}" if tallied[1] else ""


def readme(pins: Pins) -> str:
    """The README as it should be: its head as it is, the rest from the pins."""
    head = README.read_text().partition(BEGIN)[0]
    return head + BEGIN + "\n" + "\n".join(_sections(pins))


def _sections(pins: Pins) -> Iterable[str]:
    yield "## Results\n"
    yield from _editions(pins)
    yield "By suite, npm edition:\n"
    yield from _rows(
        ("suite", *KINDS), ((suite, *map(_of, one.values())) for suite, one in pins.suites.items())
    )
    excused = {name: pin for name, pin in pins.failing.items() if pin.clause}
    yield "## Excused: what contradicts an RFC\n"
    yield from _rows(("test", "clause", "why"), ((f"`{n}`", p.clause, p.reason) for n, p in excused.items()))
    rest = {name: pin for name, pin in pins.failing.items() if not pin.clause}
    if rest:
        yield "## Optimal tests that do not pass\n"
        yield from _rows(("test", "why"), ((f"`{name}`", pin.reason) for name, pin in rest.items()))
    yield "## Choices: the *check* tests\n"
    yield "Either outcome is right; this is the one chosen, and why.\n"
    yield from _rows(("test", "outcome", "why"), _choices(pins.checks))


def _editions(pins: Pins) -> Iterable[str]:
    sums = totals(pins.suites)
    excused = sum(1 for pin in pins.failing.values() if pin.clause)
    required, optimal = sums["required"][1], sums["optimal"][1]
    yield f"npm edition, `{NAME}@{VERSION}`:\n"
    ours = (
        "**edgeproxy**",
        f"**{sums['required'][0]}** of {required}",
        f"**{sums['optimal'][0]}** of {optimal}",
    )
    yield from _rows(("", "required", "optimal"), (ours, *_peer_rows(NPM_PEERS)))
    yield f"{excused} of those that do not pass contradict an RFC, see below.\n"
    if pins.current:
        now = pins.current
        yield f"Current edition, {now['source']}:\n"
        ours = (
            "**edgeproxy**",
            *(f"**{now[kind][0]}** of {now[kind][1]}" for kind in ("required", "optimal")),
        )
        yield from _rows(("", "required", "optimal"), (ours, *_peer_rows(CURRENT_PEERS)))


def _peer_rows(others: Mapping[str, tuple[int, int]]) -> Iterable[tuple[str, ...]]:
    best_last = sorted(others.items(), key=lambda one: one[1])
    return ((name, str(required), str(optimal)) for name, (required, optimal) in reversed(best_last))


def _choices(checks: Mapping[str, Pin]) -> Iterable[tuple[str, ...]]:
    return ((f"`{name}`", str(pin.outcome), pin.reason) for name, pin in checks.items())


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
