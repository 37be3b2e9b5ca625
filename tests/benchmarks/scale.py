"""Hits a second with one worker and with two, and how evenly these share the requests.

    python -m tests.benchmarks.scale [--seconds 5] [--workers 1,2] [--connections 128]

One URL of 1 KiB, wrk on any core. Skew is how far the busiest worker is above an equal share, of requests as
`GET /workers` counts them: the kernel spreads connections by chance, so that few of them are spread unevenly.
On two cores the load takes one of them: what two workers then gain is no measure of what they can. CPU a
request is, and so is the sum that it comes to where every worker has a core of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.load import read_wrk
from tests.benchmarks.measure import cpu_seconds, get
from tests.benchmarks.soak import node
from tests.benchmarks.surroundings import machine

PATH = "/hit/1024/one"
BUDGET = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Scaled:
    """So many workers: hits a second, µs of CPU a hit, and each worker's share of the requests."""

    workers: int
    rate: float
    cpu: float
    shares: tuple[float, ...]

    @property
    def skew(self) -> float:
        """Of the busiest worker beyond an equal share; 0 is even."""
        return max(self.shares) * self.workers - 1


def answered(admin: int) -> list[int]:
    """Requests that each worker has answered so far."""
    return [worker["answered"] for worker in json.loads(get(admin, "/workers")[1])]


def measure(workers: int, seconds: float, connections: int) -> Scaled:
    """Load a node with that many workers. Raises Void where wrk saw an error."""
    with (
        tempfile.TemporaryDirectory(prefix="edgeproxy-scale-") as name,
        node(Path(name), BUDGET, workers) as (pid, port),
    ):
        url = f"http://127.0.0.1:{port}{PATH}"
        wrk = ["wrk", "-t1", f"-c{connections}"]
        subprocess.run([*wrk, "-d1s", url], capture_output=True, check=True, timeout=30)
        before, spent = answered(port + 1), cpu_seconds(pid)
        command = [*wrk, f"-d{max(1, round(seconds))}s", url]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
        spent = cpu_seconds(pid) - spent
        requests, took = read_wrk(told.stdout)
        grown = [now - then for now, then in zip(answered(port + 1), before, strict=True)]
        shares = tuple(each / sum(grown) for each in grown)
        return Scaled(workers, requests / took, spent / requests * 1e6, shares)


def table(scaled: list[Scaled], connections: int) -> Table:
    """All numbers of workers."""
    made = Table(title=f"hits of 1 KiB, {connections} connections, {machine()}")
    for title in (
        "workers",
        "hits/s",
        "CPU a hit\nµs",
        "hits/s with a core\nfor each, at most",
        "shares",
        "skew",
    ):
        made.add_column(title, justify="right")
    for each in scaled:
        made.add_row(
            str(each.workers),
            f"{each.rate:,.0f}",
            f"{each.cpu:.1f}",
            f"{each.workers / each.cpu * 1e6:,.0f}",
            " ".join(f"{share:.1%}" for share in each.shares),
            f"{each.skew:.1%}",
        )
    return made


def main() -> int:
    """Measure and print; 1 without wrk."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=float, default=5)
    asked.add_argument("--workers", default="1,2")
    asked.add_argument("--connections", type=int, default=128)
    options = asked.parse_args()
    console = Console(width=120)
    if shutil.which("wrk") is None:
        console.print("wrk is missing: apt install wrk")
        return 1
    numbers = [int(each) for each in options.workers.split(",")]
    scaled = [measure(each, options.seconds, options.connections) for each in numbers]
    console.print(table(scaled, options.connections))
    cores = len(os.sched_getaffinity(0))
    if cores <= max(numbers) + 1:
        console.print(
            f"{cores} cores for {max(numbers)} workers, the load and the origin: the load takes a core from"
            " the workers, so hits/s with more workers are no measure of what they can; CPU a hit is."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
