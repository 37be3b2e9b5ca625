"""Knows how the suite is run: its origin, a real edgeproxy before it, its client, each a process.

Must not know what results are good.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.package import HERE, Package

REPOSITORY = HERE.parents[1]
CONFIG = HERE / "edgeproxy.yaml"
READY = 30.0  # seconds until a server serves
ALL = 110.0  # seconds for the whole suite; it takes about 25
ONE = 20.0  # seconds for one test, which waits 6 at most
STOP = 15.0  # seconds for a server to end, more than edgeproxy's drain_timeout
PASSED = {"✅", "Y"}


class Broken(Exception):
    """The run itself failed, so that nothing is known of the tests."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the client says of one test by itself: whether it passed, and else why not."""

    passed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """A suite's client, and the address of the proxy that it asks."""

    package: Package
    address: str

    def run_all(self) -> dict[str, Result]:
        """Every test's result by its id. Raises Broken."""
        said = self._client("", ALL)
        start = re.search(r"^\{$", said, re.MULTILINE)
        try:
            told = json.loads(said[start.start() :]) if start else {}
        except ValueError as error:
            raise Broken(f"the client's results are no JSON: {error}") from error
        if not told:
            raise Broken(f"the client gave no results: {said[-300:]}")
        return {name: _result(one) for name, one in told.items()}

    def run_one(self, name: str) -> Result:
        """One test alone, on a quiet proxy. Raises Broken."""
        symbol, _, why = self.dialogue(name).rstrip().rpartition("\n")[2].partition(" -")
        return Result(symbol in PASSED, why.strip())

    def dialogue(self, name: str) -> str:
        """All that went to and fro in one test, as the client prints it. Raises Broken."""
        return self._client(name, ONE)

    def _client(self, name: str, timeout: float) -> str:
        told = {
            "npm_config_base": f"http://{self.address}",
            "npm_config_id": name,
            "npm_package_config_id": "",
        }
        command = ["node", "--no-warnings", str(self.package.cli)]
        try:
            done = subprocess.run(
                command,
                cwd=self.package.root,
                env=os.environ | told,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Broken(f"the client did not end within {timeout:g} s") from None
        if done.returncode:
            raise Broken(f"the client failed: {done.stderr[-300:]}")
        return done.stdout


def _result(told: object) -> Result:
    if told is True:
        return Result(True)
    return Result(False, ": ".join(map(str, told)) if isinstance(told, list) else str(told))


@contextlib.contextmanager
def bench(package: Package) -> Iterator[Bench]:
    """The suite's origin and edgeproxy before it, until the block ends. Raises Broken."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        logs = Path(folder)
        with _origin(package, logs) as origin, _edgeproxy(origin, logs) as address:
            yield Bench(package, address)


@contextlib.contextmanager
def _origin(package: Package, logs: Path) -> Iterator[int]:
    env = {
        "npm_config_protocol": "http",
        "npm_config_port": "0",  # any that is free; it says which
        "npm_config_pidfile": str(logs / "origin.pid"),
    }
    command = ["node", "--require", str(HERE / "loopback.cjs"), str(package.server)]
    ready = re.compile(r"Listening on http://127\.0\.0\.1:(\d+)/")
    with _serving(command, env, package.root, logs / "origin.log", ready) as found:
        yield int(found[1])


@contextlib.contextmanager
def _edgeproxy(origin: int, logs: Path) -> Iterator[str]:
    env = {
        "CONFORMANCE_PORT": "0",
        "CONFORMANCE_ADMIN_PORT": "0",
        "CONFORMANCE_ORIGIN_PORT": str(origin),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, "-m", "edgeproxy", "run", "--config", str(CONFIG)]
    ready = re.compile(r"listening on http://(127\.0\.0\.1:\d+)\n(?:.*\n)*?.* serves with workers")
    with _serving(command, env, logs, logs / "edgeproxy.log", ready) as found:
        yield found[1]


@contextlib.contextmanager
def _serving(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, ready: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    """Runs a server until the block ends; gives what it said once it serves."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=cwd, env=os.environ | env, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + READY
        while (found := ready.search(log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"{command[0]} does not serve: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
