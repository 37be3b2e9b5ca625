"""A new process takes the running node's sockets: no request is refused or cut, even if it fails."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.integration.node import CONFIG, Answer, Origin, RunningNode, eventually
from tests.integration.steady_load import SteadyLoad

ARGS = ("--config", "FILE")


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def runtime():
    """A short path: that of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="ep")
    yield folder
    shutil.rmtree(folder)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Generations:
    """Nodes that take over from each other; all are ended at the end."""

    def __init__(self, folder: Path, origin: Origin, runtime: str, config: str = CONFIG) -> None:
        self.folder, self.origin, self.runtime = folder, origin, runtime
        self.config = config.replace(
            'admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "127.0.0.1:{free_port()}"}}'
        )
        self.config = self.config.replace('listen: "127.0.0.1:0"', f'listen: "127.0.0.1:{free_port()}"')
        if "drain_timeout" not in config:
            self.config = self.config.replace("node: edge-1", "node: edge-1, drain_timeout: 4s")
        self.nodes: list[RunningNode] = []

    def start(self, *more: str, config: str | None = None, **env: str) -> RunningNode:
        node = RunningNode(
            self.folder,
            self.origin,
            config or self.config,
            run=(*ARGS, *more),
            env={"RUNTIME_DIRECTORY": self.runtime, **env},
            log=f"stderr{len(self.nodes)}.log",
        )
        self.nodes.append(node)
        return node

    def take_over(self, **env: str) -> RunningNode:
        old = self.nodes[-1]
        node = self.start("--takeover", **env)
        node.ready()
        assert old.exit_code() == 0, old.log
        assert "Traceback" not in old.log + node.log
        return node

    def end(self) -> None:
        for node in self.nodes:
            node.end()


@pytest.fixture
def generations(tmp_path, origin, runtime):
    made = Generations(tmp_path, origin, runtime)
    yield made
    made.end()


def test_under_load_takeovers_fail_no_request(generations):
    node = generations.start()
    node.ready()
    port, admin = node.port, node.admin_port
    load = SteadyLoad(port, 2, 2)
    try:
        for _ in range(2):
            before = load.done["200"]
            eventually(lambda seen=before: load.done["200"] > seen + 50)
            old, node = node, generations.take_over()
            assert f"took over from process {old.process.pid}" in node.log
            assert (node.port, node.admin_port) == (port, admin)
            assert node.admin("GET", "/readyz").status == 200
            assert "the successor serves" in old.log
    finally:
        load.stop()
    assert load.failed == {}
    assert load.done["200"] > 100


def test_what_is_in_flight_and_what_idles_is_answered_by_the_old_one(generations, origin):
    node = generations.start()
    node.ready()
    idle = socket.create_connection(("127.0.0.1", node.port), timeout=30)

    def ask_again() -> bytes:
        idle.sendall(b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        answer = b""
        while not answer.endswith(b"GET /a 1"):
            piece = idle.recv(65536)
            assert piece
            answer += piece
        return answer

    ask_again()
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(node.get("/slow?gate=1")))
    slow.start()
    assert origin.arrived.acquire(timeout=30)
    new = generations.start("--takeover")
    new.ready()
    eventually(lambda: b"Connection: close" in ask_again(), "it is told that this was the last one")
    assert idle.recv(1) == b""
    idle.close()
    assert node.process.poll() is None, "a request is in flight"
    origin.gate.set()
    slow.join(30)
    assert [each.status for each in answers] == [200]
    assert node.exit_code() == 0
    assert new.get("/a").status == 200


def test_a_new_one_that_cannot_start_changes_nothing(generations, tmp_path):
    node = generations.start()
    node.ready()
    load = SteadyLoad(node.port, 1, 1)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\nif 'edgeproxy.server.worker' in sys.orig_argv: os._exit(7)\n"
    )
    try:
        path = os.pathsep.join(filter(None, (str(broken), os.environ.get("PYTHONPATH"))))
        failed = generations.start("--takeover", PYTHONPATH=path)
        assert failed.exit_code() == 1
        eventually(lambda: "did not take over" in node.log)
        before = load.done["200"]
        eventually(lambda: load.done["200"] > before + 20)
        generations.nodes.remove(failed)
        generations.take_over()  # it can still be taken over
    finally:
        load.stop()
    assert load.failed == {}


def test_a_new_one_that_is_killed_or_told_to_stop_before_it_is_ready_changes_nothing(generations):
    node = generations.start()
    node.ready()
    for number in (signal.SIGKILL, signal.SIGTERM):
        seen = node.log.count("takes over: it has the listening sockets")
        other = generations.start("--takeover")
        eventually(lambda n=seen: node.log.count("takes over: it has the listening sockets") > n)
        other.signal(number)
        other.exit_code()
        failures = seen + 1
        eventually(lambda n=failures: node.log.count("did not take over") == n)
        for n in range(20):
            assert node.get(f"/{number}/{n}").status == 200
    assert node.admin("GET", "/readyz").status == 200


def test_it_starts_afresh_with_nothing_to_take_over_then_workers_and_operators_word_stay(generations, origin):
    node = generations.start("--takeover")
    node.ready()
    assert "no node to take over, this one starts afresh" in node.log
    assert node.admin("POST", f"/upstreams/shop/origins/{origin.address}", {"state": "drain"}).status == 200
    name = node.admin("GET", "/nodes").json[0]["node"]
    generations.config = generations.config.replace("workers: 2", "workers: 3")
    new = generations.take_over()
    assert len(new.pids()) == 2
    assert "2 workers instead of 3: one for each socket taken over" in new.log
    (known,) = new.admin("GET", "/upstreams").json["shop"]["origins"]
    assert known["state"] == "drain"
    assert new.admin("GET", "/nodes").json[0]["node"] == name


def test_without_an_admin_port_the_old_one_cannot_be_found(tmp_path, origin, runtime):
    node = RunningNode(
        tmp_path, origin, CONFIG, run=(*ARGS, "--takeover"), env={"RUNTIME_DIRECTORY": runtime}
    )
    try:
        assert node.exit_code() == 1
        assert "give it a port, not 0" in node.log
    finally:
        node.end()


def with_disk(config: str, folder: Path) -> str:
    return config + f"    cache: {{disk: {{path: {folder}/tier, max_size: 64MiB}}}}\n"


def stored(node: RunningNode, count: int) -> None:
    eventually(lambda: node.metric('edgeproxy_cache_responses{tier="node"}') >= count, "written to the tier")


@pytest.mark.parametrize("disk", [True, False])
def test_the_new_one_has_the_node_tier_at_its_first_request_and_goes_on_writing_it(
    generations, origin, tmp_path, disk
):
    if disk:
        generations.config = with_disk(generations.config, tmp_path)
    node = generations.start()
    node.ready()
    for n in range(30):
        assert node.get(f"/{n}").status == 200
    stored(node, 30)
    node = generations.take_over()
    assert "tier is off" not in node.log
    for n in range(30):
        assert node.get(f"/{n}").body.endswith(b" 1"), "nothing is fetched again"
    for n in range(30, 60):
        assert node.get(f"/{n}").status == 200
    stored(node, 60)
    if disk:
        generations.end()
        node = generations.start()
        node.ready()
        assert node.get("/59").body.endswith(b" 1"), "left in order for a start without a takeover"


class Held:
    """A connection that stays with the process that accepted it; one request at a time."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, path: str, method: str = "GET") -> None:
        self._connection.request(method, path, headers={"Host": "shop.example"})

    def answer(self) -> bytes:
        return self._connection.getresponse().read()

    def get(self, path: str, method: str = "GET") -> bytes:
        self.ask(path, method)
        return self.answer()

    def close(self) -> None:
        self._connection.close()


def test_a_purge_that_either_process_applied_holds_in_both(generations, origin, tmp_path):
    generations.config = generations.config.replace("drain_timeout: 4s", "drain_timeout: 30s")
    generations.config = with_disk(generations.config, tmp_path)
    old = generations.start()
    old.ready()
    reading, writing, filling = (Held(old.port) for _ in range(3))
    for held in (reading, writing, filling):
        for path in ("/a", "/b", "/c"):
            assert held.get(path) == b"GET %s 1" % path.encode()
        stored(old, 3)  # for the other worker
    filling.ask("/filling?gate=1")
    assert origin.arrived.acquire(timeout=30)
    new = generations.start("--takeover")
    new.ready()
    assert new.get("/b").status == 200

    order = {"urls": ["http://shop.example/b", "http://shop.example/filling?gate=1"]}
    assert new.admin("POST", "/purge", order).json["nodes"] == {"edge-1": "applied"}
    asked = origin.asked["/b"]
    assert reading.get("/b") == b"GET /b %d" % (asked + 1), "not what the old process has in memory"
    assert writing.get("/c", "POST") == b"POST /c 2"
    assert new.get("/c").body == b"GET /c 3", "what the old process made void is void in the new one"
    assert old.process.poll() is None
    origin.gate.set()
    assert filling.answer() == b"GET /filling?gate=1 1"
    assert old.exit_code() == 0
    assert new.get("/filling?gate=1").body == b"GET /filling?gate=1 2", "overtaken by a purge, not stored"
    assert new.get("/a").body == b"GET /a 1", "warm from the tier"
    for held in (reading, writing, filling):
        held.close()


ACTIVATE = """
import os, socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for sock in sockets:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", int(sys.argv[2])))
    sock.listen(4096)
held = [os.dup(sock.fileno()) for sock in sockets]  # as systemd holds them
for at, sock in enumerate(sockets):
    os.dup2(sock.fileno(), 3 + at) if sock.fileno() != 3 + at else os.set_inheritable(3 + at, True)
print("listening", flush=True)
while True:
    pid = os.fork()
    if not pid:
        names = ":".join(["edge"] * len(sockets))
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[1], LISTEN_FDNAMES=names)
        os.execv(sys.executable, [sys.executable, "-m", "edgeproxy", "run", *sys.argv[3:]])
    print("pid", pid, flush=True)
    code = os.waitpid(pid, 0)[1]
    print("ended", code, flush=True)
    if code or not sys.stdin.readline():
        sys.exit(code)
"""


@pytest.mark.parametrize("sockets", [1, 2])
def test_a_restart_under_systemds_sockets_fails_no_request(tmp_path, origin, sockets):
    port, admin = free_port(), free_port()
    file = tmp_path / "edge.yaml"
    file.write_text(
        json.dumps(
            {
                "server": {"listen": f"127.0.0.1:{port}", "workers": 2},
                "admin": {"listen": f"127.0.0.1:{admin}"},
                "upstreams": {"shop": {"origins": [f"http://{origin.address}"]}},
                "routes": [{"name": "all", "upstream": "shop"}],
            }
        )
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(sockets), str(port), "--config", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)},
        )
    assert process.stdin is not None
    assert process.stdout is not None
    load = None
    pid = 0
    try:
        assert process.stdout.readline() == "listening\n"
        pid = int(process.stdout.readline().split()[1])
        load = SteadyLoad(port, 1, 2)  # they wait in the queue until there is someone
        eventually(lambda: load.done["200"] > 20)
        os.kill(pid, signal.SIGTERM)
        assert process.stdout.readline() == "ended 0\n", (tmp_path / "log").read_text()
        process.stdin.write("again\n")
        process.stdin.flush()
        pid = int(process.stdout.readline().split()[1])
        before = load.done["200"]
        eventually(lambda: load.done["200"] > before + 20)
    finally:
        if load is not None:
            load.stop()
        if pid:
            os.kill(pid, signal.SIGTERM)
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
    assert load.failed == {}
    assert "Traceback" not in (tmp_path / "log").read_text()
