"""Leases among workers: real processes, as locks of one process never conflict with each other."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from edgeproxy.fleet.node_lease import Hold, NodeLeases, NodeLeaseShares, Word, inherited_leases

NAME, OTHER = b"n" * 16, b"o" * 16
SIBLING = """
import asyncio, sys
from edgeproxy.fleet.node_lease import Word, inherited_leases
async def main():
    leases = inherited_leases(1, [int(fd) for fd in sys.argv[1:]])
    hold = leases.take(b"n" * 16)
    print("held" if hold else "another's", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    if hold:
        leases.release(hold, Word.STORED)
        leases._flush()
    await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""


@pytest.fixture
async def shares() -> AsyncIterator[NodeLeaseShares]:
    made = NodeLeaseShares(2)
    yield made
    made.close()


@pytest.fixture
async def leases(shares: NodeLeaseShares) -> AsyncIterator[NodeLeases]:
    """Those of worker 0."""
    made = inherited_leases(0, [os.dup(fd) for fd in shares.fds(0)])
    yield made
    made.close()


class Sibling:
    """Worker 1."""

    def __init__(self, shares: NodeLeaseShares) -> None:
        fds = shares.fds(1)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIBLING, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().decode().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


async def test_another_s_lease_is_known_with_its_holder_and_its_end_is_told(
    shares: NodeLeaseShares, leases: NodeLeases
) -> None:
    sibling = Sibling(shares)
    try:
        assert sibling.said == "held"
        assert leases.take(NAME) is None
        assert leases.holder(NAME) == 1
        assert leases.holder(OTHER) is None
        waiting = asyncio.ensure_future(leases.wait(NAME, 1, 20.0))
        await asyncio.sleep(0.05)  # the note is on its way
        sibling.go_on()
        assert await waiting in (Word.STORED, Word.GONE)
        assert isinstance(leases.take(NAME), Hold)
    finally:
        sibling.kill()


async def test_a_killed_holder_holds_nothing_and_says_nothing(
    shares: NodeLeaseShares, leases: NodeLeases
) -> None:
    sibling = Sibling(shares)
    sibling.kill()
    assert await leases.wait(NAME, 1, 0.01) is None
    assert leases.holder(NAME) is None
    assert leases.take(NAME) is not None


async def test_what_this_worker_holds_is_another_s_for_its_sibling(
    shares: NodeLeaseShares, leases: NodeLeases
) -> None:
    first = leases.take(NAME)
    assert first is not None
    again = leases.take(NAME)  # in place of it
    assert again is not None
    leases.release(first, Word.STORED)  # is not let go of: it is the second's
    assert len(leases) == 1
    sibling = Sibling(shares)
    sibling.kill()
    assert sibling.said == "another's"


async def test_who_asks_about_what_is_not_held_is_told_so_and_nonsense_is_nothing(leases: NodeLeases) -> None:
    mouth = leases._mouths[0]
    mouth.send(b"nonsense")
    mouth.send(bytes((99, 0, 0)) + NAME)
    waiting = asyncio.ensure_future(leases.wait(NAME, 0, 20.0))  # asks itself, who holds nothing
    assert await waiting is Word.GONE
