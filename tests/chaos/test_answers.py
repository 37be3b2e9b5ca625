"""What the harness would see if a proxy served it: these checks are what the zeros in the table rest on."""

import asyncio

import pytest

from tests.chaos.answers import Answer, Ask, Cut, Unframed, read_answer, wrong_age, wrong_bytes
from tests.chaos.content import body_of, etag_of, wrong, wrong_part

PATH = "/c/1"
RELAYED = {"cache-status": "edgeproxy; fwd=uri-miss"}


@pytest.mark.parametrize(
    "body",
    [b"", body_of(PATH)[:-1], body_of(PATH) + b"x", body_of("/c/2"), b"wrong", body_of(PATH)[:-1] + b"?"],
)
def test_a_body_that_is_not_the_url_s_is_seen(body: bytes) -> None:
    assert wrong(PATH, body)
    assert wrong_bytes(Ask(PATH), Answer(200, RELAYED, body))


def test_the_right_body_is_right_whole_and_in_part() -> None:
    assert not wrong(PATH, body_of(PATH))
    part = {**RELAYED, "content-range": f"bytes 5-9/{len(body_of(PATH))}"}
    assert not wrong_bytes(Ask(PATH), Answer(206, part, body_of(PATH)[5:10]))
    assert wrong_bytes(Ask(PATH), Answer(206, part, body_of(PATH)[6:11]))
    assert wrong_part(PATH, 4, body_of(PATH)[5:10])


def test_what_a_head_or_a_304_says_is_checked_too() -> None:
    assert wrong_bytes(Ask(PATH, "HEAD"), Answer(200, {**RELAYED, "content-length": "1"}))
    assert wrong_bytes(Ask(PATH), Answer(304, {**RELAYED, "etag": etag_of("/c/2")}))
    assert not wrong_bytes(Ask(PATH), Answer(304, {**RELAYED, "etag": etag_of(PATH)}))


@pytest.mark.parametrize(
    ("age", "truly", "status", "bad"),
    [
        ("0", 0.5, "hit; ttl=2", False),
        ("3600", 0.5, "hit; ttl=-3598", True),
        ("1", 30.0, "hit; ttl=1", True),
        ("30", 30.0, "hit; ttl=1", True),
        ("30", 30.0, "hit; ttl=-28", False),
    ],
)
def test_an_age_that_is_not_true_is_seen(age: str, truly: float, status: str, bad: bool) -> None:
    answer = Answer(
        200, {"cache-status": f"edgeproxy; {status}", "x-made": "100", "age": age}, at=100 + truly
    )
    assert bool(wrong_age(Ask(PATH), answer, 100 + truly - 0.01)) is bad


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", Cut),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Cut),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234", Cut),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Cut),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unframed),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", Unframed),
        (b"\0\0\0\r\n\r\n", Unframed),
    ],
)
async def test_what_is_not_whole_is_no_answer(sent: bytes, error: type[Exception]) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(sent)
    reader.feed_eof()
    with pytest.raises(error):
        await read_answer(reader, Ask(PATH))
