"""Knows how to run nodes of a fleet in this process, each with a disk, its link to Redis one that can be cut.

    origin of versions <- data plane, node tier, purge log <- relay <- Redis

Must not know what is asked of them, nor what may be served.
"""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edgeproxy.caching.stored import Stamp
from edgeproxy.clock import SteadyClock
from edgeproxy.config.load import load_text
from edgeproxy.edge.routing import Router
from edgeproxy.fleet.fleet_log import FleetPurgeLog
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.purge_log import PurgeDone
from edgeproxy.fleet.redis_log import RedisLog
from edgeproxy.fleet.rules import PurgeRule
from edgeproxy.fleet.timing import FleetTiming
from edgeproxy.server.dataplane import DataPlane
from edgeproxy.server.node_directory import open_lasting
from edgeproxy.server.purging import rules_of_event
from edgeproxy.store.node_sender import NodeSender
from edgeproxy.store.node_tier import NodeAccess, NodeTier
from edgeproxy.telemetry.counters import Counters
from tests.chaos.fleet_writer import Forks
from tests.integration.raw_origins import Talk
from tests.plane import read_request
from tests.raw_client import Answer, RawClient, request

MAX_PURGE_LAG = 60.0
TIMING = FleetTiming(block=0.05, retry_least=0.01, retry_most=0.05, leave=0.3, count=0.05)
PATIENCE = 20.0
DISK = 4 << 20
CONFIG = """
server: {listen: "127.0.0.1:0"}
cache: {memory: {max_size: 16MiB}, redis: {url: "${redis}", timeout: 100ms}}
upstreams: {o: {origins: ["${origin}"], timeouts: {first_byte: 10m}}}
routes: [{name: all, upstream: o}]
"""


class TestClock:
    """Monotonic seconds of the test's own."""

    __test__ = False

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Relay:
    """A port before `target`, a port of 127.0.0.1: what comes in passes on, is refused, or lies still."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._refuses = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    @property
    def closed(self) -> bool:
        return self._refuses or not self._flows.is_set()

    def cut(self) -> None:
        """Reset every connection, and each that is tried."""
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Take everything and pass on nothing."""
        self._flows.clear()

    def heal(self) -> None:
        """Pass on again, what lay still included."""
        self._refuses = False
        self._flows.set()

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        there, onward = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, onward}
        for source, sink in ((reader, onward), (there, writer)):
            task = asyncio.create_task(self._copy(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flows.wait()
                sink.write(data)
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            sink.transport.abort() if self._refuses else sink.close()


class Versions:
    """An origin's script: each answer says when it was asked for (a number that only grows), and what then
    stood there. Requests with `X-Hold` are answered as it was then, when they are let go."""

    def __init__(self, tags: dict[str, str]) -> None:
        self._tags = tags
        self.version: Counter[str] = Counter()
        self.asked = 0
        self.held: list[asyncio.Event] = []

    async def __call__(self, talk: Talk) -> None:
        while True:
            head, _ = await read_request(talk)
            answer = self._answer(head.decode("latin-1"))
            if b"\r\nx-hold:" in head.lower():
                gate = asyncio.Event()
                self.held.append(gate)
                await gate.wait()
            await talk.send(answer)

    def let_go(self, count: int) -> None:
        """Let the first so many held answers go."""
        for gate in self.held[:count]:
            gate.set()
        del self.held[:count]

    def _answer(self, head: str) -> bytes:
        self.asked += 1
        host = re.findall(r"\r\nhost: *([^\r\n]*)", head, re.IGNORECASE)[0]
        url = host + head.split(" ")[1]
        tag = f'"{self.version[url]}"'
        asked = re.findall(r"\r\nif-none-match: *([^\r\n]*)", head, re.IGNORECASE)
        lines = f"Cache-Control: max-age=36000\r\nETag: {tag}\r\nX-Asked: {self.asked}\r\n"
        lines += f"Cache-Tag: {self._tags[url]}\r\n"
        if asked and tag in asked[0]:
            return f"HTTP/1.1 304 Not Modified\r\n{lines}\r\n".encode()
        body = f"{url} {self.asked}"
        return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class ModelNode:
    """A node with one worker, all of it in this process but the writer of its tier."""

    def __init__(
        self, name: str, folder: Path, redis: int, origin: str, clock: TestClock, forks: Forks
    ) -> None:
        self.name = name
        self.relay = Relay(redis)
        self.folder = folder / name
        self._origin = origin
        self._clock = clock
        self._forks = forks

    async def start(self) -> None:
        """As its supervisor and its worker do."""
        url = f"redis://127.0.0.1:{self.relay.port}/0"
        config = load_text(CONFIG, {"redis": url, "origin": self._origin})
        directory = self._directory = open_lasting(str(self.folder))
        table = self.table = directory.table
        if table.recovered:
            table.doubt()
        tier = str(directory.tier)
        self._writer = self._forks.writer(tier, DISK, table.name, table.order)
        wall = SteadyClock()
        access = NodeAccess(tier, DISK, self._writer.largest)
        self.tier = NodeTier(access, NodeSender(self._writer.sock), run=table.run, wall=wall.wall)
        self.tier.open()
        self.log = FleetPurgeLog(
            self.name,
            table,
            RedisLog(url, "edge:", self.name),
            timing=TIMING,
            journal=PurgeJournal(self.folder / "purges.unsent"),
            rules_of=lambda event: rules_of_event(event, Router(config)),
            monotonic=self._clock,
        )
        self._counters = Counters.create()
        self.plane = DataPlane(
            config,
            index=0,
            workers=1,
            counters=self._counters,
            purges=table,
            clock=wall,
            access_log=None,
            node=self.name,
            invalidate=self._invalidate,
            node_tier=self.tier,
        )
        await self.log.start()
        self._sock = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._sock.setblocking(False)
        await self.plane.start([(self._sock, config.server.listen[0])])

    async def _invalidate(self, keys: list[bytes], tags: list[bytes], answer: object | None) -> Stamp | None:
        raise AssertionError("nothing unsafe is asked for here")

    async def end(self, *, killed: bool) -> None:
        """Stop in order; or as if everything of it were killed at once."""
        if killed:
            self._writer.kill()
            await self.log._halt()
            await self.log._redis.close()
            await self._end_plane()
        else:
            await self._end_plane()
            await self.log.close()
            self._writer.end()
        self._directory.close(clean=not killed)
        self._counters.close()
        self.table.close()

    async def _end_plane(self) -> None:
        await self.plane.drain(0.0)
        self._sock.close()

    async def get(self, url: str, *, hold: bool = False) -> Answer:
        """Ask this node for a URL."""
        host, _, target = url.partition("/")
        port = self._sock.getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = RawClient(reader, writer)
        try:
            fields = {"Host": host, **({"X-Hold": "1"} if hold else {})}
            return await client.ask(request("/" + target, "GET", fields))
        finally:
            with suppress(ConnectionError):
                await client.close()

    async def purge(self, rules: Sequence[PurgeRule], since: str = "") -> PurgeDone:
        return await self.log.purge(rules, 0.1, since=since)

    @property
    def overdue(self) -> bool:
        """Whether its silence has lasted too long, and it has not seen to that yet."""
        follower = self.log._follower
        return self._clock() - follower._contact >= MAX_PURGE_LAG

    @property
    def at(self) -> tuple[bytes, int, bool]:
        """Where this node stands: which log, how far, and whether it has nothing more to tell."""
        told = self.log.describe()
        return self.table.log, told["position"], bool(told["connected"]) and not told["pending"]
