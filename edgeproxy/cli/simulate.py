"""Knows the command `edgeproxy simulate`: what hit ratio a cache would have had on the requests of a log.

Must not know formats of logs or policies of eviction.
"""

import json
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edgeproxy.config.units import UnitError, parse_duration, parse_size
from edgeproxy.simulation.access_logs import LogUnreadable, Reading, read
from edgeproxy.simulation.plot import size_text, svg_plot, text_plot
from edgeproxy.simulation.policies import OWN
from edgeproxy.simulation.referee import Referee
from edgeproxy.simulation.replay import SHARES, Row, sweep
from edgeproxy.simulation.trace import Trace

_LONG = 2_000_000  # requests, above which a sample is advised
_PIPE_WIDTH = 160  # columns of a table that no terminal shows


class _Unit(click.ParamType[Any]):
    """A quantity as the configuration has it; sizes in a list, and in percent of the footprint too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            if self.name == "duration":
                return parse_duration(value)
            if self.name == "share":
                return _share(value)
            return [_share(each) if each.endswith("%") else _size(each) for each in value.split(",")]
        except UnitError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command(epilog="Exit codes: 0 simulated; 1 nothing to simulate; 2 wrong usage.")
@click.argument("access_log", type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True))
@click.option(
    "--sizes",
    type=_Unit("sizes"),
    metavar="SIZE,...",
    help="Sizes of the cache, as 64MiB, or 3% of the footprint (default 0.1% to 30%).",
)
@click.option(
    "--ttl",
    type=_Unit("duration"),
    default=0.0,
    metavar="TIME",
    help="What is stored is fresh so long (default: for ever).",
)
@click.option(
    "--sample",
    type=_Unit("share"),
    default=1.0,
    metavar="PERCENT",
    help="Simulate on that share of the URLs: for long logs.",
)
@click.option("--all", "everything", is_flag=True, help="Count every method, status and outcome.")
@click.option("--svg", type=click.Path(dir_okay=False, writable=True), help="Write the plot to that file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def simulate(
    access_log: str,
    sizes: list[float | int] | None,
    ttl: float,
    sample: float,
    everything: bool,
    svg: str | None,
    as_json: bool,
) -> None:
    """The hit ratio by size and policy that a cache would have had on ACCESS_LOG.

    It reads edgeproxy's own log and the combined format of nginx and Apache, plain or gzip, and `-` for
    standard input. GET and HEAD count, with a status that may be stored by default (200, 203, 204, 206, 300,
    301, 304, 308, 404, 405, 410, 414, 501), and not what edgeproxy passed by or failed at. Belady's knows the
    future: no cache can do that, yet one that prefers small responses may pass it by requests.
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        reading = _read(access_log, progress, everything, ttl > 0, sample)
        trace = reading.trace
        footprint = trace.footprint / sample
        wanted = [int(each * footprint) if isinstance(each, float) else each for each in sizes or SHARES]
        rows = _run(reading, [size for size in wanted if size > 0], ttl, progress)
    if svg:
        _write(Path(svg), svg_plot(rows, f"{Path(access_log).name}: hit ratio by size of the cache"))
    if as_json:
        click.echo(json.dumps(_json(reading, footprint, rows)))
    else:
        _show(reading, footprint, rows)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        click.echo(f"{path}: not written: {error.strerror}", err=True)
        sys.exit(1)


def _read(access_log: str, progress: Progress, everything: bool, timed: bool, sample: float) -> Reading:
    task = progress.add_task("reading", total=None)
    source: Any = nullcontext(sys.stdin.buffer) if access_log == "-" else open(access_log, "rb")  # noqa: SIM115
    file: BinaryIO
    with source as file:
        try:
            reading = read(
                file,
                everything=everything,
                timed=timed,
                sample=sample,
                step=lambda length: progress.advance(task, length),
            )
        except LogUnreadable as error:
            click.echo(f"{access_log}: {error}", err=True)
            sys.exit(1)
    progress.remove_task(task)
    if not reading.trace.requests:
        click.echo(f"{access_log}: nothing to simulate: {_counts(reading)}", err=True)
        sys.exit(1)
    if len(reading.trace) > _LONG and sample == 1:
        click.echo(
            f"{len(reading.trace):,} requests: --sample 10% is ten times faster, and off by a point or two",
            err=True,
        )
    return reading


def _run(reading: Reading, sizes: list[int], ttl: float, progress: Progress) -> list[Row]:
    trace = reading.trace
    referee = _referee(trace) if not ttl else None
    policies = len(OWN) + (len(Referee.POLICIES) if referee is not None else 0)
    task = progress.add_task("simulating", total=len(set(sizes)) * policies)
    with closing(referee) if referee is not None else nullcontext():
        return list(
            sweep(
                trace,
                sizes,
                ttl=ttl,
                sample=reading.sample,
                referee=referee,
                step=lambda: progress.advance(task),
            )
        )


def _referee(trace: Trace) -> Referee | None:
    try:
        return Referee(trace)
    except (ImportError, OSError):  # not installed, or no room for its copy of the trace
        return None


def _show(reading: Reading, footprint: float, rows: list[Row]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(_counts(reading))
    console.print(f"{len(reading.trace.sizes):,} URLs, which take {size_text(footprint)} in a cache")
    table = Table(title="hit ratio in %, by requests / by bytes", title_justify="left", pad_edge=False)
    table.add_column("size")
    for name in rows[0].ratios:
        table.add_column(name, justify="right")
    for row in rows:
        cells = (f"{each.requests * 100:.1f} / {each.bytes * 100:.1f}" for each in row.ratios.values())
        table.add_row(f"{size_text(row.size)} ({row.size / footprint:.2g} of all)", *cells)
    console.print(table)
    if len(rows) > 1:
        console.print("hit ratio by requests")
        for line in text_plot(rows):
            click.echo(line)


def _counts(reading: Reading) -> str:
    parts = [f"{reading.lines:,} lines: {len(reading.trace):,} requests counted"]
    if reading.uncacheable:
        parts.append(f"{reading.uncacheable:,} not cacheable (--all counts them)")
    if reading.sampled_out:
        parts.append(f"{reading.sampled_out:,} not in the sample")
    if reading.bad:
        parts.append(f"{reading.bad:,} unreadable")
    return ", ".join(parts)


def _json(reading: Reading, footprint: float, rows: list[Row]) -> dict[str, Any]:
    return {
        "lines": reading.lines,
        "requests": len(reading.trace),
        "urls": len(reading.trace.sizes),
        "uncacheable": reading.uncacheable,
        "sampled_out": reading.sampled_out,
        "unreadable": reading.bad,
        "footprint": int(footprint),
        "sizes": [
            {
                "size": row.size,
                "policies": {
                    name: {"requests": round(ratio.requests, 6), "bytes": round(ratio.bytes, 6)}
                    for name, ratio in row.ratios.items()
                },
            }
            for row in rows
        ],
    }


def _size(text: str) -> int:
    """`64MiB` in bytes; raises UnitError."""
    size = parse_size(text)
    if not size:
        raise UnitError("holds nothing", "write a size above 0")
    return size


def _share(text: str) -> float:
    """`10%` as 0.1; raises UnitError."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = 0.0
    if not text.strip().endswith("%") or not 0 < share <= 1:
        raise UnitError("not a share", "write a percentage above 0% and up to 100%, as 10%")
    return share
