"""Stored parts of a representation, and what becomes of several (RFC 9111 §3.3, §3.4)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.content_range import Part
from edgeproxy.caching.parts import (
    combined,
    completed_head,
    missing,
    part_of,
    same_representation,
    strong_validator,
)
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.storability import storable
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, PLAIN, T0, answer, at, cc, get, stored

WHOLE = b"0123456789"
LM: RawField = (b"Last-Modified", at(-1000))


def of_part(start: int, stop: int, *fields: RawField | str, size: int = 10) -> ResponseHead:
    """A 206 with the bytes of WHOLE from `start` up to `stop`."""
    content_range = f"Content-Range: bytes {start}-{stop - 1}/{size}"
    length = f"Content-Length: {stop - start}"
    return cc("max-age=60", content_range, length, *(fields or (ETAG,)), status=206)


def part(start: int, stop: int, *fields: RawField | str, size: int = 10) -> StoredResponse:
    return stored(of_part(start, stop, *fields, size=size), body=WHOLE[start:stop])


@pytest.mark.parametrize(
    ("asked", "head", "reason"),
    [
        pytest.param(["Range: bytes=0-4"], of_part(0, 5), None, id="s3.3-a-part-that-was-asked-for"),
        pytest.param([], of_part(0, 5), Reason.PARTIAL, id="s3.3-unasked"),
        pytest.param(
            ["Range: bytes=0-4"],
            cc("max-age=60", ETAG, status=206),
            Reason.PARTIAL,
            id="s3.3-no-content-range",
        ),
        pytest.param(
            ["Range: bytes=0-0,5-5"],
            cc("max-age=60", ETAG, "Content-Type: multipart/byteranges; boundary=x", status=206),
            Reason.PARTIAL,
            id="s3.3-multipart",
        ),
        pytest.param(
            ["Range: bytes=0-4"], cc("no-store", ETAG, status=206), Reason.PARTIAL, id="s3.3-no-store"
        ),
        pytest.param(["Range: bytes=0-4"], cc("max-age=60", ETAG), None, id="s3.3-a-whole-all-the-same"),
    ],
)
def test_storing(asked: list[str], head: ResponseHead, reason: Reason | None) -> None:
    assert storable(get(*asked), head, PLAIN, T0) is reason


@pytest.mark.parametrize(
    ("response", "held"),
    [
        pytest.param(part(2, 5), Part(2, 5, 10), id="s3.3-fits"),
        pytest.param(stored(of_part(2, 5), body=b"23"), None, id="s3.3-a-byte-too-short"),
        pytest.param(stored(of_part(2, 5), body=b"2345"), None, id="s3.3-a-byte-too-long"),
        pytest.param(stored(cc("max-age=60", ETAG)), None, id="s3.3-a-whole"),
    ],
)
def test_part_of(response: StoredResponse, held: Part | None) -> None:
    assert part_of(response) == held


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        pytest.param([ETAG], b'"v1"', id="rfc9110-s8.8.1-strong-tag"),
        pytest.param(['ETag: W/"v1"'], None, id="rfc9110-s8.8.1-weak-tag"),
        pytest.param(['ETag: W/"v1"', LM], None, id="rfc9110-s8.8.1-weak-tag-beside-a-date"),
        pytest.param([ETAG, LM], b'"v1"', id="rfc9110-s8.8.1-tag-before-date"),
        pytest.param([(b"Last-Modified", at(-59))], None, id="rfc9110-s8.8.2.2-within-a-minute"),
        pytest.param([(b"Last-Modified", at(-60))], at(-60), id="rfc9110-s8.8.2.2-a-minute-before"),
        pytest.param([(b"Last-Modified", at(5))], None, id="rfc9110-s8.8.2.2-ahead-of-date"),
        pytest.param(["Last-Modified: foo"], None, id="rfc9110-s8.8.2.2-invalid"),
        pytest.param([LM, "Date: foo"], None, id="rfc9110-s8.8.2.2-no-date-to-judge-by"),
        pytest.param([], None, id="rfc9110-s8.8.1-none"),
    ],
)
def test_strong_validator(fields: list[RawField | str], validator: bytes | None) -> None:
    assert strong_validator(answer(*fields).fields) == validator
    assert same_representation(answer(*fields).fields, answer(*fields).fields) is (validator is not None)


@pytest.mark.parametrize(
    ("old", "new", "status", "body"),
    [
        pytest.param(part(0, 5), part(5, 10), 200, WHOLE, id="s3.4-meet-and-are-all"),
        pytest.param(part(5, 10), part(0, 5), 200, WHOLE, id="s3.4-the-other-way"),
        pytest.param(part(0, 5), part(5, 9), 206, b"012345678", id="s3.4-meet-but-for-a-byte"),
        pytest.param(part(0, 5), part(3, 10), 200, WHOLE, id="s3.4-overlap"),
        pytest.param(part(0, 4), part(5, 10), 206, b"56789", id="s3.4-a-byte-apart"),
        pytest.param(part(6, 10), part(0, 5), 206, b"01234", id="s3.4-a-byte-apart-the-other-way"),
        pytest.param(part(2, 4), part(0, 8), 206, b"01234567", id="s3.4-inside-the-new"),
        pytest.param(part(0, 8), part(2, 4), 206, b"01234567", id="s3.4-inside-the-old"),
        pytest.param(part(0, 5), part(5, 10, 'ETag: "v2"'), 206, b"56789", id="s3.4-other-tag"),
        pytest.param(
            part(0, 5, 'ETag: W/"v1"'), part(5, 10, 'ETag: W/"v1"'), 206, b"56789", id="s3.4-weak-tags"
        ),
        pytest.param(part(0, 5, LM), part(5, 10, LM), 200, WHOLE, id="s3.4-strong-dates"),
        pytest.param(part(0, 5, "A: 1"), part(5, 10, "A: 1"), 206, b"56789", id="s3.4-no-validator"),
        pytest.param(part(0, 5, size=11), part(5, 10), 206, b"56789", id="s3.4-other-length"),
        pytest.param(
            stored(cc("max-age=60", ETAG)), part(5, 10), 206, b"56789", id="s3.4-a-whole-is-no-part"
        ),
    ],
)
def test_combined(old: StoredResponse, new: StoredResponse, status: int, body: bytes) -> None:
    made = combined(old, new)
    assert (made.status, b"".join(made.body), made.size) == (status, body, len(body))
    assert (b"content-range" in made.fields) is (status == 206)
    assert part_of(made) is not None or status == 200


def test_s3_4_the_fields_of_the_new_part_replace_those_of_the_old() -> None:
    old, new = part(0, 5, ETAG, "A: 1", "B: 1", "Age: 9"), part(5, 10, ETAG, "A: 2")
    fields = combined(old, new).fields
    assert (fields.get(b"a"), fields.get(b"b"), fields.get(b"age")) == (b"2", b"1", None)


@pytest.mark.parametrize(
    ("response", "wanted"),
    [
        pytest.param(part(0, 5), b"bytes=5-", id="s3.4-the-rest"),
        pytest.param(part(0, 9), b"bytes=9-", id="s3.4-the-last-byte"),
        pytest.param(part(5, 10), b"bytes=0-4", id="s3.4-the-start"),
        pytest.param(part(1, 10), b"bytes=0-0", id="s3.4-the-first-byte"),
        pytest.param(part(2, 5), None, id="s3.4-both-sides"),
        pytest.param(stored(cc("max-age=60", ETAG)), None, id="s3.4-nothing-of-a-whole"),
    ],
)
def test_missing(response: StoredResponse, wanted: bytes | None) -> None:
    assert missing(response) == wanted


@pytest.mark.parametrize(
    ("had", "head", "completes"),
    [
        pytest.param(part(0, 5), of_part(5, 10), True, id="s3.4-the-rest"),
        pytest.param(part(5, 10), of_part(0, 5), True, id="s3.4-the-start"),
        pytest.param(part(0, 5), of_part(4, 10), False, id="s3.4-more-than-the-rest"),
        pytest.param(part(0, 5), of_part(5, 9), False, id="s3.4-less-than-the-rest"),
        pytest.param(part(0, 5), of_part(5, 10, 'ETag: "v2"'), False, id="s3.4-of-another"),
        pytest.param(part(0, 5), of_part(5, 10, size=11), False, id="s3.4-of-another-length"),
        pytest.param(part(0, 5), cc("max-age=60", ETAG), False, id="s3.4-a-whole"),
    ],
)
def test_completed_head(had: StoredResponse, head: ResponseHead, completes: bool) -> None:
    whole = completed_head(had, head)
    assert (whole is not None) is completes
    if whole is not None:
        assert (whole.status, whole.fields.get(b"content-length")) == (200, b"10")
        assert b"content-range" not in whole.fields


CUTS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 10)).filter(lambda cut: cut[0] < cut[1]), min_size=1
)


@given(CUTS)
def test_s3_4_whatever_parts_come_in_whatever_order_the_bytes_are_right(cuts: list[tuple[int, int]]) -> None:
    held = part(*cuts[0])
    for cut in itertools.islice(cuts, 1, None):
        held = combined(held, part(*cut)) if held.status == 206 else held
        covered = part_of(held)
        body = b"".join(held.body)
        assert body == (WHOLE if covered is None else WHOLE[covered.start : covered.stop])
        assert len(body) == held.size
