"""Exchanges with origins made of raw sockets: framing, reuse, faults, flow."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from edgeproxy.errors import (
    BadRequest,
    BadResponse,
    ClientGone,
    ConnectionLost,
    FirstByteTimeout,
    IncompleteResponse,
)
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.upstream.settings import Ejection, Retries, Timeouts
from edgeproxy.upstream.upstream import Upstream
from edgeproxy.wire.fields import Fields
from tests.integration.raw_origins import Records, Script, Talk, origin, until, upstream
from tests.loops import both_loops
from tests.unit.upstream.helpers import GivenBody, KeepingSink, get

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
QUICK = Timeouts(connect=2.0, first_byte=0.2, between_bytes=0.2, idle=30.0, queue=0.2)


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    # the loop of the test itself is closed by then or has a few of its own
    assert len(os.listdir("/proc/self/fd")) <= before + 8


class Fetched(KeepingSink):
    """A sink that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    def on_end(self, trailers: Fields | None) -> None:
        super().on_end(trailers)
        self.ended.set()

    def on_error(self, error: Any) -> None:
        super().on_error(error)
        self.ended.set()


async def fetch(proxy: Upstream, request: OriginRequest | None = None) -> Fetched:
    sink = Fetched()
    await proxy.exchange(request or get(), sink)
    await sink.ended.wait()
    return sink


def always(answer: bytes) -> Script:
    """Answer each request so."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.head()
            await talk.send(answer)

    return script


def once(answer: bytes, *, reset: bool = False) -> Script:
    """Answer one request and end the connection."""

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(answer)
        if reset:
            talk.reset()

    return script


# --- plain exchanges and reuse


@both_loops
async def test_a_response_arrives_whole_and_its_connection_is_used_again() -> None:
    async with origin(always(HELLO)) as served, upstream(served.url) as proxy:
        for _ in range(3):
            sink = await fetch(proxy)
            assert sink.log == ["head 200", "data", "end"]
            assert sink.body == b"hello"
        assert served.connections == 1


@both_loops
async def test_the_request_is_sent_as_it_is_with_host_and_prefix() -> None:
    seen: list[bytes] = []

    async def script(talk: Talk) -> None:
        while True:
            seen.append(await talk.head())
            await talk.send(HELLO)

    async with origin(script) as served:
        async with upstream(served.url + "/base/") as proxy:
            await fetch(proxy, get(b"/a?b", (b"X-One", b"1"), (b"X-Two", b"\xff")))
        async with upstream(served.url, host_header="origin") as proxy:
            await fetch(proxy)
        async with upstream(served.url, host_header="inner.test") as proxy:
            await fetch(proxy, get(method=b"POST"))
    assert seen == [
        b"GET /base/a?b HTTP/1.1\r\nHost: shop.example\r\nX-One: 1\r\nX-Two: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % served.address.encode(),
        b"POST / HTTP/1.1\r\nHost: inner.test\r\nContent-Length: 0\r\n\r\n",
    ]


@pytest.mark.parametrize(
    ("answer", "method", "body"),
    [
        pytest.param(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", b"GET", b"ok", id="close"),
        pytest.param(OK + b"Content-Length: 2\r\n\r\nok and more", b"GET", b"ok", id="long-body"),
        pytest.param(HELLO + HELLO, b"GET", b"hello", id="second-response"),
        pytest.param(OK + b"Content-Length: 9\r\n\r\n123456789", b"HEAD", b"", id="body-to-head"),
        pytest.param(b"HTTP/1.1 204 No\r\n\r\nhello", b"GET", b"", id="body-to-204"),
        pytest.param(b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\nhi", b"GET", b"", id="body-to-304"),
    ],
)
@both_loops
async def test_a_connection_with_more_on_it_than_the_response_is_not_used_again(
    answer: bytes, method: bytes, body: bytes
) -> None:
    async with origin(always(answer)) as served, upstream(served.url) as proxy:
        for number in (1, 2, 3):
            sink = await fetch(proxy, get(method=method))
            assert sink.body == body
            assert sink.log[-1] == "end"
            assert served.connections == number


@both_loops
async def test_an_unasked_response_on_an_idle_connection_drops_it() -> None:
    more = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(HELLO)
        await more.wait()
        await talk.send(OK + b"Content-Length: 6\r\n\r\npoison")
        await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        assert (await fetch(proxy)).body == b"hello"
        assert proxy.connections == 1
        more.set()
        await until(lambda: proxy.connections == 0)
        assert (await fetch(proxy)).body == b"hello"
        assert served.connections == 2


@both_loops
async def test_a_response_until_close_ends_with_the_connection() -> None:
    async with origin(once(OK + b"\r\nuntil the end")) as served, upstream(served.url) as proxy:
        sink = await fetch(proxy)
        assert (sink.body, sink.log[-1]) == (b"until the end", "end")


@both_loops
async def test_chunks_and_trailers_arrive() -> None:
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with origin(always(answer)) as served, upstream(served.url) as proxy:
        for _ in range(2):
            sink = await fetch(proxy)
            assert (sink.body, sink.trailers) == (b"hello", Fields([(b"X-Sum", b"1")]))
        assert served.connections == 1


@both_loops
async def test_idle_connections_are_closed_after_their_time() -> None:
    async with origin(always(HELLO)) as served, upstream(served.url, keepalive=0.1) as proxy:
        await fetch(proxy)
        await until(lambda: served.open == 0)
        await fetch(proxy)
        assert served.connections == 2


@both_loops
async def test_without_keepalive_nothing_is_kept() -> None:
    async with origin(always(HELLO)) as served, upstream(served.url, keepalive=0.0) as proxy:
        await fetch(proxy)
        assert proxy.connections == 0
        await fetch(proxy)
        assert served.connections == 2


# --- what origins do wrong


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(b"", ConnectionLost, id="nothing"),
        pytest.param(b"HTTP/1.1 200 O", ConnectionLost, id="half-a-head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", ConnectionLost, id="interim-only"),
    ],
)
@both_loops
async def test_an_end_before_the_head_is_raised(answer: bytes, error: type, reset: bool) -> None:
    async with origin(once(answer, reset=reset)) as served, upstream(served.url) as proxy:
        sink = Fetched()
        with pytest.raises(error):
            await proxy.exchange(get(), sink)
        assert sink.head is None
        assert not sink.over


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"Content-Length: 50\r\n\r\nshort", id="short-body"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort", id="mid-chunk"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", id="no-last-chunk"),
    ],
)
@both_loops
async def test_a_body_cut_short_is_told_as_an_error(answer: bytes, reset: bool) -> None:
    sent = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(answer)
        await sent.wait()
        if reset:
            talk.reset()

    async with origin(script) as served, upstream(served.url) as proxy:
        sink = Fetched()
        await proxy.exchange(get(), sink)
        await until(lambda: sink.body == b"short")
        sent.set()
        await sink.ended.wait()
        assert isinstance(sink.error, IncompleteResponse)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="not-http"),
        pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two-lengths"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, id="interim-flood"),
        pytest.param(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="unasked-101"),
        pytest.param(OK + b"X: " + b"x" * 100_000, id="endless-head"),
    ],
)
@both_loops
async def test_an_unacceptable_head_is_a_bad_response(answer: bytes) -> None:
    async with origin(always(answer)) as served, upstream(served.url) as proxy:
        with pytest.raises(BadResponse):
            await proxy.exchange(get(), Fetched())
        assert proxy.connections == 0


@both_loops
async def test_a_malformed_chunk_ends_the_response_with_an_error() -> None:
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"
    async with origin(always(answer)) as served, upstream(served.url) as proxy:
        sink = await fetch(proxy)
        assert isinstance(sink.error, IncompleteResponse)
        assert proxy.connections == 0


@both_loops
async def test_interim_responses_are_passed_on_in_order() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with origin(always(early + early + HELLO)) as served, upstream(served.url) as proxy:
        for _ in range(2):
            sink = await fetch(proxy)
            assert sink.log == ["interim 103", "interim 103", "head 200", "data", "end"]
        assert served.connections == 1


# --- time


@both_loops
async def test_no_answer_in_time_is_a_first_byte_timeout() -> None:
    async def script(talk: Talk) -> None:
        await talk.ended()

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        with pytest.raises(FirstByteTimeout):
            await proxy.exchange(get(), Fetched())
        await until(lambda: served.open == 0)


@both_loops
async def test_a_dripping_head_is_a_first_byte_timeout() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        for byte in OK * 100:
            await talk.send(bytes([byte]))
            await asyncio.sleep(0.01)

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        with pytest.raises(FirstByteTimeout):
            await proxy.exchange(get(), Fetched())


@both_loops
async def test_a_stalled_body_is_incomplete() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Content-Length: 50\r\n\r\nshort")
        await talk.ended()

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        sink = await fetch(proxy)
        assert isinstance(sink.error, IncompleteResponse)
        await until(lambda: served.open == 0)


@both_loops
async def test_a_slow_but_steady_body_is_not_cut() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Content-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.1)
            await talk.send(b"x")

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        sink = await fetch(proxy)
        assert (sink.body, sink.error) == (b"x" * 8, None)


@both_loops
async def test_an_event_stream_may_be_silent() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await asyncio.sleep(0.8)  # four times between_bytes
        await talk.send(b"data: 2\n\n")

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        sink = await fetch(proxy)
        assert (sink.body, sink.error) == (b"data: 1\n\ndata: 2\n\n", None)


@both_loops
async def test_a_timeout_on_a_late_loop_looks_at_the_socket_first() -> None:
    import time

    answered = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await answered.wait()
        await talk.send(HELLO)
        time.sleep(0.5)

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(), sink))
        await until(lambda: served.open == 1)
        answered.set()
        await asking
        await sink.ended.wait()
        assert sink.body == b"hello"


@both_loops
async def test_while_paused_no_timeout_counts() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Content-Length: 600000\r\n\r\n" + b"x" * 600_000)
        await talk.ended()

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        sink = Fetched()
        exchange = await proxy.exchange(get(), sink)
        exchange.pause()
        await asyncio.sleep(0.8)
        assert not sink.over
        exchange.resume()
        await sink.ended.wait()
        assert (len(sink.body), sink.error) == (600_000, None)


# --- flow


@both_loops
async def test_a_paused_sink_holds_the_origin_back() -> None:
    total = 64 * 1024 * 1024
    sent = 0

    async def script(talk: Talk) -> None:
        nonlocal sent
        await talk.head()
        await talk.send(OK + b"Content-Length: %d\r\n\r\n" % total)
        piece = b"x" * 65536
        while sent < total:
            await talk.send(piece)
            sent += len(piece)

    class Counting(Fetched):
        received = 0

        def on_data(self, data: bytes) -> None:
            self.received += len(data)

    async with origin(script) as served, upstream(served.url) as proxy:
        sink = Counting()
        exchange = await proxy.exchange(get(), sink)
        exchange.pause()
        stalled = -1
        while stalled != sent:
            stalled = sent
            await asyncio.sleep(0.1)
        assert sent < total / 2  # the sockets' buffers are all that is in between
        assert sink.received < 2 * 1024 * 1024
        exchange.resume()
        await sink.ended.wait()
        assert sink.received == total


@both_loops
async def test_a_connection_paused_at_its_end_is_whole_again() -> None:
    class PausingAtOnce(Fetched):
        exchange: OriginExchange | None = None

        def on_data(self, data: bytes) -> None:
            super().on_data(data)
            if self.exchange is not None:
                self.exchange.pause()

    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Content-Length: 2\r\n\r\n")
        await go.wait()
        await talk.send(b"ok")
        while True:
            await talk.head()
            await talk.send(HELLO)

    async with origin(script) as served, upstream(served.url) as proxy:
        sink = PausingAtOnce()
        sink.exchange = await proxy.exchange(get(), sink)
        go.set()
        await sink.ended.wait()
        sink.exchange.resume()
        assert (await fetch(proxy)).body == b"hello"
        assert served.connections == 1


# --- requests with bodies


def echo() -> Script:
    """Answers with the body it was sent, counted or chunked."""

    async def script(talk: Talk) -> None:
        while True:
            head = await talk.head()
            body = b""
            if b"Transfer-Encoding: chunked" in head:
                while size := int(await talk.reader.readuntil(b"\r\n"), 16):
                    body += (await talk.reader.readexactly(size + 2))[:-2]
                while (line := await talk.reader.readuntil(b"\r\n")) != b"\r\n":
                    body += b"|" + line.strip()
            else:
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
                body = await talk.reader.readexactly(length)
            await talk.send(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return script


@both_loops
async def test_bodies_are_sent_counted_and_chunked_on_one_connection() -> None:
    async with origin(echo()) as served, upstream(served.url) as proxy:
        counted = await fetch(proxy, get(method=b"POST", body=GivenBody([b"he", b"llo"], 5)))
        chunked = GivenBody([b"wor", b"x" * 40_000, b"ld"])
        chunked.trailers = Fields([(b"X-Sum", b"9")])
        streamed = await fetch(proxy, get(method=b"PUT", body=chunked))
        empty = await fetch(proxy, get(method=b"POST", body=GivenBody([], 0)))
        assert counted.body == b"hello"
        assert streamed.body == b"wor" + b"x" * 40_000 + b"ld" + b"|X-Sum: 9"
        assert empty.body == b""
        assert served.connections == 1


@both_loops
async def test_a_body_that_flows_later_is_sent_as_it_comes() -> None:
    async with origin(echo()) as served, upstream(served.url) as proxy:
        body = GivenBody(length=10, complete=False)
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
        await until(lambda: body.consumer is not None)
        body.push(b"hello")
        await asyncio.sleep(0.05)
        assert not asking.done()
        body.push(b"world")
        body.finish()
        await asking
        await sink.ended.wait()
        assert sink.body == b"helloworld"


@both_loops
async def test_an_origin_that_does_not_read_pauses_the_body() -> None:
    read = asyncio.Event()
    total = 32 * 1024 * 1024

    async def script(talk: Talk) -> None:
        await talk.head()
        await read.wait()
        await talk.reader.readexactly(total)
        await talk.send(HELLO)

    async with origin(script) as served, upstream(served.url) as proxy:
        body = GivenBody(length=total, complete=False)
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
        await until(lambda: body.consumer is not None)
        pushed = 0
        while not body.paused:
            body.push(b"x" * 65536)
            pushed += 65536
            await asyncio.sleep(0)
        assert pushed < total
        read.set()
        while pushed < total:
            await until(lambda: not body.paused)
            body.push(b"x" * 65536)
            pushed += 65536
            await asyncio.sleep(0)
        body.finish()
        await asking
        assert sink.status == 200


@both_loops
async def test_an_origin_that_takes_nothing_more_times_out() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await asyncio.sleep(30)

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        body = GivenBody([b"x" * 65536] * 512, 512 * 65536)
        with pytest.raises(FirstByteTimeout, match="takes no more"):
            await proxy.exchange(get(method=b"POST", body=body), Fetched())
        assert body.detached


@both_loops
async def test_a_slow_client_is_not_the_origins_fault() -> None:
    async with origin(echo()) as served, upstream(served.url, timeouts=QUICK) as proxy:
        body = GivenBody(length=2, complete=False)
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
        await asyncio.sleep(0.8)
        body.push(b"ok")
        body.finish()
        await asking
        await sink.ended.wait()
        assert sink.body == b"ok"


@pytest.mark.parametrize("end", ["fin", "rst"])
@both_loops
async def test_an_early_refusal_is_delivered_and_stops_the_body(end: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        if end == "rst":
            await asyncio.sleep(0.05)
            talk.reset()
        else:
            await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        body = GivenBody([b"x" * 1000], 10_000_000, complete=False)
        sink = await fetch(proxy, get(method=b"POST", body=body))
        assert (sink.status, sink.body, sink.log[-1]) == (413, b"big", "end")
        assert body.detached
        assert proxy.connections == 0


@both_loops
async def test_an_answer_sent_before_a_reset_is_read_even_if_our_write_failed() -> None:
    """The origin answers 413 and closes with our body unread: the kernel resets, the answer is there."""
    answered = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        talk.writer.transport.pause_reading()
        await talk.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        answered.set()
        talk.writer.transport.abort()

    for _ in range(5):
        answered.clear()
        async with origin(script) as served, upstream(served.url) as proxy:
            body = GivenBody([b"x" * 1000], 50_000_000, complete=False)
            sink = Fetched()
            asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
            while not asking.done():
                if body.consumer is not None and not body.paused:
                    body.push(b"x" * 200_000)
                await asyncio.sleep(0)
            await asking
            assert sink.status == 413


@both_loops
async def test_a_successful_early_answer_lets_the_body_flow() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            piece = await talk.reader.readexactly(2)
            await talk.send(b"2\r\n" + piece + b"\r\n")
        await talk.send(b"0\r\n\r\n")
        await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        body = GivenBody(length=6, complete=False)
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
        await asking
        for piece in (b"ab", b"cd", b"ef"):
            body.push(piece)
            await until(lambda piece=piece: sink.body.endswith(piece))  # type: ignore[misc]
        body.finish()
        await sink.ended.wait()
        assert sink.body == b"abcdef"


@both_loops
async def test_a_response_complete_before_the_request_ends_its_connection() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(HELLO)
        await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        body = GivenBody(length=6, complete=False)
        sink = await fetch(proxy, get(method=b"POST", body=body))
        assert sink.body == b"hello"
        assert body.detached
        assert proxy.connections == 0


@pytest.mark.parametrize("late", [False, True], ids=["before-the-head", "after-the-head"])
@both_loops
async def test_a_client_that_leaves_in_its_body_ends_the_connection(late: bool) -> None:
    ended: list[bytes] = []

    async def script(talk: Talk) -> None:
        await talk.head()
        if late:
            await talk.send(OK + b"Content-Length: 5\r\n\r\n")
        ended.append(await talk.ended())

    records = Records()
    async with origin(script) as served, upstream(served.url, records=records) as proxy:
        body = GivenBody(length=100, complete=False)
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
        await until(lambda: body.consumer is not None and (not late or sink.status == 200))
        consumer = body.consumer
        assert consumer is not None
        consumer.on_body_error(ClientGone("gone"))
        if late:
            await asking
            await sink.ended.wait()
            assert isinstance(sink.error, IncompleteResponse)
        else:
            with pytest.raises(ClientGone):
                await asking
        await until(lambda: len(ended) == 1)
        assert proxy.snapshot()[0]["addresses"][0]["failures"] == 0


@pytest.mark.parametrize("pieces", [[b"too long"], [b"x"]], ids=["longer", "shorter"])
@both_loops
async def test_a_body_unlike_its_length_is_never_sent_as_if_it_fitted(pieces: list[bytes]) -> None:
    async with origin(echo()) as served, upstream(served.url) as proxy:
        with pytest.raises(ValueError, match="than its length"):
            await proxy.exchange(get(method=b"POST", body=GivenBody(pieces, 4)), Fetched())
        assert proxy.connections == 0


@both_loops
async def test_a_request_that_would_break_its_line_is_refused() -> None:
    async with origin(always(HELLO)) as served, upstream(served.url) as proxy:
        with pytest.raises(BadRequest):
            await proxy.exchange(get(b"/", (b"X", b"a\r\nInjected: b")), Fetched())
        assert proxy.snapshot()[0]["active"] == 0


# --- leaving


@both_loops
async def test_cancelled_before_the_head_the_connection_is_closed() -> None:
    async def script(talk: Talk) -> None:
        await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(), sink))
        await until(lambda: served.open == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: served.open == 0)
        assert proxy.connections == 0
        assert proxy.snapshot()[0]["active"] == 0


@both_loops
async def test_cancelled_on_a_reused_connection_it_is_closed_too() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(HELLO)
        await talk.head()
        await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        await fetch(proxy)
        asking = asyncio.create_task(proxy.exchange(get(), Fetched()))
        await until(lambda: proxy.snapshot()[0]["active"] == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: served.open == 0)
        assert (proxy.connections, proxy.snapshot()[0]["active"]) == (0, 0)


@both_loops
async def test_a_late_answer_to_one_who_just_left_reaches_nobody() -> None:
    class Leaving(Fetched):
        asking: asyncio.Task[OriginExchange] | None = None

        def on_interim(self, head: Any) -> None:
            super().on_interim(head)
            assert self.asking is not None
            self.asking.cancel()

    early = b"HTTP/1.1 103 Early\r\n\r\n"
    async with origin(always(early + early + HELLO)) as served, upstream(served.url) as proxy:
        sink = Leaving()
        sink.asking = asyncio.create_task(proxy.exchange(get(), sink))
        await asyncio.wait([sink.asking])
        assert sink.asking.cancelled()
        assert sink.log == ["interim 103"]
        assert proxy.snapshot()[0]["active"] == 0


@both_loops
async def test_aborted_in_its_body_the_sink_hears_nothing_more() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK + b"Content-Length: 50\r\n\r\nshort")
        await talk.ended()

    async with origin(script) as served, upstream(served.url) as proxy:
        sink = Fetched()
        exchange = await proxy.exchange(get(), sink)
        await until(lambda: sink.body == b"short")
        exchange.abort()
        exchange.abort()
        exchange.pause()
        exchange.resume()
        await until(lambda: served.open == 0)
        assert not sink.over
        assert proxy.snapshot()[0]["active"] == 0


@both_loops
async def test_an_upstream_that_closes_fails_what_is_under_way() -> None:
    async def script(talk: Talk) -> None:
        if talk.number == 1:
            await talk.head()
            await talk.send(OK + b"Content-Length: 50\r\n\r\nshort")
        await talk.ended()

    async with origin(script) as served:
        async with upstream(served.url) as proxy:
            sink = Fetched()
            await proxy.exchange(get(), sink)
            waiting = asyncio.create_task(proxy.exchange(get(), Fetched()))
            await until(lambda: served.open == 2)
        with pytest.raises(ConnectionLost):
            await waiting
        assert isinstance(sink.error, IncompleteResponse)


# --- upgrades


@both_loops
async def test_a_101_hands_the_connection_over_for_tunnelling() -> None:
    async def script(talk: Talk) -> None:
        head = await talk.head()
        assert head.endswith(b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        await talk.send(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nearly")
        while data := await talk.reader.read(100):
            await talk.send(data.upper())

    class Tunnel(asyncio.Protocol):
        data = b""

        def data_received(self, data: bytes) -> None:
            self.data += data

    async with origin(script) as served, upstream(served.url) as proxy:
        sink = Fetched()
        request = OriginRequest(b"GET", b"/ws", b"shop.example", b"http", (), None, b"websocket")
        exchange = await proxy.exchange(request, sink)
        assert sink.status == 101
        transport, early = exchange.take_over()
        tunnel = Tunnel()
        transport.set_protocol(tunnel)
        transport.write(b"hello")
        await until(lambda: tunnel.data.endswith(b"HELLO"))
        assert early + tunnel.data == b"earlyHELLO"
        assert proxy.connections == 1
        assert proxy.snapshot()[0]["active"] == 1
        transport.close()
        await until(lambda: proxy.connections == 0)
        assert proxy.snapshot()[0]["active"] == 0


@both_loops
async def test_an_upgrade_that_is_declined_is_an_ordinary_response() -> None:
    async with origin(always(HELLO)) as served, upstream(served.url) as proxy:
        sink = await fetch(proxy, OriginRequest(b"GET", b"/", b"a", b"http", (), None, b"websocket"))
        assert sink.body == b"hello"


# --- telemetry


@both_loops
async def test_each_try_is_recorded_once() -> None:
    answers = iter([HELLO, b"junk\r\n\r\n"])

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(next(answers))

    records = Records()
    off = {"retries": Retries(attempts=0), "ejection": Ejection(consecutive_failures=0)}
    async with origin(script) as served:
        async with upstream(served.url, records=records, **off) as proxy:
            await fetch(proxy)
            await until(lambda: proxy.connections == 0)
            with pytest.raises(BadResponse):
                await proxy.exchange(get(), Fetched())
            await served.stop()
            with pytest.raises(Exception, match="connection to"):
                await proxy.exchange(get(), Fetched())
        key = served.address
    assert records.tries == [(key, 200), (key, "http_protocol_error"), (key, "connection_refused")]
