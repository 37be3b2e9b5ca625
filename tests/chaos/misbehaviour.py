"""How an origin may answer a request: each function here is a way to fail, by its name.

Must not know how the requests came in, or who chose the way. A new way is a new function in WAYS.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate

from tests.chaos.content import body_of, etag_of

MAX_AGE = {"/c/": 2, "/k/": 3600, "/n/": 1}
ALL_RANGE = "bytes="


@dataclass(slots=True)
class Talk:
    """One request, and where its answer goes; `over` is set when the misbehaviour ends."""

    method: str
    path: str
    fields: dict[str, str]
    writer: asyncio.StreamWriter
    over: asyncio.Event
    sent: bytes = field(default=b"", init=False)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> None:
        await self.over.wait()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until the misbehaviour is over."""
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except TimeoutError:
            return

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        copy = socket.socket(fileno=os.dup(sock.fileno()))
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        copy.close()
        self.writer.transport.abort()


Way = Callable[[Talk], Awaitable[bool]]
"""Answers, and tells whether the connection may stay."""


def whole(talk: Talk, status: str = "200 OK", *, coded: bool | None = None) -> tuple[bytes, bytes]:
    """Head and body of an answer as it should be, for GET, HEAD, If-None-Match and a single Range."""
    path = talk.path
    body, lines = b"ok\n", [f"Date: {formatdate(usegmt=True)}", f"X-Made: {time.monotonic():.3f}"]
    if path != "/healthz" and status.startswith("200"):
        body = body_of(path)
        age = next((seconds for start, seconds in MAX_AGE.items() if path.startswith(start)), None)
        lines += [
            f"Cache-Control: {'no-store' if age is None else f'max-age={age}'}",
            f"ETag: {etag_of(path)}",
        ]
        if talk.fields.get("if-none-match") == etag_of(path):
            return _head("304 Not Modified", lines), b""
        asked = talk.fields.get("range", "")
        matches = talk.fields.get("if-range", etag_of(path)) == etag_of(path)
        if asked.startswith(ALL_RANGE) and matches and talk.method == "GET":
            first, _, last = asked.removeprefix(ALL_RANGE).partition("-")
            start, end = int(first), min(int(last or len(body)), len(body) - 1)
            if start <= end:
                lines.append(f"Content-Range: bytes {start}-{end}/{len(body)}")
                status, body = "206 Partial Content", body[start : end + 1]
    if coded is None:
        coded = status.startswith("200") and path.endswith("3")
    if coded and talk.method == "GET":
        lines.append("Transfer-Encoding: chunked")
        cut = len(body) // 2
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        body += b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(body)}")
    return _head(status, lines), b"" if talk.method == "HEAD" else body


def _head(status: str, lines: list[str]) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


async def fine(talk: Talk) -> bool:
    """As it should be."""
    head, body = whole(talk)
    await talk.send(head + body)
    return True


async def hangs(talk: Talk) -> bool:
    """Takes the request and says nothing."""
    await talk.hang()
    return False


async def closes(talk: Talk) -> bool:
    """Takes the request and closes."""
    return False


async def resets(talk: Talk) -> bool:
    """Takes the request and resets."""
    talk.reset()
    return False


async def hangs_after_head(talk: Talk) -> bool:
    """Sends the head, and no byte of the body."""
    head, _ = whole(talk, coded=False)
    await talk.send(head)
    await talk.hang()
    return False


async def resets_mid_body(talk: Talk) -> bool:
    """Sends half of the body, then RST."""
    head, body = whole(talk)
    await talk.send(head + body[: len(body) // 2])
    await asyncio.sleep(0.005)  # an RST takes what was not read yet with it
    talk.reset()
    return False


async def sends_less(talk: Talk) -> bool:
    """Fewer bytes than Content-Length says, then closes."""
    head, body = whole(talk, coded=False)
    await talk.send(head + body[:-1])
    return False


async def sends_more(talk: Talk) -> bool:
    """More bytes than Content-Length says: an answer that nobody asked for, some of it late."""
    head, body = whole(talk, coded=False)
    evil = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nwrong"
    await talk.send(head + body + evil[:20])
    await asyncio.sleep(0.002)
    await talk.send(evil[20:])
    return True


async def garbage(talk: Talk) -> bool:
    """Bytes that are no HTTP."""
    await talk.send(os.urandom(3000) + b"\r\n\r\n")
    return True


async def bad_chunks(talk: Talk) -> bool:
    """A chunked body that breaks its coding in the middle."""
    head, body = whole(talk, coded=True)
    await talk.send(head + body[: len(body) // 2])
    await talk.send(b"zz\r\n" + os.urandom(100))
    return False


async def big_head(talk: Talk) -> bool:
    """A head of ten megabytes."""
    head, body = whole(talk)
    await talk.send(head[:-2])
    for number in range(160):
        await talk.send(b"X-Fill-%d: " % number + b"x" * 65536 + b"\r\n")
    await talk.send(b"\r\n" + body)
    return True


async def errors(talk: Talk) -> bool:
    """503 to everything."""
    head, body = whole(talk, "503 Service Unavailable")
    await talk.send(head + body)
    return True


async def drips_head(talk: Talk) -> bool:
    """A byte of the head now and then."""
    head, body = whole(talk)
    for at in range(len(head)):
        if talk.over.is_set():
            await talk.send(head[at:] + body)
            return True
        await talk.send(head[at : at + 1])
        await talk.pause(0.05)
    await talk.send(body)
    return True


async def drips_body(talk: Talk) -> bool:
    """A few bytes of the body now and then, until the whole is there."""
    head, body = whole(talk)
    await talk.send(head)
    step = max(len(body) // 20, 1)
    for at in range(0, len(body), step):
        if talk.over.is_set():
            await talk.send(body[at:])
            return True
        await talk.send(body[at : at + step])
        await talk.pause(0.02)
    return True


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        fine, hangs, closes, resets, hangs_after_head, resets_mid_body, sends_less, sends_more, garbage,
        bad_chunks, big_head, errors, drips_head, drips_body,
    )
}  # fmt: skip
