"""How much of a client's bytes may wait, and how long ours may wait for the client.

Must not know requests or responses.
"""

import asyncio
import socket
import struct

from edgeproxy.server.phase import Hold

_BY_RESET = struct.pack("ii", 1, 0)


class Flow:
    """Flow control of one connection, both ways: reads while there is no reason to hold it.

    `paused` while the transport's write buffer is full.
    """

    __slots__ = ("_transport", "_written", "holds", "paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.holds = 0
        self.paused = False
        self._written = 0

    def __repr__(self) -> str:
        return f"<Flow holds={Hold(self.holds)!r} paused={self.paused}>"

    def hold(self, why: Hold) -> None:
        """Read no more for this reason."""
        if not self.holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self.holds |= why

    def release(self, why: Hold) -> bool:
        """Read on unless there is another reason not to; whether that begins now."""
        if not self.holds & why:
            return False
        self.holds &= ~why
        if self.holds or self._transport.is_closing():
            return False
        self._transport.resume_reading()
        return True

    def reset(self) -> None:
        """Cut the connection so that the client sees it cut."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BY_RESET)
        self._transport.abort()

    def measure(self) -> None:
        """From here on `progressed` counts."""
        self._written = self._transport.get_write_buffer_size()

    def progressed(self) -> bool:
        """Whether the client took bytes since this was last asked."""
        left = self._transport.get_write_buffer_size()
        moved, self._written = left < self._written, left
        return moved
