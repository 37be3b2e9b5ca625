"""Large bodies through the whole proxy: whatever their size, they cost a bounded buffer."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.integration.raw_origins import Talk, origin, until
from tests.plane import PLAIN, UNCACHED, Proxy, RawClient, plane, request

SIZE = 256 << 20
PIECE = b"x" * (256 << 10)
BOUND = 32 << 20
"""Bytes by which the process may grow; this one holds origin and client as well."""


def resident() -> int:
    """Bytes of memory that this process has now."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


class Large:
    """An origin that sends `SIZE` bytes as asked for by the target, or takes them."""

    async def __call__(self, talk: Talk) -> None:
        talk.writer.transport.set_write_buffer_limits(256 << 10)
        while True:
            head = await talk.head()
            if head.startswith(b"POST"):
                left = SIZE
                while left:
                    left -= len(await talk.reader.read(min(left, 256 << 10)))
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            chunked = b"/chunked" in head
            how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % SIZE
            await talk.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n" + how + b"\r\n\r\n")
            for _ in range(SIZE // len(PIECE)):
                await talk.send(b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            if chunked:
                await talk.send(b"0\r\n\r\n")


async def swallow(client: RawClient, size: int) -> int:
    """Read that many bytes, and forget them; the most memory that was in use meanwhile."""
    most = left = 0
    left = size
    turns = 0
    while left > 0:
        async with asyncio.timeout(20):
            piece = await client.reader.read(256 << 10)
        assert piece, "cut short"
        left -= len(piece)
        turns += 1
        if turns % 64 == 0:
            most = max(most, resident())
    return most


@pytest.mark.slow
@pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cacheable", "uncacheable"])
@pytest.mark.parametrize("target", ["/chunked", "/length"])
async def test_a_large_response_costs_a_bounded_buffer(text: str, target: str) -> None:
    async with origin(Large()) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request(target))
        await client.head()
        before = resident()
        most = await swallow(client, SIZE)
        assert most - before < BOUND
        assert proxy.plane.snapshot()["memory"]["responses"] == 0


@pytest.mark.slow
async def test_a_large_request_costs_a_bounded_buffer() -> None:
    text = UNCACHED.replace("server: {", "server: {limits: {max_body_size: 1GiB}, ")
    async with origin(Large()) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/", "POST", {"Content-Length": str(SIZE)}))
        before = most = resident()
        for number in range(SIZE // len(PIECE)):
            await client.send(PIECE)
            if number % 64 == 0:
                most = max(most, resident())
        assert (await client.answer()).status == 200
        assert most - before < BOUND


async def waiting(proxy: Proxy) -> tuple[int, int]:
    """What waits for a client that takes nothing: in its write buffer, and in the fill."""
    (listening,) = (each for each in proxy.plane._listenings.values() if each.connections)
    await until(lambda: bool(listening.stalled))
    fills = proxy.plane._fetcher.fills
    await until(lambda: all(fill._paused for fill in fills))
    (connection,) = listening.stalled
    return connection._transport.get_write_buffer_size(), sum(fill._kept for fill in fills)


@pytest.mark.parametrize("target", ["/chunked", "/length"])
@pytest.mark.parametrize("kept", [16 << 20, 0], ids=["cacheable", "uncacheable"])
async def test_a_client_that_takes_nothing_holds_the_origin_back(target: str, kept: int) -> None:
    text = PLAIN if kept else UNCACHED
    async with (
        origin(Large()) as raw,
        plane(text, o=raw.url) as proxy,
        proxy.client(receive_buffer=4096, limit=4096) as client,
    ):
        await client.send(request(target))
        written, held = await waiting(proxy)
        assert written <= 1 << 20
        assert held <= kept + (1 << 20)
        client.reset()
        await proxy.quiet()


async def test_two_readers_of_a_fill_too_large_to_keep_go_at_their_own_pace() -> None:
    """The faster is not held by the slower, and the slower not fed without bound: it is cut."""
    async with (
        origin(Large()) as raw,
        plane(o=raw.url) as proxy,
        proxy.client(receive_buffer=4096, limit=4096) as slow,
        proxy.client() as fast,
    ):
        await slow.send(request("/chunked"))
        await until(lambda: bool(proxy.plane._fetcher.fills))
        await fast.send(request("/chunked"))
        await fast.head()
        assert raw.connections == 1
        left = 64 << 20
        while left > 0:
            left -= len(await fast.reader.read(256 << 10))
        (fill,) = proxy.plane._fetcher.fills
        assert fill._kept <= 8 << 20 | 1 << 20
        assert len(fill.readers) == 1
        fast.reset()
        slow.reset()
        await proxy.quiet()
