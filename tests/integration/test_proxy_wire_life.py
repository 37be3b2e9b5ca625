"""Client connections through the whole proxy: keep-alive, HTTP/1.0, pipelining, HEAD, closing."""

import asyncio

import pytest

from tests.integration.raw_origins import Talk, origin, until
from tests.plane import (
    PLAIN,
    UNCACHED,
    Seen,
    limited,
    plane,
    read_request,
    request,
)

CACHEABLE = ("Cache-Control: max-age=100",)


async def test_one_connection_serves_one_request_after_another() -> None:
    seen = Seen()
    async with origin(seen) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
        for number in range(5):
            answer = await client.ask(request(f"/{number}"))
            assert (answer.status, answer.body, answer.version) == (200, b"hello", b"HTTP/1.1")
            assert answer.get("connection") is None
        assert raw.connections == 1
        assert seen.targets == [b"/0", b"/1", b"/2", b"/3", b"/4"]


async def test_connection_close_is_honoured_and_told() -> None:
    async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
        answer = await client.ask(request("/", fields={"Connection": "close"}))
        assert (answer.status, answer.get("connection")) == (200, b"close")
        assert await client.closed()


class TestHttp10:
    async def test_the_connection_ends_with_the_response(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            answer = await client.ask(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n")
            assert (answer.version, answer.status, answer.body) == (b"HTTP/1.1", 200, b"hello")
            assert answer.get("connection") == b"close"
            assert await client.closed()

    async def test_keep_alive_where_it_is_asked_for(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                answer = await client.ask(b"GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")
                assert (answer.body, answer.get("connection")) == (b"hello", b"keep-alive")

    async def test_no_host_is_needed(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy:
            assert (await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200

    async def test_chunks_become_a_body_until_the_close(self) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        async with origin(Seen(raw=chunked)) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            answer = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.get("transfer-encoding") is None
            assert (answer.body, answer.get("connection")) == (b"abcde", b"close")

    async def test_no_interim_response_is_sent(self) -> None:
        early = (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        )
        async with origin(Seen(raw=early)) as raw, plane(o=raw.url) as proxy:
            answer = await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")
            assert (answer.status, answer.interim, answer.body) == (200, [], b"ok")


class TestPipelining:
    @pytest.mark.parametrize("cached", [True, False])
    async def test_responses_come_in_the_order_of_requests(self, cached: bool) -> None:
        async def echo(talk: Talk) -> None:
            while True:
                head, _ = await read_request(talk)
                body = head.split(b" ")[1]
                await talk.send(
                    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )

        text = PLAIN if cached else UNCACHED
        async with origin(echo) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            wanted = [f"/{number % 7}" for number in range(60)]
            await client.send(b"".join(map(request, wanted)))
            assert [(await client.answer()).body.decode() for _ in wanted] == wanted

    async def test_ten_thousand_hits_in_one_burst_starve_nobody(self) -> None:
        async with origin(Seen(fields=CACHEABLE)) as raw, plane(o=raw.url) as proxy:
            await proxy.get("/hot")
            one = request("/hot")
            async with proxy.client() as greedy, proxy.client() as modest:
                sending = asyncio.ensure_future(greedy.send(one * 10_000))
                await greedy.answer()
                most = 0
                for _ in range(20):
                    assert (await modest.ask(request("/hot"))).status == 200
                    (connection,) = [
                        each for each in proxy.plane._listenings[b"http"].connections if each._intake
                    ] or [None]
                    most = max(most, len(connection._intake) if connection else 0)
                for _ in range(9_999):
                    assert (await greedy.answer()).body == b"hello"
                await sending
            # what may wait, and one read of the loop beyond
            assert most <= 64 * 1024 + 256 * 1024
            assert len(proxy.plane._listenings[b"http"].stalled) == 0

    async def test_two_thousand_misses_in_one_burst(self) -> None:
        seen = Seen(body=b"x", fields=("Cache-Control: no-store",))
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
            sending = asyncio.ensure_future(client.send(b"".join(request(f"/{n}") for n in range(2_000))))
            for _ in range(2_000):
                assert (await client.answer()).body == b"x"
            await sending
            assert seen.targets == [b"/%d" % number for number in range(2_000)]

    async def test_a_client_that_never_reads_is_read_no_more(self) -> None:
        big = Seen(body=b"x" * 100_000, fields=CACHEABLE)
        async with origin(big) as raw, plane(o=raw.url) as proxy:
            await proxy.get("/hot")
            async with proxy.client(receive_buffer=4096, limit=4096) as client:
                client.writer.write(request("/hot") * 100_000)
                await until(lambda: bool(proxy.plane._listenings[b"http"].stalled))
                for _ in range(50):
                    await asyncio.sleep(0)
                (connection,) = proxy.plane._listenings[b"http"].stalled
                assert connection.flow.holds
                assert connection._transport.get_write_buffer_size() < 1_000_000
                client.reset()
                await until(lambda: proxy.connections == 0)

    async def test_a_client_that_asks_again_without_reading_is_read_no_more(self) -> None:
        """A miss fills the socket; each hit asked for after it once went on top, without bound."""
        big = Seen(body=b"x" * 12_000_000, fields=CACHEABLE)
        async with origin(big) as raw, plane(o=raw.url) as proxy:
            await proxy.get("/hot")
            async with proxy.client(receive_buffer=4096, limit=4096) as client:
                await client.send(request("/hot", fields={"Cache-Control": "max-age=50"}))
                await until(lambda: bool(proxy.plane._listenings[b"http"].stalled))
                (connection,) = proxy.plane._listenings[b"http"].stalled
                for _ in range(20):
                    client.writer.write(request("/hot"))
                    await proxy.get("/hot")
                assert connection._transport.get_write_buffer_size() < 14_000_000
                client.reset()
                await until(lambda: proxy.connections == 0)

    async def test_part_of_a_head_behind_held_requests_is_read_on(self) -> None:
        """Reading was held for the requests in front, and never began again."""
        release = asyncio.Event()

        async def slow(talk: Talk) -> None:
            while True:
                await talk.head()
                await release.wait()
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        text = limited(UNCACHED, max_pipelined_bytes="1KiB")
        async with origin(slow) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            requests = request() + b"".join(
                request(f"/{number}", fields={"X": "y" * 500}) for number in range(8)
            )
            await client.send(requests[:100])
            await until(lambda: raw.connections == 1)
            await client.send(requests[100:-10])
            (connection,) = proxy.plane._listenings[b"http"].connections
            await until(lambda: bool(connection.flow.holds))
            release.set()
            for _ in range(8):
                assert (await client.answer()).status == 200
            await client.send(requests[-10:])
            assert (await client.answer()).status == 200

    async def test_a_body_behind_held_requests_is_read_on(self) -> None:
        release = asyncio.Event()

        async def slow(talk: Talk) -> None:
            while True:
                await read_request(talk)
                await release.wait()
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        text = limited(UNCACHED, max_pipelined_bytes="1KiB")
        async with origin(slow) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            await client.send(request())
            await until(lambda: raw.connections == 1)
            await client.send(request("/b", "POST", body=b"x" * 50_000)[:-1])
            (connection,) = proxy.plane._listenings[b"http"].connections
            await until(lambda: bool(connection.flow.holds))
            release.set()
            assert (await client.answer()).status == 200
            await client.send(b"x")
            assert (await client.answer()).status == 200

    async def test_empty_lines_between_requests_are_forgiven(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(b"\r\n" + request() + b"\r\n\r\n" + request())
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200


class TestHead:
    async def test_a_head_is_forwarded_and_ends_with_its_fields(self) -> None:
        seen = Seen(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\n")
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                answer = await client.ask(request("/", "HEAD"))
                assert (answer.status, answer.get("content-length"), answer.get("x-a")) == (200, b"5", b"b")
            assert seen.heads[0].startswith(b"HEAD / ")
            assert raw.connections == 1

    async def test_a_head_of_unknown_length_announces_none(self) -> None:
        seen = Seen(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                answer = await client.ask(request("/", "HEAD"))
                assert answer.get("content-length") is None

    async def test_errors_to_a_head_have_no_body(self) -> None:
        text = PLAIN.replace("name: all,", "name: all, match: {path: /only},")
        async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            assert (await client.ask(request("/other", "HEAD"))).status == 404
            assert (await client.ask(request("/only"))).status == 200


class TestHalfClosed:
    async def test_the_answer_still_comes(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request())
            client.half_close()
            answer = await client.answer()
            assert (answer.body, answer.get("connection")) == (b"hello", b"close")
            assert await client.closed()

    async def test_all_pipelined_answers_still_come(self) -> None:
        """Only the first came: what waited behind it was dropped with the half-close."""
        async with origin(Seen(fields=CACHEABLE)) as raw, plane(o=raw.url) as proxy:
            for text in ("/hot", "/{}"):
                async with proxy.client() as client:
                    await client.send(b"".join(request(text.format(number)) for number in range(100)))
                    client.half_close()
                    for _ in range(100):
                        assert (await client.answer()).body == b"hello"
                    assert await client.closed()

    async def test_part_of_a_head_is_no_request(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request()[:-4])
            client.half_close()
            assert await client.closed()
            assert seen.heads == []

    async def test_part_of_a_body_is_no_request(self) -> None:
        ended = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.ended()
            ended.set()

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request("/", "POST", body=b"x" * 100)[:-50])
            await until(lambda: raw.connections == 1)
            client.half_close()
            assert await client.closed()
            await ended.wait()
            assert proxy.busy_origins == 0
