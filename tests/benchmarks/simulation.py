"""Knows how to drive our eviction policy, LRU, and libCacheSim's policies over a trace.

Must not know how traces are made or results shown.
"""

import struct
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from edgeproxy.store.eviction import Link, S3Fifo
from edgeproxy.store.memory import MAX_SHARE
from tests.benchmarks.traces import Trace


class Ratio(NamedTuple):
    """Hit ratio by requests and by bytes, 0 to 1."""

    requests: float
    bytes: float


class _Node(Link):
    __slots__ = ("number",)

    def __init__(self, number: int, size: int) -> None:
        super().__init__(size)
        self.number = number


def footprint(trace: Trace) -> int:
    """Bytes of all that the trace asks for, each counted once."""
    return sum(dict(trace).values())


def _ratio(trace: Trace, hits: int, hit_bytes: int) -> Ratio:
    return Ratio(hits / len(trace), hit_bytes / sum(size for _, size in trace))


def ours(trace: Trace, budget: int) -> Ratio:
    """The policy that the memory tier ships, admission by size included."""
    policy: S3Fifo[_Node] = S3Fifo()
    held: dict[int, _Node] = {}
    hits = hit_bytes = 0
    for number, size in trace:
        node = held.get(number)
        if node is not None:
            node.visited = True
            hits += 1
            hit_bytes += size
            continue
        if size > budget // MAX_SHARE:
            continue
        while policy.bytes + size > budget:
            victim = policy.evict()
            assert victim is not None
            del held[victim.number]
            if not victim.hits:
                policy.haunt(hash(victim.number), victim.cost)
        node = held[number] = _Node(number, size)
        policy.add(node, hash(number))
    return _ratio(trace, hits, hit_bytes)


def lru(trace: Trace, budget: int) -> Ratio:
    """Least recently used, the yardstick; it admits whatever fits."""
    held: OrderedDict[int, int] = OrderedDict()
    used = hits = hit_bytes = 0
    for number, size in trace:
        if number in held:
            held.move_to_end(number)
            hits += 1
            hit_bytes += size
            continue
        if size > budget:
            continue
        while used + size > budget:
            used -= held.popitem(last=False)[1]
        held[number] = size
        used += size
    return _ratio(trace, hits, hit_bytes)


class Referee:
    """libCacheSim over one trace; raises ImportError where its wheel is not installed."""

    def __init__(self, trace: Trace) -> None:
        import libcachesim

        self._library = libcachesim
        self._directory = tempfile.TemporaryDirectory(prefix="edgeproxy-trace-")
        path = Path(self._directory.name) / "trace.oracleGeneral.bin"
        path.write_bytes(_oracle_general(trace))
        self._reader = libcachesim.TraceReader(
            str(path),
            libcachesim.TraceType.ORACLE_GENERAL_TRACE,
            libcachesim.ReaderInitParam(ignore_obj_size=False),
        )

    def __call__(self, policy: str, budget: int) -> Ratio:
        """Hit ratio of libCacheSim's policy of that name."""
        self._reader.reset()
        misses = getattr(self._library, policy)(budget).process_trace(self._reader)
        return Ratio(1 - misses[0], 1 - misses[1])

    def close(self) -> None:
        """Remove the trace's file."""
        self._directory.cleanup()


def _oracle_general(trace: Trace) -> bytes:
    """libCacheSim's binary form: time, id, size, and when the id comes next (for Belady)."""
    upcoming: dict[int, int] = {}
    rows = [b""] * len(trace)
    for at in range(len(trace) - 1, -1, -1):
        number, size = trace[at]
        rows[at] = struct.pack("<IQIq", at, number, size, upcoming.get(number, -1))
        upcoming[number] = at
    return b"".join(rows)
