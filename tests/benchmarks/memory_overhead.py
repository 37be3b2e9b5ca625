"""Measures what a stored response costs in memory beyond its body, from the process's own RSS.

    python -m tests.benchmarks.memory_overhead [--responses 100000] [--body 1024]

Prints the bytes beyond the body for each stored response (packed head, key, objects, index, allocator),
what the tier counts for it, and the same after a churn of five times as many through a full budget.
"""

import argparse
import gc
import os
import sys
from multiprocessing import get_context

from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.store.memory import MemoryTier
from edgeproxy.wire.fields import Fields


def response(number: int, size: int) -> StoredResponse:
    """A response with fields such as a shop sends, all values its own."""
    fields = Fields(
        [
            (b"Content-Type", b"text/html; charset=utf-8"),
            (
                b"Date",
                b"Mon, 01 Jan 2024 %02d:%02d:%02d GMT"
                % (number // 3600 % 24, number // 60 % 60, number % 60),
            ),
            (b"Cache-Control", b"public, max-age=%d" % (number % 900)),
            (b"ETag", b'"%016x"' % (number * 2654435761)),
            (b"Last-Modified", b"Sun, 31 Dec 2023 00:00:%02d GMT" % (number % 60)),
            (b"Content-Length", b"%d" % size),
            (b"Server", b"shop/1.4"),
            (b"Vary", b"Accept-Encoding"),
        ]
    )
    body = (b"%08d" % number) * (size // 8)
    body += b"x" * (size - len(body))
    return StoredResponse(
        b"http://shop.example/products/%d?page=1" % number, b"%016d" % number, b"GET", 200, b"OK", fields,
        (body,), size, 1.7e9 + number, 1.7e9 + number + 0.05, ((b"accept-encoding", b"gzip"),), (b"shop",),
        Stamp(b"0123456789abcdef", number, b"fedcba9876543210", 0), 0.05,
    )  # fmt: skip


def rss() -> int:
    """Resident memory of this process in bytes."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(count: int, size: int) -> tuple[float, float]:
    """Bytes beyond the body for each of `count` responses: by RSS, and as the tier counts."""
    tier = MemoryTier(1 << 40)
    before = rss()
    for number in range(count):
        tier.put(response(number, size))
    return (rss() - before) / count - size, tier.bytes / count - size


def churn(count: int, size: int) -> tuple[float, float]:
    """RSS and count against the budget when five times as many pass through it, sizes mixed."""
    budget = count * (size + 900)
    tier = MemoryTier(budget)
    before = rss()
    for number in range(count * 5):
        tier.put(response(number, size // 4 + number * 7919 % (2 * size)))
        if number % 3 == 0:
            tier.get(response(number // 2, 1).key)
    return (rss() - before) / budget, tier.bytes / budget


def main() -> int:
    """Print the measurement; exit 1 where it is over 1.0 KiB."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--responses", type=int, default=100_000)
    options.add_argument("--body", type=int, default=1024)
    chosen = options.parse_args()
    real, counted = measure(chosen.responses, chosen.body)
    print(f"{chosen.responses} responses of {chosen.body} bytes")
    print(f"beyond the body, by RSS:   {real:7.0f} bytes each")
    print(f"beyond the body, counted:  {counted:7.0f} bytes each")
    with get_context("spawn").Pool(1) as clean:  # a process whose memory nothing else has used
        used, filled = clean.apply(churn, (chosen.responses // 4, chosen.body))
    print(f"after a churn: RSS {used:.1%} of the budget, counted {filled:.1%}")
    return int(real > 1024)


if __name__ == "__main__":
    sys.exit(main())
