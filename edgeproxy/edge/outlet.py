"""Writing a body to a client piece by piece, from a coroutine, at the client's own pace.

Must not know what is written.
"""

import asyncio

from edgeproxy.edge.ports import Downstream, nothing
from edgeproxy.errors import ClientGone


class Outlet:
    """The way to one client; `close` lets it go."""

    __slots__ = ("_loop", "_out", "_waiter")

    def __init__(self, out: Downstream) -> None:
        self._out = out
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        out.on_writable = out.on_gone = self._stir

    def __repr__(self) -> str:
        return f"<Outlet to {self._out!r}>"

    async def write(self, data: bytes | memoryview) -> None:
        """Write a piece once the client takes more. Raises ClientGone."""
        out = self._out
        while not out.writable and not out.gone:
            self._waiter = self._loop.create_future()
            await self._waiter
        if out.gone:
            raise ClientGone("the client left before its response was complete")
        out.write(data)

    def close(self) -> None:
        """Want no more calls."""
        self._out.on_writable = self._out.on_gone = nothing

    def _stir(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
