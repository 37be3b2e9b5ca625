"""How long a purge holds one worker's loop up: the rule, each turn of the sweep, the first hits after it.

    python -m tests.benchmarks.purge_stall [--responses 100000] [--of "tag,host"]

All responses have one tag and one host, and were hit once, so that their answers are serialised. A turn
of the loop that takes more than 5 ms is too long: exit code 1.
"""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from edgeproxy.edge.sweep import SLICE, Sweep
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.server.garbage import settle
from tests.benchmarks.surroundings import machine
from tests.unit.edge.rig import Rig, asks, says

MOST = 5.0  # ms
RULES = {
    "tag": PurgeRule(PurgeKind.TAG, b"all"),
    "soft tag": PurgeRule(PurgeKind.TAG, b"all", soft=True),
    "host": PurgeRule(PurgeKind.HOST, b"shop.test"),
    "prefix": PurgeRule(PurgeKind.PREFIX, b"shop.test/products/"),
    "everything": PurgeRule(PurgeKind.EVERYTHING),
    "a tag of none": PurgeRule(PurgeKind.TAG, b"none"),
}
HIT = 1000


def took(begun: float) -> float:
    """ms of CPU since then: a turn that others of the machine held up is no purge's fault."""
    return (time.process_time() - begun) * 1000


def measure(rule: PurgeRule, count: int) -> tuple[float, float, float, float, int]:
    """ms of the rule, the longest and the mean turn, the longest request after it; how many are left."""
    head = says("Cache-Control: max-age=3600", "Cache-Tag: all", "Content-Length: 1024")
    with Rig(budget=4 << 30) as rig:
        settle()
        for number in range(count):
            rig.store(asks(f"/products/{number}"), head, b"x" * 1024)
            rig.answer(asks(f"/products/{number}"))
        rig.fast.fold()
        sweep = Sweep(rig.memory, rig.purges, rig.loop)
        begun = time.process_time()
        rig.purges.apply(rule)
        applied = took(begun)
        requests: list[float] = []
        for number in range(0, count, max(1, count // HIT)):
            data = asks(f"/products/{number}")
            begun = time.process_time()
            rig.answer(data)
            requests.append(took(begun))
        turns: list[float] = []
        more = rig.purges.wide > 0
        while more:
            begun = time.process_time()
            more = sweep.step()
            turns.append(took(begun))
        left = rig.memory.responses
        return applied, max(turns, default=0.0), sum(turns) / (len(turns) or 1), max(requests), left


def main() -> int:
    """Measure each kind of purge and print; 1 where a turn was too long."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--responses", type=int, default=100_000)
    asked.add_argument("--of", default=",".join(RULES), help="kinds of purges")
    options = asked.parse_args()
    count: int = options.responses
    table = Table(title=f"purge of {count:,} responses, {SLICE} a turn, ms of CPU; {machine()}")
    for title in ("purge of", "the rule", "longest turn", "mean turn", "longest request", "left in memory"):
        table.add_column(title, justify="right")
    longest = 0.0
    for name in options.of.split(","):
        applied, most, mean, request, left = measure(RULES[name], count)
        longest = max(longest, applied, most, request)
        table.add_row(name, f"{applied:.3f}", f"{most:.2f}", f"{mean:.2f}", f"{request:.2f}", f"{left:,}")
    Console(width=120).print(table)
    return int(longest >= MOST)


if __name__ == "__main__":
    sys.exit(main())
