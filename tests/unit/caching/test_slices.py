"""Which slice has which bytes, and what a slice is of (RFC 9110 §14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.key import whole_key
from edgeproxy.caching.ranges import ByteRange
from edgeproxy.caching.slices import (
    Sliced,
    as_whole,
    first_wanted,
    slice_key,
    slice_range,
    sliced,
    slices_of,
    within,
)
from edgeproxy.wire.fields import RawField

from .values import ETAG, answer, at, get

SIZE = 100


@pytest.mark.parametrize(
    ("value", "index"),
    [
        pytest.param(None, 0, id="no-range"),
        pytest.param("bytes=0-", 0, id="from-the-beginning"),
        pytest.param("bytes=99-", 0, id="last-byte-of-the-first"),
        pytest.param("bytes=100-100", 1, id="first-byte-of-the-second"),
        pytest.param("Bytes = 250-, 0-5", 2, id="the-first-of-several"),
        pytest.param("bytes=-5", 0, id="a-suffix-is-placed-by-the-size"),
        pytest.param("lines=250-", 0, id="another-unit"),
        pytest.param("bytes=" + "9" * 18 + "-", 10**16 - 1, id="largest"),
        pytest.param("bytes=" + "9" * 19 + "-", 0, id="absurd-number"),
        pytest.param("bytes=x", 0, id="malformed"),
    ],
)
def test_the_first_slice_wanted(value: str | None, index: int) -> None:
    assert first_wanted(get(*([] if value is None else ["Range: " + value])), SIZE) == index


def test_slices_are_asked_for_side_by_side() -> None:
    assert [slice_range(index, SIZE) for index in range(3)] == [
        b"bytes=0-99",
        b"bytes=100-199",
        b"bytes=200-299",
    ]


def test_a_slice_is_a_piece_of_its_whole_and_another_size_makes_others() -> None:
    keys = {slice_key(b"http://a/", index, size) for index in (0, 1) for size in (100, 200)}
    assert len(keys) == 4
    assert {whole_key(key) for key in keys} == {b"http://a/"}


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        pytest.param(ByteRange(0, 1), [0], id="one-byte"),
        pytest.param(ByteRange(0, 100), [0], id="exactly-one"),
        pytest.param(ByteRange(99, 101), [0, 1], id="across"),
        pytest.param(ByteRange(100, 300), [1, 2], id="exactly-two"),
        pytest.param(ByteRange(150, 301), [1, 2, 3], id="from-the-middle"),
    ],
)
def test_slices_of(wanted: ByteRange, indexes: list[int]) -> None:
    assert list(slices_of(wanted, SIZE)) == indexes


@given(st.integers(0, 500), st.integers(1, 500), st.integers(1, 70))
def test_the_slices_of_a_range_have_each_byte_of_it_once(start: int, length: int, size: int) -> None:
    wanted = ByteRange(start, start + length)
    found: list[int] = []
    for index in slices_of(wanted, size):
        low, high = within(wanted, index, size)
        assert 0 <= low < high <= size
        found += range(index * size + low, index * size + high)
    assert found == list(range(wanted.start, wanted.stop))


@pytest.mark.parametrize(
    ("fields", "status", "index", "found"),
    [
        pytest.param([ETAG, "Content-Range: bytes 0-99/250"], 206, 0, Sliced(250, b'"v1"'), id="first"),
        pytest.param([ETAG, "Content-Range: bytes 200-249/250"], 206, 2, Sliced(250, b'"v1"'), id="last"),
        pytest.param([ETAG, "Content-Range: bytes 0-4/5"], 206, 0, Sliced(5, b'"v1"'), id="small"),
        pytest.param(
            [(b"Last-Modified", at(-99)), "Content-Range: bytes 0-99/250"],
            206,
            0,
            Sliced(250, at(-99)),
            id="by-date",
        ),
        pytest.param([ETAG, "Content-Range: bytes 0-99/250"], 200, 0, None, id="not-a-206"),
        pytest.param([ETAG, "Content-Range: bytes 0-99/250"], 206, 1, None, id="another-slice"),
        pytest.param([ETAG, "Content-Range: bytes 0-98/250"], 206, 0, None, id="shorter"),
        pytest.param([ETAG, "Content-Range: bytes 0-100/250"], 206, 0, None, id="longer"),
        pytest.param([ETAG, "Content-Range: bytes 1-99/250"], 206, 0, None, id="begins-late"),
        pytest.param([ETAG, "Content-Range: bytes 0-99/*"], 206, 0, None, id="of-unknown-size"),
        pytest.param([ETAG], 206, 0, None, id="without-content-range"),
        pytest.param(['ETag: W/"1"', "Content-Range: bytes 0-99/250"], 206, 0, None, id="s3.4-weak"),
        pytest.param(["Content-Range: bytes 0-99/250"], 206, 0, None, id="s3.4-no-validator"),
    ],
)
def test_what_a_206_is_a_slice_of(
    fields: list[RawField | str], status: int, index: int, found: Sliced | None
) -> None:
    assert sliced(answer(*fields, status=status), index, SIZE) == found


def test_the_whole_by_which_conditions_are_judged() -> None:
    fields = answer(ETAG, "Content-Range: bytes 0-99/250", "Content-Length: 100", "A: 1").fields
    whole = as_whole(b"key", fields, 250)
    assert (whole.key, whole.status, whole.size, whole.body) == (b"key", 200, 250, ())
    assert [name for name, _ in whole.fields] == [b"ETag", b"A", b"Date"]
