"""The writer of a node's tier as a process that starts in milliseconds: forked from one that has it imported.

Must not know the node. A second environment of LMDB on one file cannot be in one process, so this is not
a thread of the test's.

    python -m tests.chaos.fleet_writer FD    forks a writer for each message on that socket, to its end
"""

import json
import os
import signal
import socket
import subprocess
import sys
from types import TracebackType

from edgeproxy.server.node_writer import NodeWriter, WriterSettings
from edgeproxy.telemetry.counters import Counters

PATIENCE = 20.0


class Forks:
    """The process that forks writers."""

    def __enter__(self) -> "Forks":
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()
        self._process.wait(PATIENCE)

    def writer(self, path: str, size: int, purges: bytes, latest: int) -> "Writer":
        """A writer that is ready."""
        ours, records = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept, control = socket.socketpair()
        counters = Counters.create()
        with records, control:
            told = json.dumps((path, size, purges.hex(), latest)).encode()
            socket.send_fds(self._sock, [told], [control.fileno(), records.fileno(), counters.fd])
        counters.close()
        return Writer(ours, kept)


class Writer:
    """One run of the writer; `sock` is a worker's end of what it reads."""

    def __init__(self, sock: socket.socket, control: socket.socket) -> None:
        self.sock = sock
        self._control = control
        control.settimeout(PATIENCE)
        with control.makefile() as lines:
            self._pid: int = json.loads(lines.readline())["pid"]
            self.largest: int = json.loads(lines.readline())["largest"]

    def end(self) -> None:
        """Let it write what waits."""
        self._control.shutdown(socket.SHUT_WR)
        self._gone()

    def kill(self) -> None:
        """End it as it stands."""
        os.kill(self._pid, signal.SIGKILL)
        self._gone()

    def _gone(self) -> None:
        with self._control:
            while self._control.recv(4096):
                pass


def _serve(sock: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is waited for
    while True:
        told, fds, _, _ = socket.recv_fds(sock, 65536, 3)
        if not told:
            return
        if not os.fork():
            sock.close()
            _write(told, *fds)
        for fd in fds:
            os.close(fd)


def _write(told: bytes, control: int, records: int, counters: int) -> None:
    path, size, purges, latest = json.loads(told)
    sock = socket.socket(fileno=control)
    sock.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\n")
    try:
        NodeWriter(WriterSettings(path, size, purges, latest, [records], counters), sock).run()
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
