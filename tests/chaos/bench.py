"""What chaos happens to: a real node, its origins, its Redis, its DNS server, its disk and its clock.

Must not know scenarios. Each thing here can be broken, and mended by the function beside it.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.chaos.load import Load, Mix
from tests.integration.dns_server import DnsServer, dns_server
from tests.integration.node import RunningNode, alive, eventually
from tests.redis_server import RedisServer

ORIGINS = ("one", "two", "three")
TIMING = "late=0.6, hung={hung}"
HUNG = 6.0
"""Seconds after which a worker that says nothing is killed."""
DISK_SIZE = "24m"

CONFIG = """
    server: {{listen: "127.0.0.1:{port}", workers: 2, node: chaos-1}}
    admin: {{listen: "127.0.0.1:{admin}"}}
    cache:
      memory: {{max_size: 8MiB}}
      disk: {{path: "{disk}", max_size: 16MiB}}
      redis: {{url: "{redis}", timeout: 100ms}}
    upstreams:
      shop:
        origins: [{origins}]
        resolver: "{dns}"
        health_check: {{interval: 300ms, timeout: 1s, unhealthy_after: 2, healthy_after: 1}}
        timeouts: {{connect: 1s, first_byte: 1200ms, between_bytes: 1200ms, keepalive: 2s}}
        retries: {{attempts: 2, budget: 100%, status: ["502-504"]}}
        ejection: {{consecutive_failures: 3, for: 1s}}
        max_connections: 128
    routes:
      - name: kept
        match: {{path: /n/*}}
        upstream: shop
        cache: {{stale_if_error: 10m}}
      - {{name: all, upstream: shop}}
"""


def steady_port() -> int:
    """A free port that the kernel gives to no connection: a dead server's port must stay nobody's."""
    for port in random.SystemRandom().sample(range(12_000, 32_000), 200):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no free port")


class OriginProcess:
    """An origin, commanded through its standard input."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        where = f"{self.host}:{self.port}"
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.origin", where, stdin=pipe, stdout=pipe
        )
        assert self.process.stdout is not None
        assert await self.process.stdout.readline() == b"ready\n", f"origin {where}"

    async def tell(self, line: str) -> dict[str, int]:
        """Command it; gives what it counted so far."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line.encode() + b"\n")
        told: dict[str, int] = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 30))
        return told

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End it, and free its port."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None


class Bench:
    """All of it, running. `can_*` say what this machine lets us break."""

    def __init__(self, folder: Path, dns: DnsServer, redis: RedisServer, hung: float) -> None:
        self.folder = folder
        self.dns = dns
        self.redis = redis
        self.origins: list[OriginProcess] = []
        self.node: RunningNode
        self.load: Load
        self.port, self.admin = steady_port(), steady_port()
        self._disk = folder / "disk"
        self._disk.mkdir()
        self._clock = folder / "clock"
        self._nodes = 0
        self._timing = TIMING.format(hung=hung)
        self.mended = 0.0  # when a fault that mends itself in steps was over, monotonic
        self.clock_library = _clock_library(folder)
        self._mount = _mounting(self._disk)

    @property
    def can_fill_disk(self) -> bool:
        return bool(self._mount)

    @property
    def can_step_clock(self) -> bool:
        return self.clock_library is not None

    # --- the node

    async def start_node(self) -> None:
        """Start it; its port and its disk are the same each time, its log is another."""
        self._nodes += 1
        folder = self.folder / f"node-{self._nodes}"
        folder.mkdir()
        config = CONFIG.format(
            port=self.port,
            admin=self.admin,
            disk=self._disk,
            redis=self.redis.url,
            dns=self.dns.address,
            origins=", ".join(f'"http://{each.name}.test:{each.port}"' for each in self.origins),
        )
        within = list(self._mount)
        if self.clock_library is not None:
            self.step_clock(0)
            within = ["env", f"LD_PRELOAD={self.clock_library}", f"CHAOS_CLOCK={self._clock}", *within]
        nothing: Any = SimpleNamespace(address="")
        self.node = RunningNode(folder, nothing, config, self._timing, within=within)
        await asyncio.to_thread(self.node.ready)

    async def pids(self) -> list[int]:
        """Those of the workers that serve."""
        return [pid for pid in await asyncio.to_thread(self.node.pids) if pid]

    async def metric(self, line: str) -> float:
        return await asyncio.to_thread(self.node.metric, line)

    async def all_serve(self) -> None:
        def serving() -> bool:
            return all(worker["state"] == "serving" for worker in self.node.workers())

        await asyncio.to_thread(eventually, serving, "all workers serve")

    async def gone(self, pids: list[int]) -> None:
        await asyncio.to_thread(eventually, lambda: not any(alive(pid) for pid in pids), "the processes end")

    # --- disk and clock

    def disk(self) -> Path:
        """The node's disk as its own mounts show it."""
        return Path(f"/proc/{self.node.process.pid}/root{self._disk}")

    def step_clock(self, seconds: int) -> None:
        """Shift the wall clock of the node's processes; they have it mapped."""
        with self._clock.open("r+b" if self._clock.exists() else "w+b") as file:
            file.write(struct.pack("q", seconds))


def _clock_library(folder: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = folder / "clock_shift.so"
    source = Path(__file__).with_name("clock_shift.c")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source], check=False)
    return made if done.returncode == 0 else None


def _mounting(disk: Path) -> tuple[str, ...]:
    """The command that runs another with a small disk of its own; empty where that is not allowed."""
    mount = f'mount -t tmpfs -o size={DISK_SIZE} tmpfs "{disk}" && exec "$@"'
    within = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if shutil.which("unshare") is None:
        return ()
    tried = subprocess.run([*within, "true"], check=False, capture_output=True)
    return within if tried.returncode == 0 else ()


@contextlib.asynccontextmanager
async def bench(folder: Path, seed: int, hung: float = HUNG) -> AsyncIterator[Bench]:
    """A bench under load, warm; whatever was broken, all ends with it."""
    async with dns_server() as dns, contextlib.AsyncExitStack() as stack:
        redis = RedisServer(steady_port())
        stack.callback(redis.close)
        await asyncio.to_thread(redis.start)
        made = Bench(folder, dns, redis, hung)
        for name in ORIGINS:
            origin = OriginProcess(name, "127.0.0.1", steady_port())
            dns.table[f"{name}.test", "A"] = ["127.0.0.1"]
            stack.push_async_callback(origin.kill)
            made.origins.append(origin)
        await asyncio.gather(*(origin.start() for origin in made.origins))
        stack.callback(lambda: made.node.end() if hasattr(made, "node") else None)
        await made.start_node()
        made.load = Load(made.port, Mix(seed))
        stack.push_async_callback(made.load.stop)
        made.load.start()
        await asyncio.wait_for(made.load.requests(300), 60)
        yield made


def tracebacks(log: str) -> str:
    """What is in a piece of a log of errors of the program."""
    at = log.find("Traceback")
    return log[max(at - 500, 0) : at + 3000] if at >= 0 else ""


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
