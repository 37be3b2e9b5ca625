import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest

from tests.integration.node import CONFIG, Answer, Origin, RunningNode, alive, eventually

FAST = "late=0.6, hung=2.0"


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def node(tmp_path, origin):
    with RunningNode(tmp_path, origin, CONFIG) as running:
        yield running


class Request(threading.Thread):
    """A request under way."""

    def __init__(self, node: RunningNode, path: str) -> None:
        super().__init__()
        self.node = node
        self.path = path
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self.node.get(self.path)
        except Exception as error:
            self.error = error

    def result(self) -> Answer:
        self.join(30)
        assert self.error is None, self.error
        assert self.answer is not None
        return self.answer


def test_it_serves_and_says_where(node):
    assert node.get("/a").status == 200
    assert len(set(node.pids())) == 2
    assert f"listening on http://127.0.0.1:{node.port}" in node.log
    assert "node edge-1 serves with workers 0 (pid " in node.log


def test_with_few_open_files_clients_beyond_them_get_503_and_the_log_says_why(tmp_path, origin):
    few = ["sh", "-c", 'ulimit -Sn 64; ulimit -Hn 160; exec "$@"', "sh"]
    with RunningNode(tmp_path, origin, CONFIG, within=few) as node:
        assert "160 open files a worker leave room for 30 clients" in node.log, node.log
        asked = b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n"
        answers = Counter()
        clients = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(120)]
        for client in clients:
            client.sendall(asked)
        for client in clients:
            client.settimeout(30)
            answers[client.recv(65536)[9:12]] += 1
        for client in clients:
            client.close()
        assert set(answers) == {b"200", b"503"}
        eventually(lambda: node.get("/a").status == 200)


def test_a_killed_worker_is_replaced_while_its_sibling_serves(node):
    first, second = node.pids()
    node.get("/a")
    counted = eventually(
        lambda: node.metric('edgeproxy_requests_total{code="200",outcome="miss",route="all"}')
    )
    os.kill(first, signal.SIGKILL)
    eventually(lambda: node.workers()[0]["state"] != "serving" or node.pids()[0] != first)
    for n in range(40):  # both sockets get their share of these
        assert node.get(f"/during/{n}").status == 200
    eventually(lambda: node.pids()[0] not in (None, first), "a new worker serves")
    assert node.pids()[1] == second
    assert node.workers()[0]["restarts"] == 1
    for n in range(40):
        assert node.get(f"/after/{n}").status == 200
    assert "was ended by SIGKILL: a new one starts in" in node.log
    assert "its connections go to worker 1" in node.log
    total = node.metric('edgeproxy_requests_total{code="200",outcome="miss",route="all"}')
    assert total >= counted, "counts survive a worker"
    assert node.metric('edgeproxy_worker_restarts_total{worker="0"}') == 1


def test_a_hung_worker_is_stood_in_for_then_replaced(tmp_path, origin):
    with RunningNode(tmp_path, origin, CONFIG, FAST) as node:
        first = node.pids()[0]
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: "worker 1 takes its new connections" in node.log)
        for n in range(40):
            assert node.get(f"/during/{n}").status == 200
        eventually(lambda: "hangs since" in node.log)
        eventually(lambda: node.pids()[0] not in (None, first))
        assert not alive(first)
        assert node.get("/after").status == 200


def test_a_worker_that_was_only_late_goes_on(tmp_path, origin):
    with RunningNode(tmp_path, origin, CONFIG, "late=0.6, hung=60.0") as node:
        first = node.pids()[0]
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: "worker 1 takes its new connections" in node.log)
        assert node.workers()[0]["state"] == "late"
        os.kill(first, signal.SIGCONT)
        eventually(lambda: "is back" in node.log)
        assert node.pids()[0] == first
        for n in range(40):
            assert node.get(f"/{n}").status == 200


def test_connections_wait_for_the_only_worker_to_be_replaced(tmp_path, origin):
    config = CONFIG.replace("workers: 2", "workers: 1")
    with RunningNode(tmp_path, origin, config) as node:
        os.kill(node.pids()[0], signal.SIGKILL)
        assert Request(node, "/a").result().status == 200


def test_all_workers_killed_at_once_are_replaced(node):
    old = node.pids()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: (
            all(worker["state"] == "serving" for worker in node.workers())
            and set(node.pids()).isdisjoint(old)
        )
    )
    for n in range(20):
        assert node.get(f"/{n}").status == 200


def test_the_supervisors_death_ends_the_workers_and_frees_the_port(node):
    pids, port = node.pids(), node.port
    node.process.kill()
    node.process.wait()
    eventually(lambda: not any(alive(pid) for pid in pids), "the workers end")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_sigterm_finishes_what_is_in_flight_and_exits_0(node, origin):
    slow = [Request(node, f"/slow/{n}?gate=1") for n in range(6)]
    for _ in slow:
        assert origin.arrived.acquire(timeout=30)
    pids, port = node.pids(), node.port
    node.signal(signal.SIGTERM)
    ready = eventually(lambda: (answer := node.admin("GET", "/readyz")).status == 503 and answer)
    assert ready.json["reasons"] == ["draining: the node is stopping"]
    assert node.admin("GET", "/healthz").status == 200

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, "no new connection is accepted")
    origin.gate.set()
    assert [request.result().status for request in slow] == [200] * 6
    assert node.exit_code() == 0
    assert not any(alive(pid) for pid in pids)
    assert "Traceback" not in node.log


def test_under_load_no_client_is_cut_by_the_end(node):
    """Every connection is answered, or refused before it began."""
    seen: Counter[str] = Counter()

    def client() -> None:
        while True:
            try:
                seen[str(node.get("/a", Connection="close").status)] += 1
            except ConnectionRefusedError:
                return
            except Exception as error:
                seen[repr(error)] += 1

    port = node.port  # read before the log has more to tell
    assert port
    threads = [threading.Thread(target=client) for _ in range(16)]
    for thread in threads:
        thread.start()
    eventually(lambda: seen["200"] > 500)
    node.signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    assert node.exit_code() == 0
    assert list(seen) == ["200"], seen


def test_idle_keep_alive_connections_do_not_hold_a_drain(node):
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as client:
        client.sendall(b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        node.signal(signal.SIGTERM)
        assert node.exit_code() == 0


def test_what_does_not_finish_within_the_drain_timeout_is_cut_and_the_exit_is_still_0(tmp_path, origin):
    config = CONFIG.replace("node: edge-1", "node: edge-1, drain_timeout: 300ms")
    with RunningNode(tmp_path, origin, config) as node:
        slow = Request(node, "/slow?gate=1")
        assert origin.arrived.acquire(timeout=30)
        node.signal(signal.SIGTERM)
        assert node.exit_code() == 0
        slow.join(30)
        assert slow.error is not None


def test_a_second_signal_forces_the_end(node, origin):
    slow = Request(node, "/slow?gate=1")
    assert origin.arrived.acquire(timeout=30)
    pids = node.pids()
    node.signal(signal.SIGTERM)
    eventually(lambda: "requests in flight have 8 s" in node.log)
    node.signal(signal.SIGINT)
    assert node.exit_code() == 1
    slow.join(30)
    assert slow.error is not None
    assert not any(alive(pid) for pid in pids)
    assert "requests are cut" in node.log


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_drains_all_the_same(node, origin):
    slow = Request(node, "/slow?gate=1")
    assert origin.arrived.acquire(timeout=30)
    for pid in [*node.pids(), node.process.pid]:
        os.kill(pid, signal.SIGINT)
    eventually(lambda: "no new connections" in node.log)
    origin.gate.set()
    assert slow.result().status == 200
    assert node.exit_code() == 0
    assert "Traceback" not in node.log


def test_sighup_takes_another_configuration_into_force_in_all_workers(node):
    assert node.get("/a").status == 200
    pids = node.pids()
    node.write(
        CONFIG.replace("name: all, upstream: shop", "name: sent, redirect: https://elsewhere.example/")
    )
    node.signal(signal.SIGHUP)
    eventually(lambda: "reloaded: " in node.log)
    assert {node.get(f"/{n}").status for n in range(20)} == {308}
    assert node.pids() == pids
    assert node.admin("GET", "/config").json["routes"][0]["name"] == "sent"


def test_a_bad_configuration_leaves_the_old_one_in_force(node):
    node.write(CONFIG.replace("upstream: shop", "upstream: shoop"))
    node.signal(signal.SIGHUP)
    eventually(lambda: "was not reloaded, the old one stays in force" in node.log)
    assert "edgeproxy.yaml:7:" in node.log
    assert node.get("/a").status == 200
    answer = node.admin("POST", "/reload")
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json["mistakes"]) == 1
    assert node.metric('edgeproxy_config_reloads_total{result="refused"}') == 2


def test_what_needs_a_restart_is_said_and_left_as_it_was(node):
    changed = CONFIG.replace("workers: 2", "workers: 3").replace("name: all", "name: every")
    node.write(changed)
    answer = node.admin("POST", "/reload")
    assert answer.status == 200
    assert answer.json["needs_restart"] == ["server.workers"]
    assert any("every" in line for line in answer.json["changed"])
    assert len(node.pids()) == 2


def test_a_worker_started_after_a_reload_has_the_new_configuration(node):
    node.write(
        CONFIG.replace("name: all, upstream: shop", "name: sent, redirect: https://elsewhere.example/")
    )
    assert node.admin("POST", "/reload").status == 200
    old = node.pids()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: (
            all(worker["state"] == "serving" for worker in node.workers())
            and set(node.pids()).isdisjoint(old)
        )
    )
    assert {node.get(f"/{n}").status for n in range(20)} == {308}


def test_a_rotated_access_log_goes_on_in_a_new_file_after_sighup(tmp_path, origin):
    path = tmp_path / "access.log"
    with RunningNode(tmp_path, origin, CONFIG + f"\n    log: {{access: {path}}}\n") as node:
        node.get("/first")
        eventually(lambda: "/first" in path.read_text())
        path.rename(tmp_path / "access.log.1")
        node.signal(signal.SIGHUP)
        eventually(path.exists)
        for n in range(20):
            node.get(f"/second/{n}")
        eventually(lambda: len(path.read_text().splitlines()) >= 20)
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert {(record["status"], record["route"], record["outcome"]) for record in records} == {
            (200, "all", "miss")
        }


def run_to_its_end(tmp_path, origin, config: str) -> tuple[int, str]:
    node = RunningNode(tmp_path, origin, config)
    try:
        return node.exit_code(), node.log
    finally:
        node.end()


def test_a_busy_address_is_one_line_and_exit_1(node, tmp_path, origin):
    folder = tmp_path / "second"
    folder.mkdir()
    config = CONFIG.replace('listen: "127.0.0.1:0", workers', f'listen: "127.0.0.1:{node.port}", workers')
    code, log = run_to_its_end(folder, origin, config)
    assert code == 1
    assert log.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{node.port}: another process does; stop it" in log


def test_a_busy_admin_address_is_one_line_and_exit_1(node, tmp_path, origin):
    folder = tmp_path / "second"
    folder.mkdir()
    config = CONFIG.replace(
        'admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "127.0.0.1:{node.admin_port}"}}'
    )
    code, log = run_to_its_end(folder, origin, config)
    assert code == 1
    assert log.count("\n") == 1
    assert "admin API: cannot listen on" in log


def test_a_bad_tls_file_found_by_the_supervisor_is_one_line_and_exit_2(tmp_path):
    (tmp_path / "x.pem").write_text("no certificate")
    code = (
        "import sys\n"
        "from edgeproxy.config.model import *\n"
        "from edgeproxy.server.supervisor import run\n"
        f"tls = ListenerTls(certificate={str(tmp_path / 'x.pem')!r}, key={str(tmp_path / 'x.pem')!r})\n"
        "server = Server(listen=(Listener(address='127.0.0.1:0', tls=tls),))\n"
        "upstreams = {'a': Upstream(origins=(Origin(url='http://127.0.0.1:1'),))}\n"
        "sys.exit(run(Config(server=server, upstreams=upstreams, routes=(Route(name='a', upstream='a'),))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no certificate and key in PEM form" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_worker_that_cannot_start_at_all_ends_the_node_with_its_reason(tmp_path, origin, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import sys\nif sys.argv[0] == '-m': import os; os._exit(7)\n")
    code, log = run_to_its_end(tmp_path, origin, CONFIG)
    assert code == 1
    assert "could not start" in log
    assert "Traceback" not in log
