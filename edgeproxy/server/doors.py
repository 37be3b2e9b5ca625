"""The listening sockets of a worker, its own and those of siblings it stands in for.

Must not know what is served. Every socket is used through a duplicate: closing one of ours never
resets the queue, which is the supervisor's.
"""

import asyncio
import logging
import socket
from collections.abc import Mapping

from edgeproxy.config.model import Listener
from edgeproxy.server.listening import Listening
from edgeproxy.server.protocol import ClientConnection
from edgeproxy.server.tls import server_context

BACKLOG = 4096

_log = logging.getLogger("edgeproxy.dataplane")

Sockets = list[tuple[socket.socket, Listener]]


class Doors:
    """Accepts connections on sockets that others made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listenings: Mapping[bytes, Listening]) -> None:
        self._loop = loop
        self._listenings = listenings
        self._servers: dict[int, asyncio.Server] = {}  # by the descriptor they were opened for
        self._opening: set[int] = set()
        self._tasks: dict[asyncio.Task[None], set[int]] = {}  # opening these descriptors
        self._shut = False

    def __repr__(self) -> str:
        return f"<Doors {len(self._servers)} open>"

    async def open(self, sockets: Sockets) -> None:
        """Accept on these sockets. Raises TlsFileError."""
        for sock, listener in sockets:
            descriptor = sock.fileno()
            if descriptor in self._servers or descriptor in self._opening or self._shut:
                continue
            self._opening.add(descriptor)
            try:
                self._servers[descriptor] = await self._server(sock, listener)
            finally:
                self._opening.discard(descriptor)
        if self._shut:  # while this waited
            self.close()

    async def _server(self, sock: socket.socket, listener: Listener) -> asyncio.Server:
        tls = listener.tls
        listening = self._listenings[b"http" if tls is None else b"https"]
        context = None if tls is None else server_context(tls)
        return await self._loop.create_server(
            lambda: ClientConnection(listening),
            sock=sock.dup(),
            ssl=context,
            ssl_handshake_timeout=None if tls is None else listening.limits.header_timeout,
            backlog=BACKLOG,
        )

    def adopt(self, sockets: Sockets) -> None:
        """Accept on a sibling's sockets too, in a moment."""
        wanted = {sock.fileno() for sock, _ in sockets}
        task = self._loop.create_task(self._adopt(sockets, wanted))
        self._tasks[task] = wanted
        task.add_done_callback(self._tasks.pop)

    async def _adopt(self, sockets: Sockets, wanted: set[int]) -> None:
        try:
            for one in sockets:
                if one[0].fileno() in wanted:
                    await self.open([one])
                if one[0].fileno() not in wanted:  # released meanwhile
                    self.release([one])
        except Exception:
            _log.exception("cannot stand in for a sibling; its connections wait until it is back")

    def release(self, sockets: Sockets) -> None:
        """Accept no more on these sockets."""
        for sock, _ in sockets:
            for wanted in self._tasks.values():
                wanted.discard(sock.fileno())
            server = self._servers.pop(sock.fileno(), None)
            if server is not None:
                server.close()

    def close(self) -> None:
        """Accept no more at all."""
        self._shut = True
        for server in self._servers.values():
            server.close()

    async def closed(self) -> None:
        """Wait until that is done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()
