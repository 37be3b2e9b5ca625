"""Stored parts, combined and completed (RFC 9111 §3.3, §3.4)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.content_range import Part
from edgeproxy.caching.parts import (
    as_whole_if_all,
    combined,
    completed_head,
    missing,
    part_of,
    same_representation,
    strong_validator,
)
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, answer, at, get, lines, stored

ALL = b"0123456789"
RANGE = get("Range: bytes=0-")


def head(start: int, stop: int, *fields: RawField | str, size: int = 10, status: int = 206) -> ResponseHead:
    """A 206, or what pretends to be one, of the bytes from `start` up to `stop`."""
    length = f"Content-Length: {stop - start}"
    part = f"Content-Range: bytes {start}-{stop - 1}/{size}"
    return answer("Cache-Control: max-age=60", *(fields or (ETAG,)), part, length, status=status)


def held(
    start: int, stop: int, *fields: RawField | str, whole: bytes = ALL, **changes: Any
) -> StoredResponse:
    """The stored part of `whole` from `start` up to `stop`."""
    made = head(start, stop, *fields, size=len(whole))
    return stored(made, request=RANGE, body=whole[start:stop], **changes)


def content(response: StoredResponse) -> tuple[int, bytes | None, bytes]:
    return response.status, response.fields.get(b"content-range"), b"".join(response.body)


# --- what a stored response holds


@pytest.mark.parametrize(
    ("response", "part"),
    [
        pytest.param(held(2, 5), Part(2, 5, 10), id="s3.3-part"),
        pytest.param(held(0, 10), Part(0, 10, 10), id="s3.3-all-in-one-part"),
        pytest.param(stored(head(2, 5, status=200), body=b"234"), None, id="only-of-a-206"),
        pytest.param(stored(head(2, 5), body=b"2345"), None, id="longer-than-announced"),
        pytest.param(stored(head(2, 5), body=b"23"), None, id="shorter-than-announced"),
        pytest.param(stored(answer(ETAG, status=206)), None, id="rfc9110-s15.3.7.2-without-content-range"),
        pytest.param(
            stored(answer("Content-Range: bytes 0-9/*", status=206)), None, id="rfc9110-s14.4-unknown-size"
        ),
    ],
)
def test_part_of(response: StoredResponse, part: Part | None) -> None:
    assert part_of(response) == part


def test_rfc9110_s15_3_7_3_a_part_that_is_all_is_the_whole() -> None:
    whole = as_whole_if_all(held(0, 10))
    assert content(whole) == (200, None, ALL)
    assert (whole.reason, whole.fields.get(b"content-length"), whole.fields.get(b"etag")) == (
        b"OK",
        None,
        b'"v1"',
    )


@pytest.mark.parametrize("response", [held(0, 9), held(1, 10), stored(), stored(head(0, 9), body=ALL)])
def test_any_other_stays_what_it_is(response: StoredResponse) -> None:
    assert as_whole_if_all(response) is response


# --- validators


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        pytest.param([ETAG], b'"v1"', id="rfc9110-s8.8.1-strong-tag"),
        pytest.param(['ETag: W/"v1"'], None, id="rfc9110-s8.8.1-weak-tag"),
        pytest.param(
            ['ETag: W/"v1"', (b"Last-Modified", at(-1000))], None, id="rfc9110-s8.8.3-weak-tag-is-a-warning"
        ),
        pytest.param([ETAG, (b"Last-Modified", at(-1000))], b'"v1"', id="rfc9110-s8.8.1-the-tag-is-first"),
        pytest.param(["ETag:", (b"Last-Modified", at(-60))], at(-60), id="empty-tag-is-none"),
        pytest.param([(b"Last-Modified", at(-60))], at(-60), id="rfc9110-s8.8.2.2-a-minute-before"),
        pytest.param([(b"Last-Modified", at(-59))], None, id="rfc9110-s8.8.2.2-too-close-to-date"),
        pytest.param([(b"Last-Modified", at(60))], None, id="rfc9110-s8.8.2.1-in-the-future"),
        pytest.param(["Last-Modified: foo"], None, id="invalid-last-modified"),
        pytest.param([(b"Last-Modified", at(-1000)), "Date: foo"], None, id="invalid-date"),
        pytest.param([], None, id="none"),
    ],
)
def test_strong_validator(fields: list[RawField | str], validator: bytes | None) -> None:
    assert strong_validator(answer(*fields).fields) == validator


def test_without_a_date_last_modified_is_weak() -> None:
    assert strong_validator(lines((b"Last-Modified", at(-1000)))) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param([ETAG], [ETAG], True, id="s3.4-same-tag"),
        pytest.param([ETAG], ['ETag: "v2"'], False, id="s3.4-other-tag"),
        pytest.param(['ETag: W/"v1"'], ['ETag: W/"v1"'], False, id="s3.4-weak-is-never-enough"),
        pytest.param([ETAG], ['ETag: W/"v1"'], False, id="s3.4-strong-and-weak"),
        pytest.param([], [], False, id="s3.4-nothing-in-common"),
        pytest.param([(b"Last-Modified", at(-99))], [(b"Last-Modified", at(-99))], True, id="s3.4-date"),
        pytest.param([(b"Last-Modified", at(-99))], [(b"Last-Modified", at(-98))], False, id="s3.4-dates"),
        pytest.param(
            [ETAG, (b"Last-Modified", at(-99))], [(b"Last-Modified", at(-99))], False, id="s3.4-tag-and-date"
        ),
    ],
)
def test_same_representation(one: list[RawField | str], other: list[RawField | str], same: bool) -> None:
    assert same_representation(answer(*one).fields, answer(*other).fields) is same


# --- combined


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param((0, 3), (3, 6), (0, 6), id="adjacent-behind"),
        pytest.param((3, 6), (0, 3), (0, 6), id="adjacent-before"),
        pytest.param((0, 4), (2, 6), (0, 6), id="overlap-behind"),
        pytest.param((2, 6), (0, 4), (0, 6), id="overlap-before"),
        pytest.param((1, 8), (3, 5), (1, 8), id="new-inside-old"),
        pytest.param((3, 5), (1, 8), (1, 8), id="old-inside-new"),
        pytest.param((1, 8), (1, 4), (1, 8), id="same-start"),
        pytest.param((1, 8), (5, 8), (1, 8), id="same-stop"),
        pytest.param((2, 5), (2, 5), (2, 5), id="same"),
        pytest.param((0, 5), (5, 10), (0, 10), id="whole"),
        pytest.param((5, 10), (0, 6), (0, 10), id="whole-with-overlap"),
        pytest.param((0, 3), (4, 6), (4, 6), id="apart-behind"),
        pytest.param((4, 6), (0, 3), (0, 3), id="apart-before"),
    ],
)
def test_s3_4_parts_that_meet_are_combined(
    old: tuple[int, int], new: tuple[int, int], expected: tuple[int, int]
) -> None:
    start, stop = expected
    both = combined(held(*old), held(*new))
    whole = expected == (0, 10)
    content_range = None if whole else b"bytes %d-%d/10" % (start, stop - 1)
    assert content(both) == (200 if whole else 206, content_range, ALL[start:stop])
    assert both.size == stop - start
    assert all(both.body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(stored(), held(0, 3), id="the-old-is-a-whole"),
        pytest.param(held(0, 3), stored(), id="the-new-is-a-whole"),
        pytest.param(held(0, 3), stored(head(3, 6), body=b"3"), id="the-new-is-not-what-it-says"),
        pytest.param(held(0, 3), held(3, 6, whole=ALL + b"x"), id="differing-sizes"),
        pytest.param(held(0, 3), held(3, 6, 'ETag: "v2"'), id="s3.4-another-representation"),
        pytest.param(held(0, 3, 'ETag: W/"1"'), held(3, 6, 'ETag: W/"1"'), id="s3.4-weak"),
        pytest.param(held(0, 3), held(4, 6), id="apart"),
    ],
)
def test_s3_4_else_the_new_one_stays_as_it_is(old: StoredResponse, new: StoredResponse) -> None:
    assert combined(old, new) is new


def test_the_bytes_of_the_new_one_count_where_both_have_some() -> None:
    both = combined(held(0, 6), held(2, 8, whole=b"abcdefghij"))
    assert b"".join(both.body) == b"01cdefgh"


def test_segments_stay_in_order() -> None:
    old = replace(held(1, 7), body=(b"1", b"23", b"456"))
    both = combined(old, replace(held(3, 6), body=(b"3", b"45")))
    assert both.body == (b"1", b"2", b"3", b"45", b"6")


def test_s3_4_the_fields_of_the_new_one_replace_those_of_the_old() -> None:
    old = held(0, 3, ETAG, "A: 1", "B: 1", "Age: 30", "Content-MD5: x")
    both = combined(old, held(3, 6, ETAG, "A: 2"))
    assert (both.fields.get(b"a"), both.fields.get(b"b")) == (b"2", b"1")
    assert b"age" not in both.fields
    aged = combined(old, held(3, 6, ETAG, "Age: 7"))
    assert aged.fields.get(b"age") == b"7"


def test_age_and_stamp_are_those_of_the_new_one() -> None:
    new = held(3, 6, stamp=Stamp(position=7), request_time=5.0, response_time=6.0)
    both = combined(held(0, 3, stamp=Stamp(position=3)), new)
    assert (both.stamp, both.request_time, both.response_time) == (Stamp(position=7), 5.0, 6.0)


def test_tags_of_either_are_kept_as_the_fields_that_brought_them_are() -> None:
    both = combined(held(0, 3, ETAG, "Surrogate-Key: a b"), held(3, 6))
    assert both.fields.get(b"surrogate-key") == b"a b"
    assert both.tags == (b"a", b"b")
    assert combined(held(0, 3, ETAG, "Surrogate-Key: a b"), held(3, 6, ETAG, "Cache-Tag: b, c")).tags == (
        b"b",
        b"c",
        b"a",
    )


@pytest.mark.parametrize(("old", "new"), [(True, False), (False, True), (True, True)])
def test_s3_5_with_a_part_stored_for_authorization_all_of_it_is(old: bool, new: bool) -> None:
    both = combined(held(0, 3, request_authorized=old), held(3, 6, request_authorized=new))
    assert both.request_authorized
    assert not combined(held(0, 3), held(3, 6)).request_authorized


@st.composite
def spans(draw: st.DrawFn, size: int) -> tuple[int, int]:
    start = draw(st.integers(0, size - 1))
    return start, draw(st.integers(start + 1, size))


@given(st.lists(spans(10), min_size=1, max_size=6), st.randoms())
def test_whatever_is_combined_is_what_the_representation_has_there(
    taken: list[tuple[int, int]], random: Any
) -> None:
    kept = held(*taken[0])
    for start, stop in taken[1:]:
        body = ALL[start:stop]
        cut = random.randrange(len(body) + 1)
        kept = combined(kept, replace(held(start, stop), body=(body[:cut], body[cut:])))
        if kept.status == 200:
            assert b"".join(kept.body) == ALL
            return
        part = part_of(kept)
        assert part is not None
        assert part.start <= start < stop <= part.stop
        assert b"".join(kept.body) == ALL[part.start : part.stop]


# --- completing


@pytest.mark.parametrize(
    ("response", "wanted"),
    [
        pytest.param(held(0, 4), b"bytes=4-", id="s3.4-the-rest"),
        pytest.param(held(4, 10), b"bytes=0-3", id="s3.4-the-beginning"),
        pytest.param(held(1, 10), b"bytes=0-0", id="s3.4-one-byte"),
        pytest.param(held(4, 6), None, id="both-ends-are-missing"),
        pytest.param(stored(), None, id="a-whole"),
        pytest.param(stored(head(0, 4), body=b"0"), None, id="not-what-it-says"),
    ],
)
def test_missing(response: StoredResponse, wanted: bytes | None) -> None:
    assert missing(response) == wanted


@pytest.mark.parametrize(
    ("response", "received"),
    [
        pytest.param(held(0, 4), head(4, 10), id="s3.4-the-rest"),
        pytest.param(held(4, 10), head(0, 4), id="s3.4-the-beginning"),
    ],
)
def test_s3_4_a_part_is_completed(response: StoredResponse, received: ResponseHead) -> None:
    whole = completed_head(response, received)
    assert whole is not None
    assert (whole.status, whole.reason, whole.minor) == (200, b"OK", 1)
    assert list(whole.fields.get_all(b"content-length")) == [b"10"]
    assert b"content-range" not in whole.fields


def test_s3_4_the_fields_of_the_answer_replace_those_of_the_part() -> None:
    part = held(0, 4, ETAG, "A: 1", "B: 1", "Age: 30")
    whole = completed_head(part, head(4, 10, ETAG, "A: 2"))
    assert whole is not None
    assert (whole.fields.get(b"a"), whole.fields.get(b"b"), whole.fields.get(b"age")) == (b"2", b"1", None)


@pytest.mark.parametrize(
    ("response", "received"),
    [
        pytest.param(held(0, 4), head(4, 10, status=200), id="not-a-206"),
        pytest.param(held(0, 4), answer(ETAG, status=206), id="without-content-range"),
        pytest.param(held(0, 4), head(4, 11, size=11), id="differing-sizes"),
        pytest.param(held(0, 4), head(4, 9), id="not-to-the-end"),
        pytest.param(held(0, 4), head(5, 10), id="apart"),
        pytest.param(held(0, 4), head(3, 10), id="overlap"),
        pytest.param(held(4, 10), head(1, 4), id="not-from-the-beginning"),
        pytest.param(held(4, 10), head(0, 3), id="apart-before"),
        pytest.param(held(4, 9), head(0, 4), id="the-part-ends-early"),
        pytest.param(held(1, 4), head(4, 10), id="the-part-begins-late"),
        pytest.param(held(0, 4), head(4, 10, 'ETag: "v2"'), id="s3.4-another-representation"),
        pytest.param(held(0, 4, 'ETag: W/"1"'), head(4, 10, 'ETag: W/"1"'), id="s3.4-weak"),
        pytest.param(stored(), head(4, 10), id="a-whole"),
    ],
)
def test_s3_4_what_does_not_complete(response: StoredResponse, received: ResponseHead) -> None:
    assert completed_head(response, received) is None


@given(spans(10), spans(10))
def test_what_is_missing_completes(have: tuple[int, int], got: tuple[int, int]) -> None:
    part = held(*have)
    wanted = missing(part)
    whole = completed_head(part, head(*got))
    if wanted is None:
        assert whole is None or have == (0, 10)
    else:
        needed = (have[1], 10) if have[0] == 0 else (0, have[0])
        assert (whole is not None) is (got == needed)
