"""The command line as a process of its own that serves, for tests that ask it from outside."""

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

import pytest

MODULE = (sys.executable, "-m", "edgeproxy")
WAIT = 60.0  # seconds; generous, since CI machines are slow


@dataclass(frozen=True)
class Answer:
    status: int
    fields: Mapping[str, str]
    body: str

    @property
    def cache_status(self) -> str:
        return self.fields.get("cache-status", "")


@dataclass(frozen=True)
class Running:
    """A started command: where it serves, and what it printed so far."""

    process: "subprocess.Popen[str]"
    listen: str
    admin: str
    printed: list[str]

    def ask(self, path: str, method: str = "GET", body: str | None = None, **fields: str) -> Answer:
        connection = http.client.HTTPConnection(self.listen, timeout=WAIT)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): fields[name] for name in fields})
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read().decode())

    def command(self, *args: str) -> str:
        told = subprocess.run(
            [*MODULE, *args, "--admin", f"http://{self.admin}", "--json"],
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def started(
    listen: str, admin: str, *args: str, program: Sequence[str] = MODULE, cwd: Path | None = None
) -> Iterator[Running]:
    """Run a command until the block ends; gives it once it says that it serves."""
    command = [*program, *args, "--listen", listen]
    pipe, text = subprocess.PIPE, Queue[str | None]()
    with subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        printed: list[str] = []
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for line in lines:
                printed.append(line)
                text.put(line)
            text.put(None)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            while True:
                try:
                    line = text.get(timeout=WAIT)
                except Empty:
                    pytest.fail(f"it does not serve: {''.join(printed)}")
                assert line is not None, f"it ended: {''.join(printed)}"
                if "serves with workers" in line:
                    break
            yield Running(process, listen, admin, printed)
        finally:
            process.terminate()
            try:
                process.wait(WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(WAIT)
