"""Limits and timeouts of the client's side through the whole proxy, from the first byte on."""

import asyncio
import socket

import pytest
import trustme

from edgeproxy.server.phase import Phase
from tests.integration.raw_origins import Talk, origin, until
from tests.plane import PLAIN, UNCACHED, HandClock, Seen, limited, plane, request

SMALL = limited(UNCACHED, max_head_size="2KiB", max_target_size="256B", max_fields=20, max_body_size="1KiB")

REFUSED = {
    "malformed": (b"nonsense\r\n\r\n", 400),
    "no-version": (b"GET /\r\n\r\n", 400),
    "space-before-colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "target-too-long": (request("/" + "a" * 256), 414),
    "request-line-without-end": (b"GET /" + b"a" * 4000, 414),
    "one-field-too-large": (request("/", fields={"X": "y" * 2048}), 431),
    "too-many-fields": (request("/", fields={f"X{n}": "y" for n in range(20)}), 431),
    "head-without-end": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 4000, 431),
    "connect": (b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405),
    "unknown-method": (request("/", "BREW"), 501),
    "unknown-coding": (request("/", "POST", {"Transfer-Encoding": "gzip, chunked"}), 501),
    "http-2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http-3-digit": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_over_a_limit_is_refused_and_no_origin_sees_it(data: bytes, status: int) -> None:
    seen = Seen()
    async with origin(seen) as raw, plane(SMALL, o=raw.url) as proxy, proxy.client() as client:
        answer = await client.ask(data)
        assert (answer.status, answer.get("connection")) == (status, b"close")
        assert answer.get("cache-status") is None
        assert (answer.get("proxy-status") or b"").startswith(b"edgeproxy; error=http_request_error")
        assert answer.body.startswith(b"%d " % status)
        assert await client.closed()
        assert seen.heads == []


TOO_LONG = {
    "by-its-length": request("/", "POST", {"Content-Length": "1025"}),
    "by-its-chunks": (
        request("/", "POST", {"Transfer-Encoding": "chunked"}) + b"600\r\n" + b"x" * 0x600 + b"\r\n0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("data", TOO_LONG.values(), ids=TOO_LONG.keys())
async def test_a_body_over_the_limit_is_refused_and_no_origin_sees_it(data: bytes) -> None:
    async with origin(Seen()) as raw, plane(SMALL, o=raw.url) as proxy, proxy.client() as client:
        answer = await client.ask(data)
        assert answer.status == 413
        assert (answer.get("proxy-status") or b"").startswith(b"edgeproxy; error=http_request_error")
        assert raw.connections == 0


async def test_a_refusal_is_not_reset_away_by_what_the_client_still_sends() -> None:
    """Closed with bytes unread, the socket reset, and the client never saw the 431."""
    async with origin(Seen()) as raw, plane(SMALL, o=raw.url) as proxy, proxy.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nX: " + b"y" * 3_000_000)
        await client.send(b"y" * 1_000_000)
        assert (await client.answer()).status == 431


async def test_limits_hold_in_any_split_of_the_bytes() -> None:
    async with origin(Seen()) as raw, plane(SMALL, o=raw.url) as proxy:
        for data, status in (REFUSED["one-field-too-large"], REFUSED["malformed"]):
            async with proxy.client() as client:
                for at in range(0, len(data), 100):
                    client.writer.write(data[at : at + 100])
                    await asyncio.sleep(0)
                assert (await client.answer()).status == status


async def test_requests_before_a_bad_one_are_answered() -> None:
    async with origin(Seen()) as raw, plane(SMALL, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request() + request() + b"nonsense\r\n\r\n")
        assert [(await client.answer()).status for _ in range(3)] == [200, 200, 400]


async def test_a_chunked_body_that_grows_too_long_is_answered_413_and_its_origin_cut() -> None:
    ended = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.ended()
        ended.set()

    async with origin(script) as raw, plane(SMALL, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/", "POST", {"Transfer-Encoding": "chunked"}) + b"100\r\n")
        await client.send(b"x" * 0x100 + b"\r\n")
        await until(lambda: raw.connections == 1)
        await client.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        assert (await client.answer()).status == 413
        await ended.wait()
        assert proxy.busy_origins == 0


async def test_a_broken_chunk_is_answered_400_and_its_origin_cut() -> None:
    ended = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.ended()
        ended.set()

    async with origin(script) as raw, plane(SMALL, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/", "POST", {"Transfer-Encoding": "chunked"}) + b"1\r\nx\r\n")
        await until(lambda: raw.connections == 1)
        await client.send(b"oops\r\n")
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (400, b"close")
        await ended.wait()


class TestNumbers:
    async def test_one_connection_too_many_is_told_so(self) -> None:
        text = limited(max_connections=2)
        async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy:
            async with proxy.client() as one, proxy.client() as two:
                await one.ask(request())
                await two.ask(request())
                answer = await proxy.get()
                assert (answer.status, answer.get("connection")) == (503, b"close")
                assert answer.get("retry-after") == b"1"
                assert (await one.ask(request())).status == 200
            await until(lambda: proxy.connections == 0)
            assert (await proxy.get()).status == 200

    async def test_those_turned_away_keep_nobody_out(self) -> None:
        text = limited(max_connections=2)
        async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy:
            async with proxy.client() as one, proxy.client() as two, proxy.client() as three:
                await one.ask(request())
                await two.ask(request())
                assert (await three.answer()).status == 503
                await one.close()
                await until(lambda: proxy.connections == 1)
                assert (await proxy.get()).status == 200
                assert len(proxy.plane._listenings[b"http"].turned_away) == 1
            await until(lambda: not proxy.plane._listenings[b"http"].turned_away)

    async def test_one_client_s_connections_are_bounded(self) -> None:
        text = limited(max_connections_per_client=1)
        async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy:
            async with proxy.client() as one:
                await one.ask(request())
                answer = await proxy.get()
                assert (answer.status, answer.get("retry-after")) == (429, b"1")
            await until(lambda: proxy.connections == 0)
            assert (await proxy.get()).status == 200


class TestTimeouts:
    async def test_a_client_that_says_nothing_is_closed(self) -> None:
        async with (
            origin(Seen()) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            await until(lambda: proxy.connections == 1)
            await proxy.advance(11)
            assert await client.closed()

    async def test_empty_lines_buy_no_time(self) -> None:
        async with (
            origin(Seen()) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            await client.send(b"\r\n")
            await until(lambda: proxy.connections == 1)
            await proxy.advance(11)
            assert await client.closed()

    async def test_a_head_that_drips_has_one_deadline(self) -> None:
        async with (
            origin(Seen()) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            await client.send(b"GET / HTTP/1.1\r\n")
            (connection,) = await _connections(proxy, 1)
            for number in range(4):
                await until(lambda n=number: len(connection._intake) == 16 + 6 * n)  # type: ignore[misc]
                await proxy.advance(3)
                await client.send(b"X: y\r\n")
            answer = await client.answer()
            assert (answer.status, answer.get("connection")) == (408, b"close")
            assert await client.closed()

    async def test_a_body_that_stalls_is_answered_408_and_its_origin_freed(self) -> None:
        ended = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.ended()
            ended.set()

        async with (
            origin(script) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            await client.send(request("/", "POST", {"Content-Length": "10"}) + b"abc")
            await until(lambda: raw.connections == 1)
            await proxy.advance(31)
            answer = await client.answer()
            assert (answer.status, answer.get("connection")) == (408, b"close")
            assert await client.closed()
            await ended.wait()

    async def test_an_idle_connection_is_closed_and_one_in_use_is_not(self) -> None:
        release = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await release.wait()
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await talk.ended()

        async with (
            origin(script) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            await client.send(request())
            await until(lambda: raw.connections == 1)
            await proxy.advance(20)  # the origin's own clock runs as ever
            release.set()
            assert (await client.answer()).status == 200
            await proxy.advance(70)
            assert proxy.connections == 1
            await proxy.advance(10)
            assert await client.closed()

    async def test_a_hit_keeps_the_connection_past_the_first_deadline(self) -> None:
        """Answered by the fast path alone, a connection counted as one that never asked."""
        seen = Seen(fields=("Cache-Control: max-age=1000",))
        async with origin(seen) as raw, plane(clock=HandClock(), o=raw.url) as proxy:
            await proxy.get()
            async with proxy.client() as client:
                await client.ask(request())
                await proxy.advance(30)
                assert (await client.ask(request())).status == 200
                assert len(seen.heads) == 1

    async def test_a_client_that_takes_nothing_is_cut(self) -> None:
        ended = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            try:
                while True:
                    await talk.send(b"x" * 100_000)
            finally:
                ended.set()

        async with (
            origin(script) as raw,
            plane(UNCACHED, clock=HandClock(), o=raw.url) as proxy,
            proxy.client(receive_buffer=4096, limit=4096) as client,
        ):
            await client.send(request())
            await until(lambda: bool(proxy.plane._listenings[b"http"].stalled))
            await _settled(proxy)
            await proxy.advance(30)
            assert proxy.connections == 1
            await proxy.advance(31)
            await until(lambda: proxy.connections == 0)
            await ended.wait()
            assert proxy.busy_origins == 0

    @pytest.mark.parametrize("connection", ["close", "keep-alive"])
    async def test_the_tail_of_a_response_does_not_wait_for_ever(self, connection: str) -> None:
        """Closed, but never flushed, the connection of a client that reads nothing stayed for good."""
        seen = Seen(body=b"x" * 150_000)  # less than a write buffer holds, more than the sockets do
        async with origin(seen) as raw, plane(clock=HandClock(), o=raw.url) as proxy:
            proxy.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            async with proxy.client(receive_buffer=4096, limit=4096) as client:
                await client.send(request(fields={"Connection": connection}))
                (one,) = await _connections(proxy, 1)
                await until(lambda: bool(seen.heads) and one.exchange is None)
                assert one._transport.get_write_buffer_size() > 0
                await proxy.advance(76)
                assert one.phase is Phase.CLOSED
                await proxy.advance(61)
                await until(lambda: proxy.connections == 0)

    async def test_a_farewell_has_its_time(self) -> None:
        async with (
            origin(Seen()) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
            assert proxy.connections == 1
            await proxy.advance(6)
            await until(lambda: proxy.connections == 0)

    async def test_a_body_read_past_its_answer_has_its_time(self) -> None:
        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

        async with (
            origin(script) as raw,
            plane(clock=HandClock(), o=raw.url) as proxy,
            proxy.client() as client,
        ):
            answer = await client.ask(request("/", "POST", {"Content-Length": "10"}) + b"a")
            assert answer.status == 403
            for _ in range(3):
                await client.send(b"b")
                await proxy.advance(2)
            assert await client.closed()

    async def test_tls_handshakes_have_their_time(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        with (
            certificate.private_key_pem.tempfile() as key,
            certificate.cert_chain_pems[0].tempfile() as chain,
        ):
            text = limited(PLAIN, header_timeout="50ms").replace(
                '"127.0.0.1:0"', f'[{{address: "127.0.0.1:0", tls: {{certificate: {chain}, key: {key}}}}}]'
            )
            async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
                assert await client.closed()  # it sent no hello


async def _connections(proxy, number: int):  # type: ignore[no-untyped-def]
    listening = proxy.plane._listenings[b"http"]
    await until(lambda: len(listening.connections) == number)
    return tuple(listening.connections)


async def _settled(proxy) -> None:  # type: ignore[no-untyped-def]
    """Wait until the client's socket takes no more."""
    (connection,) = proxy.plane._listenings[b"http"].connections
    sizes = [-1, -2, -3]
    while len(set(sizes[-3:])) > 1:
        await asyncio.sleep(0.02)
        sizes.append(connection._transport.get_write_buffer_size())
    proxy.sweep()
