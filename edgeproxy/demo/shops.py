"""Knows how to run several shops over one database as processes of their own, and to stop them all.

Must not know the proxy.
"""

import contextlib
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeproxy.demo import catalog

START, STOP = 20.0, 5.0  # seconds a shop may take
PRODUCTS = 3000


class ShopFailed(Exception):
    """A shop did not start; the message says why."""


@contextlib.contextmanager
def open_shops(ports: Sequence[int], query_delay: float, products: int = PRODUCTS) -> Iterator[list[str]]:
    """Run a shop on each port of 127.0.0.1; gives their URLs, stops them at the end.

    `query_delay` in seconds. Raises ShopFailed.
    """
    with tempfile.TemporaryDirectory(prefix="edgeproxy-demo-") as folder, contextlib.ExitStack() as stack:
        database = Path(folder, "shop.sqlite")
        catalog.create(database, products)
        started = [stack.enter_context(_shop(port, database, query_delay)) for port in ports]
        yield [_url(process) for process in started]


@contextlib.contextmanager
def _shop(port: int, database: Path, query_delay: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edgeproxy.demo", "--owned", f"--port={port}"]
    command += [f"--database={database}", f"--query-delay={query_delay}"]
    # It ends when its standard input does: also when this process is killed.
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP)
            except subprocess.TimeoutExpired:
                process.kill()


def _url(process: "subprocess.Popen[str]") -> str:
    """The URL that a shop prints once it listens."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(START):
            raise ShopFailed(f"a shop said nothing for {START:.0f} s")
    line = process.stdout.readline()
    if not line.startswith("shop on "):
        raise ShopFailed((line + process.stdout.read()).strip())
    return line.removeprefix("shop on ").strip()
