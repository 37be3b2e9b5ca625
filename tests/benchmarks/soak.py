"""Many requests over many URLs, and the memory of all the server's processes all the while: `make soak`.

    make soak ARGS="--requests 300000 --urls 150000 --memory 64MiB --limit 5m"

Runs a node of its own (`edgeproxy run`, two workers) before an origin of its own. Of the requests, half
ask for each URL once, in turn, and half for popular ones (the more popular, the more often); bodies have
512 bytes to 16 KiB, each sixteenth answer may not be stored, and each head is a new one. The load is wrk's
where that is on PATH, else our own client's.

The verdict: the resident memory of all the node's processes together was never above what it was when they
had started and answered nothing yet, plus the memory budget, plus 15 % of the budget. Pages that processes
share (the node's tier lies in shared memory) count once: it is the sum of their PSS. Exit code 1 where it
was above, or where an answer was an error; 2 where the time was up before the requests were done.
"""

import argparse
import asyncio
import contextlib
import http.client
import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeproxy.config.units import parse_duration, parse_size
from tests.benchmarks.measure import Void, counted, family, free_ports, get, running
from tests.benchmarks.surroundings import machine

ALLOWED = 0.15  # of the budget, beyond it
SIZES = (512, 1024, 1024, 2048, 2048, 4096, 8192, 16384)
SAMPLE = 0.5  # seconds between two looks
SAY = 10.0  # seconds between two lines of progress
CONNECTIONS = 64
START = 30.0  # seconds for the node to be ready
QUIET = 20.0  # seconds without an answer: something is stuck

CONFIG = """\
version: 1
server: {{listen: ["127.0.0.1:{port}"], workers: {workers}}}
admin: {{listen: "127.0.0.1:{admin}"}}
cache: {{memory: {{max_size: {memory}B}}}}
upstreams: {{soak: {{origins: ["http://127.0.0.1:{origin}"], timeouts: {{connect: 30s}}}}}}
routes: [{{name: all, upstream: soak}}]
"""
SCRIPT = """\
local urls, sizes, i = URLS, { SIZES }, 0
function request()
  i = i + 1
  local n = i / 2 % urls
  if i % 2 == 1 then n = math.floor(urls * math.random() ^ 6) end
  local kind = n % 16 == 15 and "pass" or "hit"
  local path = string.format("/%s/%d/%d", kind, sizes[n % #sizes + 1], n)
  return wrk.format("GET", path, {["User-Agent"] = "soak/" .. i})
end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment: resident memory and what tiers count of it, in bytes; answers so far, and errors."""

    resident: int
    counted: int
    answers: int
    errors: int


def path_of(number: int, urls: int) -> str:
    """What the request of that number asks for, as in the script for wrk."""
    n = number // 2 % urls if number % 2 == 0 else int(urls * random.random() ** 6)
    return f"/{'pass' if n % 16 == 15 else 'hit'}/{SIZES[n % len(SIZES)]}/{n}"


async def client(port: int, urls: int) -> None:
    """Our own load, until it is ended."""
    numbers = itertools.count(1)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            while True:
                number = next(numbers)
                writer.write(
                    f"GET {path_of(number, urls)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                    f"User-Agent: soak/{number}\r\n\r\n".encode()
                )
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


def resident(root: int) -> int:
    """Resident memory of a process and all its descendants in bytes, what they share counted once."""
    return sum(share_of(pid) for pid in family(root))


def share_of(pid: int) -> int:
    """A process' proportional share of memory (PSS), in bytes; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def sample(root: int, admin: int) -> Sample:
    """Look at the node."""
    metrics = get(admin, "/metrics")[1].decode()
    answers = counted(metrics, "edgeproxy_requests_total")
    right = counted(metrics, "edgeproxy_requests_total", 'code="200"')
    held = counted(metrics, "edgeproxy_cache_bytes")
    return Sample(resident(root), held, answers, answers - right)


@contextlib.contextmanager
def node(folder: Path, memory: int, workers: int) -> Iterator[tuple[int, int]]:
    """A node before an origin of its own: its process id, and its port; the admin API is at the next."""
    port = free_ports(3)
    config = folder / "edgeproxy.yaml"
    origin = port + 2
    config.write_text(CONFIG.format(port=port, admin=port + 1, origin=origin, memory=memory, workers=workers))
    command = [sys.executable, str(Path(__file__).with_name("origin.py")), str(origin)]
    run = [sys.executable, "-m", "edgeproxy", "run", "--config", str(config)]
    with (
        running(command, origin, None, folder / "origin.log"),
        running(run, port + 1, None, folder / "edgeproxy.log") as pid,
    ):
        end = time.monotonic() + START
        while get(port + 1, "/readyz")[0] != 200:
            if time.monotonic() > end:
                raise Void((folder / "edgeproxy.log").read_text()[-2000:])
            time.sleep(0.1)
        yield pid, port


@contextlib.contextmanager
def load(folder: Path, port: int, urls: int, limit: float) -> Iterator["subprocess.Popen[bytes]"]:
    """What asks, until the block ends."""
    if shutil.which("wrk"):
        script = folder / "soak.lua"
        sizes = ", ".join(map(str, SIZES))
        script.write_text(SCRIPT.replace("URLS", str(urls)).replace("SIZES", sizes))
        url = f"http://127.0.0.1:{port}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{int(limit) + 60}s", "-s", str(script), url]
    else:
        command = [sys.executable, "-m", "tests.benchmarks.soak", "--client", str(port), "--urls", str(urls)]
    with (folder / "load.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def soak(options: argparse.Namespace) -> int:
    """Run it and tell; the exit code. What is started ends with this, by whatever signal."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    budget: int = options.memory
    with tempfile.TemporaryDirectory(prefix="edgeproxy-soak-") as name:
        folder = Path(name)
        with node(folder, budget, options.workers) as (pid, port):
            base = resident(pid)
            limit = base + budget + int(ALLOWED * budget)
            print(f"{options.requests:,} requests over {options.urls:,} URLs, {machine()}")
            print(
                f"resident at the start {_mib(base)}, budget {_mib(budget)}, allowed {_mib(limit)}:"
                f" their sum and {ALLOWED:.0%} of the budget"
            )
            with load(folder, port, options.urls, options.limit) as asking:
                most, last, trouble = _watch(pid, port + 1, asking, options, limit)
        if trouble and (folder / "load.log").exists():
            print((folder / "load.log").read_text(errors="replace")[-1000:].strip())
    above = (most.resident - base) / budget
    print(
        f"{last.answers:,} answers, {last.errors} errors; most {_mib(most.resident)}: the start's and "
        f"{above:.1%} of the budget, of which {most.counted / budget:.1%} was counted"
    )
    if most.resident > limit or last.errors or trouble:
        print(f"FAILED: {trouble or ('errors' if last.errors else 'more memory than is allowed')}")
        return 1
    if last.answers < options.requests:
        print(f"INCOMPLETE: the time was up ({options.limit:.0f} s); memory was within what is allowed")
        return 2
    print("PASSED: memory was never above what is allowed")
    return 0


def _watch(
    pid: int, admin: int, asking: "subprocess.Popen[bytes]", options: argparse.Namespace, limit: int
) -> tuple[Sample, Sample, str]:
    """The moment with the most memory, the last one, and what went wrong if anything did."""
    begun = answered = time.monotonic()
    said = 0.0
    most = last = sample(pid, admin)
    while last.answers < options.requests and (now := time.monotonic()) < begun + options.limit:
        if asking.poll() is not None:
            return most, last, "what asks has ended by itself"
        time.sleep(SAMPLE)
        try:
            seen = sample(pid, admin)
        except (OSError, http.client.HTTPException, Void) as error:
            return most, last, f"the node does not tell how it stands: {error!r}"
        if seen.answers > last.answers:
            answered = now
        elif now > answered + QUIET:
            return most, seen, f"no answer for {QUIET:.0f} s"
        most, last = max(most, seen, key=lambda each: each.resident), seen
        if now > said + SAY:
            said = now
            rate = seen.answers / (now - begun + SAMPLE)
            print(
                f"{now - begun:6.0f} s {seen.answers:12,} requests ({rate:,.0f}/s)   "
                f"resident {_mib(seen.resident)} of {_mib(limit)}   counted {_mib(seen.counted)}   "
                f"errors {seen.errors}",
                flush=True,
            )
    return most, last, ""


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def main() -> int:
    """The command line."""
    asked = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--requests", type=int, default=10_000_000)
    asked.add_argument("--urls", type=int, default=5_000_000)
    asked.add_argument("--memory", type=parse_size, default=256 * 2**20, help="the budget [256MiB]")
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--limit", type=parse_duration, default=7200.0, help="time after which it ends [2h]")
    asked.add_argument("--client", type=int, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.client:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(client(options.client, options.urls))
        return 0
    return soak(options)


if __name__ == "__main__":
    sys.exit(main())
