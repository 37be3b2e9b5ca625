"""Knows the command behind `make chaos`.

Must not know how anything is broken, or measured.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.chaos import report
from tests.chaos.bench import bench
from tests.chaos.run import Result, drawn, one_by_one, run
from tests.chaos.scenarios import SCENARIOS

console = Console(highlight=False)


def main() -> int:
    """0: all held; 1: something did not."""
    arguments = _arguments()
    if arguments.list:
        for each in SCENARIOS:
            console.print(f"{each.name:18} {each.title}", markup=False)
        return 0
    seed = random.SystemRandom().randrange(1 << 31) if arguments.seed is None else arguments.seed
    same = f"--seed {seed} --minutes {arguments.minutes:g}"
    console.print(f"seed {seed}: the same again by make chaos ARGS='{same}'")
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        results = asyncio.run(_measured(Path(folder), seed, arguments))
    console.print(report.terminal(results))
    if arguments.json:
        arguments.json.write_text(report.as_json(seed, results))
    if arguments.write:
        report.write(seed, results)
    broken = [(each, fault) for each in results for fault in each.faults()]
    for each, fault in broken:
        console.print(f"{each.name}: {fault}", style="bold red", markup=False, soft_wrap=True)
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Break things under load, one by one, then at random."
    )
    parser.add_argument(
        "--seed", type=int, help="of all that is drawn; not set: another each time, and printed"
    )
    parser.add_argument(
        "--minutes", type=float, default=2.0, help="of faults at random, after those one by one"
    )
    parser.add_argument("--only", metavar="NAME", nargs="*", default=[], help="these scenarios alone")
    parser.add_argument("--random-only", action="store_true", help="begin with those at random")
    parser.add_argument("--list", action="store_true", help="name the scenarios, and do nothing")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results there too")
    parser.add_argument("--write", action="store_true", help="write the table into tests/chaos/README.md")
    arguments = parser.parse_args()
    try:
        arguments.chosen = [] if arguments.random_only else one_by_one(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    return arguments


async def _measured(folder: Path, seed: int, arguments: argparse.Namespace) -> list[Result]:
    draw, results = random.Random(seed), []
    async with bench(folder, seed) as made:
        results += [_told(await run(made, [each], draw)) for each in arguments.chosen]
        ends = time.monotonic() + 60 * (0 if arguments.only else arguments.minutes)
        while time.monotonic() < ends:
            result = await run(made, drawn(draw), draw)
            result.random = True
            results.append(_told(result))
    return results


def _told(result: Result) -> Result:
    bad = list(result.faults())
    state = "skipped" if result.skipped else "BAD" if bad else "held"
    console.print(f"{state:8} {result.name}: {result.sent} requests, {result.failures} failed", markup=False)
    return result


if __name__ == "__main__":
    sys.exit(main())
