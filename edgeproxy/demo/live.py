"""Knows the shop's long-lived connections: server-sent events and a WebSocket that echoes.

Must not know the database.
"""

import asyncio
import json
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

_BACKLOG = 64  # events kept for a listener that does not read; the oldest go first
_BEAT = 1.0  # seconds between events when nothing happens


class Announcements:
    """Hands each event to every listener."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str | None]] = set()

    def __repr__(self) -> str:
        return f"<Announcements listeners={len(self._listeners)}>"

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Queue an event for all who listen now."""
        self._send(f"event: {event}\ndata: {json.dumps(data)}\n\n")

    def end(self) -> None:
        """Let every listener's response end."""
        self._send(None)

    def _send(self, message: str | None) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """An endless text/event-stream: what is told, and a beat each second.

        `?count=N` ends it after N events.
        """
        count = request.query.get("count", "")
        left = int(count) if count.isdecimal() else None
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        queue: asyncio.Queue[str | None] = asyncio.Queue(_BACKLOG)
        self._listeners.add(queue)
        beat = 0
        try:
            while left is None or left > 0:
                try:
                    message = await asyncio.wait_for(queue.get(), _BEAT)
                except TimeoutError:
                    beat += 1
                    message = f"event: beat\ndata: {beat}\n\n"
                if message is None:
                    break
                await response.write(message.encode())
                left = left and left - 1
        finally:
            self._listeners.discard(queue)
        return response


class Echo:
    """A WebSocket that sends back what it receives."""

    def __init__(self) -> None:
        self._open: set[web.WebSocketResponse] = set()

    def __repr__(self) -> str:
        return f"<Echo open={len(self._open)}>"

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await socket.send_bytes(message.data)
        finally:
            self._open.discard(socket)
        return socket

    async def end(self) -> None:
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the shop closes")
