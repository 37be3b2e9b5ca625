"""What the node's tier does for a real node: one fetch serves all workers, and a restart keeps it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import lmdb
import pytest

from edgeproxy.store.node_format import FORMAT, META, Meta, decode_meta, encode_plain
from tests.integration.node import CONFIG, DEADLINE, Origin, RunningNode, alive, eventually
from tests.redis_server import RedisServer


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


def shared_memory_of(node: RunningNode) -> set[Path]:
    """The directories of node tiers that the supervisor has a file open in."""
    held = [Path(os.readlink(each)) for each in Path(f"/proc/{node.process.pid}/fd").iterdir()]
    return {path.parent for path in held if path.parent.name.startswith("edgeproxy-node-")}


def test_one_worker_s_fetch_serves_the_other(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, CONFIG) as node:
        clients = Clients(node)
        shared = shared_memory_of(node)
        assert len(shared) == 1
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
    assert not any(place.exists() for place in shared)


def test_what_one_worker_fetched_anew_serves_the_other_when_its_own_is_stale(
    tmp_path: Path, origin: Origin
) -> None:
    late = CONFIG.replace("upstream: shop}", "upstream: shop, cache: {early_revalidation: false}}")
    with RunningNode(tmp_path, origin, late) as node:
        clients = Clients(node)
        try:
            clients.get(0, "/a?age=2")
            eventually(lambda: responses(node) == 1)
            assert clients.get(1, "/a?age=2") == b"GET /a?age=2 1"
            eventually(lambda: clients.get(0, "/a?age=2") == b"GET /a?age=2 2")
            time.sleep(0.2)  # until it is written; it is fresh for two seconds
            assert clients.get(1, "/a?age=2") == b"GET /a?age=2 2"
            assert origin.asked["/a?age=2"] == 2
        finally:
            clients.close()


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


def test_a_purge_holds_over_a_restart_and_for_nothing_else(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        for path in ("/a?tag=t", "/b?tag=t", "/c"):
            node.get(path)
        eventually(lambda: responses(node) == 3)
        assert node.admin("POST", "/purge", {"tags": ["t"]}).status == 200
        node.get("/b?tag=t")  # fetched after the purge
        eventually(lambda: stored_anew(node, "/b?tag=t"))
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert node.get("/a?tag=t").body == b"GET /a?tag=t 2"
        assert node.get("/b?tag=t").body == b"GET /b?tag=t 2"
        assert node.get("/c").body == b"GET /c 1"


def test_a_node_that_was_killed_keeps_what_was_stored_and_its_purges(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        for path in ("/a?tag=t", "/c"):
            node.get(path)
        eventually(lambda: responses(node) == 2)
        node.admin("POST", "/purge", {"tags": ["t"]})
        pids = [node.process.pid, *node.pids()]
        node.signal(signal.SIGKILL)
        node.exit_code()
        eventually(lambda: not any(alive(pid) for pid in pids))
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert node.get("/a?tag=t").body == b"GET /a?tag=t 2"
        assert node.get("/c").body == b"GET /c 1"


@pytest.mark.parametrize("lost", ["missing", "altered"])
def test_without_its_purges_nothing_stored_is_believed(tmp_path: Path, origin: Origin, lost: str) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        node.get("/a")
        eventually(lambda: responses(node) == 1)
    purges = tmp_path / "disk" / "purges"
    if lost == "missing":
        purges.unlink()
    else:
        data = bytearray(purges.read_bytes())
        data[100_000] ^= 1
        purges.write_bytes(data)
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert "is dropped: its purges are" in node.log
        assert node.get("/a").body == b"GET /a 2"


def test_a_killed_writer_is_replaced_and_what_it_wrote_is_there(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        clients = Clients(node)
        try:
            clients.get(0, "/a")
            eventually(lambda: responses(node) == 1)
            pid = writer_pid(node)
            os.kill(pid, signal.SIGKILL)
            assert clients.get(1, "/a") == b"GET /a 1"
            eventually(lambda: writer_pid(node) not in (0, pid))
            clients.get(0, "/b")
            eventually(lambda: responses(node) == 2)
            assert clients.get(1, "/b") == b"GET /b 1"
        finally:
            clients.close()
        assert "writer ended (code -9): another one starts" in node.log


def test_a_new_worker_is_warm_at_its_first_request(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, CONFIG) as node:
        for name in range(10):
            node.get(f"/{name}")
        eventually(lambda: responses(node) == 10)
        before = node.pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: pid not in node.pids() and len(node.pids()) == 2)
            eventually(lambda: all(worker["state"] == "serving" for worker in node.workers()))
        for name in range(10):
            node.get(f"/{name}")
        assert node.metric("edgeproxy_node_tier_up") == 1
    assert sum(origin.asked.values()) == 10


def test_a_worker_that_crashed_takes_the_tier_with_it(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        node.get("/a")
        eventually(lambda: responses(node) == 1)
        pids = node.pids()
        os.kill(pids[0], signal.SIGBUS)
        eventually(lambda: pids[0] not in node.pids() and None not in node.pids())
        assert "the node tier is off: a worker was ended by SIGBUS" in node.log
        assert (tmp_path / "disk" / "tier.aside").is_dir()
        assert node.metric("edgeproxy_node_tier_up") == 0
        for name in range(4):
            assert node.get(f"/{name}").status == 200
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert node.metric("edgeproxy_node_tier_up") == 1
        assert node.get("/a").status == 200


@pytest.mark.parametrize("what", ["everything", "beginning"])
def test_a_damaged_file_is_set_aside_and_no_request_fails(tmp_path: Path, origin: Origin, what: str) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        for name in range(200):
            node.get(f"/{name}")
        eventually(lambda: responses(node) == 200)
    file = tmp_path / "disk" / "tier" / "data.mdb"
    start = 0 if what == "beginning" else 8192
    with file.open("r+b") as data:
        data.seek(start)
        data.write(os.urandom(8192 if what == "beginning" else file.stat().st_size - start))
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        for name in range(200):
            assert node.get(f"/{name}").status == 200
        assert "node tier" in node.log
        assert (tmp_path / "disk" / "tier.aside").is_dir()


def test_damage_beneath_a_running_node_costs_no_request(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        for name in range(100):
            node.get(f"/{name}")
        eventually(lambda: responses(node) == 100)
        file = tmp_path / "disk" / "tier" / "data.mdb"
        with file.open("r+b") as data:
            data.seek(8192)
            data.write(b"\xff" * (file.stat().st_size - 8192))
        served = [served_in_the_end(node, f"/{name}") for name in range(100, 300)]
        assert set(served) == {200}
        eventually(lambda: "node tier" in node.log)


def test_a_file_of_another_format_is_set_aside(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        node.get("/a")
        eventually(lambda: responses(node) == 1)
    with lmdb.open(str(tmp_path / "disk" / "tier"), max_dbs=4) as env:
        table = env.open_db(META)
        with env.begin(write=True, db=table) as txn:
            found = decode_meta(txn.get(b"meta"))
            txn.put(b"meta", encode_plain(Meta(FORMAT + 1, found.purges, found.order)))
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert f"it has format {FORMAT + 1}, this version has {FORMAT}" in node.log
        assert node.get("/a").body == b"GET /a 2"
        eventually(lambda: responses(node) == 1)


def test_two_nodes_do_not_share_a_directory(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "other").mkdir()
    with (
        RunningNode(tmp_path, origin, lasting(tmp_path)) as node,
        RunningNode(tmp_path / "other", origin, lasting(tmp_path)) as other,
    ):
        assert f"the node tier is off: another node uses {tmp_path / 'disk'}" in other.log
        node.get("/a")
        assert other.get("/a").status == 200


def test_a_directory_that_cannot_be_made_turns_the_tier_off(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "disk").write_text("a file")
    with RunningNode(tmp_path, origin, lasting(tmp_path)) as node:
        assert "the node tier is off" in node.log
        assert node.get("/a").status == 200


def test_a_full_disk_stops_the_writing_and_nothing_else(tmp_path: Path, origin: Origin) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=12m tmpfs "{disk}" && exec "$@"'
    within = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if shutil.which("unshare") is None or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip("NO DISK COULD BE FILLED HERE: user namespaces are not allowed")
    with RunningNode(tmp_path, origin, lasting(tmp_path), within=within) as node:
        for name in range(120):
            assert node.get(f"/{name}?size=100000").status == 200
        eventually(lambda: "nothing is written while the disk is full" in node.log)
        eventually(lambda: node.metric("edgeproxy_node_tier_up") == 0)
        for name in range(10):
            assert node.get(f"/{name}?size=100001").status == 200
        eventually(lambda: node.metric('edgeproxy_tier_faults_total{fault="dropped",tier="node"}') > 0)
        assert node.log.count("nothing is written while the disk is full") == 1
        assert node.log.count("Traceback") == 0


def test_large_bodies_pass_through_the_node_s_file(tmp_path: Path, origin: Origin) -> None:
    with RunningNode(tmp_path, origin, lasting(tmp_path).replace("16MiB", "64MiB")) as node:
        clients = Clients(node)
        try:
            sizes = (1, 4000, 250_000, 300_000, 5_000_000)
            bodies = [clients.get(0, f"/?size={size}") for size in sizes]
            eventually(lambda: responses(node) == len(sizes))
            assert [clients.get(1, f"/?size={size}") for size in sizes] == bodies
        finally:
            clients.close()
    assert sum(origin.asked.values()) == len(sizes)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def in_fleet(folder: Path, redis: RedisServer, name: str, *, disk: bool) -> str:
    tiers = f'redis: {{url: "{redis.url}", timeout: 200ms}}'
    tiers += f", disk: {{path: '{folder / 'disk'}', max_size: 16MiB}}" if disk else ""
    return CONFIG.replace("edge-1", name) + f"    cache: {{{tiers}}}\n"


def followed(node: RunningNode) -> bool:
    return bool(node.admin("GET", "/readyz").json["purge_log"]["connected"])


def test_a_node_replays_the_fleet_s_purges_before_what_its_disk_holds_is_used(
    tmp_path: Path, origin: Origin, redis: RedisServer
) -> None:
    config = in_fleet(tmp_path, redis, "edge-1", disk=True)
    (tmp_path / "other").mkdir()
    other = RunningNode(tmp_path / "other", origin, in_fleet(tmp_path, redis, "edge-2", disk=False))
    with other:
        with RunningNode(tmp_path, origin, config) as node:
            eventually(lambda: followed(node))
            for path in ("/a?tag=t", "/b?tag=t", "/c", "/d"):
                node.get(path)
            eventually(lambda: responses(node) == 4)
        eventually(lambda: followed(other))
        other.admin("POST", "/purge", {"tags": ["t"], "wait": "2s"})
    redis.pause()
    try:
        with RunningNode(tmp_path, origin, config) as node:
            assert node.get("/a?tag=t").body == b"GET /a?tag=t 2"
            assert node.get("/c").body == b"GET /c 2", "used before the log was replayed"
            redis.resume()
            eventually(lambda: followed(node))
            assert node.get("/b?tag=t").body == b"GET /b?tag=t 2"
            assert node.get("/d").body == b"GET /d 1"
            assert node.metric('edgeproxy_tier_requests_total{result="hit",tier="node"}') > 0
    finally:
        redis.resume()


# --- what tests look at


def writer_pid(node: RunningNode) -> int:
    for pid in children(node.process.pid):
        with open(f"/proc/{pid}/cmdline") as file:
            if "node_writer" in file.read():
                return pid
    return 0


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def stored_anew(node: RunningNode, path: str) -> bool:
    """Whether another worker finds it too, or this one does: it was written."""
    time.sleep(0.1)
    return "hit" in node.get(path).headers["cache-status"]


def served_in_the_end(node: RunningNode, path: str) -> int:
    """The status of an answer; a worker that the damage ended cuts its connections, and that is all."""
    for _ in range(5):
        try:
            return node.get(path).status
        except (OSError, HTTPException):
            time.sleep(0.2)
    return 0
