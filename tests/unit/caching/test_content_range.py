"""Content-Range (RFC 9110 §14.4)."""

import pytest

from edgeproxy.caching.content_range import Part, announced_part

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
