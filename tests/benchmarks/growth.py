"""What a hit, a response and the garbage collector cost as the cache grows: the edge of one worker.

    python -m tests.benchmarks.growth [--responses 10000,100000,1000000]

Each size runs in a process of its own. CPU is that of the fast path alone, without sockets: for the same
few heads (all that it needs is in the processor's caches), for any of all stored with a head that was never
seen, and for storing one. Memory is the process's own RSS beyond its start, for each response, before and
after all were hit; what the fast path remembers of heads has a bound of its own and is part of it. Pauses
are those of the collector with the worker's own settings, the longest of each phase.
"""

import argparse
import gc
import random
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context

from rich.console import Console
from rich.table import Table

from edgeproxy.server.dataplane import MOST_HEADS
from edgeproxy.server.garbage import settle
from tests.benchmarks.memory_overhead import rss
from tests.benchmarks.surroundings import machine
from tests.unit.edge.rig import Rig, asks, says

BODY = 1024
FEW = 100
HITS = 200_000
FRESH = says(
    "Cache-Control: public, max-age=86400",
    "Content-Type: text/html; charset=utf-8",
    f"Content-Length: {BODY}",
    'ETag: "0123456789abcdef"',
    "Server: shop/1.4",
)


@dataclass(frozen=True, slots=True)
class Grown:
    """One size: µs of CPU, bytes of RSS a response, ms of the longest pause and seconds of all."""

    responses: int
    store: float
    few: float
    any: float
    bytes: float
    bytes_hit: float
    pause_store: float
    pause_hit: float
    paused: float


class Pauses:
    """The collector's pauses in seconds, of this process."""

    def __init__(self) -> None:
        self.lengths: list[float] = []
        self._began = 0.0
        gc.callbacks.append(self._note)

    def __repr__(self) -> str:
        return f"<Pauses {len(self.lengths)}>"

    def longest(self) -> float:
        """In ms, since it was asked last."""
        longest, self.lengths = max(self.lengths, default=0.0), []
        return longest * 1000

    def _note(self, phase: str, told: object) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.lengths.append(time.perf_counter() - self._began)


def _head(number: int, agent: int = 0) -> bytes:
    return asks(f"/products/{number}?page=1", "GET", f"User-Agent: bench/{agent}")


def _answer(rig: Rig, numbers: Sequence[int], agent: int) -> float:
    """µs of CPU for each answer, the making of the heads left out."""
    spent, answer = 0.0, rig.fast.answer
    for begin in range(0, len(numbers), 10_000):
        heads = [_head(number, agent) for number in numbers[begin : begin + 10_000]]
        before = time.process_time()
        for head in heads:
            if answer(head) is None:
                raise AssertionError("a stored response was not answered")
        rig.fast.fold()
        spent += time.process_time() - before
        rig.advance(0.1)
    return spent / len(numbers) * 1e6


def measure(count: int) -> Grown:
    """Fill a cache with that many responses of 1 KiB, and hit them."""
    chance = random.Random(1)
    with Rig(budget=8 << 30) as rig:
        rig.fast._budget = MOST_HEADS
        settle()
        pauses = Pauses()
        before, spent = rss(), time.process_time()
        pauses.longest()
        for number in range(count):
            rig.store(_head(number), FRESH, (b"%08d" % number) * (BODY // 8))
        spent = time.process_time() - spent
        paused = sum(pauses.lengths)
        pause_store = pauses.longest()
        stored = (rss() - before) / count - BODY
        pauses.longest()
        # Arrays: the collector would look at lists as long as these.
        everything = array("I", range(count))
        chance.shuffle(everything)
        _answer(rig, everything, 1)  # serialises them all: the dearest hit of each
        few = _answer(rig, array("I", (number % FEW for number in range(HITS))), 2)
        chosen = array("I", (chance.randrange(count) for _ in range(HITS)))
        any_of_all = _answer(rig, chosen, 3)
        paused += sum(pauses.lengths)
        pause_hit = pauses.longest()
        heated = (rss() - before) / count - BODY
        return Grown(
            count, spent / count * 1e6, few, any_of_all, stored, heated, pause_store, pause_hit, paused
        )


def table(grown: list[Grown]) -> Table:
    """All sizes."""
    made = Table(title=f"{BODY} bytes each, {machine()}")
    for title in (
        "stored",
        "hit, few URLs\nµs",
        "hit, any of all, new head\nµs",
        "store\nµs",
        "beyond the body\nbytes",
        "once hit\nbytes",
        "longest pause\nstoring, ms",
        "longest pause\nhitting, ms",
        "paused in all\ns",
    ):
        made.add_column(title, justify="right")
    for each in grown:
        made.add_row(
            f"{each.responses:,}",
            *(f"{figure:.2f}" for figure in (each.few, each.any, each.store)),
            *(f"{figure:.0f}" for figure in (each.bytes, each.bytes_hit)),
            *(f"{figure:.1f}" for figure in (each.pause_store, each.pause_hit)),
            f"{each.paused:.2f}",
        )
    return made


def main() -> int:
    """Measure each size and print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--responses", default="10000,100000,1000000")
    grown: list[Grown] = []
    for count in map(int, asked.parse_args().responses.split(",")):
        with get_context("spawn").Pool(1) as clean:
            grown.append(clean.apply(measure, (count,)))
        print(asdict(grown[-1]), file=sys.stderr)
    Console(width=160).print(table(grown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
