"""Knows how records leave a worker for the node's writer: a bounded queue before a socket of messages.

Must not know what records say. Nothing waits for it: what finds no room is dropped and counted.
"""

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable

from edgeproxy.store.node_echo import Echoes
from edgeproxy.store.node_records import FRAME, FRAME_HEADER, NONE_BEGINS
from edgeproxy.store.tier import Buffer

MAX_RECORDS = 4000
MAX_BYTES = 32 * 1024 * 1024
GATHER = 0.002
"""Seconds for which small records wait for company: one system call instead of many."""
FRAMES_AT_ONCE = 8
"""Frames sent in one turn of the loop: about 20 µs each."""


class NodeSender:
    """Sends records, in order, as fast as the writer takes them."""

    def __init__(
        self, sock: socket.socket, max_bytes: int = MAX_BYTES, max_records: int = MAX_RECORDS
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._sender = (os.getpid() << 32 | time.time_ns() & 0xFFFFFFFF) & 0x7FFFFFFFFFFFFFFF
        self._number = 0
        self._parts: deque[Buffer] = deque()
        self._begins: deque[bool] = deque()  # of each part, whether a record begins with it
        self._records = 0
        self._frame: tuple[list[Buffer], int] | None = None  # one that found no room, and its records
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = False
        self._echoes = Echoes(sock, self._loop, self._sender)
        self._empty = asyncio.Event()
        self._empty.set()
        self.bytes = 0
        self.dropped = 0
        self.gone = False

    def __repr__(self) -> str:
        return f"<NodeSender {self._records} records, {self.bytes} bytes, dropped={self.dropped}>"

    @property
    def depth(self) -> int:
        """Records that wait."""
        return self._records

    def add(self, record: list[Buffer]) -> bool:
        """Queue a record; False, and counted, where there is no room."""
        size = sum(map(len, record))
        full = self._records >= self._max_records or self.bytes + size > self._max_bytes
        if full or self.gone:
            self.dropped += 1
            return False
        self._append(record, size)
        if not self._blocked and self._timer is None:
            self._timer = self._loop.call_later(GATHER, self._send)
        return True

    def _append(self, record: list[Buffer], size: int) -> None:
        for place, part in enumerate(record):
            self._parts.append(part)
            self._begins.append(place == 0)
        self._records += 1
        self.bytes += size
        self._empty.clear()

    def after(self, call: Callable[[], None]) -> None:
        """Call it once the writer has done what was added so far; a second later in any case."""
        if self.gone:
            call()
            return
        self._echoes.calls.append(call)
        if not self._blocked and self._timer is None:
            self._timer = self._loop.call_later(GATHER, self._send)

    async def flush(self, patience: float) -> None:
        """Return once all is sent, or after so many seconds."""
        try:
            await asyncio.wait_for(self._empty.wait(), patience)
        except TimeoutError:
            self.dropped += self._records

    def stop(self) -> None:
        """Send no more: what waits is dropped, as is what comes."""
        self.dropped += self._records
        self.gone = True
        self._parts.clear()
        self._begins.clear()
        self._frame = None
        self._records = self.bytes = 0
        self._wait_for_room(False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._empty.set()

    def close(self) -> None:
        """Send no more, and let go of the socket."""
        self.gone = True
        self._wait_for_room(False)
        self._echoes.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sock.close()

    def _send(self) -> None:
        self._timer = None
        if self._echoes.calls:
            record = self._echoes.ask()
            self._append(record, sum(map(len, record)))
        try:
            for _ in range(FRAMES_AT_ONCE):
                frame, records = self._frame or self._next_frame()
                if not frame:
                    break
                self._frame = frame, records
                sent = self._sock.sendmsg(frame)
                self._frame = None
                self.bytes -= sent - FRAME_HEADER.size
                self._records -= records
        except (BlockingIOError, InterruptedError):
            self._wait_for_room(True)
            return
        except OSError:  # the supervisor holds both ends: it is gone, and this process is about to end
            self.gone = True
        if not self._parts or self.gone:
            self._wait_for_room(False)
            self._empty.set()
        elif not self._blocked:
            self._timer = self._loop.call_later(0, self._send)

    def _next_frame(self) -> tuple[list[Buffer], int]:
        """A frame of what waits, and how many records end in it; empty for nothing."""
        if not self._parts:
            return [], 0
        parts: list[Buffer] = [b""]
        room, begins, records = FRAME, NONE_BEGINS, 0
        while self._parts and room and len(parts) < 512:
            if self._begins[0] and begins == NONE_BEGINS:
                begins = FRAME - room
            part = self._parts[0]
            if len(part) > room:
                view = memoryview(part)
                parts.append(view[:room])
                self._parts[0], self._begins[0] = view[room:], False
                break
            parts.append(part)
            room -= len(part)
            self._parts.popleft()
            self._begins.popleft()
            records += not self._begins or self._begins[0]
        parts[0] = FRAME_HEADER.pack(self._sender, self._number, begins)
        self._number = (self._number + 1) & 0xFFFFFFFF
        return parts, records

    def _wait_for_room(self, wait: bool) -> None:
        if wait == self._blocked:
            return
        self._blocked = wait
        if wait:
            self._loop.add_writer(self._sock, self._send)
        else:
            self._loop.remove_writer(self._sock)
