import os
import subprocess
import sys

from edgeproxy.fleet.one_writer import PATIENCE
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

APPLY = """
import sys
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
table = PurgeTable.inherit(int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[2])):
    table.apply(PurgeRule(PurgeKind.TAG, b"%d" % n))
"""
HOLD = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
"""


def beside(code: str, table: PurgeTable, *more: object) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(table.fd), *map(str, more)],
        pass_fds=[table.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_rules_of_two_processes_each_have_a_place_of_their_own():
    table = PurgeTable.create()
    table.shared = True
    with beside(APPLY, table, 2000) as process:
        process.stdin.write(b"go\n")
        process.stdin.flush()
        for n in range(2000):
            table.apply(PurgeRule(PurgeKind.TAG, b"%d" % n))
        process.stdin.close()
    assert process.returncode == 0
    assert table.order == 4000, "none was given twice"
    table.close()


def test_a_process_that_stands_still_in_its_turn_does_not_hold_a_purge_up_for_ever():
    table = PurgeTable.create()
    table.shared = True
    with beside(HOLD, table) as process:
        before = os.times().elapsed
        table.apply(PurgeRule(PurgeKind.EVERYTHING))
        assert os.times().elapsed - before >= PATIENCE / 2
        process.stdin.close()
    assert table.order == 1
    table.close()
