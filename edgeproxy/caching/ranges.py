"""Parts of a stored body, itself a whole or a part: which are asked for, and how they are written.

Must not know freshness or other preconditions (`preconditions` come first). RFC 9110 §13.1.5, §14.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeproxy.caching.parts import cut, part_of
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import entity_tag
from edgeproxy.wire.dates import parse_date
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead

MAX_PARTS = 4  # after coalescing; beyond, the whole is cheaper for everybody (§14.2)
MAX_SPECS = 64
# A part costs about this much of multipart framing: closer ranges are joined.
COALESCE_GAP = 80

_SPEC = re.compile(rb"(?P<first>\d{1,18})-(?P<last>\d{1,18})?\Z|-(?P<suffix>\d{1,18})\Z")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    def content_range(self, size: int) -> bytes:
        """The value of Content-Range in a body of `size` bytes."""
        return b"bytes %d-%d/%d" % (self.start, self.stop - 1, size)


@dataclass(frozen=True, slots=True)
class Whole:
    """Answer with the whole body, 200."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Answer 206: one part plainly, several as multipart/byteranges."""

    ranges: tuple[ByteRange, ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Answer 416, with Content-Range `bytes */size`."""

    size: int

    @property
    def content_range(self) -> bytes:
        return b"bytes */%d" % self.size


Selection = Whole | Parts | Unsatisfiable
_WHOLE = Whole()


def select_ranges(request: RequestHead, stored: StoredResponse, now: float | None = None) -> Selection:
    """What of the stored body this request asks for; `now`, in wall seconds, places two-digit years.

    A Range that is malformed, of another unit, too fragmented, or whose If-Range does not hold, is as good
    as absent (§14.2).
    """
    value = request.fields.get(b"range")
    part = part_of(stored)
    if value is None or request.method != b"GET" or (stored.status != 200 and part is None):
        return _WHOLE
    if stored.coded_here and b"content-encoding" in stored.fields:
        return _WHOLE  # its bytes may differ from those that another worker made: nothing to combine
    if not if_range_holds(request, stored, now):
        return _WHOLE
    unit, equals, listed = value.partition(b"=")
    if not equals or unit.strip(b" \t").lower() != b"bytes":
        return _WHOLE
    specs = [spec.strip(b" \t") for spec in listed.split(b",")]
    specs = [spec for spec in specs if spec]
    if not specs or len(specs) > MAX_SPECS:
        return _WHOLE
    return _satisfy(specs, size_of(stored))


def answers(request: RequestHead, stored: StoredResponse, now: float | None = None) -> bool:
    """Whether what is stored is all that `request` asks for: a whole always is, a part for its ranges.

    A part whose Content-Range does not fit its body is kept for the very Range that brought it, and
    answers nothing but that.
    """
    if stored.status != 206:
        return True
    part = part_of(stored)
    if part is None:
        return b"range" in request.fields and b"if-range" not in request.fields
    match select_ranges(request, stored, now):
        case Parts(ranges):
            return all(part.start <= wanted.start and wanted.stop <= part.stop for wanted in ranges)
        case Unsatisfiable():
            return True
    return False


def if_range_holds(request: RequestHead, stored: StoredResponse, now: float | None = None) -> bool:
    """Whether If-Range is absent, or names the stored representation by a strong validator (§13.1.5)."""
    validator = request.fields.get(b"if-range")
    if validator is None:
        return True
    if validator.startswith((b'"', b"W/")):
        own = entity_tag(stored.fields)
        return own == validator and not validator.startswith(b"W/")
    asked = parse_date(validator, now)
    modified = parse_date(stored.fields.get(b"last-modified") or b"", now)
    date = parse_date(stored.fields.get(b"date") or b"", now)
    # A date is a strong validator only if the origin's clock had moved on since (§8.8.2.2).
    return asked is not None and asked == modified and date is not None and date - modified >= 1


def slice_body(stored: StoredResponse, wanted: ByteRange) -> Iterator[memoryview]:
    """The bytes of that range of the representation, without a copy."""
    part = part_of(stored)
    first = 0 if part is None else part.start
    return cut(stored.body, wanted.start - first, wanted.stop - first)


def size_of(stored: StoredResponse) -> int:
    """The size of the whole representation in bytes, of which a part may be stored."""
    part = part_of(stored)
    return stored.size if part is None else part.size


def part_fields(fields: Fields, wanted: ByteRange, size: int) -> Fields:
    """The stored fields as those of a 206 with one part (§15.3.7.1)."""
    length: RawField = (b"Content-Length", b"%d" % (wanted.stop - wanted.start))
    kept = fields.without((b"content-length", b"content-range"))
    return kept.plus((b"Content-Range", wanted.content_range(size)), length)


def multipart_fields(fields: Fields, parts: Parts, size: int, boundary: bytes) -> Fields:
    """The stored fields as those of a multipart/byteranges 206 (§15.3.7.2)."""
    content_type = fields.get(b"content-type")
    heads = [part_head(wanted, size, content_type, boundary) for wanted in parts.ranges]
    length = sum(map(len, heads)) + sum(wanted.stop - wanted.start for wanted in parts.ranges)
    length += len(multipart_end(boundary))
    kept = fields.without((b"content-length", b"content-range", b"content-type"))
    return kept.plus(
        (b"Content-Type", b"multipart/byteranges; boundary=" + boundary), (b"Content-Length", b"%d" % length)
    )


def part_head(wanted: ByteRange, size: int, content_type: bytes | None, boundary: bytes) -> bytes:
    """What stands before a part's bytes (§14.6)."""
    line = b"" if content_type is None else b"Content-Type: %s\r\n" % content_type
    return b"\r\n--%s\r\n%sContent-Range: %s\r\n\r\n" % (boundary, line, wanted.content_range(size))


def multipart_end(boundary: bytes) -> bytes:
    """What stands after the last part."""
    return b"\r\n--%s--\r\n" % boundary


def _satisfy(specs: Sequence[bytes], size: int) -> Selection:
    wanted: list[ByteRange] = []
    for spec in specs:
        match = _SPEC.match(spec)
        if match is None:
            return _WHOLE
        if match["suffix"] is not None:
            found = ByteRange(max(0, size - int(match["suffix"])), size)
        else:
            last = match["last"]
            if last is not None and int(last) < int(match["first"]):
                return _WHOLE
            found = ByteRange(int(match["first"]), size if last is None else min(int(last) + 1, size))
        if found.start < found.stop:
            wanted.append(found)
        elif match["suffix"] is not None and int(match["suffix"]):
            return _WHOLE  # the last bytes of an empty body: all of it, and no part can say so
    if not wanted:
        return Unsatisfiable(size)
    ranges = _coalesced(wanted)
    return Parts(ranges) if len(ranges) <= MAX_PARTS else _WHOLE


def _coalesced(wanted: Sequence[ByteRange]) -> tuple[ByteRange, ...]:
    """Those that overlap or nearly touch joined, each where the first of its kin was asked for."""
    joined: list[ByteRange] = []
    for new in wanted:
        at: int | None = None
        for index, old in reversed(list(enumerate(joined))):
            if new.start <= old.stop + COALESCE_GAP and old.start <= new.stop + COALESCE_GAP:
                new = ByteRange(min(old.start, new.start), max(old.stop, new.stop))
                del joined[index]
                at = index
        joined.insert(len(joined) if at is None else at, new)
    return tuple(joined)
