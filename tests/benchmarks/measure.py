"""How a round is measured: processes pinned, CPU time read from /proc, wrk's report read and checked."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 64
_TICK = os.sysconf("SC_CLK_TCK")
_START = 20.0  # seconds a server may take to listen


class Void(Exception):
    """A round that does not count; the message says why."""


@dataclass(frozen=True, slots=True)
class Round:
    """CPU time of all the server's processes a request, in µs, and requests a second."""

    cpu: float
    rate: float


@contextlib.contextmanager
def running(command: Sequence[str], port: int, core: int, log: Path) -> Iterator[int]:
    """Run a server pinned to a core until the block ends; gives its process id once it listens."""
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    try:
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


def get(port: int, path: str, host: str | None = None) -> tuple[int, bytes]:
    """Status and body; `host` is sent as Host, since caches keep hosts apart."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all its descendants."""
    parents: dict[int, int] = {}
    times: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything: fields are counted behind it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                times[int(entry.name)] = int(fields[11]) + int(fields[12])
    family, ticks = [root], 0
    while family:
        pid = family.pop()
        ticks += times.get(pid, 0)
        family += [child for child, parent in parents.items() if parent == pid]
    return ticks / _TICK


def wrk(port: int, path: str, seconds: float, script: Path | None) -> tuple[int, float]:
    """Load one server; gives the requests answered and the seconds it took. Raises Void."""
    command = [
        "taskset",
        "-c",
        str(LOAD_CORE),
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{max(1, round(seconds))}s",
    ]
    command += ["-s", str(script)] if script else []
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=False
    )
    return read_wrk(told.stdout + told.stderr)


def read_wrk(report: str) -> tuple[int, float]:
    """Requests and seconds out of wrk's report; raises Void when any answer was an error."""
    for trouble in ("Non-2xx or 3xx responses", "Socket errors"):
        if trouble in report:
            raise Void(next(line.strip() for line in report.splitlines() if trouble in line))
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", report)
    if found is None or int(found[1]) == 0:
        raise Void(f"wrk measured nothing: {report.strip()[-500:]}")
    return int(found[1]), float(found[2]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[3]]
