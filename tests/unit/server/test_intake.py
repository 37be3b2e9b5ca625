"""Bytes of a client until heads are cut off them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import BadRequest
from edgeproxy.server.intake import Intake
from edgeproxy.wire.limits import HeadLimits

LIMITS = HeadLimits(max_target=64, max_head=256, max_fields=10)
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def filled(data: bytes) -> Intake:
    intake = Intake()
    intake.add(data)
    return intake


def test_heads_come_one_by_one_and_the_rest_stays() -> None:
    intake = filled(HEAD + HEAD + b"rest")
    assert [intake.head(LIMITS), intake.head(LIMITS)] == [HEAD, HEAD]
    assert (len(intake), intake.all(), len(intake)) == (4, b"rest", 0)


@given(st.lists(st.integers(1, 8), max_size=20))
def test_any_split_gives_the_same_heads(sizes: list[int]) -> None:
    stream, intake, heads = HEAD * 3, Intake(), []
    for size in [*sizes, len(HEAD) * 3]:
        intake.add(stream[:size])
        stream = stream[size:]
        while (head := intake.head(LIMITS)) is not None:
            heads.append(head)
    assert heads == [HEAD] * 3


@pytest.mark.parametrize("split", [0, 1, 2, 3])
def test_two_empty_lines_are_forgiven_in_any_split(split: int) -> None:
    intake = filled((b"\r\n\r\n" + HEAD)[:split])
    assert intake.head(LIMITS) is None
    intake.add((b"\r\n\r\n" + HEAD)[split:])
    head = intake.head(LIMITS)
    assert head is not None
    assert head.endswith(HEAD)


HOPELESS = {
    "request-line-too-long": (b"GET /" + b"a" * 300, 414),
    "request-line-too-long-with-its-end": (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "head-too-large": (b"GET / HTTP/1.1\r\nX: " + b"a" * 300, 431),
    "head-too-large-with-its-end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 300 + b"\r\n\r\n", 431),
    "no-request": (b"\x16\x03\x01", 400),
    "bare-lf": (b"GET / HTTP/1.1\nHost", 400),
}


@pytest.mark.parametrize(("data", "status"), HOPELESS.values(), ids=HOPELESS.keys())
def test_what_cannot_become_a_head_is_told_early(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        filled(data).head(LIMITS)
    assert caught.value.status == status
