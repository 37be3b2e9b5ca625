"""A client of the proxy whose bytes are up to the test.

Must not know what is tested with it.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

TIMEOUT = 20.0
"""Seconds that a client of these tests waits for anything at most; a bound, no measure."""


@dataclass
class Answer:
    """One response as it stood on the wire."""

    version: bytes
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list["Answer"] = field(default_factory=list)

    def get(self, name: bytes | str) -> bytes | None:
        """The field's values, joined; None without any."""
        wanted = (name.encode() if isinstance(name, str) else name).lower()
        values = [value for have, value in self.fields if have.lower() == wanted]
        return b", ".join(values) if values else None

    @property
    def cache_status(self) -> bytes:
        return self.get(b"cache-status") or b""


class RawClient:
    """One connection to the proxy; what is sent and read is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The next head, interim ones included."""
        async with asyncio.timeout(TIMEOUT):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        lines = raw[:-4].split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        status, _, reason = rest.partition(b" ")
        return Answer(version, int(status), reason, [_field(line) for line in lines[1:]])

    async def answer(self, method: bytes = b"GET") -> Answer:
        """The next final response, whole. Raises IncompleteReadError where it was cut."""
        interim = []
        while (head := await self.head()).status < 200 and head.status != 101:
            interim.append(head)
        head.interim = interim
        async with asyncio.timeout(TIMEOUT):
            await self._body(head, method)
        return head

    async def ask(self, data: bytes) -> Answer:
        """Send a request, read its response."""
        await self.send(data)
        return await self.answer(data.partition(b" ")[0])

    async def _body(self, answer: Answer, method: bytes) -> None:
        if method == b"HEAD" or answer.status in (101, 204, 304):
            return
        if (answer.get(b"transfer-encoding") or b"").lower() == b"chunked":
            pieces = []
            while (piece := await self.chunk()) is not None:
                pieces.append(piece)
            answer.body = b"".join(pieces)
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                answer.trailers.append(_field(line[:-2]))
        elif (length := answer.get(b"content-length")) is not None:
            answer.body = await self.reader.readexactly(int(length))
        else:
            answer.body = await self.reader.read(-1)

    async def chunk(self) -> bytes | None:
        """The next chunk; None for the last."""
        async with asyncio.timeout(TIMEOUT):
            size = int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            if not size:
                return None
            data = await self.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """What comes until the proxy closes; a reset counts as the end."""
        pieces = []
        async with asyncio.timeout(TIMEOUT):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    pieces.append(piece)
        return b"".join(pieces)

    async def closed(self) -> bool:
        """Wait for the end of the connection; whether nothing came before it."""
        return await self.rest() == b""

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Leave by RST."""
        sock = self.writer.get_extra_info("socket")
        with socket.fromfd(sock.fileno(), sock.family, sock.type) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    assert colon, line
    return name, value.strip(b" \t")


def request(
    target: str = "/", method: str = "GET", fields: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A request of HTTP/1.1 to host `shop.test` unless `fields` have another."""
    have = {"Host": "shop.test"} | dict(fields or {})
    if body is not None and "Transfer-Encoding" not in have:
        have.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in have.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")
