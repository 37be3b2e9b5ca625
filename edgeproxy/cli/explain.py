"""Knows the command `edgeproxy explain`: asks a node what a request would get, and shows why.

Must not know any rule of caching.
"""

import json
from typing import Any

import click
from rich.console import Console
from rich.tree import Tree

from edgeproxy.cli.admin_client import Admin, admin_options


@click.command(epilog="Exit codes: 0 explained; 1 refused or not reached; 2 wrong usage.")
@click.argument("url")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A field of the request."
)
@admin_options
def explain(url: str, headers: tuple[str, ...], admin: str, as_json: bool) -> None:
    """Tell why URL is, or is not, served from cache."""
    for header in headers:
        if not header.partition(":")[0].strip() or ":" not in header:
            raise click.UsageError(f"-H {header!r}: wants 'Name: value'")
    told = Admin(admin).get("/explain", [("url", url), *(("header", each) for each in headers)])
    if as_json:
        click.echo(json.dumps(told))
        return
    tree = Tree(url, highlight=False, guide_style="dim")
    _grow(tree, told)
    Console(highlight=False).print(tree)


def _grow(tree: Tree, told: Any) -> None:
    """Hang nested JSON values into the tree, one line a scalar, a list of scalars or a field line."""
    for name, value in told.items():
        label = str(name).replace("_", " ")
        if isinstance(value, dict) and value:
            _grow(tree.add(_plain(f"{label}:")), value)
        elif isinstance(value, list) and value and isinstance(value[0], list):
            branch = tree.add(_plain(f"{label}:"))
            for line in value:
                branch.add(_plain(": ".join(map(str, line))))
        elif isinstance(value, list) and value:
            tree.add(_plain(f"{label}: {', '.join(map(_shown, value))}"))
        else:
            tree.add(_plain(f"{label}: {_shown(value)}"))


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _shown(value: Any) -> str:
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
