"""Origins made of raw sockets, each behaving as its script says."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from edgeproxy.upstream.build import make_upstream
from edgeproxy.upstream.settings import OriginSettings, UpstreamSettings
from edgeproxy.upstream.upstream import Upstream


class Talk:
    """One connection as the origin sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def head(self) -> bytes:
        """Read one request's head."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ended(self) -> bytes:
        """Wait until the other side ends the connection; what it sent until then comes back."""
        try:
            return await self.reader.read(-1)
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection by RST."""
        sock = self.writer.get_extra_info("socket")
        fd = socket.fromfd(sock.fileno(), sock.family, sock.type)
        fd.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        fd.close()
        self.writer.transport.abort()


Script = Callable[[Talk], Awaitable[None]]


class RawOrigin:
    """A listening socket whose connections each run `script`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self.open = 0
        self.address = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._connected, host, port, ssl=tls)
        name = self._server.sockets[0].getsockname()
        self.address = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    async def start_unix(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(self._connected, path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.create_task(self._serve(Talk(reader, writer, self.connections)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, talk: Talk) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.script(talk)
        finally:
            self.open -= 1
            talk.close()


@contextlib.asynccontextmanager
async def origin(script: Script, **where: object) -> AsyncIterator[RawOrigin]:
    """A running origin."""
    running = RawOrigin(script)
    await running.start(**where)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        await running.stop()


class Records:
    """A Recorder that keeps."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, int | str]] = []
        self.ejections: list[tuple[str, str]] = []
        self.panics: list[bool] = []
        self.retries: list[bool] = []
        self.hedges: list[bool] = []
        self.overloads = 0
        self.limits: dict[str, int] = {}

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        assert seconds >= 0
        self.tries.append((origin, code))

    def ejected(self, upstream: str, origin: str, why: str) -> None:
        self.ejections.append((origin, why))

    def out(self, upstream: str, origin: str, out: bool) -> None:
        return

    def panic(self, upstream: str, on: bool) -> None:
        self.panics.append(on)

    def retried(self, upstream: str, taken: bool) -> None:
        self.retries.append(taken)

    def hedged(self, upstream: str, won: bool) -> None:
        self.hedges.append(won)

    def overloaded(self, upstream: str) -> None:
        self.overloads += 1

    def concurrency(self, upstream: str, origin: str, limit: int) -> None:
        self.limits[origin] = limit

    @property
    def codes(self) -> list[int | str]:
        return [code for _, code in self.tries]


@contextlib.asynccontextmanager
async def upstream(
    *urls: str | OriginSettings, records: Records | None = None, **settings: object
) -> AsyncIterator[Upstream]:
    """A running upstream over these origins; nothing of it may be left open in the end."""
    origins = tuple(url if isinstance(url, OriginSettings) else OriginSettings(url) for url in urls)
    made = make_upstream(
        UpstreamSettings("test", origins, **settings),  # type: ignore[arg-type]
        records or Records(),
    )
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        assert not made.connections, made


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that other tasks bring about; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110  what it looks at belongs to real sockets
        await asyncio.sleep(0.005)
