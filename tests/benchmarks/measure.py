"""How a round is measured: processes pinned, CPU time read from /proc, what the servers themselves count.

Must not know what is asked, nor by what.
"""

import contextlib
import http.client
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
_TICK = os.sysconf("SC_CLK_TCK")
_START = 20.0  # seconds a server may take to listen


class Void(Exception):
    """A round that does not count; the message says why."""


@dataclass(frozen=True, slots=True)
class Round:
    """CPU time of all the server's processes a request, in µs, and requests a second.

    `latency` is in ms by percentile, where the rate was fixed.
    """

    cpu: float
    rate: float
    latency: dict[str, float] = field(default_factory=dict)


@contextlib.contextmanager
def running(command: Sequence[str], port: int | None, core: int | None, log: Path) -> Iterator[int]:
    """Run a program until the block ends, on that core if one is named; its process id once it listens."""
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
    try:
        if port is not None:
            _await_port(port, process, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Void(f"does not listen on {port}: {log.read_text(errors='replace')[-2000:].strip()}")


def free_ports(count: int) -> int:
    """The first of `count` adjacent free ports."""
    for port in range(18_000, 28_000, count):
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for each in range(port, port + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            return port
    raise Void("no free ports")


class Client:
    """One keep-alive connection that asks for one thing after the other."""

    def __init__(self, port: int, tls: bool = False, timeout: float = 10) -> None:
        self._port = port
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # our own certificate
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=timeout, context=context
            )
        else:
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __repr__(self) -> str:
        return f"<Client {self._port}>"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(
        self, path: str, host: str | None = None, fields: Iterable[tuple[str, str]] = ()
    ) -> tuple[int, bytes]:
        """Status and body; `host` is sent as Host, since caches keep hosts apart."""
        headers = {"Host": host or f"127.0.0.1:{self._port}", **dict(fields)}
        try:
            self._connection.request("GET", path, headers=headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise Void(f"no answer to {path}: {error!r}") from None


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    with Client(port) as client:
        return client.get(path)


def counted(metrics: str, name: str, *labels: str) -> int:
    """The sum of a counter over the series that have all these labels, in Prometheus' text format."""
    found = re.finditer(rf"(?m)^{name}{{(.*)}} (\S+)$", metrics)
    return int(sum(float(each[2]) for each in found if all(label in each[1] for label in labels)))


def settled_lines(log: Path, timeout: float = 20.0) -> int:
    """Lines in an access log once nothing was added to it for longer than any server buffers."""
    size, still = -1, 0.0
    while still < 1.25 and timeout > 0:
        time.sleep(0.25)
        timeout -= 0.25
        now = log.stat().st_size
        size, still = now, still + 0.25 if now == size else 0.0
    with log.open("rb") as lines:
        return sum(piece.count(b"\n") for piece in iter(lambda: lines.read(2**20), b""))


def family(*roots: int) -> list[int]:
    """Processes and all their descendants."""
    return list(_ticks(*roots))


def cpu_seconds(*roots: int) -> float:
    """User and system time of processes and all their descendants."""
    return sum(_ticks(*roots).values()) / _TICK


def _ticks(*roots: int) -> dict[int, int]:
    parents: dict[int, int] = {}
    times: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything: fields are counted behind it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                times[int(entry.name)] = int(fields[11]) + int(fields[12])
    found: dict[int, int] = {}
    left = list(roots)
    while left:
        pid = left.pop()
        found[pid] = times.get(pid, 0)
        left += [child for child, parent in parents.items() if parent == pid]
    return found
