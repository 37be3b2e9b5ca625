"""TLS listeners, upgrades and unix sockets through the whole proxy, with real clients."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.integration.raw_origins import RawOrigin, Talk, origin, until
from tests.plane import PLAIN, UNCACHED, HandClock, Seen, plane, read_request, request

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"
UPGRADE = {"Connection": "upgrade", "Upgrade": "echo"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_text(authority: trustme.CA) -> Iterator[str]:
    """A configuration with a plain listener and one with TLS."""
    certificate = authority.issue_cert("localhost", "shop.test")
    with (
        certificate.private_key_pem.tempfile() as key,
        certificate.cert_chain_pems[0].tempfile() as chain,
    ):
        listen = f'["127.0.0.1:0", {{address: "127.0.0.1:0", tls: {{certificate: {chain}, key: {key}}}}}]'
        yield PLAIN.replace('"127.0.0.1:0"', listen)


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TestTls:
    async def test_requests_and_bodies_pass(self, tls_text: str, trusting: ssl.SSLContext) -> None:
        seen = Seen(body=b"x" * 1_000_000, fields=("Cache-Control: max-age=100",))
        async with origin(seen) as raw, plane(tls_text, o=raw.url) as proxy:
            async with proxy.client(tls=trusting, listener=1) as client:
                for _ in range(3):
                    assert (await client.ask(request())).body == b"x" * 1_000_000
                answer = await client.ask(request("/", "POST", body=b"y" * 1_000_000))
                assert answer.status == 200
                assert seen.bodies[-1] == b"y" * 1_000_000
            assert b"X-Forwarded-Proto: https" in seen.heads[0]
            # https and http are two keys.
            assert b"fwd=uri-miss" in (await proxy.get()).cache_status

    async def test_only_http_11_is_offered_and_old_tls_refused(
        self, tls_text: str, trusting: ssl.SSLContext
    ) -> None:
        async with origin(Seen()) as raw, plane(tls_text, o=raw.url) as proxy:
            trusting.set_alpn_protocols(["h2", "http/1.1"])
            async with proxy.client(tls=trusting, listener=1) as client:
                tls = client.writer.get_extra_info("ssl_object")
                assert tls.selected_alpn_protocol() == "http/1.1"
                assert tls.version() == "TLSv1.3"

    async def test_plain_http_on_a_tls_port_ends_quickly(self, tls_text: str) -> None:
        async with origin(Seen()) as raw, plane(tls_text, o=raw.url) as proxy:
            async with proxy.client(listener=1) as client:
                await client.send(request())
                await client.rest()
            assert raw.connections == 0
            assert (await proxy.get()).status == 200

    async def test_a_refusal_arrives(self, tls_text: str, trusting: ssl.SSLContext) -> None:
        async with (
            origin(Seen()) as raw,
            plane(tls_text, o=raw.url) as proxy,
            proxy.client(tls=trusting, listener=1) as client,
        ):
            assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
            assert await client.closed()

    async def test_a_truncated_body_is_cut(self, tls_text: str, trusting: ssl.SSLContext) -> None:
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
        script = Seen(raw=data, close=True)
        async with origin(script) as raw, plane(tls_text, o=raw.url) as proxy:
            async with proxy.client(tls=trusting, listener=1) as client:
                await client.send(request())
                assert not (await client.rest()).endswith(b"helloworld")
            await proxy.quiet()

    async def test_a_slow_reader_holds_the_origin_back(self, tls_text: str, trusting: ssl.SSLContext) -> None:
        sent = 0

        async def script(talk: Talk) -> None:
            nonlocal sent
            await talk.head()
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
            for _ in range(300):
                await talk.send(b"x" * 100_000)
                sent += 100_000
            await talk.ended()

        text = tls_text.replace("upstream: o}", "upstream: o, cache: {enabled: false}}")
        async with (
            origin(script) as raw,
            plane(text, o=raw.url) as proxy,
            proxy.client(tls=trusting, listener=1, receive_buffer=4096, limit=4096) as client,
        ):
            await client.send(request())
            await until(lambda: bool(proxy.plane._listenings[b"https"].stalled))
            (connection,) = proxy.plane._listenings[b"https"].stalled
            assert connection._transport.get_write_buffer_size() < 3_000_000
            assert sent < 29_000_000
            head = await client.head()
            assert head.get("content-length") == b"30000000"
            assert await client.exactly(30_000_000) == b"x" * 30_000_000


@contextlib.asynccontextmanager
async def echo_server(*subprotocols: str) -> AsyncIterator[str]:
    async def echo(socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                if message == "leave":
                    await socket.close(4001, "as asked")
                await socket.send(message)

    offered = [websockets.Subprotocol(name) for name in subprotocols] or None
    async with serve(echo, "127.0.0.1", 0, subprotocols=offered, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


class TestWebSocket:
    async def test_messages_pass_both_ways(self) -> None:
        async with (
            echo_server("chat") as url,
            plane(o=url) as proxy,
            connect(
                f"ws://127.0.0.1:{proxy.port}/ws",
                subprotocols=[websockets.Subprotocol("chat")],
                max_size=None,
                proxy=None,
            ) as client,
        ):
            assert client.subprotocol == "chat"
            for message in ("hello", b"\0\xff", "x" * 2_000_000):
                await client.send(message)
                assert await client.recv() == message
            assert len(proxy.plane._tunnels) == 1

    async def test_a_close_code_passes(self) -> None:
        async with echo_server() as url, plane(o=url) as proxy:
            async with connect(f"ws://127.0.0.1:{proxy.port}/", proxy=None) as client:
                await client.send("leave")
                with pytest.raises(ConnectionClosed) as caught:
                    await client.recv()
                assert caught.value.rcvd is not None
                assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as asked")
            await proxy.quiet()

    async def test_over_tls(self, tls_text: str, trusting: ssl.SSLContext) -> None:
        async with echo_server() as url, plane(tls_text, o=url) as proxy:
            port = proxy.sockets[1].getsockname()[1]
            async with connect(f"wss://localhost:{port}/", ssl=trusting, proxy=None) as client:
                await client.send("hello")
                assert await client.recv() == "hello"

    async def test_many_at_once_leave_nothing(self) -> None:
        async def one(port: int, number: int) -> None:
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
                await client.send(str(number))
                assert await client.recv() == str(number)

        async with echo_server() as url, plane(o=url) as proxy:
            await asyncio.gather(*(one(proxy.port, number) for number in range(30)))
            await proxy.quiet()


class TestUpgrades:
    async def test_early_bytes_of_both_sides_arrive(self) -> None:
        async def script(talk: Talk) -> None:
            head = await talk.head()
            assert b"Upgrade: echo" in head
            assert b"Connection: upgrade" in head
            await talk.send(SWITCH + b"hi")
            while data := await talk.reader.read(1000):
                await talk.send(data.upper())

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(request(fields=UPGRADE) + b"early")
            answer = await client.answer()
            assert (answer.status, answer.get("upgrade"), answer.get("connection")) == (
                101,
                b"echo",
                b"upgrade",
            )
            assert await client.exactly(7) == b"hiEARLY"
            await client.send(b"late")
            assert await client.exactly(4) == b"LATE"
            client.half_close()
            assert await client.closed()

    async def test_an_origin_that_declines_answers_as_ever(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                assert (await client.ask(request(fields=UPGRADE))).body == b"hello"

    async def test_http_2_in_the_clear_is_not_asked_for(self) -> None:
        """Through such a tunnel, requests would pass no rule of ours."""
        seen = Seen()
        async with origin(seen) as raw, plane(o=raw.url) as proxy:
            fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMA"}
            assert (await proxy.get(fields=fields)).status == 200
            assert b"pgrade" not in seen.heads[0]

    async def test_each_side_goes_at_the_pace_of_the_other(self) -> None:
        sent = 0

        async def script(talk: Talk) -> None:
            nonlocal sent
            await talk.head()
            await talk.send(SWITCH)
            for _ in range(300):
                await talk.send(b"x" * 100_000)
                sent += 100_000
            await talk.ended()

        async with (
            origin(script) as raw,
            plane(o=raw.url) as proxy,
            proxy.client(receive_buffer=4096, limit=4096) as client,
        ):
            await client.send(request(fields=UPGRADE))
            await until(lambda: len(proxy.plane._tunnels) == 1)
            (tunnel,) = proxy.plane._tunnels._open
            await until(lambda: not tunnel.origin.transport.is_reading())
            assert tunnel.client.transport.get_write_buffer_size() < 1_000_000
            assert sent < 29_000_000
            assert (await client.head()).status == 101
            assert await client.exactly(30_000_000) == b"x" * 30_000_000

    async def test_a_quiet_one_is_closed_after_its_time_and_no_earlier(self) -> None:
        text = UNCACHED.replace("origins:", "timeouts: {between_bytes: 1s, idle: 100s}, origins:")

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(SWITCH)
            await talk.ended()

        async with origin(script) as raw, plane(text, clock=HandClock(), o=raw.url) as proxy:
            async with proxy.client() as client:
                await client.ask(request(fields=UPGRADE))
                await until(lambda: len(proxy.plane._tunnels) == 1)
                await proxy.advance(90)
                assert len(proxy.plane._tunnels) == 1
                await proxy.advance(20)
                await client.rest()
            await until(lambda: raw.open == 0)

    @pytest.mark.parametrize("who", ["client", "origin"])
    async def test_either_side_that_resets_ends_both(self, who: str) -> None:
        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(SWITCH)
            if who == "origin":
                await talk.reader.readexactly(2)
                talk.reset()
            await talk.ended()

        async with origin(script) as raw, plane(o=raw.url) as proxy:
            async with proxy.client() as client:
                await client.ask(request(fields=UPGRADE))
                await client.send(b"go")
                if who == "client":
                    client.reset()
                await client.rest()
            await proxy.quiet()
            await until(lambda: raw.open == 0)
            await until(lambda: proxy.busy_origins == 0)

    async def test_a_client_that_leaves_before_the_switch_frees_the_origin(self) -> None:
        freed = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.ended()
            freed.set()

        async with origin(script) as raw, plane(o=raw.url) as proxy:
            async with proxy.client() as client:
                await client.send(request(fields=UPGRADE))
                await until(lambda: raw.connections == 1)
                client.reset()
            await freed.wait()

    async def test_a_drain_gives_tunnels_their_time_and_then_closes_them(self) -> None:
        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(SWITCH)
            while data := await talk.reader.read(1000):
                await talk.send(data)

        async with origin(script) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.ask(request(fields=UPGRADE))
            draining = asyncio.ensure_future(proxy.plane.drain(0.5))
            await client.send(b"still here")
            assert await client.exactly(10) == b"still here"
            await client.rest()
            await draining


async def test_an_origin_behind_a_unix_socket(tmp_path: Path) -> None:
    seen = Seen()
    raw = RawOrigin(seen)
    await raw.start_unix(tmp_path / "app.sock")
    try:
        async with plane(o=f"unix:{tmp_path}/app.sock") as proxy:
            answer = await proxy.ask(request("/", "POST", body=b"question"))
            assert (answer.body, seen.bodies) == (b"hello", [b"question"])
    finally:
        await raw.stop()


async def test_an_https_origin(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def script(talk: Talk) -> None:
        while True:
            _, body = await read_request(talk)
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    text = UNCACHED.replace("origins:", f"tls: {{ca: {tmp_path}/ca.pem, server_name: localhost}}, origins:")
    async with origin(script, tls=context) as raw, plane(text, o=f"https://{raw.address}") as proxy:
        answer = await proxy.ask(request("/", "POST", body=b"q" * 500_000))
        assert answer.body == b"q" * 500_000
