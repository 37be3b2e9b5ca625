"""A worker's CPU: in turn of what is allowed or named, and none where it cannot be."""

import os
import subprocess
import sys

import pytest

from edgeproxy.server.affinity import Affinity, cpu_of, cpus_of

PIN = """
import sys
from edgeproxy.server.affinity import pin
before = __import__("os").sched_getaffinity(0)
pin(AFFINITY, 0)
print(sorted(__import__("os").sched_getaffinity(0)), sorted(before))
"""


@pytest.mark.parametrize(
    ("affinity", "allowed", "cpus"),
    [
        ("off", {0, 1}, [None, None, None]),
        ("auto", {0, 1}, [0, 1, 0]),
        ("auto", {5, 2, 9}, [2, 5, 9]),  # a container's set neither begins at 0 nor has no gaps
        ((1, 0), {0, 1}, [1, 0, 1]),
        ((0,), {0, 1}, [0, 0, 0]),
        ((0, 7), {0, 1}, [0, None, 0]),
    ],
)
def test_cpus_are_given_in_turn(affinity: Affinity, allowed: set[int], cpus: list[int | None]) -> None:
    assert [cpu_of(affinity, worker, allowed) for worker in range(3)] == cpus


def pinned(affinity: str) -> tuple[str, str]:
    """What a process that pinned itself may use now and before, as printed, and its log."""
    done = subprocess.run(
        [sys.executable, "-c", PIN.replace("AFFINITY", affinity)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip(), done.stderr


def test_a_process_pins_itself() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert pinned(f"({mine[-1]},)") == (f"[{mine[-1]}] {mine}", "")
    assert pinned('"off"') == (f"{mine} {mine}", "")


def test_an_impossible_cpu_leaves_it_where_it_was_and_says_so() -> None:
    mine = sorted(os.sched_getaffinity(0))
    cpus, log = pinned("(4095,)")
    assert cpus == f"{mine} {mine}"
    assert "not pinned (server.cpu_affinity)" in log


def test_a_process_that_is_gone_has_no_cpus() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert cpus_of(done.pid) == []
