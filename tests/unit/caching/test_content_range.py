"""Content-Range (RFC 9110 §14.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.content_range import Part, announced_part
from edgeproxy.wire.fields import Fields

from .values import lines


@pytest.mark.parametrize(
    ("values", "announced"),
    [
        pytest.param(["bytes 0-4/10"], Part(0, 5, 10), id="rfc9110-s14.4-first"),
        pytest.param(["bytes 9-9/10"], Part(9, 10, 10), id="rfc9110-s14.4-last-byte"),
        pytest.param(["bytes 0-9/10"], Part(0, 10, 10), id="rfc9110-s14.4-all"),
        pytest.param(["BYTES 0-4/10"], Part(0, 5, 10), id="rfc9110-s14.1-unit-in-any-case"),
        pytest.param(["bytes 0-10/10"], None, id="rfc9110-s14.4-a-byte-beyond"),
        pytest.param(["bytes 5-4/10"], None, id="rfc9110-s14.4-last-before-first"),
        pytest.param(["bytes 0-4/*"], None, id="rfc9110-s14.4-length-unknown"),
        pytest.param(["bytes */10"], None, id="rfc9110-s14.4-unsatisfied"),
        pytest.param(["lines 0-4/10"], None, id="rfc9110-s14.4-other-unit"),
        pytest.param(["bytes=0-4/10"], None, id="rfc9110-s14.4-malformed"),
        pytest.param(["bytes 0-4/10", "bytes 0-4/10"], None, id="rfc9110-s14.4-twice"),
        pytest.param([], None, id="rfc9110-s14.4-absent"),
    ],
)
def test_content_range(values: list[str], announced: Part | None) -> None:
    assert announced_part(lines(*(f"Content-Range: {value}" for value in values))) == announced
    assert (
        announced is None or announced_part(lines((b"Content-Range", announced.content_range))) == announced
    )


@pytest.mark.parametrize(
    ("value", "announced"),
    [
        pytest.param("bytes 0-0/1", Part(0, 1, 1), id="one-byte"),
        pytest.param("bytes 004-009/0020", Part(4, 10, 20), id="leading-zeros"),
        pytest.param("bytes 0-0/0", None, id="rfc9110-s14.4-of-nothing"),
        pytest.param("bytes  0-9/10", None, id="two-blanks"),
        pytest.param("bytes\t0-9/10", None, id="tab"),
        pytest.param("bytes 0-9/10\n", None, id="line-end"),
        pytest.param("bytes 0-9", None, id="no-size"),
        pytest.param("bytes -9/10", None, id="no-first"),
        pytest.param("bytes 0-9/10, bytes 0-9/10", None, id="list"),
        pytest.param("bytes 0-9/" + "9" * 18, Part(0, 10, 10**18 - 1), id="largest"),
        pytest.param("bytes 0-9/" + "9" * 19, None, id="absurd-number"),
        pytest.param("", None, id="empty"),
    ],
)
def test_odd_values(value: str, announced: Part | None) -> None:
    assert announced_part(Fields([(b"Content-Range", value.encode())])) == announced


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(0, 10**6))
def test_what_is_written_is_read_back(start: int, length: int, rest: int) -> None:
    part = Part(start, start + length, start + length + rest)
    assert announced_part(Fields([(b"Content-Range", part.content_range)])) == part


@given(st.binary(max_size=60))
def test_no_value_is_refused(value: bytes) -> None:
    part = announced_part(Fields([(b"Content-Range", value)]))
    assert part is None or 0 <= part.start < part.stop <= part.size
