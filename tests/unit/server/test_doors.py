"""Listening sockets opened, adopted from a sibling, and left to it again."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.config.model import Listener
from edgeproxy.server.doors import Doors
from edgeproxy.server.tls import TlsFileError
from tests.integration.raw_origins import until
from tests.plane import Proxy, plane, request

NOBODY = "http://127.0.0.1:1"


def listening_socket() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def listener() -> Listener:
    text = "server: {listen: '127.0.0.1:0'}\nupstreams: {}\nroutes: []"
    return load_text(text + "\n").server.listen[0]


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[Proxy, Doors]]:
    async with plane(o=NOBODY) as proxy:
        yield proxy, proxy.plane._doors


async def accepts(sock: socket.socket) -> bool:
    """Whether somebody answers there; a refused request is answer enough."""
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    try:
        writer.write(request())
        async with asyncio.timeout(0.5):
            return bool(await reader.read(1))
    except TimeoutError:
        return False
    finally:
        writer.close()


async def test_an_adopted_socket_is_served_and_left_open_in_the_end() -> None:
    with listening_socket() as sock:
        async with running() as (proxy, doors):
            own = proxy.config.server.listen[0]
            doors.adopt([(sock, own)])
            doors.adopt([(sock, own)])
            await until(lambda: repr(doors) == "<Doors 2 open>")
            assert await accepts(sock)
            doors.release([(sock, own)])
            assert repr(doors) == "<Doors 1 open>"
            assert sock.fileno() >= 0
            assert not await accepts(sock)


async def test_a_socket_released_while_it_is_adopted_stays_released() -> None:
    with listening_socket() as sock:
        async with running() as (proxy, doors):
            own = proxy.config.server.listen[0]
            doors.adopt([(sock, own)])
            doors.release([(sock, own)])
            await until(lambda: not doors._tasks)
            assert repr(doors) == "<Doors 1 open>"
            doors.adopt([(sock, own)])
            await asyncio.sleep(0)
            doors.release([(sock, own)])
            await until(lambda: not doors._tasks)
            assert repr(doors) == "<Doors 1 open>"


async def test_a_drained_worker_adopts_nothing() -> None:
    with listening_socket() as sock:
        async with running() as (proxy, doors):
            doors.close()
            doors.adopt([(sock, proxy.config.server.listen[0])])
            await until(lambda: not doors._tasks)
            assert repr(doors) == "<Doors 1 open>"


async def test_a_certificate_that_is_gone_is_told_and_leaves_no_socket(
    caplog: pytest.LogCaptureFixture, tmp_path: object
) -> None:
    with listening_socket() as sock:
        async with running() as (proxy, doors):
            own = proxy.config.server.listen[0]
            tls = own.model_copy(
                update={"tls": type("Tls", (), {"certificate": f"{tmp_path}/c", "key": f"{tmp_path}/k"})()}
            )
            with pytest.raises(TlsFileError):
                await doors.open([(sock, tls)])
            doors.adopt([(sock, tls)])
            await until(lambda: not doors._tasks)
            assert "cannot stand in for a sibling" in caplog.text
