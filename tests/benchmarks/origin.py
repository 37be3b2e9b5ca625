"""The origin of the benchmark: fixed bodies, cheaply; counts what reaches it.

/hit/SIZE/... may be cached for an hour, /tagged/SIZE/... too and has an ETag, /pass/SIZE/... may not be
cached at all, /count tells the requests so far.
Usage: python origin.py PORT
"""

import asyncio
import sys

import uvloop


class Origin(asyncio.Protocol):
    """One connection; heads only, no request bodies."""

    served = 0
    _bodies: dict[bytes, bytes] = {}  # noqa: RUF012  shared on purpose: one process, one origin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        if heads:
            self._transport.writelines([self._answer(head.split(b" ", 2)[1]) for head in heads])

    def _answer(self, path: bytes) -> bytes:
        if path == b"/count":
            return _response(b"no-store", b"%d" % Origin.served)
        Origin.served += 1
        _, kind, size, *_ = path.split(b"/")
        key = kind + size
        answer = self._bodies.get(key)
        if answer is None:
            control = b"no-store" if kind == b"pass" else b"public, max-age=3600"
            if kind == b"tagged":
                control += b'\r\nETag: "bench"'
            answer = self._bodies[key] = _response(control, b"x" * int(size))
        return answer


def _response(control: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (control, len(body)) + body


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
