"""Measures a purge to the last node applied: two nodes, a real Redis, all of them processes.

`python -m tests.benchmarks.purge_latency [--purges 1000]` prints median, 99th percentile and worst of the
whole call `POST /purge` (until the answer says that both nodes have applied it), and of what the receipts
tell: from the purge's entry in the log to the other node's word, by Redis' clock.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.node import CONFIG, Origin, RunningNode, eventually
from tests.redis_server import RedisServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--purges", type=int, default=1000)
    count = parser.parse_args().purges
    origin = Origin()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            RedisServer() as server,
            running(Path(folder), "edge-1", server, origin) as one,
            running(Path(folder), "edge-2", server, origin) as other,
        ):
            for node in (one, other):
                eventually(lambda node=node: len(node.admin("GET", "/nodes").json) == 2)
            report(count, *measure(one, count, lambda at: {"tags": [f"product-{at}"]}))
    finally:
        origin.close()


def running(folder: Path, name: str, server: RedisServer, origin: Origin) -> RunningNode:
    text = CONFIG.replace("node: edge-1", f"node: {name}").replace(
        "upstreams:", f'cache: {{redis: {{url: "{server.url}"}}}}\n    upstreams:', 1
    )
    (folder / name).mkdir()
    return RunningNode(folder / name, origin, text)


def measure(
    node: RunningNode, count: int, order: Callable[[int], dict[str, list[str]]]
) -> tuple[list[float], list[float]]:
    """Milliseconds of each call, and from log to the other node's word."""
    connection = http.client.HTTPConnection("127.0.0.1", node.admin_port, timeout=30)
    calls, words = [], []
    for at in range(count):
        body = json.dumps({**order(at), "wait": "20s"})
        began = time.perf_counter()
        connection.request("POST", "/purge", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        calls.append(1000 * (time.perf_counter() - began))
        assert set(answer["nodes"].values()) == {"applied"}, answer
        words.append(answer["receipts"]["edge-2"]["milliseconds"])
    connection.close()
    return calls, words


def report(count: int, calls: list[float], words: list[float]) -> None:
    print(f"{count} purges by tag, 2 nodes of 2 workers, one after the other, milliseconds")
    for name, values in (("POST /purge until all applied", calls), ("log to the other node's word", words)):
        ordered = sorted(values)
        print(
            f"  {name:32} median {statistics.median(ordered):6.2f}   "
            f"p99 {ordered[int(0.99 * (len(ordered) - 1))]:6.2f}   worst {ordered[-1]:7.2f}"
        )


if __name__ == "__main__":
    main()
