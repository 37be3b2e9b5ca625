"""One fetch a node, one a fleet: what clients see of it, and of those who die while they fetch."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.node import CONFIG, DEADLINE, Answer, Origin, RunningNode, eventually
from tests.redis_server import RedisServer

CLIENTS = 24


@pytest.fixture(scope="module")
def one_origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def origin(one_origin: Origin) -> Iterator[Origin]:
    one_origin.gate.clear()
    one_origin.asked.clear()
    while one_origin.arrived.acquire(blocking=False):
        pass
    yield one_origin
    one_origin.gate.set()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, one_origin: Origin) -> Iterator[RunningNode]:
    """One for all that leave it as it was; the tier has 4 MiB, and takes an eighth of four fifths of that."""
    config = CONFIG.replace("upstream: shop}", "upstream: shop, cache: {stale_while_revalidate: 1h}}")
    config += "    cache: {memory: {max_size: 16MiB}}\n"
    with RunningNode(tmp_path_factory.mktemp("node"), one_origin, config) as running:
        yield running


def crowd(
    pool: ThreadPoolExecutor, node: RunningNode, path: str, clients: int = CLIENTS
) -> list[Future[Answer]]:
    return [pool.submit(node.get, path) for _ in range(clients)]


def leases(node: RunningNode, scope: str, result: str) -> float:
    return node.metric(f'edgeproxy_fill_leases_total{{result="{result}",scope="{scope}"}}')


def in_flight(node: RunningNode) -> list[int]:
    return [worker.get("requests", 0) for worker in node.workers()]


def waits(node: RunningNode, clients: int = CLIENTS) -> None:
    """Until all are there, in both workers."""
    eventually(lambda: sum(in_flight(node)) == clients and all(in_flight(node)), "all wait")


def fetching(node: RunningNode) -> int:
    """The process that fetches."""
    return next(worker["pid"] for worker in node.workers() if worker.get("fills"))


def bodies(answers: list[Future[Answer]]) -> Counter[bytes]:
    got = [answer.result(DEADLINE) for answer in answers]
    assert {answer.status for answer in got} == {200}
    return Counter(answer.body for answer in got)


def test_a_crowd_at_all_workers_is_one_request_to_the_origin(node: RunningNode, origin: Origin) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = crowd(pool, node, "/a?gate=1")
        waits(node)
        origin.gate.set()
        assert list(bodies(answers).values()) == [CLIENTS]
    assert origin.asked["/a?gate=1"] == 1
    told = Counter(re.sub("; ttl=.*?(;|$)", r"\1", each.result().headers["cache-status"]) for each in answers)
    assert told["edgeproxy; fwd=uri-miss; stored; collapsed"] > 0
    assert sum("hit" in status for status in told) == 0
    assert (leases(node, "node", "held"), leases(node, "node", "waited")) == (1, 1)


def test_who_waited_for_a_worker_that_was_killed_gets_an_answer_from_a_second_fetch(
    node: RunningNode, origin: Origin
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = crowd(pool, node, "/k?gate=1")
        waits(node)
        os.kill(fetching(node), signal.SIGKILL)
        origin.arrived.acquire(timeout=DEADLINE)
        origin.arrived.acquire(timeout=DEADLINE)  # the second
        origin.gate.set()
        kept = [answer for answer in answers if not answer.exception(DEADLINE)]
        assert len(bodies(kept)) == 1
        assert 0 < len(kept) < CLIENTS  # those of the dead worker's connections are cut
    assert origin.asked["/k?gate=1"] == 2
    eventually(lambda: all("requests" in worker for worker in node.workers()))


def test_a_slow_body_and_a_hung_worker_hold_the_others_up_for_the_collapse_timeout_only(
    tmp_path: Path, origin: Origin
) -> None:
    config = CONFIG.replace("upstream: shop}", "upstream: shop, cache: {collapse_timeout: 500ms}}")
    with RunningNode(tmp_path, origin, config) as node, ThreadPoolExecutor(CLIENTS) as pool:
        path = "/w?gate=1&stream=1"  # of a size that the tier takes, as far as it came
        answers = crowd(pool, node, path)
        eventually(lambda: origin.asked[path] == 2, "each worker fetches")
        origin.gate.set()
        assert sum(bodies(answers).values()) == CLIENTS

        origin.gate.clear()
        answers = crowd(pool, node, "/h?gate=1")
        waits(node)
        hung = fetching(node)
        os.kill(hung, signal.SIGSTOP)
        try:
            eventually(lambda: origin.asked["/h?gate=1"] == 2, "they do not wait for the hung one for ever")
            origin.gate.set()
            eventually(lambda: any(answer.done() for answer in answers))
        finally:
            os.kill(hung, signal.SIGCONT)
        assert sum(bodies(answers).values()) == CLIENTS


def test_answers_that_are_for_nobody_else_are_not_fetched_one_after_the_other(
    node: RunningNode, origin: Origin
) -> None:
    with ThreadPoolExecutor(100) as pool:
        answers = crowd(pool, node, "/u?gate=1&control=no-store", 100)
        waits(node, 100)
        assert origin.asked["/u?gate=1&control=no-store"] == 1
        origin.gate.set()
        assert len(bodies(answers)) == 100 or origin.asked["/u?gate=1&control=no-store"] == 100


def test_a_purge_during_the_wait_beats_what_is_waited_for(node: RunningNode, origin: Origin) -> None:
    path = "/p?gate=1&tag=t"
    with ThreadPoolExecutor(2 * CLIENTS) as pool:
        before = crowd(pool, node, path)
        waits(node)
        answer = node.admin("POST", "/purge", {"tags": ["t"]})
        assert list(answer.json["nodes"].values()) == ["applied"]
        after = crowd(pool, node, path)
        waits(node, 2 * CLIENTS)
        origin.gate.set()
        bodies(before)
        # the origin says how often it was asked; the first time was before the purge
        assert b"GET %b 1" % path.encode() not in bodies([*after, pool.submit(node.get, path)])
    assert origin.asked[path] <= 3


def test_what_is_too_large_for_others_is_fetched_by_each_worker_once(
    node: RunningNode, origin: Origin
) -> None:
    path = "/l?gate=1&size=1000000"
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = crowd(pool, node, path)
        waits(node)
        origin.gate.set()
        bodies(answers)
    assert origin.asked[path] == 2


def test_of_what_comes_in_pieces_others_are_told_once_it_is_too_large(
    node: RunningNode, origin: Origin
) -> None:
    path, large = "/c?gate=1&stream=1", "/m?gate=1&stream=1&size=1000000"
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = crowd(pool, node, path)
        waits(node)
        origin.gate.set()
        assert list(bodies(answers).values()) == [CLIENTS]
        assert origin.asked[path] == 1
        origin.gate.clear()
        answers = crowd(pool, node, large)
        eventually(lambda: origin.asked[large] == 2, "each worker fetches", DEADLINE / 5)
        origin.gate.set()
        bodies(answers)
    assert origin.asked[large] == 2


def test_a_stale_response_is_validated_in_the_background_once(node: RunningNode, origin: Origin) -> None:
    path = "/s?gate=1&age=1"
    with ThreadPoolExecutor(CLIENTS) as pool:
        first = crowd(pool, node, path)
        waits(node)
        origin.gate.set()
        bodies(first)
        origin.gate.clear()
        eventually(lambda: "ttl=-" in node.get(path).headers["cache-status"], "it is stale")
        bodies(crowd(pool, node, path))
        assert origin.asked[path] == 2
        origin.gate.set()
        eventually(lambda: not any(worker.get("fills") for worker in node.workers()))
    assert origin.asked[path] == 2


# --- a fleet


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, one_origin: Origin, redis: RedisServer
) -> Iterator["Fleet"]:
    """One for all; the last test ends Redis."""
    with Fleet(tmp_path_factory.mktemp("fleet"), one_origin, redis) as running:
        yield running


class Fleet:
    """Two nodes of two workers each."""

    def __init__(self, folder: Path, origin: Origin, redis: RedisServer) -> None:
        self.stack = ExitStack()
        self.nodes = []
        config = CONFIG + f"    cache: {{redis: {{url: '{redis.url}', timeout: 1s}}}}\n"
        for name in ("edge-1", "edge-2"):
            (folder / name).mkdir()
            made = RunningNode(folder / name, origin, config.replace("edge-1", name))
            self.stack.callback(made.end)
            self.nodes.append(made)

    def __enter__(self) -> "Fleet":
        for node in self.nodes:
            node.ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def crowd(self, pool: ThreadPoolExecutor, path: str) -> list[Future[Answer]]:
        answers = [answer for node in self.nodes for answer in crowd(pool, node, path, CLIENTS // 2)]
        eventually(lambda: sum(sum(in_flight(node)) for node in self.nodes) == CLIENTS, "all wait")
        return answers

    def reached(self) -> None:
        """Until all workers ask Redis again: the gauges are up to a second late, the log is not."""
        for node in self.nodes:
            eventually(lambda node=node: node.log.count(": not asked") == node.log.count(": answers again"))

    def fetching(self) -> tuple[RunningNode, int]:
        return next(
            (node, worker["pid"]) for node in self.nodes for worker in node.workers() if worker.get("fills")
        )


def test_a_crowd_at_all_nodes_is_one_request_to_the_origin(
    fleet: Fleet, origin: Origin, redis: RedisServer
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = fleet.crowd(pool, "/a?gate=1")
        origin.gate.set()
        assert list(bodies(answers).values()) == [CLIENTS]
        assert origin.asked["/a?gate=1"] == 1
        origin.gate.clear()
        held = sum(leases(node, "fleet", "held") for node in fleet.nodes)
        assert held == 1


def test_redis_paused_is_waited_for_no_longer_than_its_timeout(
    fleet: Fleet, origin: Origin, redis: RedisServer
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = fleet.crowd(pool, "/p?gate=1")
        redis.pause()
        try:
            origin.gate.set()
            bodies(answers)
            assert origin.asked["/p?gate=1"] <= 2
            bodies(crowd(pool, fleet.nodes[0], "/q"))
        finally:
            redis.resume()
        fleet.reached()


def test_an_answer_for_nobody_else_is_remembered_in_the_fleet(
    fleet: Fleet, origin: Origin, redis: RedisServer
) -> None:
    path = "/u?gate=1&control=no-store"
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = fleet.crowd(pool, path)
        assert origin.asked[path] == 1
        origin.gate.set()
        bodies(answers)
        assert origin.asked[path] == CLIENTS


def test_a_fleet_goes_on_when_the_one_that_fetches_is_killed_and_when_redis_is(
    fleet: Fleet, origin: Origin, redis: RedisServer
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = fleet.crowd(pool, "/k?gate=1")
        _, pid = fleet.fetching()
        os.kill(pid, signal.SIGKILL)
        origin.arrived.acquire(timeout=DEADLINE)
        origin.arrived.acquire(timeout=DEADLINE)
        origin.gate.set()
        kept = [answer for answer in answers if not answer.exception(DEADLINE)]
        assert len(kept) >= CLIENTS // 2
        assert len(bodies(kept)) == 1
        assert origin.asked["/k?gate=1"] == 2

        origin.gate.clear()
        for node in fleet.nodes:
            eventually(lambda node=node: all("requests" in worker for worker in node.workers()))
        fleet.reached()
        answers = fleet.crowd(pool, "/r?gate=1")
        redis.kill()
        for _ in range(2):
            origin.arrived.acquire(timeout=DEADLINE)  # one a node, without delay
        origin.gate.set()
        bodies(answers)
        assert origin.asked["/r?gate=1"] == 2
