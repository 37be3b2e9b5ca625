"""The framing of a response: what is written together, and what waits for nothing."""

import asyncio
from typing import Any

import pytest

from edgeproxy.edge.ports import Client
from edgeproxy.server.exchange import JOIN_BELOW, Exchange
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.target import Target

HEAD = b"HTTP/1.1 200 OK\r\n"


class Written:
    """Stands where a connection would write; each entry is one write."""

    last_words = False
    linger = 0

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def write_many(self, pieces: tuple[bytes, ...]) -> None:
        self.writes.append(b"".join(pieces))

    def exchange_ended(self, exchange: Exchange) -> None: ...

    def abort(self) -> None:
        self.aborted = True


def exchange(connection: Any, minor: int = 1, method: bytes = b"GET") -> Exchange:
    head = RequestHead(method, Target(b"http", b"a", b"/"), minor, Fields())
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return Exchange(connection, head, Client(b"::1", b"http"), None, True, 0.0, done)


@pytest.mark.parametrize("size", [1, JOIN_BELOW, JOIN_BELOW + 1])
async def test_a_head_leaves_with_the_first_of_its_body_in_one_write(size: int) -> None:
    connection = Written()
    out = exchange(connection)
    out.start(200, b"OK", [], size)
    out.write(b"x" * size)
    out.end()
    await asyncio.sleep(0)
    assert connection.writes == [HEAD + b"\r\n" + b"x" * size]


async def test_a_head_waits_for_no_body_that_does_not_follow_at_once() -> None:
    connection = Written()
    out = exchange(connection)
    out.start(200, b"OK", [], None)
    await asyncio.sleep(0)
    assert connection.writes == [HEAD + b"Transfer-Encoding: chunked\r\n\r\n"]
    out.write(b"abc")
    out.end()
    assert connection.writes[1:] == [b"3\r\nabc\r\n", b"0\r\n\r\n"]


async def test_without_a_body_the_end_sends_the_head() -> None:
    for method, status in ((b"HEAD", 200), (b"GET", 304), (b"GET", 200)):
        connection = Written()
        out = exchange(connection, method=method)
        out.start(status, b"OK", [], 0)
        out.end()
        assert len(connection.writes) == 1
        await asyncio.sleep(0)
        assert len(connection.writes) == 1


async def test_a_cut_sends_the_head_first() -> None:
    connection = Written()
    out = exchange(connection)
    out.start(200, b"OK", [], 5)
    out.abort()
    assert (connection.writes, connection.aborted) == ([HEAD + b"\r\n"], True)


async def test_nothing_is_sent_to_a_client_that_left_meanwhile() -> None:
    connection = Written()
    out = exchange(connection)
    out.start(200, b"OK", [], 5)
    out.left()
    await asyncio.sleep(0)
    assert connection.writes == []


async def test_no_more_than_the_announced_length_is_written() -> None:
    connection = Written()
    out = exchange(connection)
    out.start(200, b"OK", [], 3)
    out.write(b"abcdef")
    out.write(b"ghi")
    out.end()
    assert connection.writes == [HEAD + b"\r\nabc"]
    assert out.close_after
