"""Knows what a URL of the chaos origins holds, and whether a body is that: each carries its own checksum.

Must not know sockets. Content depends on nothing but the path, so that all origins give the same answers.
"""

import hashlib
from functools import lru_cache

LABEL = b"chaos"
SIZES = (0, 300, 1_500, 9_000, 40_000, 150_000)


def size_of(path: str) -> int:
    """Bytes of payload below the line that describes it."""
    return SIZES[hashlib.sha256(path.encode()).digest()[0] % len(SIZES)]


@lru_cache(4096)
def body_of(path: str) -> bytes:
    """`chaos PATH LENGTH SHA256` in a line, then the payload that these speak of."""
    payload = hashlib.shake_256(path.encode()).digest(size_of(path))
    told = f" {path} {len(payload)} {hashlib.sha256(payload).hexdigest()}\n"
    return LABEL + told.encode() + payload


@lru_cache(4096)
def etag_of(path: str) -> str:
    """The strong validator of what `path` holds."""
    return f'"{hashlib.sha256(body_of(path)).hexdigest()[:16]}"'


def wrong(path: str, body: bytes) -> str:
    """What is wrong with a body that was served as the whole of `path`; empty: nothing."""
    line, newline, payload = body.partition(b"\n")
    told = line.split(b" ")
    if not newline or len(told) != 4 or told[0] != LABEL:
        return f"no content of ours: {body[:60]!r}"
    if told[1] != path.encode():
        return f"it is of {told[1].decode(errors='replace')}"
    if int(told[2]) != len(payload):
        return f"{len(payload)} bytes of {int(told[2])}"
    return "" if hashlib.sha256(payload).hexdigest().encode() == told[3] else "its checksum is another"


def wrong_part(path: str, first: int, body: bytes) -> str:
    """The same for a part that begins at byte `first`."""
    whole = body_of(path)
    return "" if whole[first : first + len(body)] == body else f"not the bytes from {first} on"
