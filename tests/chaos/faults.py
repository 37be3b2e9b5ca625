"""The ways to break a bench: each is a context manager that breaks, gives `met`, and mends in the end.

`met` waits until the fault has been felt. Must not know how its effect is measured.
"""

import asyncio
import contextlib
import errno
import os
import random
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import redis

from tests.chaos.bench import Bench, OriginProcess, signal_all
from tests.integration.node import DEADLINE, eventually

DISK_FULL = "nothing is written while the disk is full"
Met = Callable[[], Awaitable[object]]
Fault = Callable[[Bench, random.Random], AbstractAsyncContextManager[Met]]


async def until(condition: Callable[[], Awaitable[object]], why: str) -> None:
    """Wait until a condition of another process holds; AssertionError after a generous time."""
    deadline = time.monotonic() + DEADLINE
    while not await condition():
        assert time.monotonic() < deadline, why
        await asyncio.sleep(0.03)


# --- origins


def misbehaves(way: str, *, all_of_them: bool = False) -> Fault:
    """One origin, or each of them, answers that way."""

    @asynccontextmanager
    async def fault(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
        chosen = bench.origins if all_of_them else [draw.choice(bench.origins)]
        before = [await origin.tell(f"way {way} 1") for origin in chosen]

        async def felt() -> bool:
            # By requests, or by checks, which may take it out of use before two requests came.
            counts = [await origin.tell("count") for origin in chosen]
            return all(
                now["failed"] > old["failed"] + 1 or now["checks_failed"] > old["checks_failed"] + 2
                for now, old in zip(counts, before, strict=True)
            )

        try:
            yield lambda: until(felt, f"nobody met an origin that {way}")
        finally:
            for origin in chosen:
                await origin.tell("way fine 1")

    return fault


def stops(number: int = 1) -> Fault:
    """So many origins are killed; their ports refuse."""

    @asynccontextmanager
    async def fault(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
        chosen = draw.sample(bench.origins, number)
        for origin in chosen:
            await origin.kill()
        try:
            yield lambda: bench.load.requests(40)
        finally:
            await asyncio.gather(*(origin.start() for origin in chosen))

    return fault


@asynccontextmanager
async def origin_suspended(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """SIGSTOP: the kernel takes connections for it, nothing answers."""
    origin = draw.choice(bench.origins)
    origin.signal(signal.SIGSTOP)
    try:
        yield lambda: _out(bench, origin)
    finally:
        origin.signal(signal.SIGCONT)


@asynccontextmanager
async def origin_accepts_nothing(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """The queue of its listening socket is full, and what it has accepted hangs."""
    origin = draw.choice(bench.origins)
    await origin.tell("way hangs 1")
    await origin.tell("full")
    try:
        yield lambda: _out(bench, origin)
    finally:
        await origin.tell("refill")
        await origin.tell("way fine 1")


async def _out(bench: Bench, origin: OriginProcess) -> None:
    """Until the node has found out, by whatever means."""
    line = f'edgeproxy_origin_healthy{{origin="{origin.name}.test:{origin.port}",upstream="shop"}}'

    async def unhealthy() -> bool:
        return await bench.metric(line) == 0

    await until(unhealthy, "the origin is not found out")


# --- DNS


def dns_is(state: str) -> Fault:
    """The DNS server is `silent` or `broken`, or knows no name any more (`empty`)."""

    @asynccontextmanager
    async def fault(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
        dns, table = bench.dns, dict(bench.dns.table)
        if state == "empty":
            dns.table.clear()
        else:
            setattr(dns, state, True)
        asked = len(dns.questions)

        async def felt() -> bool:
            return len(dns.questions) > asked

        try:
            yield lambda: until(felt, "no name is looked up")
        finally:
            dns.silent = dns.broken = False
            dns.table.update(table)

    return fault


@asynccontextmanager
async def origin_moves(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """An origin's name gets another address; once requests come there, what was at the old one is killed."""
    at = draw.randrange(len(bench.origins))
    old = bench.origins[at]
    new = OriginProcess(old.name, "127.0.0.2" if old.host == "127.0.0.1" else "127.0.0.1", old.port)
    await new.start()
    bench.dns.table[f"{old.name}.test", "A"] = [new.host]

    async def asked() -> bool:
        return (await new.tell("count"))["answered"] > 0

    try:
        await until(asked, "nobody asks at the new address")
        await old.kill()
        yield lambda: bench.load.requests(20)
    finally:
        bench.origins[at] = new
        await old.kill()


# --- Redis


@asynccontextmanager
async def redis_killed(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """It comes back empty."""
    await asyncio.to_thread(bench.redis.kill)
    try:
        yield lambda: bench.load.requests(60)
    finally:
        await asyncio.to_thread(bench.redis.start)


@asynccontextmanager
async def redis_paused(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    bench.redis.pause()
    try:
        yield lambda: bench.load.requests(60)
    finally:
        bench.redis.resume()


@asynccontextmanager
async def redis_emptied(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    await asyncio.to_thread(_redis, bench, "FLUSHALL")
    yield lambda: bench.load.requests(40)


@asynccontextmanager
async def redis_full(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """maxmemory is reached, and nothing may be evicted."""
    await asyncio.to_thread(_redis, bench, "CONFIG", "SET", "maxmemory", "1")
    try:
        yield lambda: bench.load.requests(60)
    finally:
        await asyncio.to_thread(_redis, bench, "CONFIG", "SET", "maxmemory", "0")


def _redis(bench: Bench, *command: str) -> None:
    with redis.Redis.from_url(bench.redis.url) as client:
        client.execute_command(*command)


# --- processes


@asynccontextmanager
async def worker_killed(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """SIGKILL; the fault is over when another one serves."""
    pids = await bench.pids()
    victim = draw.choice(pids)
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        now = await bench.pids()
        return victim not in now and len(now) == 2

    yield lambda: until(replaced, "no other worker serves")


@asynccontextmanager
async def worker_late(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """SIGSTOP until the supervisor notices, then SIGCONT: its requests wait, its sibling takes new ones."""
    victim = draw.choice(await bench.pids())
    os.kill(victim, signal.SIGSTOP)

    async def noticed() -> bool:
        return any(each["state"] != "serving" for each in await asyncio.to_thread(bench.node.workers))

    try:
        yield lambda: until(noticed, "nobody notices")
    finally:
        signal_all([victim], signal.SIGCONT)
        await bench.all_serve()


@asynccontextmanager
async def worker_hung(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """SIGSTOP for good: it is killed and replaced."""
    victim = draw.choice(await bench.pids())
    os.kill(victim, signal.SIGSTOP)

    async def replaced() -> bool:
        now = await bench.pids()
        return victim not in now and len(now) == 2

    try:
        yield lambda: until(replaced, "it is not replaced")
    finally:
        signal_all([victim], signal.SIGCONT)
        await bench.all_serve()


@asynccontextmanager
async def supervisor_killed(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """SIGKILL: the workers end by themselves, the ports are free, and another node starts there."""
    pids = await bench.pids()
    bench.node.process.kill()
    await asyncio.to_thread(bench.node.process.wait)
    await bench.gone(pids)
    await asyncio.to_thread(
        eventually, lambda: _free(bench.port) and _free(bench.admin), "the ports are free"
    )
    try:
        yield lambda: bench.load.requests(1)
    finally:
        bench.mended = time.monotonic()  # from here on it is the new node's start that counts
        await bench.start_node()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# --- what the machine has too little of


@asynccontextmanager
async def disk_full(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """The disk of the node's tier has no byte left."""
    ballast = bench.disk() / "ballast"
    await asyncio.to_thread(_fill, ballast)

    told, ended = bench.node.log.count(DISK_FULL), bench.load.ended

    async def said() -> bool:
        # A file that is as large as it may be needs no room.
        return bench.node.log.count(DISK_FULL) > told or bench.load.ended > ended + 5000

    try:
        yield lambda: until(said, "the disk is full and nobody says so")
    finally:
        with contextlib.suppress(FileNotFoundError):  # of a node that has ended meanwhile
            ballast.unlink()


def _fill(ballast: object) -> None:
    with open(str(ballast), "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def clock_steps(*seconds: int) -> Fault:
    """The wall clock of the node's processes is off by each of these in turn."""

    @asynccontextmanager
    async def fault(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
        async def felt() -> None:
            for step in seconds:
                bench.step_clock(step)
                await bench.load.requests(60)

        try:
            yield felt
        finally:
            bench.step_clock(0)

    return fault


@asynccontextmanager
async def clock_steps_and_worker_ends(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """A worker is replaced while the wall clock is another than when its sibling began."""
    bench.step_clock(draw.choice((-3600, 3600)))

    async def felt() -> None:
        async with worker_killed(bench, draw) as met:
            await met()
        await bench.load.requests(200)

    try:
        yield felt
    finally:
        bench.step_clock(0)


@asynccontextmanager
async def descriptors_exhausted(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """The workers may open a few files more than they have, and a crowd of clients connects."""
    pids = await bench.pids()
    before = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 4, hard))
    crowd: list[socket.socket] = []
    try:
        for _ in range(60):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", bench.port))
            crowd.append(client)
        yield lambda: bench.load.requests(100)
    finally:
        for client in crowd:
            client.close()
        for pid, limits in zip(pids, before, strict=True):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@asynccontextmanager
async def memory_exhausted(bench: Bench, draw: random.Random) -> AsyncIterator[Met]:
    """The workers may not grow by a page more than they are, while large and small bodies are asked for."""
    pids = await bench.pids()
    before = [resource.prlimit(pid, resource.RLIMIT_AS) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        with open(f"/proc/{pid}/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (size, hard))
    try:
        yield lambda: bench.load.requests(200)
    finally:
        for pid, limits in zip(pids, before, strict=True):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_AS, limits)
