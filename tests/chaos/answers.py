"""Knows how to read one response off a connection, strictly, and what is wrong with it.

Must not know who asked or what is done to the proxy.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field

from tests.chaos.content import body_of, etag_of, wrong, wrong_part

FRESH = {"/c/": 2.0, "/k/": 3600.0, "/n/": 1.0}
SLACK = 2.0
"""Seconds by which an age may be wrong: whole seconds on the wire, ticks, a busy machine."""


class Cut(Exception):
    """The connection ended before the response was complete."""


class Unframed(Exception):
    """What came is no HTTP response."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request."""

    path: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()

    def head(self, host: str) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.fields), "", ""]).encode()


@dataclass(slots=True)
class Answer:
    """A response that was read whole."""

    status: int
    fields: dict[str, str]
    body: bytes = b""
    closes: bool = False
    at: float = field(default_factory=time.monotonic)

    @property
    def ttl(self) -> int | None:
        """What Cache-Status says is left of its lifetime, seconds."""
        found = re.search(r"ttl=(-?\d+)", self.fields.get("cache-status", ""))
        return int(found[1]) if found else None

    @property
    def stale(self) -> bool:
        return self.ttl is not None and self.ttl < 0

    @property
    def made_here(self) -> bool:
        """Whether the proxy made it, rather than an origin."""
        return "cache-status" not in self.fields


async def read_answer(reader: asyncio.StreamReader, ask: Ask) -> Answer:
    """The response to `ask`. Raises Cut, Unframed, OSError."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        if not re.fullmatch(r"HTTP/1\.1 [1-5]\d\d .*", first):
            raise Unframed(first[:80])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = Answer(int(first[9:12]), fields)
        answer.closes = fields.get("connection", "").lower() == "close"
        if ask.method == "HEAD" or answer.status == 304:
            return answer
        if fields.get("transfer-encoding") == "chunked":
            answer.body = await _chunks(reader)
        elif "content-length" in fields:
            answer.body = await reader.readexactly(int(fields["content-length"]))
        else:
            raise Unframed("no length")
    except asyncio.IncompleteReadError as error:
        raise Cut("after a part" if error.partial else "with nothing more") from error
    except asyncio.LimitOverrunError as error:
        raise Unframed("no end of its head") from error
    return answer


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        size = (await reader.readuntil(b"\r\n"))[:-2].decode("latin-1")
        if not re.fullmatch(r"[0-9a-fA-F]{1,8}", size):
            raise Unframed(f"chunk size {size[:20]!r}")
        part = await reader.readexactly(int(size, 16) + 2)
        if part[-2:] != b"\r\n":
            raise Unframed("a chunk without its end")
        if int(size, 16) == 0:
            return b"".join(parts)
        parts.append(part[:-2])


def wrong_bytes(ask: Ask, answer: Answer) -> str:
    """What is wrong with what was served as whole; empty: nothing."""
    if answer.made_here or answer.status >= 500:
        return ""
    if answer.status == 304 or ask.method == "HEAD":
        length = answer.fields.get("content-length")
        if ask.method == "HEAD" and length is not None and int(length) != len(body_of(ask.path)):
            return f"Content-Length {length} of a HEAD"
        return "" if answer.fields.get("etag", etag_of(ask.path)) == etag_of(ask.path) else "ETag of another"
    if answer.status == 206:
        first = re.match(r"bytes (\d+)-(\d+)/(\d+)", answer.fields.get("content-range", ""))
        if first is None or int(first[3]) != len(body_of(ask.path)):
            return "a part of something else"
        if int(first[2]) - int(first[1]) + 1 != len(answer.body):
            return "a part that is not as long as it says"
        return wrong_part(ask.path, int(first[1]), answer.body)
    return wrong(ask.path, answer.body)


def wrong_age(ask: Ask, answer: Answer, began: float) -> str:
    """What is wrong with the age of what was asked for at `began`: it says another, or is past its lifetime.

    X-Made is the monotonic time at which an origin made or confirmed it: clocks that step do not touch it.
    """
    if answer.made_here or "x-made" not in answer.fields or answer.status >= 500:
        return ""
    made = float(answer.fields["x-made"])
    least, most = began - made, answer.at - made
    told = int(answer.fields.get("age", "0"))
    if not least - SLACK <= told <= most + SLACK:
        return f"Age {told}, truly {least:.1f} to {most:.1f}"
    lifetime = next((seconds for start, seconds in FRESH.items() if ask.path.startswith(start)), 0.0)
    if least > lifetime + SLACK and not answer.stale:
        return f"served as fresh after {least:.1f} s"
    return ""
