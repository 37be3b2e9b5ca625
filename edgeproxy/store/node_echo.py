"""Knows who in a worker waits for the node's writer to have done what it was sent.

Must not know what was sent, nor why anybody waits.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from edgeproxy.store.node_records import ECHO, Echo, encode_record
from edgeproxy.store.tier import Buffer

OVERDUE = 1.0
"""Seconds after which nobody waits any longer: the writer is hung, or another one by now."""

Call = Callable[[], None]


class Echoes:
    """`calls` are to be made once the writer sent back the next echo that is asked for."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop, sender: int) -> None:
        self._sock = sock
        self._loop = loop
        self._sender = sender
        self.calls: list[Call] = []
        self._asked: deque[tuple[int, float, list[Call]]] = deque()
        self._number = 0
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Echoes {len(self._asked)} asked for>"

    def ask(self) -> list[Buffer]:
        """The record that asks for an echo, for all that wait so far."""
        if not self._reading:  # nobody else has a use for it
            self._loop.add_reader(self._sock, self._heard)
            self._reading = True
        self._number += 1
        calls, self.calls = self.calls, []
        self._asked.append((self._number, self._loop.time() + OVERDUE, calls))
        if self._timer is None:
            self._timer = self._loop.call_later(OVERDUE, self._overdue)
        return encode_record(Echo(self._sender, self._number))

    def close(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reading:
            self._loop.remove_reader(self._sock)
            self._reading = False
        calls, self.calls = self.calls, []
        self._asked.append((self._number, 0.0, calls))
        self._done(self._number)

    def _heard(self) -> None:
        done = 0
        with suppress(BlockingIOError, InterruptedError):
            while True:
                try:
                    said = self._sock.recv(ECHO.size)
                except ConnectionError:
                    said = b""
                if len(said) < ECHO.size:  # the supervisor is gone
                    self._loop.remove_reader(self._sock)
                    self._reading = False
                    break
                sender, number = ECHO.unpack(said)
                if sender == self._sender:  # not what another process in this seat asked for
                    done = max(done, number)
        self._done(done)

    def _done(self, number: int) -> None:
        while self._asked and self._asked[0][0] <= number:
            for call in self._asked.popleft()[2]:
                call()

    def _overdue(self) -> None:
        now = self._loop.time()
        self._timer = None
        while self._asked and self._asked[0][1] <= now:
            for call in self._asked.popleft()[2]:
                call()
        if self._asked:
            self._timer = self._loop.call_at(self._asked[0][1], self._overdue)
