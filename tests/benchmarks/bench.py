"""CPU time a request of edgeproxy beside its peers, in one run: `make bench`.

The server is pinned to core 0, the load (wrk) and the origin to core 1; the servers take
turns, three rounds each, and the median counts. CPU µs a request is user and system time of
all the server's processes over the requests it answered: it holds even where the load
generator is the bottleneck. A round with an error, a wrong body, with hits that were none, or
that edgeproxy's metrics or the access log count otherwise, is void.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.cases import CASES, Case, Setup
from tests.benchmarks.chart import svg
from tests.benchmarks.contenders import CONTENDERS, Contender, present
from tests.benchmarks.measure import LOAD_CORE, SERVER_CORE, free_ports, running
from tests.benchmarks.report import OURS, figures, table_of
from tests.benchmarks.rounds import Bench
from tests.benchmarks.surroundings import certificate, missing, redis

TMPFS_NEEDED = 2**30  # bytes; nginx may take 256 MiB of it, Varnish 512 MiB for its log
BUSY = 1.0  # load average before the run
START = 3.0  # seconds that a server takes to start and to end
AROUND = 3.0  # seconds that a round takes beyond its own length: to warm up, to check
FILL = 0.0005  # seconds that one of the responses stored before a round takes

console = Console(highlight=False)


def versions(contenders: Sequence[Contender]) -> dict[str, str]:
    """What was measured, for the record."""
    asked = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "varnish": ["varnishd", "-V"]}
    path = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in [each.name for each in contenders if each.name in asked]:
        told = subprocess.run(asked[name], capture_output=True, text=True, env=os.environ | path, check=False)
        found[name] = (told.stdout + told.stderr).splitlines()[0]
    return found


def duration(
    cases: Sequence[Case], contenders: Sequence[Contender], rounds: int, seconds: float
) -> tuple[float, float]:
    """Seconds that a run should take, and those after which no further round begins."""
    total = 0.0
    for setup in dict.fromkeys(case.setup for case in cases):
        total += START * sum(setup not in each.lacks for each in contenders)
    for case in cases:
        here = sum(takes_part(each, case) for each in contenders)
        paced = seconds + 4 if case.paced else 0.0  # its capacity is measured first
        spent = seconds + AROUND + case.stored * case.passes * FILL + case.idle * FILL + paced
        total += here * rounds * spent
    return total, 2 * total + 60


def takes_part(contender: Contender, case: Case) -> bool:
    """Whether a server is measured in a case."""
    return case.setup not in contender.lacks and (contender.caches or case.floor)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    names = [each.name for each in CONTENDERS]
    asked = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=4, help="length of a round")
    asked.add_argument("--servers", help="names or beginnings, with commas: " + ", ".join(names))
    asked.add_argument("--cases", help="with commas: " + ", ".join(each.name for each in CASES))
    asked.add_argument("--json", type=Path, default=Path("var/bench.json"), help="where the figures go")
    asked.add_argument("--svg", type=Path, help="where a chart of them goes")
    return asked


def main() -> int:
    asked = arguments()
    options = asked.parse_args()
    names = options.cases.split(",") if options.cases else [each.name for each in CASES]
    unknown = sorted(set(names) - {each.name for each in CASES})
    if unknown:
        asked.error(f"no such case: {', '.join(unknown)}")
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            console.print(f"[red]{program} is missing:[/red] apt install {package}")
            return 1
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        console.print(f"[red]needs the cores {SERVER_CORE} and {LOAD_CORE}[/red]")
        return 1
    left_out: list[str] = []
    beginnings = tuple(options.servers.split(",")) if options.servers else ("",)
    contenders = [each for each in CONTENDERS if each.name.startswith(beginnings)]
    for absent in [each for each in contenders if not present(each)]:
        _leave_out(left_out, f"{absent.name} is not installed, left out: apt install {absent.package}")
        contenders.remove(absent)
    cases = [case for case in CASES if case.name in names and not _cannot(case, left_out)]
    return run(cases, contenders, options, left_out)


def _cannot(case: Case, left_out: list[str]) -> bool:
    why = missing(case.setup)
    if case.paced and shutil.which("h2load") is None:
        why = "no h2load on PATH: apt install nghttp2-client"
    if why:
        _leave_out(left_out, f"{case.name} left out: {why}")
    return why is not None


def _leave_out(left_out: list[str], line: str) -> None:
    left_out.append(line)
    console.print(f"[yellow]{line}[/yellow]", soft_wrap=True)


def _tmpfs() -> str | None:
    """nginx keeps its cache in files: a tmpfs makes it a memory cache, as the others have."""
    place = "/dev/shm"
    if os.access(place, os.W_OK) and shutil.disk_usage(place).free > TMPFS_NEEDED:
        return place
    console.print("[yellow]/dev/shm is too small: nginx keeps its cache on disk[/yellow]")
    return None


def run(
    cases: list[Case], contenders: list[Contender], options: argparse.Namespace, left_out: list[str]
) -> int:
    """Measure, print and write; 1 where a round was void."""
    likely, limit = duration(cases, contenders, options.rounds, options.seconds)
    console.print(f"about {math.ceil(likely / 60)} min; no round begins after {math.ceil(limit / 60)} min")
    load = os.getloadavg()[0]
    if load > BUSY:
        console.print(f"[yellow]the machine is busy (load {load:.1f}): latencies mean little[/yellow]")
    origin = free_ports(1)
    with (
        tempfile.TemporaryDirectory(prefix="edgeproxy-bench-", dir=_tmpfs()) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        command = [sys.executable, str(Path(__file__).with_name("origin.py")), str(origin)]
        stack.enter_context(running(command, origin, LOAD_CORE, folder / "origin.log"))
        bench = Bench(folder, options.seconds, origin, limit, console)
        for setup in dict.fromkeys(case.setup for case in cases):
            _measure(bench, setup, [case for case in cases if case.setup is setup], contenders, options)
    told = figures(cases, bench.rounds)
    for case in told.values():
        console.print(table_of(case))
    console.print("ratio: edgeproxy's ÷ the server's; below 1, edgeproxy is ahead")
    _write(options, {
        "versions": versions(contenders),
        "load_before": round(load, 2),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cases": told,
        "void": bench.void,
        "left_out": left_out + bench.left_out,
    })  # fmt: skip
    for line in bench.void:
        console.print(f"[red]void:[/red] {line}", soft_wrap=True)
    return 1 if bench.void else 0


def _measure(
    bench: Bench, setup: Setup, cases: list[Case], contenders: list[Contender], options: argparse.Namespace
) -> None:
    """All cases of one setup: the servers run with it at the same time, and take turns."""
    with contextlib.ExitStack() as stack:
        tls = certificate(bench.folder / "certificate") if setup is Setup.TLS else None
        url = stack.enter_context(redis()) if setup is Setup.REDIS else ""
        for contender in contenders:
            if setup not in contender.lacks:
                bench.start(contender, setup, tls, url, stack)
            elif contender.caches:
                bench.leave_out(f"{contender.name}, {setup}: it has none")
        for case in cases:
            here = [each for each in contenders if takes_part(each, case)]
            bench.case(case, here, options.rounds)
        bench.stopped()


def _write(options: argparse.Namespace, told: dict[str, Any]) -> None:
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False))
    console.print(f"figures of every round: {options.json}")
    if options.svg:
        options.svg.parent.mkdir(parents=True, exist_ok=True)
        options.svg.write_text(svg(told["cases"], OURS), encoding="utf-8")
        console.print(f"chart: {options.svg}")


if __name__ == "__main__":
    sys.exit(main())
