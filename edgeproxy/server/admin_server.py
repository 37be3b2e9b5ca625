"""Knows where the admin API listens, from start to close.

Must not know its calls.
"""

import socket

from aiohttp import web

from edgeproxy.server.listeners import ListenerSockets


class AdminServer:
    """An aiohttp application on an address of its own."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._host = host
        self._port = port
        self._sockets: ListenerSockets | None = None
        self._site: web.SockSite | None = None

    def __repr__(self) -> str:
        return f"<AdminServer {self.address}>"

    @property
    def address(self) -> str:
        """HOST:PORT, the true port included; empty before `start`."""
        return self._sockets.address if self._sockets is not None else ""

    async def start(self) -> None:
        """Listen. Raises ListenError."""
        self.bind()
        assert self._sockets is not None
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self._sockets.sockets[0])
        await self._site.start()

    def bind(self, inherited: socket.socket | None = None) -> None:
        """Have the socket, before it is answered on; again does nothing. Raises ListenError."""
        if self._sockets is None and inherited is not None:
            self._sockets = ListenerSockets.inherited([inherited], 1)
        elif self._sockets is None:
            self._sockets = ListenerSockets(self._host, self._port, 1)

    @property
    def socket(self) -> socket.socket | None:
        """Where it listens; None before `start`."""
        return None if self._sockets is None else self._sockets.sockets[0]

    async def leave(self) -> None:
        """Accept no more here: another process does. Connections that are asked something stay for it."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        if self._runner.server is not None:
            self._runner.server.pre_shutdown()  # idle ones close, and ask the other process

    async def close(self) -> None:
        """Answer what was asked, for at most a second, and stop listening."""
        await self._runner.cleanup()
        if self._sockets is not None:
            self._sockets.close()
