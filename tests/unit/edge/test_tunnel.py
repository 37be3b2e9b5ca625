"""Two transports joined, over real socket pairs."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from edgeproxy.edge.tunnel import Tunnels
from tests.integration.raw_origins import until


class Clock:
    now = 0.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class Pair:
    """The far ends of a tunnel, and what holds it."""

    tunnels: Tunnels
    clock: Clock
    client: asyncio.StreamWriter
    from_client: asyncio.StreamReader
    origin: asyncio.StreamWriter
    from_origin: asyncio.StreamReader


async def near(small: bool) -> tuple[asyncio.Transport, asyncio.StreamReader, asyncio.StreamWriter]:
    here, there = socket.socketpair()
    if small:
        for each in (here, there):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    reader, writer = await asyncio.open_connection(sock=there, limit=4096)
    return transport, reader, writer


@contextlib.asynccontextmanager
async def joined(early: tuple[bytes, bytes] = (b"", b""), small: bool = False) -> AsyncIterator[Pair]:
    clock = Clock()
    tunnels = Tunnels(clock)
    client, client_reader, client_writer = await near(small)
    origin, origin_reader, origin_writer = await near(small)
    client.pause_reading()
    tunnels.join((client, early[0]), (origin, early[1]), 10.0)
    yield Pair(tunnels, clock, client_writer, client_reader, origin_writer, origin_reader)
    for writer in (client_writer, origin_writer):
        writer.close()
    await until(lambda: not tunnels)


async def test_bytes_pass_both_ways_early_ones_first() -> None:
    async with joined((b"hello ", b"welcome ")) as pair:
        pair.client.write(b"origin")
        pair.origin.write(b"client")
        assert await pair.from_origin.readexactly(12) == b"hello origin"
        assert await pair.from_client.readexactly(14) == b"welcome client"
        assert len(pair.tunnels) == 1


async def test_a_side_that_ends_leaves_the_other_to_end() -> None:
    async with joined() as pair:
        pair.client.write_eof()
        assert await pair.from_origin.read() == b""
        pair.origin.write(b"last words")
        pair.origin.write_eof()
        assert await pair.from_client.read() == b"last words"
        await until(lambda: not pair.tunnels)


async def test_what_is_written_comes_out_before_the_end() -> None:
    async with joined() as pair:
        pair.origin.write(b"x" * 100_000)
        pair.origin.close()
        assert len(await pair.from_client.read()) == 100_000
        pair.client.close()


async def test_a_quiet_tunnel_is_ended_though_one_side_takes_nothing() -> None:
    """Closed, it waited for that side for ever, out of sight of every sweep."""
    async with joined(small=True) as pair:
        pair.origin.write(b"x" * 1_000_000)
        (tunnel,) = pair.tunnels._open
        await until(lambda: not tunnel.origin.transport.is_reading())
        pair.origin.close()
        pair.clock.now = 5
        pair.tunnels.sweep()
        assert len(pair.tunnels) == 1
        pair.clock.now = 20
        pair.tunnels.sweep()
        await until(lambda: not pair.tunnels)


async def test_bytes_keep_a_tunnel_open() -> None:
    async with joined() as pair:
        for now in (8.0, 16.0, 24.0):
            pair.clock.now = now
            pair.tunnels.sweep()
            pair.client.write(b"x")
            assert await pair.from_origin.readexactly(1) == b"x"
        assert len(pair.tunnels) == 1


async def test_a_side_gone_before_they_are_joined_ends_the_other() -> None:
    tunnels = Tunnels(Clock())
    client, _, client_writer = await near(False)
    origin, origin_reader, origin_writer = await near(False)
    client.abort()
    await asyncio.sleep(0)
    tunnels.join((client, b"early"), (origin, b""), 10.0)
    assert await origin_reader.read() == b""
    for writer in (client_writer, origin_writer):
        writer.close()
    await until(lambda: not tunnels)


async def test_all_are_closed_at_once() -> None:
    async with joined() as pair:
        pair.tunnels.close()
        assert await pair.from_client.read() == b""
        assert await pair.from_origin.read() == b""
        assert repr(pair.tunnels) == "<Tunnels 0>"
