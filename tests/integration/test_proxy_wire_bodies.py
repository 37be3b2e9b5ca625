"""Bodies through the whole proxy, both ways: framing, trailers, interim and early responses."""

import asyncio

import pytest

from tests.integration.raw_origins import Talk, origin, until
from tests.plane import PLAIN, UNCACHED, HandClock, Seen, plane, read_request, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CACHEABLE = b"Cache-Control: max-age=100\r\n"


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


class TestRequests:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY", "OPTIONS"])
    async def test_a_body_arrives_with_its_length(self, method: str) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                answer = await client.ask(request("/b", method, body=b"question"))
                assert answer.status == 200
            assert seen.bodies == [b"question"] * 2
            assert b"\r\nContent-Length: 8\r\n" in seen.heads[0]
            assert raw.connections == 1

    async def test_an_empty_body_keeps_its_length(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy:
            await proxy.ask(request("/b", "POST", body=b""))
            assert b"\r\nContent-Length: 0\r\n" in seen.heads[0]

    async def test_a_get_with_an_empty_body_is_a_get(self) -> None:
        seen = Seen(fields=("Cache-Control: max-age=100",))
        async with origin(seen) as raw, plane(o=raw.url) as proxy:
            for _ in range(2):
                assert (await proxy.ask(request("/b", body=b""))).body == b"hello"
            assert len(seen.heads) == 1

    async def test_a_get_with_a_body_is_forwarded_with_it_and_shared_with_nobody(self) -> None:
        """The body was dropped, and what came back was stored for everyone."""

        async def echo(talk: Talk) -> None:
            while True:
                _, body = await read_request(talk)
                head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: %d\r\n\r\n"
                await talk.send(head % len(body) + body)

        async with origin(echo) as raw, plane(o=raw.url) as proxy:
            for question in (b"one", b"three"):
                assert (await proxy.ask(request("/_search", body=question))).body == question

    async def test_chunks_arrive_as_chunks_with_trailers(self) -> None:
        got: list[bytes] = []

        async def script(talk: Talk) -> None:
            got.append(await talk.head())
            got.append(await talk.reader.readuntil(b"0\r\nX-Sum: 7\r\n\r\n"))
            await talk.send(OK)

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request("/b", "POST", {"Transfer-Encoding": "chunked", "Trailer": "X-Sum"}))
            await client.send(chunked(b"abc", b"defg", trailers=b"X-Sum: 7\r\n"))
            assert (await client.answer()).status == 200
            assert b"Transfer-Encoding: chunked" in got[0]
            assert b"\r\nContent-Length" not in got[0]
            assert b"Trailer: X-Sum" in got[0]
            assert b"".join(part for part in got[1].split(b"\r\n")[1:-4:2]) == b"abcdefg"

    async def test_many_tiny_chunks_cost_few_pieces(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request("/b", "POST", {"Transfer-Encoding": "chunked"}))
            await client.send(chunked(*[b"x"] * 100_000))
            assert (await client.answer()).status == 200
            assert seen.bodies == [b"x" * 100_000]

    async def test_a_body_starts_to_flow_before_it_is_whole(self) -> None:
        part = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.reader.readexactly(4)
            part.set()
            await talk.reader.readexactly(4)
            await talk.send(OK)

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            whole = request("/b", "POST", body=b"12345678")
            await client.send(whole[:-4])
            await part.wait()
            await client.send(whole[-4:])
            assert (await client.answer()).status == 200

    async def test_a_slow_origin_holds_the_client_back(self) -> None:
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await go.wait()
            await talk.reader.readexactly(30_000_000)
            await talk.send(OK)

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            client.writer.write(request("/b", "POST", body=b"x" * 30_000_000))
            await until(lambda: any(c.flow.holds for c in proxy.plane._listenings[b"http"].connections))
            (connection,) = proxy.plane._listenings[b"http"].connections
            assert connection.exchange is not None
            assert connection.exchange.body is not None
            assert connection.exchange.body._kept_size <= 64 * 1024 + 256 * 1024
            go.set()
            assert (await client.answer()).status == 200


class TestExpect:
    async def test_continue_comes_once_an_origin_takes_the_body(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            fields = {"Expect": "100-continue", "Content-Length": "4"}
            await client.send(request("/b", "POST", fields))
            assert (await client.head()).status == 100
            await client.send(b"body")
            assert (await client.answer()).status == 200
            assert seen.bodies == [b"body"]
            assert b"xpect" not in seen.heads[0]
            assert (await client.ask(request())).status == 200

    async def test_no_continue_where_the_body_is_refused(self) -> None:
        text = PLAIN.replace("name: all,", "name: all, max_body_size: 3B,")
        seen = Seen()
        async with origin(seen) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            answer = await client.ask(
                request("/b", "POST", {"Expect": "100-continue", "Content-Length": "4"})
            )
            assert (answer.status, answer.interim, answer.get("connection")) == (413, [], b"close")
            assert await client.closed()
            assert raw.connections == 0

    async def test_no_continue_without_a_route(self) -> None:
        text = PLAIN.replace("name: all,", "name: all, match: {path: /only},")
        async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy:
            fields = {"Expect": "100-continue", "Content-Length": "4"}
            answer = await proxy.ask(request("/b", "POST", fields))
            assert (answer.status, answer.interim) == (404, [])

    async def test_a_body_sent_without_waiting_gets_no_continue_twice(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy:
            answer = await proxy.ask(request("/b", "POST", {"Expect": "100-continue"}, body=b"here"))
            assert (answer.status, len(answer.interim)) == (200, 0)

    async def test_anything_else_cannot_be_expected(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy:
            assert (await proxy.ask(request("/", fields={"Expect": "magic"}))).status == 417
            assert raw.connections == 0

    async def test_http_10_expects_nothing(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy:
            answer = await proxy.ask(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na")
            assert (answer.status, answer.interim) == (200, [])


class TestInterim:
    async def test_hints_and_others_are_passed_on_in_order_but_not_100(self) -> None:
        early = (
            b"HTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
            b"HTTP/1.1 102 Processing\r\nContent-Length: 7\r\n\r\n"
            b"HTTP/1.1 199 Odd\r\n\r\n" + OK
        )
        for text in (PLAIN, UNCACHED):
            async with origin(Seen(raw=early)) as raw, plane(text, o=raw.url) as proxy:
                answer = await proxy.get()
                assert [each.status for each in answer.interim] == [103, 102, 199]
                assert answer.interim[0].fields == [(b"Link", b"</a.css>")]
                assert answer.interim[1].fields == []
                assert answer.body == b"ok"

    async def test_hints_arrive_before_the_final_answer_exists(self) -> None:
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            await go.wait()
            await talk.send(OK)

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request())
            assert (await client.head()).status == 103
            go.set()
            assert (await client.answer()).body == b"ok"


class TestResponses:
    @pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
    async def test_chunks_arrive_as_chunks_with_trailers(self, text: str) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n" + CACHEABLE + b"\r\n"
        script = Seen(raw=head + chunked(b"abc", b"defg", trailers=b"X-Sum: 7\r\nContent-Length: 9\r\n"))
        async with origin(script) as raw, plane(text, o=raw.url) as proxy:
            answer = await proxy.get()
            assert answer.get("transfer-encoding") == b"chunked"
            assert (answer.body, answer.trailers) == (b"abcdefg", [(b"X-Sum", b"7")])

    async def test_a_stored_body_of_chunks_has_a_length(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + CACHEABLE + b"\r\n"
        script = Seen(raw=head + chunked(*[b"x"] * 1000))
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            await proxy.get()
            answer = await proxy.get()
            assert (answer.get("content-length"), answer.body) == (b"1000", b"x" * 1000)
            assert len(script.heads) == 1

    async def test_a_body_until_the_close_becomes_chunks(self) -> None:
        script = Seen(raw=b"HTTP/1.1 200 OK\r\n\r\nuntil the end", close=True)
        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                answer = await client.ask(request())
                assert (answer.body, answer.get("transfer-encoding")) == (b"until the end", b"chunked")

    async def test_an_origin_of_http_10_is_told_of_in_via(self) -> None:
        script = Seen(raw=b"HTTP/1.0 200 OK\r\n\r\nold", close=True)
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            answer = await proxy.get()
            assert (answer.body, answer.get("via")) == (b"old", b"1.0 edgeproxy")

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    async def test_no_body_where_there_can_be_none(self, status: str) -> None:
        script = Seen(raw=f'HTTP/1.1 {status}\r\nETag: "a"\r\n\r\n'.encode())
        async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                answer = await client.ask(request(fields={"If-None-Match": '"a"'}))
                assert answer.status == int(status[:3])
                assert answer.get("transfer-encoding") is None

    async def test_a_304_that_nobody_asked_for_is_a_bad_answer(self) -> None:
        script = Seen(raw=b"HTTP/1.1 304 Not Modified\r\n\r\n")
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            answer = await proxy.get()
            assert answer.status == 502
            assert b"http_protocol_error" in (answer.get("proxy-status") or b"")

    async def test_the_same_length_said_twice_is_said_once(self) -> None:
        script = Seen(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")
        async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy:
            answer = await proxy.get()
            assert (answer.get("content-length"), answer.body) == (b"2", b"ok")

    async def test_a_length_beside_chunks_is_not_passed_on_where_that_is_tolerated(self) -> None:
        text = UNCACHED.replace("origins:", "lenient: [length_with_coding], origins:")
        raw_answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(
            b"ok"
        )
        async with origin(Seen(raw=raw_answer)) as raw, plane(text, o=raw.url) as proxy:
            answer = await proxy.get()
            assert (answer.get("content-length"), answer.body) == (None, b"ok")

    async def test_what_the_origin_compressed_arrives_compressed(self) -> None:
        script = Seen(body=b"\x1f\x8b\x00rest", fields=("Content-Encoding: gzip", "Cache-Control: max-age=9"))
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            for _ in range(2):
                answer = await proxy.get(fields={"Accept-Encoding": "gzip"})
                assert (answer.body, answer.get("content-encoding")) == (b"\x1f\x8b\x00rest", b"gzip")

    async def test_an_odd_status_is_passed_on(self) -> None:
        script = Seen(raw=b"HTTP/1.1 799 Odd One\r\nContent-Length: 2\r\n\r\nok")
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            answer = await proxy.get()
            assert (answer.status, answer.reason, answer.body) == (799, b"Odd One", b"ok")


class TestEarlyResponses:
    async def test_a_refusal_comes_while_the_body_still_flows(self) -> None:
        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await talk.ended()

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request("/b", "POST", {"Content-Length": "100000"}))
            await client.send(b"x" * 1000)
            assert (await client.answer()).status == 403
            # The rest is read past, and the connection lives on.
            await client.send(b"x" * 99_000)
            await client.send(request("/c", "POST", body=b"z"))
            assert (await client.answer()).status == 403

    async def test_a_refusal_of_a_huge_body_is_read_before_the_end(self) -> None:
        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await talk.ended()

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            size = 50_000_000
            await client.send(request("/b", "POST", {"Content-Length": str(size)}))
            # A client that looks for an answer only when everything is sent.
            sending = asyncio.ensure_future(client.send(b"x" * size))
            answer = await client.answer()
            assert (answer.status, answer.get("connection"), answer.body) == (403, b"close", b"no")
            await sending

    async def test_a_response_and_its_request_flow_at_the_same_time(self) -> None:
        async def echo(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                piece = await talk.reader.readexactly(4)
                await talk.send(b"4\r\n" + piece + b"\r\n")
            await talk.send(b"0\r\n\r\n")
            await talk.ended()

        async with origin(echo) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request("/b", "POST", {"Content-Length": "12"}))
            assert (await client.head()).status == 200
            for piece in (b"aaaa", b"bbbb", b"cccc"):
                await client.send(piece)
                assert await client.chunk() == piece
            assert await client.chunk() is None


class TestStreams:
    async def test_events_are_flushed_as_they_come_and_outlive_between_bytes(self) -> None:
        text = UNCACHED.replace("origins:", "timeouts: {between_bytes: 0.05s}, origins:")
        for config in (text, text.replace(", cache: {enabled: false}", "")):
            gone = asyncio.Event()

            async def script(talk: Talk, gone: asyncio.Event = gone) -> None:
                await talk.head()
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                await talk.send(b"data: 1\n\n")
                await asyncio.sleep(0.3)  # well over between_bytes: time itself is the subject
                await talk.send(b"data: 2\n\n")
                await talk.ended()
                gone.set()

            async with origin(script) as raw, plane(config, HandClock(), o=raw.url) as proxy:
                async with proxy.client() as client:
                    await client.send(request("/events"))
                    assert (await client.head()).status == 200
                    assert await client.chunk() == b"data: 1\n\n"
                    assert await client.chunk() == b"data: 2\n\n"
                # A client that closes looks like one that only stops sending: silence tells them apart.
                await until(lambda: bool(proxy.plane._listenings[b"http"].half_closed))
                await proxy.advance(1)
                await proxy.advance(6)
                await proxy.quiet()
                await gone.wait()

    async def test_anything_else_is_ended_by_between_bytes_and_cut(self) -> None:
        text = UNCACHED.replace("origins:", "timeouts: {between_bytes: 0.05s}, origins:")

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await talk.ended()

        async with origin(script) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            await client.send(request())
            await client.head()
            assert await client.chunk() == b"a"
            assert await client.rest() == b""


@pytest.mark.parametrize("size", [65_536, 100_000])
async def test_a_connection_reads_on_after_a_body_that_was_read_whole_and_taken_by_nobody(size: int) -> None:
    async with plane(o="http://127.0.0.1:1") as proxy, proxy.client() as client:
        body = b"x" * size
        first = await client.ask(request("/a", "POST", {"Content-Length": str(size)}) + body)
        assert first.status == 502
        if first.get("connection") != b"close":
            assert (await client.ask(request("/b"))).status in (502, 503)
