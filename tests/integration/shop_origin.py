"""An origin whose answers a test writes, a clock that stands, and configurations for caching tests.

Must not know what is tested with them.
"""

import asyncio
import re
from collections.abc import Mapping

from edgeproxy.telemetry.counters import Counters
from tests.integration.raw_origins import Talk, until
from tests.plane import Answer, HandClock, Proxy, RawClient, read_request

PIECE = b"x" * 16384
NOON = 1_764_000_000.0
"""Wall seconds at which a StandingClock begins."""


class StandingClock(HandClock):
    """A wall clock that only moves by hand, so that Age and ttl are exact; timeouts see real time too."""

    def wall(self) -> float:
        return NOON + self.ahead


class Shop:
    """An origin's script: answers each request with `status`, `lines` and `body` as they are then.

    With an ETag among the lines, a request that has it gets a 304. While `gate` is cleared, requests
    are taken and not answered; `waiting` counts those.
    """

    def __init__(self, *lines: str, body: bytes = b"hello", status: str = "200 OK") -> None:
        self.lines = lines
        self.body = body
        self.status = status
        self.raw: bytes | None = None  # instead of all that
        self.close = False
        self.validates = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.passes = b""  # what a request begins with that waits for no gate
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.waiting = 0

    async def __call__(self, talk: Talk) -> None:
        while True:
            head, body = await read_request(talk)
            self.heads.append(head)
            self.bodies.append(body)
            self.waiting += 1
            if not self.passes or not head.startswith(self.passes):
                await self.gate.wait()
            self.waiting -= 1
            await self.respond(talk, head)
            if self.close:
                return

    async def respond(self, talk: Talk, head: bytes) -> None:
        await talk.send(self.answer(head))

    def answer(self, head: bytes) -> bytes:
        if self.raw is not None:
            return self.raw
        tag = next((line for line in self.lines if line.lower().startswith("etag: ")), None)
        asked = field(head, b"if-none-match")
        lines = "".join(f"{line}\r\n" for line in self.lines).encode("latin-1")
        if self.validates and tag is not None and asked is not None and tag[6:].encode() in asked:
            return b"HTTP/1.1 304 Not Modified\r\n" + lines + b"\r\n"
        length = b"Content-Length: %d\r\n" % len(self.body)
        body = b"" if head.startswith(b"HEAD ") else self.body
        return b"HTTP/1.1 " + self.status.encode() + b"\r\n" + lines + length + b"\r\n" + body

    @property
    def count(self) -> int:
        """Requests so far."""
        return len(self.heads)

    @property
    def last(self) -> bytes:
        """The head of the last request."""
        return self.heads[-1]


async def crowd(
    proxy: Proxy, size: int, target: str = "/a", fields: Mapping[str, str] | None = None
) -> list["asyncio.Task[Answer]"]:
    """So many clients at once, all of which the proxy has heard."""
    heard = proxy.plane.requests
    tasks = [asyncio.create_task(proxy.get(target, fields)) for _ in range(size)]
    await until(lambda: proxy.plane.requests == heard + size)
    return tasks


async def begun(client: RawClient) -> bytes:
    """The head of the answer, and then the first piece of its body."""
    await client.head()
    return await client.exactly(len(PIECE))


class Growing(Shop):
    """Sends a cacheable body of `pieces` pieces, the second half once `more` is set."""

    def __init__(self, pieces: int = 2, *lines: str) -> None:
        super().__init__(*(lines or ("Cache-Control: max-age=60",)))
        self.pieces = pieces
        self.more = asyncio.Event()

    async def respond(self, talk: Talk, head: bytes) -> None:
        lines = "".join(f"{line}\r\n" for line in self.lines).encode()
        length = len(PIECE) * self.pieces
        await talk.send(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (lines, length))
        for number in range(self.pieces):
            if number == self.pieces // 2:
                await self.more.wait()
            await talk.send(PIECE)


def field(head: bytes, name: bytes) -> bytes | None:
    """A field's values in the bytes of a head, joined; None without any."""
    found = re.findall(rb"\r\n" + re.escape(name) + rb":[ \t]*([^\r\n]*)", head, re.IGNORECASE)
    return b", ".join(found) if found else None


def caching(cache: str = "", route: str = "", tiers: str = "", server: str = "") -> str:
    """A configuration with one route `all` whose cache has these settings."""
    return f"""
server: {{listen: "127.0.0.1:0"{server and ", " + server}}}
upstreams: {{o: {{origins: ["${{o}}"]}}}}
{tiers and f"cache: {{{tiers}}}"}
routes: [{{name: all, upstream: o{route and ", " + route}, cache: {{{cache}}}}}]
"""


def count(proxy: Proxy, metric: str, *labels: str) -> int:
    """A counter as a scrape would show it now."""
    proxy.plane._fold()
    counters: Counters = proxy.counters
    return counters.ints[counters.counter(metric, *labels)]


def requests(proxy: Proxy) -> dict[tuple[str, ...], int]:
    """`edgeproxy_requests_total`: (route, outcome, code) to count."""
    proxy.plane._fold()
    return {
        series.labels: proxy.counters.ints[series.ints]
        for series in proxy.counters.series()
        if series.metric == "edgeproxy_requests_total" and proxy.counters.ints[series.ints]
    }
