"""Several workers of a real node: load is spread over them, and each stays on its CPU."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.node import CONFIG, Origin, RunningNode, eventually

CONNECTIONS = 400
MOST_SKEW = 0.25
"""Distance from an equal share. Chance alone passes this once in a million runs: 5 times its deviation."""


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


def skew(counts: list[int]) -> float:
    """How far the busiest is above an equal share: 0 is even, 1 is all on one of two."""
    return max(counts) / (sum(counts) / len(counts)) - 1


def test_connections_are_spread_over_workers(tmp_path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, CONFIG) as node, ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 10))

        def held() -> list[int]:
            return [worker["connections"]["downstream"] for worker in node.workers()]

        eventually(lambda: sum(held()) == CONNECTIONS, "all connections are accepted")
        assert skew(held()) <= MOST_SKEW, held()


def test_what_each_worker_answered_is_told(tmp_path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, CONFIG) as node:
        for _ in range(10):
            assert node.get("/a").status == 200
        eventually(lambda: sum(worker["answered"] for worker in node.workers()) == 10, "all are counted")


def test_workers_stay_on_their_cpus_and_so_do_their_successors(tmp_path, origin: Origin) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    wanted = [[cpus[-1]], [cpus[0]]]
    config = CONFIG.replace("workers: 2", f"workers: 2, cpu_affinity: [{cpus[-1]}, {cpus[0]}]")
    with RunningNode(tmp_path, origin, config) as node:
        assert [worker["cpus"] for worker in node.workers()] == wanted
        assert sorted(os.sched_getaffinity(node.process.pid)) == cpus  # the supervisor is not pinned
        victim = node.pids()[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: node.workers()[0]["pid"] not in (None, victim), "it is replaced")
        assert [worker["cpus"] for worker in node.workers()] == wanted


def test_an_impossible_cpu_is_said_and_the_node_serves(tmp_path, origin: Origin) -> None:
    config = CONFIG.replace("workers: 2", "workers: 2, cpu_affinity: [4095]")
    with RunningNode(tmp_path, origin, config) as node:
        assert node.get("/a").status == 200
        assert "server.cpu_affinity: CPU 4095 is none that this process may use" in node.log
