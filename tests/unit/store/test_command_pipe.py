"""One connection for many: replies go to who asked, and every fault ends in an exception for who waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import RedisError, ResponseError

from edgeproxy.store.command_pipe import CommandPipe, PipeFull
from edgeproxy.store.redis_connect import connector, place
from edgeproxy.store.redis_faults import REDIS_ERRORS, breaks, explain, is_full, is_wrong_type
from edgeproxy.store.redis_writer import RedisWriter
from edgeproxy.store.tier import Fault
from edgeproxy.store.write_queue import Discard, WriteQueue
from tests.redis_server import RedisServer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """A server that talks as told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    finally:
        listener.close()
        await listener.wait_closed()


async def command(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
    """Read one command; the client library's own greetings are answered on the way."""
    while True:
        count = int((await reader.readuntil(b"\r\n"))[1:])
        parts = []
        for _ in range(count):
            length = int((await reader.readuntil(b"\r\n"))[1:])
            parts.append((await reader.readexactly(length + 2))[:-2])
        if parts[0] != b"CLIENT":
            return parts
        writer.write(b"+OK\r\n")


@asynccontextmanager
async def pipe_to(url: str, **options: Any) -> AsyncIterator[CommandPipe]:
    pipe = CommandPipe(connector(url, 5.0, 5.0), **options)
    pipe.start()
    try:
        yield pipe
    finally:
        await pipe.close()


async def test_replies_go_to_who_asked(redis_server: RedisServer) -> None:
    async with pipe_to(redis_server.url) as pipe:
        replies = await asyncio.gather(*(pipe.send("ECHO", b"%d" % number) for number in range(500)))
        assert replies == [b"%d" % number for number in range(500)]


async def test_on_a_loop_that_is_late_again_and_again_an_answer_in_the_socket_is_in_time(
    redis_server: RedisServer,
) -> None:
    loop = asyncio.get_running_loop()

    def busy(turns: int) -> None:
        time.sleep(0.1)
        if turns:
            loop.call_soon(busy, turns - 1)

    async with pipe_to(redis_server.url) as pipe:
        await pipe.send("PING")
        asked = pipe.ask((("PING",),), 0.05)
        busy(3)  # it is overdue before it is even sent
        assert await asked == [b"PONG"]


async def test_error_reply_is_raised_and_the_next_is_answered(redis_server: RedisServer) -> None:
    async with pipe_to(redis_server.url) as pipe:
        bad, good = pipe.send("NO-SUCH-COMMAND"), pipe.send("PING")
        with pytest.raises(ResponseError, match="unknown command"):
            await bad
        assert await good == b"PONG"


async def test_given_up_before_it_was_sent_it_is_not_sent(redis_server: RedisServer) -> None:
    async with pipe_to(redis_server.url) as pipe:
        pipe.send("SET", "k", "v").cancel()
        assert await pipe.send("GET", "k") is None


async def test_waiting_commands_are_bounded(redis_server: RedisServer) -> None:
    async with pipe_to(redis_server.url, max_waiting=2) as pipe:
        asked = [pipe.send("PING"), pipe.send("PING")]
        with pytest.raises(PipeFull):
            pipe.send("PING")
        await asyncio.gather(*asked)
        assert await pipe.send("PING") == b"PONG"


async def test_connection_that_breaks_between_replies_fails_those_not_answered() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await command(reader, writer)
        writer.write(b"+ready\r\n")
        await command(reader, writer)
        writer.write(b"+first\r\n")

    async with server(talk) as url, pipe_to(url) as pipe:
        assert await pipe.send("PING") == b"ready"
        first, second = pipe.send("A"), pipe.send("B")
        assert await first == b"first"
        with pytest.raises(RedisError):
            await second


async def test_connection_closed_while_idle_is_opened_again() -> None:
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await command(reader, writer)
        writer.write(b"+once\r\n")
        await writer.drain()
        writer.close()
        closed.set()

    async with server(talk) as url, pipe_to(url) as pipe:
        assert await pipe.send("A") == b"once"
        await closed.wait()
        assert await pipe.send("B") == b"once"


async def test_answer_that_is_not_redis_is_a_fault() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await command(reader, writer)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with server(talk) as url, pipe_to(url) as pipe:
        with pytest.raises(REDIS_ERRORS):
            await pipe.send("PING")


async def test_unexpected_fault_of_the_library_does_not_end_the_pipe(redis_server: RedisServer) -> None:
    connect = connector(redis_server.url, 5.0, 5.0)
    faults = [TypeError("a fault of the library")]

    def faulty() -> Any:
        if faults:
            raise faults.pop()
        return connect()

    pipe = CommandPipe(faulty)
    pipe.start()
    with pytest.raises(ConnectionError, match="fault of the library"):
        await pipe.send("PING")
    assert await pipe.send("PING") == b"PONG"
    await pipe.close()


async def test_close_fails_who_waits() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await command(reader, writer)

    async with server(talk) as url, pipe_to(url) as pipe:
        under_way = pipe.send("A")
        for _ in range(20):
            await asyncio.sleep(0)
        waiting = pipe.send("B")
        await pipe.close()
        for future in (under_way, waiting):
            with pytest.raises(ConnectionError):
                await future


async def test_close_without_start_is_harmless() -> None:
    await CommandPipe(connector("redis://127.0.0.1:1/0", 1.0, 1.0)).close()


async def test_writer_counts_what_a_full_pipe_does_not_take() -> None:
    outcomes: list[Exception | None] = []
    available = asyncio.Event()
    available.set()
    pipe = CommandPipe(connector("redis://127.0.0.1:1/0", 1.0, 1.0), max_waiting=0)
    writer = RedisWriter(pipe, bytes, 64, 0, WriteQueue(10, 100), available, outcomes.append)
    writer.start()
    writer.add(Discard(b"k", b""))
    await writer.flush()
    await writer.close(0)
    assert [type(outcome) for outcome in outcomes] == [PipeFull]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@h:6379/0", "redis://h:6379/0"),
        ("redis://:p%40ss@h/0?password=secret", "redis://h/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_place_shows_no_password(url: str, shown: str) -> None:
    assert place(url) == shown


@pytest.mark.parametrize(
    ("error", "fault", "does_break"),
    [
        (ResponseError("OOM command not allowed"), Fault.FULL, False),
        (ResponseError("Error running script: -OOM command not allowed"), Fault.FULL, False),
        (ResponseError("NOPERM"), Fault.REFUSED, False),
        (PipeFull("1 waits"), Fault.BUSY, False),
        (TimeoutError("late"), Fault.TIMEOUT, True),
        (ConnectionResetError("gone"), Fault.UNREACHABLE, True),
    ],
)
def test_faults_are_told_apart(error: Exception, fault: Fault, does_break: bool) -> None:
    found, sentence = explain(error)
    assert found is fault
    assert sentence
    assert breaks(found) is does_break
    assert is_full(error) is (fault is Fault.FULL)
    assert not is_wrong_type(error)
