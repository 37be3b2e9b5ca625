"""CPU time a request of edgeproxy beside its peers, in one run: `make bench`.

The server is pinned to core 0, the load (wrk) and the origin to core 1; the servers take
turns, three rounds each, and the median counts. CPU µs a request is user and system time of
all the server's processes over the requests it answered: it holds even where the load
generator is the bottleneck. A round with an error, a wrong body, or with hits that were none
is void.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from cases import BROWSER_HOST, CASES, URLS, Case, script_of
from contenders import CONTENDERS, Contender, present
from measure import (
    CONNECTIONS,
    LOAD_CORE,
    SERVER_CORE,
    Round,
    Void,
    cpu_seconds,
    free_ports,
    get,
    running,
    wrk,
)
from rich.console import Console
from rich.table import Table

TMPFS_NEEDED = 400 * 2**20  # bytes; nginx may take 256 MiB of it
SLACK = 0.01  # share of requests that may reach the origin beyond what the case says

console = Console(highlight=False)


class Bench:
    """The servers that run, and what was measured on them."""

    def __init__(self, folder: Path, seconds: float, origin: int) -> None:
        self._folder = folder
        self._seconds = seconds
        self._origin = origin
        self.running: dict[str, tuple[int, int]] = {}  # name -> port, process id
        self.rounds: dict[str, dict[str, list[Round]]] = {}
        self.void: list[str] = []

    def __repr__(self) -> str:
        return f"<Bench {sorted(self.running)}>"

    def start(self, contender: Contender, stack: contextlib.ExitStack) -> None:
        """Start one server; a failure is said, and the others go on."""
        place = self._folder / contender.program.rpartition("/")[2]
        place.mkdir()
        port = free_ports(2)
        try:
            command = contender.command(place, port, self._origin)
            pid = stack.enter_context(running(command, port, SERVER_CORE, place / "output.log"))
        except (Void, OSError, subprocess.CalledProcessError) as error:
            console.print(f"[red]{contender.name} left out:[/red] {error}", soft_wrap=True)
        else:
            self.running[contender.name] = port, pid

    def case(self, case: Case, contenders: list[Contender], rounds: int) -> None:
        """All rounds of one case, the servers in turn."""
        script = script_of(case, self._folder)
        here = [each for each in contenders if each.name in self.running and (each.caches or case.floor)]
        for turn in range(rounds):
            for contender in here:
                console.print(f"  {case.name}: round {turn + 1}, {contender.name}", style="dim")
                try:
                    measured = self._round(case, contender, script)
                except (Void, OSError) as error:
                    self.void.append(f"{case.name}, {contender.name}, round {turn + 1}: {error}")
                    console.print(f"  [red]void:[/red] {self.void[-1]}", soft_wrap=True)
                else:
                    self.rounds.setdefault(case.name, {}).setdefault(contender.name, []).append(measured)

    def _round(self, case: Case, contender: Contender, script: Path | None) -> Round:
        port, pid = self.running[contender.name]
        if contender.caches:
            self._check_answer(case, port)
        wrk(port, case.path, 1, script)  # warm: pools filled, code paths seen
        reached, spent = self._reached(), cpu_seconds(pid)
        requests, seconds = wrk(port, case.path, self._seconds, script)
        spent, reached = cpu_seconds(pid) - spent, self._reached() - reached
        # Requests under way at either end are counted by one side only.
        slack = SLACK * requests + 2 * CONNECTIONS
        if contender.caches and abs(reached - case.at_origin * requests) > slack:
            raise Void(f"{reached} of {requests} requests reached the origin")
        return Round(spent / requests * 1e6, requests / seconds)

    def _check_answer(self, case: Case, port: int) -> None:
        """Compare with the origin's answers; every URL is asked for once, and so stored."""
        host = BROWSER_HOST if case.lua and not case.at_origin else None
        paths = [f"/hit/1024/{number}" for number in range(URLS)] if host else [case.path]
        for path in paths:
            if get(port, path, host) != get(self._origin, path):
                raise Void(f"its answer to {path} is not the origin's")

    def _reached(self) -> int:
        return int(get(self._origin, "/count")[1])


def table_of(case: Case, rounds: dict[str, list[Round]]) -> Table:
    """The medians of a case; a ratio above 1 says that edgeproxy is cheaper."""
    table = Table("server", title=case.title, title_justify="left", min_width=60)
    for title in ("CPU µs/req", "req/s", "CPU ÷ edgeproxy's"):
        table.add_column(title, justify="right")
    ours = rounds.get("edgeproxy")
    base = statistics.median(each.cpu for each in ours) if ours else None
    for name in [each.name for each in CONTENDERS if each.name in rounds]:
        measured = rounds[name]
        cpu = statistics.median(each.cpu for each in measured)
        rate = statistics.median(each.rate for each in measured)
        table.add_row(name, f"{cpu:.1f}", f"{rate:,.0f}", f"{cpu / base:.2f}" if base else "-")
    return table


def versions(contenders: list[Contender]) -> dict[str, str]:
    """What was measured, for the record."""
    asked = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "varnish": ["varnishd", "-V"]}
    path = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in [each.name for each in contenders if each.name in asked]:
        told = subprocess.run(asked[name], capture_output=True, text=True, env=os.environ | path, check=False)
        found[name] = (told.stdout + told.stderr).splitlines()[0]
    return found


def main() -> int:
    names = [each.name for each in CONTENDERS]
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=4, help="length of a round")
    asked.add_argument("--servers", help="names or beginnings, with commas: " + ", ".join(names))
    asked.add_argument("--cases", help="with commas: " + ", ".join(each.name for each in CASES))
    asked.add_argument("--json", type=Path, default=Path("var/bench.json"), help="where the figures go")
    options = asked.parse_args()
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            console.print(f"[red]{program} is missing:[/red] apt install {package}")
            return 1
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        console.print(f"[red]needs the cores {SERVER_CORE} and {LOAD_CORE}[/red]")
        return 1
    cases = [each for each in CASES if not options.cases or each.name in options.cases.split(",")]
    beginnings = tuple(options.servers.split(",")) if options.servers else ("",)
    contenders = [each for each in CONTENDERS if each.name.startswith(beginnings)]
    for absent in [each for each in contenders if not present(each)]:
        console.print(
            f"[yellow]{absent.name} is not installed, left out:[/yellow] apt install {absent.package}"
        )
        contenders.remove(absent)
    return run(cases, contenders, options)


def _tmpfs() -> str | None:
    """nginx keeps its cache in files: a tmpfs makes it a memory cache, as the others have."""
    place = "/dev/shm"
    if os.access(place, os.W_OK) and shutil.disk_usage(place).free > TMPFS_NEEDED:
        return place
    console.print("[yellow]/dev/shm is too small: nginx keeps its cache on disk[/yellow]")
    return None


def run(cases: list[Case], contenders: list[Contender], options: argparse.Namespace) -> int:
    memory = _tmpfs()
    origin = free_ports(1)
    with (
        tempfile.TemporaryDirectory(prefix="edgeproxy-bench-", dir=memory) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        command = [sys.executable, str(Path(__file__).with_name("origin.py")), str(origin)]
        stack.enter_context(running(command, origin, LOAD_CORE, folder / "origin.log"))
        bench = Bench(folder, options.seconds, origin)
        for contender in contenders:
            bench.start(contender, stack)
        for case in cases:
            bench.case(case, contenders, options.rounds)
    for case in cases:
        console.print(table_of(case, bench.rounds.get(case.name, {})))
    figures = {
        "versions": versions(contenders),
        "cases": {
            case: {name: [asdict(each) for each in rounds] for name, rounds in measured.items()}
            for case, measured in bench.rounds.items()
        },
        "void": bench.void,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=1))
    console.print(f"figures of every round: {options.json}")
    return 1 if bench.void else 0


if __name__ == "__main__":
    sys.exit(main())
