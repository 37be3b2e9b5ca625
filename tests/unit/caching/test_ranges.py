"""Ranges of a stored whole body (RFC 9110 §13.1.5, §14)."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.ranges import (
    COALESCE_GAP,
    MAX_PARTS,
    MAX_SPECS,
    ByteRange,
    Parts,
    Selection,
    Unsatisfiable,
    Whole,
    if_range_holds,
    multipart_end,
    multipart_fields,
    part_fields,
    part_head,
    select_ranges,
    slice_body,
)
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import RawField

from .values import ETAG, T0, answer, at, get, lines, stored

LM: RawField = (b"Last-Modified", at(-1000))
WIDE = 10_000


def parts(*pairs: tuple[int, int]) -> Parts:
    return Parts(tuple(ByteRange(start, stop) for start, stop in pairs))


def of_size(size: int, *fields: RawField | str, status: int = 200) -> StoredResponse:
    return stored(answer(*fields, status=status), body=b"x" * size)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-1", parts((0, 2)), id="s14.1.2-first-bytes"),
        pytest.param("bytes=0-0", parts((0, 1)), id="s14.1.2-one-byte"),
        pytest.param("bytes=9-9", parts((9, 10)), id="s14.1.2-last-byte"),
        pytest.param("bytes=5-", parts((5, 10)), id="s14.1.2-open"),
        pytest.param("bytes=5-99", parts((5, 10)), id="s14.1.2-beyond-the-end"),
        pytest.param("bytes=-3", parts((7, 10)), id="s14.1.2-suffix"),
        pytest.param("bytes=-99", parts((0, 10)), id="s14.1.2-suffix-longer-than-all"),
        pytest.param("bytes=0-9", parts((0, 10)), id="s14.1.2-all"),
        pytest.param("BYTES = 0-1", parts((0, 2)), id="s14.1-unit-in-any-case"),
        pytest.param("bytes=, 0-1 ,", parts((0, 2)), id="s5.6.1-empty-members"),
        pytest.param("bytes=99-,0-1", parts((0, 2)), id="s14.1.2-one-is-enough"),
        pytest.param("bytes=-0,0-1", parts((0, 2)), id="s14.1.2-suffix-of-nothing-beside-another"),
        pytest.param("bytes=10-", Unsatisfiable(10), id="s15.5.17-at-the-end"),
        pytest.param("bytes=10-20,99-", Unsatisfiable(10), id="s15.5.17-none-satisfiable"),
        pytest.param("bytes=-0", Unsatisfiable(10), id="s15.5.17-suffix-of-nothing"),
        pytest.param("bytes=5-4", Whole(), id="s14.1.1-last-before-first"),
        pytest.param("bytes=0-1,5-4", Whole(), id="s14.1.1-one-invalid-spoils-all"),
        pytest.param("bytes=a-b", Whole(), id="s14.1.1-no-numbers"),
        pytest.param("bytes=--1", Whole(), id="s14.1.1-two-signs"),
        pytest.param("bytes=1", Whole(), id="s14.1.1-no-sign"),
        pytest.param("bytes=-", Whole(), id="s14.1.1-sign-alone"),
        pytest.param("bytes=0-1-2", Whole(), id="s14.1.1-too-many"),
        pytest.param("bytes=+0-1", Whole(), id="s14.1.1-plus"),
        pytest.param("bytes=0- 1", Whole(), id="s14.1.1-blank-inside"),
        pytest.param("bytes=" + "9" * 30 + "-", Whole(), id="absurd-number"),
        pytest.param("bytes=", Whole(), id="s14.1.1-empty"),
        pytest.param("bytes", Whole(), id="s14.1.1-no-set"),
        pytest.param("lines=0-1", Whole(), id="s14.2-unknown-unit"),
        pytest.param("bytes=0-0,0-0,0-0", parts((0, 1)), id="s14.2-overlaps-are-joined"),
    ],
)
def test_ten_bytes(value: str, expected: Selection) -> None:
    assert select_ranges(get("Range: " + value), of_size(10)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-0,5000-5000", parts((0, 1), (5000, 5001)), id="s15.3.7.2-two"),
        pytest.param("bytes=5000-5000,0-0", parts((5000, 5001), (0, 1)), id="s15.3.7.2-in-the-order-asked"),
        pytest.param(
            f"bytes=0-0,{1 + COALESCE_GAP}-200", parts((0, 201)), id="s15.3.7.2-a-gap-not-worth-a-part"
        ),
        pytest.param(
            f"bytes=0-0,{2 + COALESCE_GAP}-200",
            parts((0, 1), (2 + COALESCE_GAP, 201)),
            id="s15.3.7.2-a-byte-more",
        ),
        pytest.param(
            "bytes=0-0,5000-5000,9000-9000,1-4999",
            parts((0, 5001), (9000, 9001)),
            id="s15.3.7.2-one-joins-two",
        ),
        pytest.param(
            "bytes=9000-9000,5000-5000,5050-5100",
            parts((9000, 9001), (5000, 5101)),
            id="s15.3.7.2-keeps-places",
        ),
    ],
)
def test_ten_thousand_bytes(value: str, expected: Selection) -> None:
    assert select_ranges(get("Range: " + value), of_size(WIDE)) == expected


def spread(count: int) -> str:
    return "bytes=" + ",".join(f"{n * 200}-{n * 200}" for n in range(count))


def test_s14_2_parts_are_bounded() -> None:
    assert len(select_ranges(get("Range: " + spread(MAX_PARTS)), of_size(WIDE)).ranges) == MAX_PARTS  # type: ignore[union-attr]
    assert select_ranges(get("Range: " + spread(MAX_PARTS + 1)), of_size(WIDE)) == Whole()


def test_s14_2_specs_are_bounded_before_they_are_joined() -> None:
    many = "bytes=" + ",".join(["0-0"] * MAX_SPECS)
    assert select_ranges(get("Range: " + many), of_size(10)) == parts((0, 1))
    assert select_ranges(get("Range: " + many + ",0-0"), of_size(10)) == Whole()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-", Unsatisfiable(0), id="s15.5.17"),
        pytest.param("bytes=-5", Whole(), id="s14.1.2-suffix-of-nothing-is-all"),
    ],
)
def test_an_empty_body(value: str, expected: Selection) -> None:
    assert select_ranges(get("Range: " + value), of_size(0)) == expected


def test_s14_2_only_a_get_of_a_200_has_ranges() -> None:
    asked = "Range: bytes=0-1"
    assert select_ranges(get(asked, method=b"HEAD"), of_size(10)) == Whole()
    assert select_ranges(get(asked), of_size(10, status=404)) == Whole()
    assert select_ranges(get(), of_size(10)) == Whole()


@pytest.mark.parametrize(
    ("condition", "own", "holds"),
    [
        pytest.param(None, [], True, id="absent"),
        pytest.param('"v1"', [ETAG], True, id="s13.1.5-strong"),
        pytest.param('"v2"', [ETAG], False, id="s13.1.5-other"),
        pytest.param('W/"v1"', ['ETag: W/"v1"'], False, id="s13.1.5-weak-never"),
        pytest.param('"v1"', ['ETag: W/"v1"'], False, id="s13.1.5-weak-stored"),
        pytest.param('"v1"', [], False, id="s13.1.5-no-etag"),
        pytest.param(at(-1000), [LM], True, id="s13.1.5-date"),
        pytest.param(at(-999), [LM], False, id="s13.1.5-exactly-that-date"),
        pytest.param(
            at(0), [(b"Last-Modified", at(0))], False, id="s8.8.2.2-modified-in-the-second-of-its-date"
        ),
        pytest.param(at(-1), [(b"Last-Modified", at(-1))], True, id="s8.8.2.2-a-second-before"),
        pytest.param(at(-1000), [LM, "Date: foo"], False, id="s8.8.2.2-no-date-to-judge-by"),
        pytest.param(at(-1000), [], False, id="s13.1.5-no-last-modified"),
        pytest.param("foo", [LM], False, id="s13.1.5-invalid"),
    ],
)
def test_if_range(condition: bytes | str | None, own: list[RawField | str], holds: bool) -> None:
    value = condition.encode() if isinstance(condition, str) else condition
    request = get("Range: bytes=0-1", *([] if value is None else [(b"If-Range", value)]))
    response = of_size(10, *own)
    assert if_range_holds(request, response, T0) is holds
    assert select_ranges(request, response, T0) == (parts((0, 2)) if holds else Whole())


def test_s15_3_7_1_fields_of_one_part() -> None:
    fields = lines("Content-Type: a/b", "Content-Length: 10", "Content-Range: x")
    expected = lines("Content-Type: a/b", "Content-Range: bytes 2-4/10", "Content-Length: 3")
    assert part_fields(fields, ByteRange(2, 5), 10) == expected


def test_s15_5_17_content_range_of_a_416() -> None:
    assert Unsatisfiable(10).content_range == b"bytes */10"


@pytest.mark.parametrize("content_type", [None, b"a/b"])
def test_s15_3_7_2_the_length_of_a_multipart_is_what_is_sent(content_type: bytes | None) -> None:
    wanted, size = parts((0, 3), (500, 600)), WIDE
    fields = lines("A: 1") if content_type is None else lines((b"Content-Type", content_type), "A: 1")
    made = multipart_fields(fields, wanted, size, b"limit")
    body = b"".join(
        part_head(part, size, content_type, b"limit") + b"x" * (part.stop - part.start)
        for part in wanted.ranges
    ) + multipart_end(b"limit")
    assert made.get(b"content-length") == b"%d" % len(body)
    assert made.get(b"content-type") == b"multipart/byteranges; boundary=limit"
    assert made.get(b"a") == b"1"
    assert body.count(b"Content-Type: a/b\r\n") == (0 if content_type is None else 2)
    assert b"\r\nContent-Range: bytes 500-599/10000\r\n\r\n" in body


@given(st.lists(st.binary(max_size=9)), st.integers(0, 60), st.integers(0, 60))
def test_a_slice_is_that_of_the_joined_body(segments: list[bytes], start: int, length: int) -> None:
    whole = b"".join(segments)
    response = replace(stored(answer()), body=tuple(segments), size=len(whole))
    sliced = b"".join(bytes(piece) for piece in slice_body(response, ByteRange(start, start + length)))
    assert sliced == whole[start : start + length]


SPEC = st.one_of(
    st.builds("{}-{}".format, st.integers(0, 2000), st.integers(0, 2000)),
    st.builds("{}-".format, st.integers(0, 2000)),
    st.builds("-{}".format, st.integers(0, 2000)),
)


@given(st.lists(SPEC, min_size=1, max_size=8), st.integers(0, 1500))
def test_parts_are_inside_apart_and_cover_what_was_asked(specs: list[str], size: int) -> None:
    selection = select_ranges(get("Range: bytes=" + ",".join(specs)), of_size(size))
    if not isinstance(selection, Parts):
        return
    assert 1 <= len(selection.ranges) <= MAX_PARTS
    ordered = sorted(selection.ranges, key=lambda part: part.start)
    assert all(0 <= part.start < part.stop <= size for part in ordered)
    assert all(one.stop + COALESCE_GAP < other.start for one, other in itertools.pairwise(ordered))
    covered = {byte for part in ordered for byte in range(part.start, part.stop)}
    for spec in specs:
        first, _, last = spec.partition("-")
        start = int(first) if first else max(0, size - int(last))
        stop = min(int(last) + 1, size) if first and last else size
        assert covered >= set(range(start, stop))
