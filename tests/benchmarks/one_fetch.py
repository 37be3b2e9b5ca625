"""How often an origin is asked for one cold URL by many clients at once, over nodes, workers and Redis.

Must not know edgeproxy beyond its command line. `python -m tests.benchmarks.one_fetch --clients 10000`.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import re
import resource
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.redis_server import RedisServer

CONFIG = """
server: {listen: "127.0.0.1:0", workers: %(workers)d, node: %(name)s}
admin: {listen: "127.0.0.1:0"}
%(redis)s
upstreams: {o: {origins: ["http://127.0.0.1:%(port)d"], timeouts: {connect: 10s}}}
routes: [{name: all, upstream: o}]
"""
BATCH = 200
"""Connections opened at once."""
LIMIT = 120.0
"""Seconds after which the measurement is given up."""


class Origin:
    """Answers each request for a page after `delay` seconds; for `/asked`, how many those were."""

    def __init__(self, delay: float, answer: bytes) -> None:
        self.delay = delay
        self.answer = answer
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /asked "):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%6d" % self.asked)
                    continue
                self.asked += 1
                await asyncio.sleep(self.delay)
                writer.write(self.answer)
                await writer.drain()
        writer.close()

    async def run(self, sock: socket.socket) -> None:
        server = await asyncio.start_server(self.serve, sock=sock, backlog=4096)
        await server.serve_forever()


def serve_origin(sock: socket.socket, delay: float, answer: bytes) -> None:
    """A process of its own: what keeps the clients busy does not make the origin slow."""
    asyncio.run(Origin(delay, answer).run(sock))


async def node(
    folder: Path, name: str, workers: int, origin: int, redis: str
) -> tuple[asyncio.subprocess.Process, int, int]:
    """A running node, the port that it listens on, and its admin API's."""
    shared = f'cache: {{redis: {{url: "{redis}"}}}}' if redis else ""
    file = folder / f"{name}.yaml"
    file.write_text(CONFIG % {"workers": workers, "name": name, "redis": shared, "port": origin})
    log = folder / f"{name}.log"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edgeproxy", "run", "--config", str(file), stderr=log.open("wb")
    )
    while "serves with workers" not in log.read_text():
        if process.returncode is not None:
            raise RuntimeError(log.read_text())
        await asyncio.sleep(0.05)
    ports = re.findall(r"(?:listening|admin API) on https?://\S+:(\d+)", log.read_text())
    return process, int(ports[0]), int(ports[1])


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes, float]:
    """The status, the Cache-Status without its time to live, and the seconds that it took."""
    began = time.perf_counter()
    writer.write(b"GET /cold HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
    await reader.readexactly(length)
    status = re.findall(rb"(?i)(?:cache|proxy)-status: (.*)\r\n", head)
    told = re.sub(rb"; ttl=-?\d+", b"", status[0]) if status else b"-"
    return head.split(b" ", 2)[1], told, time.perf_counter() - began


async def get(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % path.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
    body = await reader.readexactly(length)
    writer.close()
    return body.decode()


async def measure(options: argparse.Namespace, folder: Path, redis: str) -> None:
    body = b"x" * options.size
    control = b"no-store" if options.uncacheable else b"max-age=60"
    answer = b"HTTP/1.1 200 OK\r\nCache-Control: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        control,
        len(body),
        body,
    )
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    origin = multiprocessing.get_context("spawn").Process(
        target=serve_origin, args=(sock, options.delay, answer)
    )
    origin.start()
    sock.close()
    nodes = [await node(folder, f"n{at}", options.workers, port, redis) for at in range(options.nodes)]
    try:
        streams = []
        for at in range(0, options.clients, BATCH):
            batch = range(at, min(at + BATCH, options.clients))
            ports = [nodes[each % len(nodes)][1] for each in batch]
            streams += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", one) for one in ports))
        began = time.perf_counter()
        answers = await asyncio.gather(*(ask(*stream) for stream in streams))
        took = time.perf_counter() - began
        origin_requests = int(await get(port, "/asked"))
        leases = Counter[str]()
        for _, _, admin in nodes:
            for name, value in re.findall(
                r"edgeproxy_fill_leases_total(\S+) (\d+)", await get(admin, "/metrics")
            ):
                leases[name] += int(value)
    finally:
        for process, _, _ in nodes:
            process.terminate()
        for process, _, _ in nodes:
            await process.wait()
        origin.kill()
        origin.join()
    slowest = max(seconds for _, _, seconds in answers)
    print(
        f"{options.clients} clients, {options.nodes} nodes x {options.workers} workers, redis: {bool(redis)}"
    )
    print(f"origin requests: {origin_requests}; all in {took:.2f} s, slowest {slowest:.2f} s")
    for (status, told), number in Counter((status, told) for status, told, _ in answers).most_common():
        print(f"{number:7} {status.decode()} {told.decode()}")
    print(*(f"{name} {value}" for name, value in leases.items() if value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds that the origin takes")
    parser.add_argument("--without-redis", action="store_true")
    parser.add_argument("--uncacheable", action="store_true")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        redis = "" if options.without_redis else stack.enter_context(RedisServer()).url
        asyncio.run(asyncio.wait_for(measure(options, Path(folder), redis), LIMIT))


if __name__ == "__main__":
    main()
