"""Knows what the kernel says of a process: memory, CPU time, descriptors. Linux.

Must not know whose process it is.
"""

import os
from dataclasses import dataclass

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """Bytes, seconds, counts; `started` is wall seconds."""

    resident: int
    virtual: int
    cpu: float
    fds: int
    max_fds: int
    threads: int
    started: float


def read_stats(pid: int) -> ProcessStats | None:
    """What a process uses now, or None where it is gone or cannot be looked at."""
    folder = f"/proc/{pid}"
    try:
        with open(f"{folder}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"{folder}/statm", "rb") as file:
            virtual, resident = file.read().split()[:2]
        fds = len(os.listdir(f"{folder}/fd"))
        with open(f"{folder}/limits", "rb") as file:
            limits = next(line for line in file if line.startswith(b"Max open files"))
    except (OSError, StopIteration):
        return None
    soft = limits.split()[3]
    return ProcessStats(
        resident=int(resident) * _PAGE,
        virtual=int(virtual) * _PAGE,
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
        fds=fds,
        max_fds=-1 if soft == b"unlimited" else int(soft),
        threads=int(fields[17]),
        started=_booted() + int(fields[19]) / _TICK,
    )


def _booted() -> float:
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return float(line.split()[1])
    return 0.0
