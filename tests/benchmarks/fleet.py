"""Figures of a fleet under load: two nodes of two workers, a real Redis, all of them processes on loopback.

    python -m tests.benchmarks.fleet pause [--seconds 30] [--rate 100]   Redis stopped under load
    python -m tests.benchmarks.fleet restart [--urls 500]                hit ratio over a rolling restart
    python -m tests.benchmarks.fleet purge [--purges 1000]               a purge to the last node applied

Must not know what the figures ought to be. Bounded: `rate` requests a second, `urls` responses of 1 KiB.
"""

import argparse
import contextlib
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.benchmarks.purge_latency import measure, report
from tests.integration.node import CONFIG, Origin, RunningNode, eventually
from tests.redis_server import RedisServer

TIMEOUT = 0.05
"""Seconds that a request may wait for Redis, the default."""
LATE = 0.1
CLIENTS = 8
SEED = 5


class Asked:
    """What clients of one node saw: seconds of each answer and when it was asked for, hits, failures."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self.hits = 0
        self.failed = 0

    def ask(self, connection: HTTPConnection, path: str) -> None:
        began = time.monotonic()
        try:
            connection.request("GET", path, headers={"Host": "shop.example"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connection.close()
            self.failed += 1
            return
        self.times.append((began, time.monotonic() - began))
        self.failed += answer.status != 200
        self.hits += "; hit" in answer.headers.get("Cache-Status", "")

    @property
    def ratio(self) -> float:
        return 100 * self.hits / max(1, len(self.times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["pause", "restart", "purge"])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--urls", type=int, default=500)
    parser.add_argument("--purges", type=int, default=1000)
    options = parser.parse_args()
    origin = Origin()
    try:
        with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
            if options.what == "pause":
                pause(Path(folder), server, origin, options.seconds, options.rate)
            elif options.what == "restart":
                restart(Path(folder), server, origin, options.urls)
            else:
                with pair(Path(folder), server, origin) as (one, _):
                    report(options.purges, *measure(one, options.purges, lambda at: {"tags": [f"p-{at}"]}))
    finally:
        origin.close()


def node(folder: Path, name: str, server: RedisServer, origin: Origin, redis: bool = True) -> RunningNode:
    tiers = "disk: {path: ./var, max_size: 64MiB}"
    if redis:
        tiers += f', redis: {{url: "{server.url}", timeout: {TIMEOUT * 1000:.0f}ms}}'
    text = CONFIG.replace("node: edge-1", f"node: {name}")
    (folder / name).mkdir(exist_ok=True)
    return RunningNode(
        folder / name, origin, text.replace("upstreams:", f"cache: {{{tiers}}}\n    upstreams:", 1)
    )


@contextlib.contextmanager
def pair(folder: Path, server: RedisServer, origin: Origin) -> Iterator[tuple[RunningNode, RunningNode]]:
    with node(folder, "edge-1", server, origin) as one, node(folder, "edge-2", server, origin) as other:
        for each in (one, other):
            eventually(lambda each=each: len(each.admin("GET", "/nodes").json) == 2)
        yield one, other


# Redis paused


def pause(folder: Path, server: RedisServer, origin: Origin, seconds: float, rate: float) -> None:
    """Half of what is asked for is a hit, half is new: for that each worker asks Redis first."""
    with pair(folder, server, origin) as nodes:
        stop = time.monotonic() + 5 + seconds + 5
        seen = [Asked() for _ in range(CLIENTS)]
        threads = [
            threading.Thread(target=keep_asking, args=(each, nodes[at % 2], at, stop, CLIENTS / rate))
            for at, each in enumerate(seen)
        ]
        for thread in threads:
            thread.start()
        time.sleep(5)
        server.pause()
        stopped = time.monotonic()
        try:
            time.sleep(seconds)
        finally:
            server.resume()
        resumed = time.monotonic()
        for thread in threads:
            thread.join()
        times = [each for asked in seen for each in asked.times]
        failed = sum(asked.failed for asked in seen)
        print(f"2 nodes of 2 workers, {rate:g} requests/s, half of them new; Redis timeout {TIMEOUT:g} s")
        print(f"{len(times)} answers, {failed} requests failed")
        told("before", [took for began, took in times if began < stopped])
        told("paused", [took for began, took in times if stopped <= began < resumed])
        told("after", [took for began, took in times if resumed <= began])


def keep_asking(asked: Asked, node: RunningNode, client: int, stop: float, every: float) -> None:
    connection = HTTPConnection("127.0.0.1", node.port, timeout=30)
    due = time.monotonic()
    count = 0
    while due < stop:
        time.sleep(max(0.0, due - time.monotonic()))
        asked.ask(connection, f"/{client}-{count}?size=1024" if count % 2 else "/popular?size=1024")
        count += 1
        due += every
    connection.close()


def told(when: str, times: list[float]) -> None:
    ordered = sorted(1000 * each for each in times)
    waited = sum(each >= 1000 * TIMEOUT * 0.9 for each in ordered)
    late = sum(each > 1000 * LATE for each in ordered)
    print(
        f"  {when:8} {len(ordered):6} answers   median {statistics.median(ordered):6.2f} ms   "
        f"p99 {ordered[int(0.99 * (len(ordered) - 1))]:6.2f}   max {ordered[-1]:7.2f}   "
        f"from {900 * TIMEOUT:.0f} ms on: {waited}   above {1000 * LATE:.0f} ms: {late}"
    )


# a rolling restart


def restart(folder: Path, server: RedisServer, origin: Origin, urls: int) -> None:
    """Each URL once, then by popularity (Zipf, exponent 0.9), then all nodes restarted one after the other,
    then by popularity again. Once with Redis, once on disks alone."""
    for redis in (True, False):
        place = folder / ("with" if redis else "without")
        place.mkdir()
        _restart(place, server, origin, urls, redis)


def _restart(folder: Path, server: RedisServer, origin: Origin, urls: int, redis: bool) -> None:
    def start(name: str) -> RunningNode:
        return node(folder, name, server, origin, redis)

    draw = random.Random(SEED)
    weights = [1 / (rank + 1) ** 0.9 for rank in range(urls)]
    names = [f"/{'r' if redis else 'd'}{rank}?size=1024&age=3600" for rank in range(urls)]
    nodes = {name: start(name) for name in ("edge-1", "edge-2")}
    try:
        for each in nodes.values():
            each.ready()

        def ratio(paths: list[str]) -> str:
            told = [ask_all(each, paths) for each in nodes.values()]
            return ", ".join(f"{one.ratio:.1f} % ({one.failed})" for one in told)

        how = "disk and Redis" if redis else "disk, no Redis"
        print(f"{how}: 2 nodes, {urls} URLs; hit ratio of each, and requests failed")
        print(f"  each URL once   {ratio(names)}")
        print(f"  before          {ratio(draw.choices(names, weights, k=4 * urls))}")
        for name in nodes:
            nodes[name].signal(signal.SIGTERM)
            assert nodes[name].exit_code() == 0
            nodes[name] = start(name)
            nodes[name].ready()
        print(f"  after, at once  {ratio(draw.choices(names, weights, k=4 * urls))}")
    finally:
        for each in nodes.values():
            each.end()


def ask_all(node: RunningNode, paths: list[str]) -> Asked:
    """One after the other, over four connections in turn."""
    asked = Asked()
    connections = [HTTPConnection("127.0.0.1", node.port, timeout=30) for _ in range(4)]
    for at, path in enumerate(paths):
        asked.ask(connections[at % 4], path)
    for connection in connections:
        connection.close()
    return asked


if __name__ == "__main__":
    main()
