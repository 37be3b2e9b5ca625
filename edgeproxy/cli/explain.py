"""Knows the command `edgeproxy explain`: asks a node what a request would get, and shows why.

Must not know any rule of caching.
"""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeproxy.cli.admin_client import Admin, admin_options

_TOLD_BELOW = frozenset({"steps", "advice", "would", "reason", "section", "outcome"})
_PLACES = {"origin": "At the origin", "route": "Or in the configuration", "client": "To find out"}


@click.command(epilog="Exit codes: 0 explained; 1 refused or not reached; 2 wrong usage.")
@click.argument("url")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A field of the request."
)
@admin_options
def explain(url: str, headers: tuple[str, ...], admin: str, as_json: bool) -> None:
    """Tell why URL is, or is not, served from cache, and what would change that."""
    for header in headers:
        if not header.partition(":")[0].strip() or ":" not in header:
            raise click.UsageError(f"-H {header!r}: wants 'Name: value'")
    told = Admin(admin).get("/explain", [("url", url), *(("header", each) for each in headers)])
    if as_json:
        click.echo(json.dumps(told))
    elif sys.stdout.isatty():
        show(told, Console(highlight=False))
    else:
        for line in plain(told):
            click.echo(line)


def plain(told: dict[str, Any]) -> list[str]:
    """Everything a line each, of any length: for pipes and logs."""
    lines = _facts(told)
    for of, steps in _walks(told):
        lines += ["", f"{of}:"]
        for step in steps:
            mattered = "; ".join(_mattered(step))
            where = f" ({step['section']})" if step["section"] else ""
            lines.append(
                f"  {step['rule']}: {step['outcome']}{where}" + (f" <- {mattered}" if mattered else "")
            )
    return [_printable(line) for line in [*lines, "", *_verdict(told), *_advice(told)]]


def show(told: dict[str, Any], console: Console) -> None:
    """The same for people: steps as tables, which fold what is too wide and cut nothing."""
    for line in _facts(told):
        console.print(Text(_printable(line), overflow="fold"))
    for of, steps in _walks(told):
        table = Table(title=_printable(of), title_justify="left", title_style="bold", pad_edge=False)
        for column in ("rule", "outcome", "what mattered", "where it stands"):
            table.add_column(column, overflow="fold")
        for step in steps:
            style = "bold" if step.get("reason") else ""
            cells = (step["rule"], step["outcome"], "\n".join(_mattered(step)), step["section"])
            table.add_row(*(Text(_printable(cell), style, overflow="fold") for cell in cells))
        console.print()
        console.print(table)
    console.print()
    for line in _verdict(told):
        console.print(Text(_printable(line), "bold", overflow="fold"))
    for line in _advice(told):
        console.print(Text(_printable(line), overflow="fold"))


def _facts(told: dict[str, Any], indent: str = "") -> list[str]:
    """Nested JSON values, one line a scalar, a list of scalars or a field line."""
    lines = []
    for name, value in told.items():
        if name in _TOLD_BELOW:
            continue
        label = indent + str(name).replace("_", " ")
        if isinstance(value, dict) and value:
            lines += [f"{label}:", *_facts(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], list):
            lines.append(f"{label}:")
            lines += [f"{indent}  {': '.join(map(str, each))}" for each in value]
        elif isinstance(value, list) and value:
            lines.append(f"{label}: {', '.join(map(_shown, value))}")
        else:
            lines.append(f"{label}: {_shown(value)}")
    return lines


def _walks(told: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The steps by what they are of, each with a heading."""
    refusal = told.get("last_refusal") or {}
    headings = {
        "request": "What happens to such a request now",
        "last answer": f"Why the last answer, of {refusal.get('time', '?')}, was not stored",
    }
    walks: dict[str, list[dict[str, Any]]] = {}
    for step in told.get("steps", ()):
        walks.setdefault(step["of"], []).append(step)
    return [(headings.get(of, of), steps) for of, steps in walks.items()]


def _mattered(step: dict[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in step["fields"]]


def _verdict(told: dict[str, Any]) -> list[str]:
    lines = []
    if "would" in told:
        lines.append(f"Verdict: it would {_because(told['would'], told)}")
    refusal = told.get("last_refusal")
    if refusal:
        lines.append(f"Its last answer, a {refusal['status']}, was {_because('not stored', refusal)}")
    return lines


def _because(what: str, told: dict[str, Any]) -> str:
    section = f", {told['section']}" if told.get("section") else ""
    return f"{what} ({told['reason']}{section})" if told.get("reason") else what


def _advice(told: dict[str, Any]) -> list[str]:
    lines = []
    for each in told.get("advice", ()):
        caution = f" ({each['caution']})" if each["caution"] else ""
        lines.append(f"{_PLACES.get(each['at'], each['at'])}: {each['say']}; then {each['effect']}{caution}")
    return lines


def _printable(text: str) -> str:
    """Without what would steer a terminal: origins and clients choose these values."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def _shown(value: Any) -> str:
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
