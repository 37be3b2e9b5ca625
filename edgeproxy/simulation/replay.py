"""Knows how a trace runs through policies at several sizes, and what comes of it.

Must not know where the trace is from or how results are shown.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeproxy.simulation.policies import OWN, Policy
from edgeproxy.simulation.ratios import WHOLE, Ratio, Sample
from edgeproxy.simulation.referee import Referee
from edgeproxy.simulation.trace import Trace

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Sizes of the cache to try where none are given, as shares of the footprint."""


@dataclass(frozen=True, slots=True)
class Row:
    """Hit ratios by policy at one size of the cache, in bytes."""

    size: int
    ratios: dict[str, Ratio]


def replay(trace: Trace, policy: Policy, ttl: float = 0.0) -> Ratio:
    """Hit ratio of one policy; a response older than `ttl` seconds is a miss, renewed in place (0: never)."""
    sizes, costs, times = trace.sizes, trace.costs, trace.times
    touch, insert = policy.touch, policy.insert
    stored = array("d", bytes(8 * len(sizes))) if ttl else times
    hits = hit_bytes = 0
    for at, number in enumerate(trace.requests):
        if touch(number, at):
            if not ttl or times[at] - stored[number] < ttl:
                hits += 1
                hit_bytes += sizes[number]
                continue
        else:
            insert(number, costs[number], at)
        if ttl:
            stored[number] = times[at]
    return Ratio(hits / max(1, len(trace)), hit_bytes / max(1, trace.asked_bytes))


def sweep(
    trace: Trace,
    sizes: Iterable[int],
    *,
    ttl: float = 0.0,
    sample: Sample = WHOLE,
    referee: Referee | None = None,
    step: Callable[[], None] = lambda: None,
) -> Iterable[Row]:
    """One row a size, smallest first; `step` is called after each policy at each size.

    A trace that holds a sample of the URLs runs through caches that are as much smaller (Waldspurger et
    al., FAST 2015); rows are of the whole.
    """
    for size in sorted(set(sizes)):
        budget = int(size * sample.share)
        ratios = {}
        for name, policy in OWN.items():
            ratios[name] = sample.whole(replay(trace, policy(budget, trace), ttl))
            step()
        if referee is not None:
            for name in referee.POLICIES:
                ratios[name] = sample.whole(Ratio(*referee(name, budget)))
                step()
        yield Row(size, ratios)
