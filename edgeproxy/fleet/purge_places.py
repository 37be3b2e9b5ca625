"""Where in a table of purges the rules are that may name a response, by hashes of what they name.

Must not know what a rule says, or when.
"""

import hashlib
from functools import lru_cache

from edgeproxy.caching.key import PIECE
from edgeproxy.fleet.rules import PurgeKind, authority_of, host_of, without_scheme

BUCKETS = 16384
WAYS = 8
# words of a bucket: the marks, the floor, the rules; its latest order and its latest position stand apart, in
# a region that all look at: of 256 KiB, where the buckets, 6 MiB, are pages that mostly nobody touches
FLOOR = WAYS
RULES = FLOOR + 4
BUCKET = RULES + 4 * WAYS
HEADER = 512
FIRST_BUCKET = HEADER + 2 * BUCKETS


@lru_cache(maxsize=2048)  # about 1 KiB each
def places(key: bytes, tags: tuple[bytes, ...], lengths: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Where the rules are that may name a response; `lengths` are those of the prefixes in use."""
    rest = without_scheme(key).partition(PIECE)[0]
    authority = authority_of(rest)
    host = host_of(authority)
    found = [place(PurgeKind.URL, rest), place(PurgeKind.HOST, host)]
    if host != authority:
        found.append(place(PurgeKind.HOST, authority))
    found += [place(PurgeKind.TAG, tag) for tag in tags]
    size = len(rest)
    found += [place(PurgeKind.PREFIX, rest[:length]) for length in lengths if length <= size]
    return tuple(found)


def place(kind: PurgeKind, value: bytes) -> tuple[int, int]:
    """Where the latest rule of a rule's bucket is told, and the mark it has in the bucket."""
    digest = hashlib.blake2b(value, digest_size=16, person=kind.encode()).digest()
    bucket = int.from_bytes(digest[:8], "little") % BUCKETS
    return HEADER + 2 * bucket, int.from_bytes(digest[8:], "little") | 1


def base_of(latest: int) -> int:
    """The first word of the bucket whose latest rule is told there."""
    return FIRST_BUCKET + (latest - HEADER) // 2 * BUCKET
