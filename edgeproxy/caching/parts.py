"""Stored parts of a representation: what they cover, and what becomes of several of them.

Must not know how ranges are asked for (`ranges`) or written. RFC 9111 §3.3, §3.4.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from edgeproxy.caching.content_range import Part, announced_part
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import entity_tag, merge
from edgeproxy.wire.dates import parse_date
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

_OF_A_PART = frozenset({b"content-range", b"content-length"})


def part_of(stored: StoredResponse) -> Part | None:
    """The part that a stored 206 holds; None for a whole, and where Content-Range does not fit the body."""
    if stored.status != 206:
        return None
    part = announced_part(stored.fields)
    return part if part is not None and part.stop - part.start == stored.size else None


def strong_validator(fields: Fields) -> bytes | None:
    """The validator by which parts are known to be of one representation, None without (RFC 9110 §8.8.1).

    A strong entity tag; else Last-Modified, where the origin's clock had moved on since.
    """
    tag = entity_tag(fields)
    if tag is not None:
        return None if tag.startswith(b"W/") else tag
    modified = fields.get(b"last-modified")
    if modified is None:
        return None
    moment, date = parse_date(modified), parse_date(fields.get(b"date") or b"")
    return modified if moment is not None and date is not None and date - moment >= 60 else None


def same_representation(one: Fields, other: Fields) -> bool:
    """Whether two responses share a strong validator (RFC 9111 §3.4)."""
    validator = strong_validator(one)
    return validator is not None and validator == strong_validator(other)


def combined(old: StoredResponse, new: StoredResponse) -> StoredResponse:
    """`new` together with `old` where they are parts of one representation that meet; else `new`.

    The fields of `new` replace those of `old` (§3.4); the whole becomes a 200.
    """
    had, got = part_of(old), part_of(new)
    if had is None or got is None or had.size != got.size:
        return new
    if had.start > got.stop or got.start > had.stop or not same_representation(old.fields, new.fields):
        return new
    before = map(bytes, cut(old.body, 0, got.start - had.start))
    after = map(bytes, cut(old.body, got.stop - had.start, had.stop - had.start))
    part = Part(min(had.start, got.start), max(had.stop, got.stop), got.size)
    made = replace(
        new,
        body=(*before, *new.body, *after),
        size=part.stop - part.start,
        fields=_merged(old, new.fields),
        tags=tuple(dict.fromkeys((*new.tags, *old.tags))),  # a 206 need not repeat the fields (§15.3.7)
        request_authorized=new.request_authorized or old.request_authorized,
    )
    return as_whole_if_all(_as_part(made, part))


def missing(stored: StoredResponse) -> bytes | None:
    """The Range that would make a stored part whole; None where that is not one range."""
    part = part_of(stored)
    if part is None or (part.start and part.stop < part.size):
        return None
    return b"bytes=0-%d" % (part.start - 1) if part.start else b"bytes=%d-" % part.stop


def completable(stored: StoredResponse) -> bool:
    """Whether to ask for what is missing: in one range, and not where only a weak tag would come of it."""
    weak = entity_tag(stored.fields) is not None and strong_validator(stored.fields) is None
    return not weak and missing(stored) is not None


def completed_head(stored: StoredResponse, head: ResponseHead) -> ResponseHead | None:
    """The head of the whole that a stored part and this 206 make; None where they do not (§3.4)."""
    had, got = part_of(stored), announced_part(head.fields)
    if head.status != 206 or had is None or got is None or had.size != got.size:
        return None
    length = head.fields.get(b"content-length")
    if length != b"%d" % (got.stop - got.start) or b"transfer-encoding" in head.fields:
        return None  # what comes could be longer or shorter than it says
    meets = (had.start, had.stop) == (0, got.start) and got.stop == got.size
    meets = meets or ((got.start, got.stop) == (0, had.start) and had.stop == had.size)
    if not meets or not same_representation(stored.fields, head.fields):
        return None
    fields = _merged(stored, head.fields).without(_OF_A_PART)
    fields = fields.plus((b"Content-Length", b"%d" % got.size))
    return ResponseHead(200, b"OK", head.minor, fields)


def _merged(old: StoredResponse, update: Fields) -> Fields:
    return merge(old.fields.without({*_OF_A_PART, b"age"}), update)


def as_whole_if_all(stored: StoredResponse) -> StoredResponse:
    """A part that is all of its representation as the 200 that it stands for (RFC 9110 §15.3.7.3)."""
    part = part_of(stored)
    if part is None or part.stop - part.start < part.size:
        return stored
    return replace(stored, status=200, reason=b"OK", fields=stored.fields.without(_OF_A_PART))


def _as_part(stored: StoredResponse, part: Part) -> StoredResponse:
    fields = stored.fields.without(_OF_A_PART).plus((b"Content-Range", part.content_range))
    return replace(stored, fields=fields)


def cut(segments: Iterable[bytes], start: int, stop: int) -> Iterator[memoryview]:
    """The bytes from `start` up to `stop` of a body in segments, without a copy; none if not in order."""
    at = 0
    for segment in segments:
        end = at + len(segment)
        if end > start and at < stop:
            yield memoryview(segment)[max(0, start - at) : stop - at]
        at = end
