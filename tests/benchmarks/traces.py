"""Knows how to make request traces: who is popular, how large, what sweeps through, what comes in bursts.

Must not know caches. A trace is a list of (number of the URL, size in bytes), made from a seed.
"""

import random
from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate
from math import exp

Trace = list[tuple[int, int]]
EQUAL = 8192  # bytes


@lru_cache(maxsize=1 << 20)
def size_of(number: int) -> int:
    """Size of a response, the same each time: log-normal, median 8 KiB, up to 4 MiB."""
    draw = random.Random(number * 2654435761 + 1).gauss(0.0, 1.4)
    return max(200, min(int(8192 * exp(draw)), 4 * 1024 * 1024))


def zipf(requests: int, urls: int, alpha: float, seed: int) -> list[int]:
    """Independent requests, popularity by rank to the power of -alpha; ranks dealt out at random."""
    chance = random.Random(seed)
    weights = list(accumulate((rank + 1) ** -alpha for rank in range(urls)))
    total = weights[-1]
    order = list(range(urls))
    chance.shuffle(order)
    return [order[bisect_left(weights, chance.random() * total)] for _ in range(requests)]


def scans(requests: int, urls: int, seed: int) -> list[int]:
    """Zipf traffic, through which a crawler sweeps over URLs that nobody else asks for."""
    chance = random.Random(seed)
    popular = iter(zipf(requests, urls, 0.9, seed))
    trace: list[int] = []
    swept = urls
    while len(trace) < requests:
        trace.extend(next(popular) for _ in range(min(chance.randrange(2000, 8000), requests - len(trace))))
        length = min(chance.randrange(1000, 6000), requests - len(trace))
        trace.extend(range(swept, swept + length))
        swept += length
    return trace


def loops(requests: int, urls: int, seed: int) -> list[int]:
    """Zipf traffic, and a crawler that comes back over the same sitemap again and again."""
    popular = zipf(requests, urls, 0.9, seed)
    sitemap = urls // 4
    return [urls + (at // 3) % sitemap if at % 3 == 0 else number for at, number in enumerate(popular)]


def bursts(requests: int, urls: int, seed: int) -> list[int]:
    """Zipf traffic over which news break: a few new URLs take half of the requests for a while, then none."""
    chance = random.Random(seed)
    popular = zipf(requests, urls, 0.8, seed)
    fresh = urls
    trace: list[int] = []
    for at, number in enumerate(popular):
        if at % 3000 == 0:
            fresh += 40
        hot = chance.random() < 0.5
        trace.append(fresh + int(40 * chance.random() ** 3) if hot else number)
    return trace


def drift(requests: int, urls: int, seed: int) -> list[int]:
    """Popularity that moves on: every 1 % of the trace, 2 % of the URLs get other ranks."""
    chance = random.Random(seed)
    alias = list(range(urls))
    step = max(1, requests // 100)
    trace: list[int] = []
    for at, number in enumerate(zipf(requests, urls, 1.0, seed)):
        if at % step == 0:
            for _ in range(urls // 100):
                one, two = chance.randrange(urls), chance.randrange(urls)
                alias[one], alias[two] = alias[two], alias[one]
        trace.append(alias[number])
    return trace


def one_hit_wonders(requests: int, urls: int, seed: int) -> list[int]:
    """Zipf traffic, of which 40 % are URLs never asked for again (query strings of trackers)."""
    chance = random.Random(seed)
    unique = urls
    trace: list[int] = []
    for number in zipf(requests, urls, 0.9, seed):
        if chance.random() < 0.4:
            unique += 1
            trace.append(unique)
        else:
            trace.append(number)
    return trace


def moved_on(requests: int, urls: int, seed: int) -> list[int]:
    """Zipf traffic, all of whose URLs are others from the middle on: a site is relaunched."""
    middle = requests // 2
    return [
        number + (urls if at >= middle else 0) for at, number in enumerate(zipf(requests, urls, 0.8, seed))
    ]


def ring(requests: int, urls: int) -> list[int]:
    """The same URLs in the same order over and over."""
    return [at % urls for at in range(requests)]


def all_traces(requests: int, urls: int, seed: int = 1) -> dict[str, Trace]:
    """The traces by name, with sizes; those whose names end in `=` have all of one size."""
    made = {
        "zipf-0.6": zipf(requests, urls, 0.6, seed),
        "zipf-0.8": zipf(requests, urls, 0.8, seed),
        "zipf-1.0": zipf(requests, urls, 1.0, seed),
        "zipf-1.2": zipf(requests, urls, 1.2, seed),
        "scan": scans(requests, urls, seed),
        "loop": loops(requests, urls, seed),
        "burst": bursts(requests, urls, seed),
        "drift": drift(requests, urls, seed),
        "one-hit": one_hit_wonders(requests, urls, seed),
    }
    sized = {name: [(number, size_of(number)) for number in trace] for name, trace in made.items()}
    return sized | {name + "=": [(number, EQUAL) for number in trace] for name, trace in made.items()}
