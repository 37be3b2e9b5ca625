"""Knows how to have libCacheSim run a trace: policies by others, to compare with and to check ours against.

Must not know our policies. Its wheel is optional: `pip install 'edgeproxy[simulate]'`.
"""

import struct
import tempfile
from pathlib import Path
from typing import Any, Final

from edgeproxy.simulation.trace import NEVER, Trace

_CHUNK = 65536  # requests written at once


class Referee:
    """libCacheSim over one trace, which it reads from a file of 24 bytes a request; raises ImportError."""

    POLICIES: Final = {"SIEVE": "Sieve", "S3-FIFO": "S3FIFO", "W-TinyLFU": "WTinyLFU"}
    """Those that we have not ourselves: our name, and its class."""

    def __init__(self, trace: Trace) -> None:
        import libcachesim

        self._library: Any = libcachesim
        self._directory = tempfile.TemporaryDirectory(prefix="edgeproxy-trace-")
        path = Path(self._directory.name) / "trace.oracleGeneral.bin"
        _write(trace, path)
        self._reader = libcachesim.TraceReader(
            str(path),
            libcachesim.TraceType.ORACLE_GENERAL_TRACE,
            libcachesim.ReaderInitParam(ignore_obj_size=False),
        )

        # 2^24 slots, as by default, are 128 MiB to clear for each run
        self._hashpower = max(16, min(24, len(trace.sizes).bit_length()))

    def __call__(self, policy: str, budget: int) -> tuple[float, float]:
        """Hit ratio by requests and by bytes of one policy, by our name for it or its class's."""
        self._reader.reset()
        cache = getattr(self._library, self.POLICIES.get(policy, policy))(budget, hashpower=self._hashpower)
        misses = cache.process_trace(self._reader)
        return 1 - misses[0], 1 - misses[1]

    def close(self) -> None:
        """Remove the trace's file."""
        self._directory.cleanup()


def _write(trace: Trace, path: Path) -> None:
    """oracleGeneral: time, id, size, and when the id comes next."""
    pack = struct.Struct("<IQIq").pack
    requests, costs, upcoming = trace.requests, trace.costs, trace.next_uses
    with path.open("wb") as file:
        for start in range(0, len(requests), _CHUNK):
            file.write(
                b"".join(
                    pack(
                        at & 0xFFFFFFFF,
                        requests[at],
                        min(costs[requests[at]], 0xFFFFFFFF),
                        -1 if upcoming[at] == NEVER else upcoming[at],
                    )
                    for at in range(start, min(start + _CHUNK, len(requests)))
                )
            )
