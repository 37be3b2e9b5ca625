"""What the node's tier does for a real node: one fetch serves all workers, and a restart keeps it."""

import os
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.integration.node import CONFIG, DEADLINE, Origin, RunningNode, eventually


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


def lasting(folder: Path) -> str:
    return CONFIG + f"    cache: {{disk: {{path: '{folder / 'disk'}', max_size: 16MiB}}}}\n"


class Clients:
    """A connection to each worker of a node."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._ports: dict[int, HTTPConnection] = {}
        eventually(self._found_all, "a connection to each worker")

    def _served(self) -> list[int]:
        return [worker["connections"]["downstream"] for worker in self._node.workers()]

    def _found_all(self) -> bool:
        before = self._served()
        connection = HTTPConnection("127.0.0.1", self._node.port, timeout=DEADLINE)
        connection.connect()
        eventually(lambda: sum(self._served()) > sum(before))
        after = self._served()
        worker = next(at for at, count in enumerate(after) if count > before[at])
        if worker in self._ports:
            connection.close()
            eventually(lambda: sum(self._served()) == sum(before))
        else:
            self._ports[worker] = connection
        return len(self._ports) == len(after)

    def get(self, worker: int, path: str) -> bytes:
        connection = self._ports[worker]
        connection.request("GET", path, headers={"Host": "shop.example"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body

    def close(self) -> None:
        for connection in self._ports.values():
            connection.close()


def responses(node: RunningNode) -> float:
    return node.metric('edgeproxy_cache_responses{tier="node"}')


def test_one_worker_s_fetch_serves_the_other(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, CONFIG) as node:
        clients = Clients(node)
        try:
            for name in range(20):
                clients.get(0, f"/{name}")
            eventually(lambda: responses(node) == 20)
            for name in range(20):
                assert clients.get(1, f"/{name}") == f"GET /{name} 1".encode()
            eventually(lambda: node.metric('edgeproxy_tier_requests_total{result="hit",tier="node"}') == 20)
        finally:
            clients.close()
    assert sum(origin.asked.values()) == 20
    assert not list(Path("/dev/shm").glob("edgeproxy-node-*"))


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        node.get("/a")
        node.get("/b?tag=t")
        eventually(lambda: responses(node) == 2)
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert responses(node) == 2
        assert node.get("/a").body == b"GET /a 1"
        assert "hit" in node.get("/b?tag=t").headers["cache-status"]
    assert sum(origin.asked.values()) == 2
