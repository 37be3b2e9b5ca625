"""A data plane in this process, on real loopback sockets, in front of scriptable origins.

    async with origin(respond(body=b"hi")) as raw, plane(CONFIG, o=raw.url) as proxy:
        answer = await proxy.get("/")

Must not know what is tested with it.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from edgeproxy.clock import Clock, SteadyClock
from edgeproxy.config.load import load_text
from edgeproxy.config.model import Config
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.server.dataplane import DataPlane
from edgeproxy.telemetry.access_log import AccessLog
from edgeproxy.telemetry.counters import Counters
from tests.integration.raw_origins import Script, Talk, until
from tests.raw_client import TIMEOUT, Answer, RawClient, request

__all__ = ["Answer", "RawClient", "request"]

PLAIN = """
server: {listen: "127.0.0.1:0"}
upstreams: {o: {origins: ["${o}"]}}
routes: [{name: all, upstream: o}]
"""
"""One upstream `o`, one route `all`."""

UNCACHED = PLAIN.replace("upstream: o}", "upstream: o, cache: {enabled: false}}")
"""The same without a cache."""

LONGEST = 30.0
"""Seconds that a test with a plane may last; pytest's own timeout cannot interrupt uvloop."""


def limited(text: str = PLAIN, **limits: object) -> str:
    """A configuration with these `server.limits`."""
    lines = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return text.replace('listen: "127.0.0.1:0"', f'listen: "127.0.0.1:0", limits: {{{lines}}}')


class HandClock(SteadyClock):
    """The wall and monotonic clock, moved on by hand where a test wants to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


class Proxy:
    """A running data plane."""

    def __init__(self, plane: DataPlane, config: Config, sockets: list[socket.socket], **parts: Any) -> None:
        self.plane = plane
        self.config = config
        self.sockets = sockets
        self.counters: Counters = parts["counters"]
        self.purges: PurgeTable = parts["purges"]
        self.clock: Clock = parts["clock"]

    @property
    def port(self) -> int:
        """The first listener's."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def client(
        self,
        tls: ssl.SSLContext | None = None,
        listener: int = 0,
        limit: int = 1 << 20,
        receive_buffer: int | None = None,
    ) -> AsyncIterator[RawClient]:
        """A connection to one of the listeners; `limit` and `receive_buffer` bound what it takes unread."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        port = self.sockets[listener].getsockname()[1]
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        name = "localhost" if tls is not None else None
        reader, writer = await asyncio.open_connection(sock=sock, limit=limit, ssl=tls, server_hostname=name)
        client = RawClient(reader, writer)
        try:
            yield client
        finally:
            await client.close()

    async def get(
        self, target: str = "/", fields: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """One request on a connection of its own."""
        async with self.client() as client:
            return await client.ask(request(target, method, fields))

    async def ask(self, data: bytes) -> Answer:
        """Raw bytes on a connection of their own, and the response."""
        async with self.client() as client:
            return await client.ask(data)

    def sweep(self) -> None:
        """What the clockwork does once a second, now."""
        monotonic = self.clock.monotonic()
        for path in self.plane._paths.values():
            path.now = self.clock.wall()
        for listening in self.plane._listenings.values():
            listening.now = monotonic
            listening.sweep()
        self.plane._tunnels.sweep()

    async def advance(self, seconds: float) -> None:
        """Move a HandClock on, and let every timeout that this brings strike."""
        assert isinstance(self.clock, HandClock)
        self.clock.advance(seconds)
        self.sweep()

    @property
    def leftovers(self) -> list[str]:
        """All that belongs to a request under way; empty when nothing leaked."""
        plane = self.plane
        left = [repr(task) for task in plane._requests]
        left += [repr(plane._cycle.inners)] if len(plane._cycle.inners) else []
        left += [repr(trip) for trip in plane._express.trips]
        left += [repr(fill) for fill in plane._fetcher.fills]
        left += [repr(plane._fetcher.collapse)] if len(plane._fetcher.collapse) else []
        left += [repr(plane._tunnels)] if len(plane._tunnels) else []
        for listening in plane._listenings.values():
            left += [repr(one) for one in listening.connections if one.exchange is not None]
            left += [f"stalled {one!r}" for one in listening.stalled]
        return left

    @property
    def connections(self) -> int:
        """Client connections that are open."""
        return sum(len(listening.connections) for listening in self.plane._listenings.values())

    @property
    def busy_origins(self) -> int:
        """Origin connections that a request holds."""
        upstreams = self.plane.snapshot()["upstreams"].values()
        return sum(origin["active"] for upstream in upstreams for origin in upstream)

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await until(lambda: not self.leftovers)
        except TimeoutError:
            raise AssertionError(self.leftovers) from None


@contextlib.asynccontextmanager
async def plane(
    text: str = PLAIN,
    clock: Clock | None = None,
    access_log: AccessLog | None = None,
    node: str = "n1",
    drain: float = 5.0,
    **variables: str,
) -> AsyncIterator[Proxy]:
    """A running data plane by a configuration in which `${name}` stands for a variable.

    Listeners may ask for port 0. In the end nothing may be left under way.
    """
    config = load_text(text, variables)
    counters, purges = Counters.create(), PurgeTable.create()
    clock = clock or SteadyClock()
    made = DataPlane(
        config,
        index=0,
        workers=1,
        counters=counters,
        purges=purges,
        clock=clock,
        access_log=access_log,
        node=node,
    )
    sockets = []
    for _ in config.server.listen:
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        sock.setblocking(False)
        sockets.append(sock)
    proxy = Proxy(made, config, sockets, counters=counters, purges=purges, clock=clock)
    try:
        async with asyncio.timeout(LONGEST):
            await made.start(list(zip(sockets, config.server.listen, strict=True)))
            yield proxy
            await proxy.quiet()
    finally:
        await made.drain(drain)
        for sock in sockets:
            sock.close()


# --- scripts for origins


async def read_request(talk: Talk) -> tuple[bytes, bytes]:
    """One request's head and whole body, as the origin sees them."""
    head = await talk.head()
    lowered = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lowered:
        body = b""
        while size := int(await talk.reader.readuntil(b"\r\n"), 16):
            body += (await talk.reader.readexactly(size + 2))[:-2]
        while await talk.reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return head, body
    _, found, rest = lowered.partition(b"\r\ncontent-length:")
    length = int(rest.partition(b"\r\n")[0]) if found else 0
    return head, await talk.reader.readexactly(length)


class Seen:
    """An origin's script that answers each request the same way, and keeps what it saw."""

    def __init__(
        self,
        body: bytes = b"hello",
        fields: Iterable[str] = (),
        status: str = "200 OK",
        raw: bytes | None = None,
        close: bool = False,
    ) -> None:
        lines = "".join(f"{line}\r\n" for line in (*fields, f"Content-Length: {len(body)}"))
        self.answer = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body if raw is None else raw
        self.close = close
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, talk: Talk) -> None:
        while True:
            head, body = await read_request(talk)
            self.heads.append(head)
            self.bodies.append(body)
            await talk.send(self.answer)
            if self.close:
                return

    @property
    def targets(self) -> list[bytes]:
        return [head.split(b" ")[1] for head in self.heads]


def respond(
    body: bytes = b"hello",
    fields: Iterable[str] = (),
    status: str = "200 OK",
    raw: bytes | None = None,
    close: bool = False,
) -> Script:
    """A script that answers each request of a connection the same way."""
    return Seen(body, fields, status, raw, close)
