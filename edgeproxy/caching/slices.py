"""Aligned slices of a large representation: which one has which bytes, and what is made of them.

Must not know how slices are fetched. RFC 9110 §14; RFC 9111 §3.4.
"""

import re
from dataclasses import dataclass

from edgeproxy.caching.content_range import Part, announced_part
from edgeproxy.caching.key import part_key
from edgeproxy.caching.parts import strong_validator
from edgeproxy.caching.ranges import ByteRange
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

_FIRST = re.compile(rb"bytes[ \t]*=[ \t]*(\d{1,18})-", re.IGNORECASE)
_OF_A_SLICE = frozenset({b"content-range", b"content-length"})


@dataclass(frozen=True, slots=True)
class Sliced:
    """The representation that slices are of: its size in bytes, and its strong validator."""

    size: int
    validator: bytes


def first_wanted(request: RequestHead, slice_size: int) -> int:
    """The slice to begin with: that of the first byte asked for, else 0."""
    match = _FIRST.match(request.fields.get(b"range") or b"")
    return int(match[1]) // slice_size if match is not None else 0


def slice_range(index: int, slice_size: int) -> bytes:
    """The Range that asks for a slice."""
    return b"bytes=%d-%d" % (index * slice_size, (index + 1) * slice_size - 1)


def slice_key(key: bytes, index: int, slice_size: int) -> bytes:
    """The cache key of a slice; another size makes other slices."""
    return part_key(key, b"%d/%d" % (index, slice_size))


def slices_of(wanted: ByteRange, slice_size: int) -> range:
    """The indexes of the slices that have these bytes."""
    return range(wanted.start // slice_size, (wanted.stop - 1) // slice_size + 1)


def within(wanted: ByteRange, index: int, slice_size: int) -> tuple[int, int]:
    """From where up to where in a slice the wanted bytes are."""
    start = index * slice_size
    return max(0, wanted.start - start), min(slice_size, wanted.stop - start)


def sliced(head: ResponseHead, index: int, slice_size: int) -> Sliced | None:
    """What a 206 is a slice of; None where it is not the slice that was asked for, or names no one thing."""
    part, validator = announced_part(head.fields), strong_validator(head.fields)
    if head.status != 206 or part is None or validator is None:
        return None
    start = index * slice_size
    expected = Part(start, min(start + slice_size, part.size), part.size)
    return Sliced(part.size, validator) if part == expected else None


def as_whole(key: bytes, fields: Fields, size: int) -> StoredResponse:
    """The whole, without a body, by which preconditions and ranges are judged."""
    return StoredResponse(
        key=key,
        variant=b"",
        method=b"GET",
        status=200,
        reason=b"OK",
        fields=fields.without(_OF_A_SLICE),
        body=(),
        size=size,
        request_time=0.0,
        response_time=0.0,
    )
