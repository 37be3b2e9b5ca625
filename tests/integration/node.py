"""Knows how to run a real node for tests: a supervisor process, its workers, and an origin behind them.

Must not know what a test looks for.
"""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

DEADLINE = 30.0  # seconds that anything may take on a busy machine


def eventually(what: Callable[[], Any], why: str = "", within: float = DEADLINE) -> Any:
    """The first true value of `what`, asked again and again."""
    deadline = time.monotonic() + within
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within:g} s: {why or what}"
        time.sleep(0.02)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Origin:
    """An HTTP origin: `/NAME?age=60&tag=T&gate=1&status=S&own=1&size=N`; counts what it was asked.

    With `own`, an answer says that it is what its URL holds (Content-Location).

    With `gate`, an answer waits until `open_gate`; `arrived` counts those that wait. With `stream` it is
    chunked, and only its last byte waits.
    """

    def __init__(self) -> None:
        origin = self
        self.asked: Counter[str] = Counter()
        self.healthy = True
        self.gate = threading.Event()
        self.arrived = threading.Semaphore(0)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and content are two writes

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                status = int(query.get("status", "200"))
                if url.path == "/healthz":
                    status = 200 if origin.healthy else 503
                else:
                    origin.asked[self.path] += 1
                if "gate" in query:
                    origin.arrived.release()
                if "gate" in query and "stream" not in query:
                    origin.gate.wait(DEADLINE)
                body = f"{self.command} {self.path} {origin.asked[self.path]}".encode()
                body = body.ljust(int(query.get("size", "0")))
                self.send_response(status)
                self.send_header("Cache-Control", query.get("control", f"max-age={query.get('age', '60')}"))
                if "own" in query:
                    self.send_header("Content-Location", self.path)
                if "tag" in query:
                    self.send_header("Cache-Tag", query["tag"])
                if "stream" in query:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(body) - 1, body[:-1]))
                    origin.gate.wait(DEADLINE)
                    self.wfile.write(b"1\r\n%b\r\n0\r\n\r\n" % body[-1:])
                    return
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *args: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class RunningNode:
    """A node run as an operator runs it. `config` is YAML in which ORIGIN stands for the origin's address;
    `within` is a command that executes another."""

    def __init__(
        self,
        folder: Path,
        origin: Origin,
        config: str,
        timing: str = "",
        within: Sequence[str] = (),
        *,
        run: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        log: str = "stderr.log",
    ) -> None:
        """With `run`, as `edgeproxy run` with these arguments, FILE standing for the configuration's."""
        self.file = folder / "edgeproxy.yaml"
        self.origin = origin
        self.write(config)
        self.log_file = folder / log
        code = (
            "import sys\n"
            "from edgeproxy.config.load import load\n"
            "from edgeproxy.server.crew import Timing\n"
            "from edgeproxy.server.supervisor import run\n"
            f"sys.exit(run(load({str(self.file)!r}), source={str(self.file)!r}, timing=Timing({timing})))\n"
        )
        command = ["-c", code]
        if run:
            command = ["-m", "edgeproxy", "run", *(each.replace("FILE", str(self.file)) for each in run)]
        with self.log_file.open("wb") as output:
            self.process = subprocess.Popen(
                [*within, sys.executable, *command],
                stderr=output,
                stdout=output,
                env={**os.environ, **(env or {})},
            )

    def __enter__(self) -> "RunningNode":
        self.ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def write(self, config: str) -> None:
        self.file.write_text(textwrap.dedent(config).replace("ORIGIN", self.origin.address))

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def ready(self) -> None:
        def started() -> bool:
            assert self.process.poll() is None, self.log
            return "serves with workers" in self.log

        eventually(started, "the node serves")

    @property
    def port(self) -> int:
        return int(re.findall(r"listening on https?://\S+:(\d+)", self.log)[0])

    @property
    def admin_port(self) -> int:
        return int(re.findall(r"admin API on http://\S+:(\d+)", self.log)[0])

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return call(self.port, method, path, None, {"Host": "shop.example", **headers})

    def admin(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        return call(self.admin_port, method, path, data, headers)

    def workers(self) -> list[dict[str, Any]]:
        workers: list[dict[str, Any]] = self.admin("GET", "/workers").json
        return workers

    def pids(self) -> list[int]:
        return [worker["pid"] for worker in self.workers()]

    def metric(self, line: str) -> float:
        """The value of a metric by name and labels as they are printed; 0 where it is not."""
        text = self.admin("GET", "/metrics").body.decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            finally:
                self.process.kill()
                self.process.wait()


def call(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, fields, answer.read())
    finally:
        connection.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


CONFIG = """
    server: {listen: "127.0.0.1:0", workers: 2, node: edge-1}
    admin: {listen: "127.0.0.1:0"}
    upstreams:
      shop: {origins: ["http://ORIGIN"]}
    routes:
      - {name: all, upstream: shop}
"""
