"""What was measured, told: medians and ratios as values for JSON, and as tables for a terminal.

Must not know how anything was measured.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tests.benchmarks.cases import Case
from tests.benchmarks.measure import Round

OURS = "edgeproxy"
Measured = dict[str, dict[str, list[Round]]]  # by case and server


def medians(rounds: Sequence[Round]) -> dict[str, Any]:
    """The middle of each figure: `cpu` in µs a request, `rate` a second, `latency` in ms."""
    percentiles = rounds[0].latency
    return {
        "cpu": statistics.median(each.cpu for each in rounds),
        "rate": statistics.median(each.rate for each in rounds),
        "latency": {name: statistics.median(each.latency[name] for each in rounds) for name in percentiles},
    }


def figures(cases: Sequence[Case], measured: Measured) -> dict[str, Any]:
    """By case: its title, and by server medians, ratios (edgeproxy's ÷ the server's) and all rounds."""
    told: dict[str, Any] = {}
    for case in cases:
        servers = {name: medians(rounds) for name, rounds in measured.get(case.name, {}).items() if rounds}
        ours = servers.get(OURS)
        for name, row in servers.items():
            row["ratio"] = ratios(ours, row) if ours else {}
            row["rounds"] = [asdict(each) for each in measured[case.name][name]]
        told[case.name] = {"title": case.title, "servers": servers}
    return told


def ratios(ours: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    """edgeproxy's figure ÷ that of a server, of what is the better the less; below 1 edgeproxy is ahead."""
    pairs = {"cpu": (ours["cpu"], row["cpu"])}
    if "p99" in ours["latency"] and "p99" in row["latency"]:
        pairs["p99"] = ours["latency"]["p99"], row["latency"]["p99"]
    return {name: mine / its for name, (mine, its) in pairs.items() if its}


def table_of(case: dict[str, Any]) -> Table:
    """The medians of one case out of `figures`; a ratio is edgeproxy's figure ÷ that of the server."""
    servers: dict[str, dict[str, Any]] = case["servers"]
    percentiles = list(dict.fromkeys(name for row in servers.values() for name in row["latency"]))
    table = Table(title=case["title"], title_justify="left", min_width=60)
    table.add_column("server", no_wrap=True, min_width=9)
    titles = ["CPU µs/req", "req/s", "ratio"]
    if percentiles:
        titles += [*(f"{name} ms" for name in percentiles), "p99 ratio"]
    for title in titles:
        table.add_column(title, justify="right")
    for name, row in servers.items():
        cells = [f"{row['cpu']:.1f}", f"{row['rate']:,.0f}", _ratio(row, "cpu")]
        if percentiles:
            cells += [*(f"{row['latency'][each]:.2f}" for each in percentiles), _ratio(row, "p99")]
        table.add_row(name, *cells)
    return table


def _ratio(row: dict[str, Any], name: str) -> str:
    found = row["ratio"].get(name)
    return "-" if found is None else f"{found:.2f}"
