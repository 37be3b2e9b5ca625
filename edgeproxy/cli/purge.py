"""Knows the command `edgeproxy purge`: from options to POST /purge and back to a line for people.

Must not know how a purge is carried out.
"""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from edgeproxy.cli.admin_client import Admin, admin_options

PENDING = 3
WATCHED = 4
"""Seconds for which a node sees what is asked for before it begins to make URLs stale, popular ones last."""


@click.command(
    epilog="Exit codes: 0 applied on every node; 1 refused or not reached; 2 wrong usage; "
    "3 accepted, but some node has not applied it yet."
)
@click.option("--url", "urls", multiple=True, metavar="U", help="This URL: all its variants, http and https.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="All that carries this tag.")
@click.option("--prefix", "prefixes", multiple=True, metavar="P", help="All URLs that begin so.")
@click.option("--host", "hosts", multiple=True, metavar="H", help="All of this host.")
@click.option("--everything", is_flag=True, help="All that is stored.")
@click.option(
    "--soft",
    is_flag=True,
    help="Make stale instead of removing: validated next, or served once more while it is (stale windows).",
)
@click.option("--wait", metavar="DURATION", help="How long to wait for the other nodes; 2s by default.")
@click.option("--dry-run", is_flag=True, help="Purge nothing: tell what would go, and its cost.")
@click.option(
    "--rate",
    metavar="N/s",
    help="With --soft: so many URLs a second, popular ones last, as 200/s or 30/m.",
)
@admin_options
def purge(
    urls: tuple[str, ...],
    tags: tuple[str, ...],
    prefixes: tuple[str, ...],
    hosts: tuple[str, ...],
    everything: bool,
    soft: bool,
    wait: str | None,
    dry_run: bool,
    rate: str | None,
    admin: str,
    as_json: bool,
) -> None:
    """Remove stored responses: the union of what is named, on every node of the fleet."""
    if not (urls or tags or prefixes or hosts or everything):
        raise click.UsageError("name what to purge: --url, --tag, --prefix, --host or --everything")
    if rate and not soft:
        raise click.UsageError("--rate goes with --soft: what must not be served again goes at once")
    api = Admin(admin)
    more: dict[str, Any] = {name: True for name, given in (("soft", soft), ("dry_run", dry_run)) if given}
    more |= {name: text for name, text in (("wait", wait), ("rate", rate)) if text}
    answers = [api.post("/purge", body | more) for body in _bodies(urls, tags, prefixes, hosts, everything)]
    answer = answers[0] if len(answers) == 1 else answers
    if as_json:
        click.echo(json.dumps(answer))
    elif dry_run:
        _show_forecasts(answers)
    else:
        _show(answers, soft)
    at_once = [each for each in answers if "drip" not in each]  # the others are not meant to be applied yet
    if any(state != "applied" for each in at_once for state in each.get("nodes", {}).values()):
        sys.exit(PENDING)


def _bodies(
    urls: tuple[str, ...],
    tags: tuple[str, ...],
    prefixes: tuple[str, ...],
    hosts: tuple[str, ...],
    everything: bool,
) -> list[dict[str, Any]]:
    """The calls to make: the API takes one prefix and one host a call."""
    bodies = []
    for turn in range(max(1, len(prefixes), len(hosts))):
        body: dict[str, Any] = {}
        if turn == 0:
            body |= {"urls": list(urls)} if urls else {}
            body |= {"tags": list(tags)} if tags else {}
            body |= {"everything": True} if everything else {}
        body |= {"prefix": prefixes[turn]} if turn < len(prefixes) else {}
        body |= {"host": hosts[turn]} if turn < len(hosts) else {}
        bodies.append(body)
    return bodies


def _show_forecasts(answers: list[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    for answer in answers:
        refill = answer.get("refill", {})
        about = "" if answer.get("exact") else "about "
        console.print(
            f"would purge {about}{_responses(answer.get('responses'))}, "
            f"{about}{answer.get('bytes')} bytes, in memory of {answer.get('node')}",
            soft_wrap=True,
        )
        seconds = refill.get("seconds")
        how_long = "no requests come that would fetch them" if seconds is None else f"at least {seconds} s"
        console.print(
            f"to fetch them again takes {refill.get('origin_seconds')} s of the origins' time, {how_long}",
            soft_wrap=True,
        )


def _show(answers: list[dict[str, Any]], soft: bool) -> None:
    console = Console(highlight=False)
    for answer in answers:
        removed = answer.get("removed")
        verb = "made stale" if soft else "purged"
        count = "" if removed is None else f": {_responses(removed)}"
        drip = answer.get("drip")
        if drip is not None:
            urls = f"{drip['urls']} URL is" if drip["urls"] == 1 else f"{drip['urls']} URLs are"
            verb = f"{urls} made stale at {drip['rate']}, within {drip['seconds'] + WATCHED:.0f} s"
        console.print(f"{verb}{count} (purge {answer.get('id')})", soft_wrap=True)
        nodes = answer.get("nodes", {})
        if len(nodes) > 1 or any(state != "applied" for state in nodes.values()):
            table = Table("node", "state")
            for node, state in sorted(nodes.items()):
                table.add_row(node, state if state == "applied" else f"[yellow]{state}[/yellow]")
            console.print(table)


def _responses(count: int | None) -> str:
    return f"{count} stored response{'' if count == 1 else 's'}"
