"""What asks: wrk for as many requests as can be had, h2load for a fixed rate, and idle connections.

A report with any error in it is no measurement: `Void`.
"""

import contextlib
import re
import select
import socket
import statistics
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.cases import Case
from tests.benchmarks.measure import LOAD_CORE, Void

SPREAD = 1.0  # seconds over which the connections of a paced load begin, not to ask all at once
_PATIENCE = 30.0  # seconds that a load generator may take longer than it should
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closed by a reset, so that no port waits for a minute


def wrk(case: Case, url: str, seconds: float, script: Path | None) -> tuple[int, float]:
    """Load one server; gives the requests answered and the seconds it took. Raises Void."""
    fields = [f"-H{name}: {value}" for name, value in case.fields]
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{max(1, round(seconds))}s", *fields]
    command += ["-s", str(script)] if script else []
    report = _run([*command, url], seconds)
    requests, took = read_wrk(report)
    check_size(report, requests, case.body)
    return requests, took


def read_wrk(report: str) -> tuple[int, float]:
    """Requests and seconds out of wrk's report; raises Void when any answer was an error."""
    for trouble in ("Non-2xx or 3xx responses", "Socket errors"):
        if trouble in report:
            raise Void(next(line.strip() for line in report.splitlines() if trouble in line))
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", report)
    if found is None or int(found[1]) == 0:
        raise Void(f"wrk measured nothing: {report.strip()[-500:]}")
    return int(found[1]), float(found[2]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[3]]


def check_size(report: str, requests: int, body: int) -> None:
    """Raises Void unless the answers had `body` bytes of content each and a head of less than 1 KiB."""
    found = re.search(r"([\d.]+)([KMGT]?)B read", report)
    if found is None:
        raise Void(f"wrk does not say what it read: {report.strip()[-500:]}")
    size = float(found[1]) * 1024 ** " KMGT".index(found[2] or " ") / requests
    if not body * 0.99 <= size <= body * 1.01 + 1024:  # the report is rounded
        raise Void(f"{size:,.0f} bytes an answer, {body:,} of content were due")


def h2load(case: Case, url: str, seconds: float, rate: float, log: Path) -> dict[str, float]:
    """Ask at a fixed rate, however long answers take; gives the latencies in ms. Raises Void."""
    count = case.connections
    asked = round(rate * seconds)
    # Connections begin two at a time: all at once, their requests would come in bursts.
    begin = ["-r2", f"--rate-period={max(1, round(SPREAD * 2000 / count))}ms"]
    pace = ["-n", str(asked), "-c", str(count), *begin, f"--rps={rate / count:.3f}"]
    fields = [f"-H{name}: {value}" for name, value in case.fields]
    log.unlink(missing_ok=True)
    _run(["h2load", "--h1", "-t1", *pace, *fields, f"--log-file={log}", url], seconds + SPREAD)
    rows = [tuple(map(int, line.split("\t")[:3])) for line in log.read_text().splitlines()]
    log.unlink()
    return latencies(rows, asked, rate, case.status)


def latencies(rows: list[tuple[int, ...]], asked: int, rate: float, status: int) -> dict[str, float]:
    """Percentiles in ms from h2load's log: start, status, µs; raises Void unless asked at that rate.

    What was asked while connections were still being opened, or were done already, is left out.
    """
    wrong = sum(row[1] != status for row in rows)
    if wrong or len(rows) < asked:
        raise Void(f"h2load: {len(rows)} answers to {asked} requests, {wrong} of them wrong")
    first, last = min(row[0] for row in rows), max(row[0] for row in rows)
    begin, end = first + SPREAD * 1.2e6, last - SPREAD * 1.2e6
    steady = [row[2] / 1000 for row in rows if begin <= row[0] <= end]
    reached = len(steady) / (end - begin) * 1e6 if end > begin else 0.0
    if reached < 0.97 * rate or len(steady) < 2:
        raise Void(f"h2load reached {reached:,.0f} of {rate:,.0f} requests a second")
    cuts = statistics.quantiles(steady, n=1000, method="inclusive")
    return {"p50": cuts[499], "p99": cuts[989], "p99.9": cuts[998]}


def _run(command: Sequence[str], seconds: float) -> str:
    pinned = ["taskset", "-c", str(LOAD_CORE), *command]
    try:
        told = subprocess.run(
            pinned, capture_output=True, text=True, timeout=seconds + _PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Void(f"{command[0]} did not end in time") from None
    if told.returncode:
        raise Void(f"{command[0]}: {(told.stderr or told.stdout).strip()[-500:]}")
    return told.stdout + told.stderr


@contextlib.contextmanager
def idle_connections(count: int, port: int, path: str) -> Iterator[None]:
    """Keep-alive connections that were answered once; raises Void unless all are open at the end."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        held: list[socket.socket] = []
        for _ in range(count):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            held.append(each)
            each.sendall(request)
            _read_answer(each)
        yield
        poll = select.poll()
        for each in held:
            poll.register(each, select.POLLIN)
        gone = len(poll.poll(0))
        if gone:
            raise Void(f"{gone} of {count} idle connections were closed")


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    if length is None or b" 200 " not in head[:16]:
        raise Void(f"an idle connection got {head[:60]!r}")
    while len(body) < int(length[1]):
        body += _some(connection)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise Void("an idle connection was closed")
    return data
