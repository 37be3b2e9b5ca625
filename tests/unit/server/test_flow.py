"""Flow control of a client connection, over a real socket pair."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from edgeproxy.server.flow import Flow
from edgeproxy.server.phase import Hold


@contextlib.asynccontextmanager
async def transport() -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    here, there = socket.socketpair()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    made, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    with there:
        yield made, there
        made.abort()
        await asyncio.sleep(0)


async def test_reading_goes_on_once_no_reason_is_left() -> None:
    async with transport() as (made, _):
        flow = Flow(made)
        flow.hold(Hold.BODY)
        flow.hold(Hold.BODY)
        flow.hold(Hold.WRITE)
        assert not made.is_reading()
        assert not flow.release(Hold.PIPELINE)
        assert not flow.release(Hold.BODY)
        assert not made.is_reading()
        assert flow.release(Hold.WRITE)
        assert made.is_reading()


async def test_a_closing_transport_is_left_alone() -> None:
    async with transport() as (made, _):
        flow = Flow(made)
        made.close()
        flow.hold(Hold.OVER)
        assert not flow.release(Hold.OVER)


async def test_progress_is_bytes_taken() -> None:
    async with transport() as (made, there):
        flow = Flow(made)
        made.write(b"x" * 1_000_000)
        flow.measure()
        assert not flow.progressed()
        there.setblocking(False)
        left = made.get_write_buffer_size()
        while made.get_write_buffer_size() == left:
            with contextlib.suppress(BlockingIOError):
                there.recv(65536)
            await asyncio.sleep(0)
        assert flow.progressed()
