"""An origin as a process of its own: answers as it is told, line by line, on its standard input.

    python -m tests.chaos.origin HOST:PORT

`way NAME SHARE` (the share of answers it is used for), `full` (accept no more, the queue being full),
`refill` (accept again), `count`; each line is answered by one of JSON. It ends when its standard input does.

Must not know the proxy.
"""

import asyncio
import contextlib
import json
import random
import socket
import sys

from tests.chaos.misbehaviour import WAYS, Talk

BACKLOG = 256


class Origin:
    """The listening socket, and how it answers."""

    def __init__(self, host: str, port: int) -> None:
        self._listening = socket.create_server((host, port), backlog=BACKLOG)
        self._listening.setblocking(False)
        self._way = "fine"
        self._share = 1.0
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fillers: list[socket.socket] = []
        self.answered = 0
        self.failed = 0
        self.checks_failed = 0
        self.accept(True)

    # --- connections

    def accept(self, on: bool) -> None:
        loop = asyncio.get_running_loop()
        if on:
            loop.add_reader(self._listening, self._accepted)
        else:
            loop.remove_reader(self._listening)

    def _accepted(self) -> None:
        for _ in range(64):
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            task = asyncio.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 20)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._answer((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"), writer):
                    pass
        finally:
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> bool:
        request, *lines = head.rstrip().split("\r\n")
        method, path, _ = request.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        way = self._way if random.random() < self._share else "fine"
        if path == "/healthz":
            self.checks_failed += way != "fine"
        else:
            self.answered += 1
            self.failed += way != "fine"
        return await WAYS[way](Talk(method, path, fields, writer, self._over))

    # --- commands

    def told(self, line: str) -> None:
        word, *rest = line.split()
        if word == "way":
            self._over.set()
            self._over = asyncio.Event()
            self._way, self._share = rest[0], float(rest[1])
        elif word == "full":
            self.accept(False)
            self._listening.listen(0)
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(self._listening.getsockname())
                self._fillers.append(filler)
        elif word == "refill":
            for filler in self._fillers:
                filler.close()
            self._fillers.clear()
            self._listening.listen(BACKLOG)
            self.accept(True)
        told = {"answered": self.answered, "failed": self.failed, "checks_failed": self.checks_failed}
        print(json.dumps(told), flush=True)


async def main(where: str) -> None:
    host, _, port = where.rpartition(":")
    origin = Origin(host, int(port))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    print("ready", flush=True)
    while line := await commands.readline():
        origin.told(line.decode())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
