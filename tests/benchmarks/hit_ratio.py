"""Measures the hit ratio of the eviction policy that ships, beside libCacheSim's policies.

    python -m tests.benchmarks.hit_ratio [--requests 200000] [--urls 20000] [--seed 1]

One row for each trace and cache size (share of the footprint), in each column the hit ratio in percent by
requests / by bytes. At the end: the worst distance to LRU and to the best of the others, Belady left out
(it knows the future).
"""

import argparse

from tests.benchmarks.simulation import Ratio, Referee, footprint, ours
from tests.benchmarks.traces import all_traces

ONLINE = ("LRU", "FIFO", "Sieve", "S3FIFO", "WTinyLFU", "ARC", "GDSF")
SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def cell(ratio: Ratio) -> str:
    """One column of the table."""
    return f"{ratio.requests * 100:5.1f} /{ratio.bytes * 100:5.1f}"


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
    gaps: dict[str, list[Ratio]] = {name: [] for name in ONLINE}
    for name, trace in all_traces(chosen.requests, chosen.urls, chosen.seed).items():
        referee = Referee(trace)
        for share in SIZES:
            budget = int(footprint(trace) * share)
            mine = ours(trace, budget)
            others = {policy: referee(policy, budget) for policy in (*ONLINE, "Belady")}
            print(
                f"{name:10}{share:6.1%}",
                *(f"{cell(ratio):>12}" for ratio in (mine, *others.values())),
                flush=True,
            )
            for policy in ONLINE:
                theirs = others[policy]
                gaps[policy].append(Ratio(mine.requests - theirs.requests, mine.bytes - theirs.bytes))
        referee.close()
    print("\nours minus the other, in points: worst, mean")
    for policy, rows in gaps.items():
        for part in ("requests", "bytes"):
            points = [getattr(row, part) * 100 for row in rows]
            print(f"  {policy:9} by {part:9}{min(points):7.1f}{sum(points) / len(points):7.1f}")


if __name__ == "__main__":
    main()
