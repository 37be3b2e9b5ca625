"""The process that writes the node's tier: takes what workers send, in batches, and makes room.

Must not know HTTP, nor who asks. It ends with the supervisor, and when told to.
"""

import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress

import lmdb
import msgspec

from edgeproxy.errors import TierFault
from edgeproxy.server.parent import die_with
from edgeproxy.store.node_file import NodeFile
from edgeproxy.store.node_records import ECHO, FRAME, FRAME_HEADER, Echo, Joiner, Put, Record
from edgeproxy.store.tier import Fault
from edgeproxy.telemetry.counters import Counters

ENDED, RENEW, AGAIN = 0, 3, 4
"""Exit codes: as told; the file is damaged or not to be used; the file is to be opened anew."""
FRAMES = 64
"""Frames taken from one worker in a round."""
ROUND_BYTES = 8 * 1024 * 1024
TURN = 0.01
"""Seconds between two looks whether another process still writes the file, in a takeover or after a crash."""
KEEPING = 1.0
"""Seconds between two looks at what is expired and at readers that are gone."""
FULL_PAUSE = 5.0
"""Seconds without writes after the disk was full."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""A write that was cut short is an EIO to LMDB."""
DAMAGE = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError)


class WriterSettings(msgspec.Struct, frozen=True):
    """What the process is told: the file, its map's size, the purges that judge it, and descriptors."""

    path: str
    size: int
    purges: str
    latest: int
    sockets: list[int]
    counters: int


class NodeWriter:
    """One run of the process."""

    def __init__(self, settings: WriterSettings, control: socket.socket) -> None:
        self._control = control
        self._sockets = {fd: (socket.socket(fileno=fd), Joiner()) for fd in settings.sockets}
        purges = bytes.fromhex(settings.purges)
        self._file = NodeFile(settings.path, settings.size, purges, settings.latest)
        # counts
        self._counters = counters = Counters.attach(settings.counters)
        self._bytes = counters.gauge("edgeproxy_cache_bytes", "node")
        self._responses = counters.gauge("edgeproxy_cache_responses", "node")
        self._evictions = counters.counter("edgeproxy_cache_evictions_total", "node")
        self._drops = counters.counter("edgeproxy_tier_faults_total", "node", Fault.DROPPED.value)
        self._up = counters.gauge("edgeproxy_node_tier_up")
        self._evicted = 0
        # state
        self._echoes: list[tuple[socket.socket, Echo]] = []  # to send once what came before them is done
        self._kept = time.monotonic()
        self._full_until = 0.0
        self._ending = False

    def __repr__(self) -> str:
        return f"<NodeWriter {self._file!r}>"

    def run(self) -> None:
        """Write until told to end or the supervisor is gone. Raises what makes the file unusable."""
        self._say(ready=True, largest=self._file.largest)
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        for sock, _ in self._sockets.values():
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ)
        self._count()
        while not self._ending:
            for key, _ in selector.select(KEEPING):
                if key.fileobj is self._control:
                    self._ending = True  # told so, or the supervisor is gone
            self._write(self._taken())
            self._echo()
            if time.monotonic() - self._kept >= KEEPING:
                self._keep()
        while records := self._taken():  # what the workers sent before they ended
            self._write(records)
            self._echo()
        self._file.close(sync=True)

    def _taken(self) -> list[Record]:
        records: list[Record] = []
        left = ROUND_BYTES
        for sock, joiner in self._sockets.values():
            with suppress(BlockingIOError, InterruptedError):
                for _ in range(FRAMES):
                    frame = sock.recv(FRAME + FRAME_HEADER.size)
                    if not frame or left < 0:
                        break
                    left -= len(frame)
                    for record in joiner.feed(frame):
                        if isinstance(record[0], Echo):
                            self._echoes.append((sock, record[0]))
                        else:
                            records.append(record)
        return records

    def _echo(self) -> None:
        for sock, echo in self._echoes:
            with suppress(OSError):  # it does not listen, and has a time limit of its own
                sock.send(ECHO.pack(echo.sender, echo.number))
        self._echoes.clear()

    def _write(self, records: list[Record]) -> None:
        if not records:
            return
        dropped = sum(isinstance(head, Put) for head, _ in records)
        if time.monotonic() >= self._full_until:
            try:
                dropped = self._file.apply(records)
            except lmdb.Error as error:
                self._disk_full(error)
            else:
                if self._full_until:
                    self._full_until = 0.0
                    self._say(level="warning", log="node tier: there is room on the disk again")
        self._counters.ints[self._drops] += dropped
        self._count()

    def _disk_full(self, error: lmdb.Error) -> None:
        """Write nothing for a while. Raises the error where it is none of the disk's."""
        if error.code not in FULL and not isinstance(error, lmdb.DiskError | lmdb.MapFullError):
            raise error
        if not self._full_until:
            said = f"node tier: nothing is written while the disk is full or fails ({error}); make room"
            self._say(level="error", log=said)
        self._full_until = time.monotonic() + FULL_PAUSE

    def _keep(self) -> None:
        self._kept = time.monotonic()
        self._file.check_readers()
        if self._kept >= self._full_until:
            try:
                self._file.sweep(time.time())
            except lmdb.Error as error:
                self._disk_full(error)
        self._count()

    def _count(self) -> None:
        floats = self._counters.floats
        floats[self._bytes] = self._file.bytes
        floats[self._responses] = self._file.responses
        floats[self._up] = not self._full_until
        self._counters.ints[self._evictions] += self._file.evictions - self._evicted
        self._evicted = self._file.evictions

    def _say(self, **said: object) -> None:
        say(self._control, **said)


def say(control: socket.socket, **said: object) -> None:
    """One line to the supervisor, if it is still there."""
    with suppress(OSError):
        control.sendall(json.dumps(said).encode() + b"\n")


def wait_for_turn(path: str, control: socket.socket) -> bool:
    """Return once no other process writes the file, and none will while this lives; False: told to end first.

    Raises OSError.
    """
    place = os.path.dirname(path)
    turn = os.open(
        os.path.join(place, "writer"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    told = time.monotonic() + 5.0
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if selector.select(TURN):
                return False
            if time.monotonic() > told:
                told += 60.0
                say(control, level="warning", log=f"node tier: another process still writes {place}: waiting")


def main(arguments: list[str]) -> int:
    """`CONTROL_FD SUPERVISOR_PID SETTINGS`; the exit code."""
    control, parent, told = arguments
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the supervisor hears them, and tells us
    die_with(int(parent))
    sock = socket.socket(fileno=int(control))
    settings = msgspec.json.decode(told, type=WriterSettings)
    try:
        if not wait_for_turn(settings.path, sock):
            return AGAIN
        NodeWriter(settings, sock).run()
    except TierFault as fault:
        say(sock, unusable=str(fault))
        return RENEW
    except DAMAGE as damage:
        say(sock, damaged=str(damage))
        return RENEW
    except (lmdb.Error, OSError) as error:
        say(sock, failed=str(error))
        return AGAIN
    return ENDED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
