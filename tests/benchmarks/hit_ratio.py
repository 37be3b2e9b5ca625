"""Measures the hit ratio of the eviction policy that ships, beside libCacheSim's policies.

    python -m tests.benchmarks.hit_ratio [--requests 200000] [--urls 20000] [--seed 1]

One row for each trace and cache size (share of the footprint), in each column the hit ratio in percent by
requests / by bytes. At the end: the worst and the mean distance to each of the others and to the best of
them, Belady left out (it knows the future). Rings are loops over 1.05 to 2 times what the cache holds.
Sizes that hold fewer than eight responses of the mean size are left out.
"""

import argparse
from collections.abc import Iterator
from contextlib import closing

from edgeproxy.simulation.policies import Shipped
from edgeproxy.simulation.ratios import Ratio
from edgeproxy.simulation.referee import Referee
from edgeproxy.simulation.replay import SHARES, replay
from edgeproxy.simulation.trace import Trace
from tests.benchmarks.traces import EQUAL, all_traces, ring, size_of

ONLINE = ("LRU", "FIFO", "Sieve", "S3FIFO", "WTinyLFU", "ARC", "GDSF")
RINGS = (1.05, 1.3, 2.0)
FEWEST = 8  # responses of the mean size that a cache must hold


def cases(requests: int, urls: int, seed: int) -> Iterator[tuple[str, Trace, list[int]]]:
    """Traces by name, each with the sizes of the cache to try, in bytes."""
    for name, rows in all_traces(requests, urls, seed).items():
        trace = Trace.of(rows, beside=0)
        fewest = FEWEST * trace.footprint / len(trace.sizes)
        yield name, trace, [size for share in SHARES if (size := int(trace.footprint * share)) >= fewest]
    numbers = ring(requests // 4, urls // 4)
    for mark in ("", "="):
        trace = Trace.of(((number, EQUAL if mark else size_of(number)) for number in numbers), beside=0)
        yield f"ring{mark}", trace, [int(trace.footprint / times) for times in reversed(RINGS)]


def measure(trace: Trace, sizes: list[int], policies: tuple[str, ...]) -> Iterator[dict[str, Ratio]]:
    """For each size the ratios by policy: `ours`, and libCacheSim's."""
    with closing(Referee(trace)) as referee:
        for size in sizes:
            theirs = {name: Ratio(*referee(name, size)) for name in policies}
            yield {"ours": replay(trace, Shipped(size, trace)), **theirs}


def gaps(ratios: dict[str, Ratio]) -> dict[str, Ratio]:
    """Ours minus each of the online policies, and minus the best of them."""
    mine = ratios["ours"]
    online = {name: ratios[name] for name in ONLINE}
    online["best"] = Ratio(*(max(part) for part in zip(*online.values(), strict=True)))
    return {
        name: Ratio(mine.requests - theirs.requests, mine.bytes - theirs.bytes)
        for name, theirs in online.items()
    }


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--requests", type=int, default=200_000)
    options.add_argument("--urls", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    columns = ("ours", *ONLINE, "Belady")
    print(f"{'trace':10}{'size':>6}", *(f"{name:>12}" for name in columns))
    found: dict[str, list[Ratio]] = {name: [] for name in (*ONLINE, "best")}
    for name, trace, sizes in cases(chosen.requests, chosen.urls, chosen.seed):
        for size, ratios in zip(sizes, measure(trace, sizes, (*ONLINE, "Belady")), strict=True):
            cells = (f"{ratio.requests * 100:5.1f} /{ratio.bytes * 100:5.1f}" for ratio in ratios.values())
            print(f"{name:10}{size / trace.footprint:6.1%}", *(f"{cell:>12}" for cell in cells), flush=True)
            for policy, gap in gaps(ratios).items():
                found[policy].append(gap)
    print("\nours minus the other, in points: worst, mean")
    for policy, rows in found.items():
        for part in ("requests", "bytes"):
            points = [getattr(row, part) * 100 for row in rows]
            print(f"  {policy:9} by {part:9}{min(points):7.1f}{sum(points) / len(points):7.1f}")


if __name__ == "__main__":
    main()
