"""Ranges of a stored part (RFC 9111 §3.3, §3.4; RFC 9110 §14.2)."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.ranges import (
    ByteRange,
    Parts,
    Selection,
    Unsatisfiable,
    Whole,
    answers,
    select_ranges,
    size_of,
    slice_body,
)
from edgeproxy.caching.stored import StoredResponse

from .values import ETAG, answer, get, stored

ALL = bytes(range(256)) * 40  # 10,240 bytes


def part(start: int, stop: int, size: int = len(ALL)) -> StoredResponse:
    head = answer(ETAG, f"Content-Range: bytes {start}-{stop - 1}/{size}", status=206)
    return stored(head, body=ALL[start:stop])


MIDDLE = part(1000, 5000)
ODD = stored(answer(ETAG, "Content-Range: bytes 0-5/10", status=206), body=b"not six bytes")


@pytest.mark.parametrize(
    ("asked", "whether"),
    [
        pytest.param("bytes=1000-4999", True, id="all-of-it"),
        pytest.param("bytes=2000-2999", True, id="inside"),
        pytest.param("bytes=1000-1000", True, id="first-byte"),
        pytest.param("bytes=4999-4999", True, id="last-byte"),
        pytest.param("bytes=999-1000", False, id="one-before"),
        pytest.param("bytes=4999-5000", False, id="one-behind"),
        pytest.param("bytes=0-500", False, id="before"),
        pytest.param("bytes=6000-", False, id="behind"),
        pytest.param("bytes=2000-", False, id="to-the-end"),
        pytest.param("bytes=-100", False, id="suffix"),
        pytest.param("bytes=1000-1100,3000-3100", True, id="several-inside"),
        pytest.param("bytes=1000-1100,6000-6100", False, id="one-of-several-outside"),
        pytest.param("bytes=20000-", True, id="rfc9110-s15.5.17-unsatisfiable-by-the-known-size"),
        pytest.param("bytes=5-4", False, id="rfc9110-s14.2-malformed-asks-for-the-whole"),
        pytest.param("lines=1-2", False, id="rfc9110-s14.2-unknown-unit-asks-for-the-whole"),
        pytest.param(None, False, id="the-whole"),
    ],
)
def test_what_a_part_answers(asked: str | None, whether: bool) -> None:
    assert answers(get(*([] if asked is None else ["Range: " + asked])), MIDDLE) is whether


def test_s3_3_a_part_answers_no_head() -> None:
    assert not answers(get("Range: bytes=1000-1001", method=b"HEAD"), MIDDLE)


@pytest.mark.parametrize(("condition", "whether"), [('"v1"', True), ('"v2"', False), ('W/"v1"', False)])
def test_rfc9110_s13_1_5_if_range_may_turn_it_into_a_request_for_the_whole(
    condition: str, whether: bool
) -> None:
    assert answers(get("Range: bytes=1000-1001", "If-Range: " + condition), MIDDLE) is whether


def test_a_suffix_is_answered_from_the_end() -> None:
    end = part(10_000, 10_240)
    assert answers(get("Range: bytes=-240"), end)
    assert not answers(get("Range: bytes=-241"), end)


@pytest.mark.parametrize("asked", [[], ["Range: bytes=99999-"], ["Range: bytes=0-1"]])
def test_a_whole_answers_everything(asked: list[str]) -> None:
    assert answers(get(*asked), stored())
    assert answers(get(*asked), stored(answer(status=404)))


def test_what_is_not_what_it_says_answers_the_range_that_it_is_kept_for() -> None:
    assert answers(get("Range: bytes=0-5"), ODD)
    assert not answers(get(), ODD)


@pytest.mark.parametrize(
    ("asked", "selection"),
    [
        pytest.param("bytes=2000-2999", Parts((ByteRange(2000, 3000),)), id="counted-from-the-whole"),
        pytest.param("bytes=-100", Parts((ByteRange(10_140, 10_240),)), id="suffix-of-the-whole"),
        pytest.param("bytes=9000-99999", Parts((ByteRange(9000, 10_240),)), id="up-to-the-end-of-the-whole"),
        pytest.param("bytes=10240-", Unsatisfiable(10_240), id="beyond-the-whole"),
    ],
)
def test_positions_and_size_are_those_of_the_representation(asked: str, selection: Selection) -> None:
    assert select_ranges(get("Range: " + asked), MIDDLE) == selection


def test_of_what_is_not_what_it_says_there_are_no_ranges() -> None:
    assert select_ranges(get("Range: bytes=0-1"), ODD) == Whole()


def test_the_bytes_made_here_of_another_coding_have_no_ranges() -> None:
    coded = stored(answer(ETAG, "Content-Encoding: gzip"), coded_here=True)
    assert select_ranges(get("Range: bytes=0-1"), coded) == Whole()


def test_size_of() -> None:
    assert size_of(MIDDLE) == 10_240
    assert size_of(stored()) == 10
    assert size_of(ODD) == 13


@given(st.integers(1000, 4999), st.integers(1, 4000), st.lists(st.integers(0, 4000), max_size=5))
def test_the_bytes_of_a_part_are_those_of_the_whole(start: int, length: int, cuts: list[int]) -> None:
    stop = min(start + length, 5000)
    edges = [0, *sorted(cuts), 4000]
    body = ALL[1000:5000]
    segments = tuple(body[low:high] for low, high in pairwise(edges))
    held = replace(MIDDLE, body=segments)
    assert b"".join(slice_body(held, ByteRange(start, stop))) == ALL[start:stop]
