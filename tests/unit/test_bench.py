"""The benchmark measures what it says: reports read right, heads distinct, children's time counted."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.benchmarks.cases import HEADS, URLS, browser_heads
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.measure import Void, cpu_seconds, read_wrk

BENCH = Path(__file__).parents[1] / "benchmarks" / "bench.py"


@pytest.mark.parametrize(
    ("told", "requests", "seconds"),
    [
        ("  1000 requests in 4.00s, 1.2MB read\n", 1000, 4.0),
        ("  7 requests in 950.00ms, 1.2KB read\n", 7, 0.95),
        ("  90000 requests in 1.50m, 1.2GB read\n", 90_000, 90.0),
    ],
)
def test_a_report_gives_requests_and_seconds(told: str, requests: int, seconds: float) -> None:
    assert read_wrk(told) == (requests, pytest.approx(seconds))


@pytest.mark.parametrize(
    "told",
    [
        "  1000 requests in 4.00s, 1MB read\n  Non-2xx or 3xx responses: 3\n",
        "  1000 requests in 4.00s, 1MB read\n  Socket errors: connect 0, read 2, write 0, timeout 0\n",
        "  0 requests in 4.00s, 0B read\n",
        "unable to connect to 127.0.0.1:1 Connection refused\n",
    ],
)
def test_a_round_with_errors_is_void(told: str) -> None:
    with pytest.raises(Void):
        read_wrk(told)


def test_browser_heads_are_distinct_and_their_urls_follow_zipf() -> None:
    heads = list(browser_heads())
    assert len(set(heads)) == len(heads) == HEADS
    assert all(head.endswith(b"\r\n\r\n") and head.count(b"\r\n") == 12 for head in heads)
    asked = Counter(head.split(b" ", 2)[1] for head in heads)
    assert len(asked) <= URLS
    assert asked[b"/hit/1024/0"] > 5 * asked[b"/hit/1024/20"] > 0


def test_cpu_time_of_children_is_counted() -> None:
    burn = "n = 0\nwhile n < 20_000_000: n += 1\nprint('burnt', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", parent], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        assert cpu_seconds(process.pid) >= 0.1
        process.communicate("\n")


def test_missing_tools_are_said_with_their_package(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH)]
    environment = {**os.environ, "PATH": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "wrk is missing: apt install wrk" in ended.stdout


def test_each_contender_writes_a_command_for_its_port(tmp_path: Path) -> None:
    for contender in CONTENDERS:
        if contender.caches:
            folder = tmp_path / contender.name
            folder.mkdir()
            assert contender.command(folder, 18_000, 18_001)
            configured = "".join(path.read_text() for path in folder.iterdir())
            assert "18001" in configured
