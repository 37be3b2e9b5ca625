"""Which CPU a worker runs on, where `server.cpu_affinity` says so.

Must not know processes but its own: a worker pins itself, before it has any thread.
"""

import logging
import os
from collections.abc import Set
from typing import Literal

Affinity = Literal["auto", "off"] | tuple[int, ...]

_log = logging.getLogger("edgeproxy.worker")


def cpu_of(affinity: Affinity, worker: int, allowed: Set[int]) -> int | None:
    """The CPU of the worker with that index, of those `allowed` (a container's set); None: any.

    With more workers than CPUs, it begins anew with the first.
    """
    if affinity == "off":
        return None
    named = sorted(allowed) if isinstance(affinity, str) else affinity
    cpu = named[worker % len(named)]
    return cpu if cpu in allowed else None


def pin(affinity: Affinity, worker: int) -> int | None:
    """Keep this process to its CPU, and say which; None, and a line in the log, where it cannot be."""
    cpu = cpu_of(affinity, worker, os.sched_getaffinity(0))
    if cpu is not None:
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError as error:  # taken away meanwhile
            _log.warning("not pinned to CPU %d (server.cpu_affinity): %s", cpu, error.strerror)
            return None
    elif affinity != "off":
        _log.warning("not pinned (server.cpu_affinity): its CPU is none that this process may use")
    return cpu


def cpus_of(pid: int) -> list[int]:
    """The CPUs that a process may run on; none where it is gone."""
    try:
        return sorted(os.sched_getaffinity(pid))
    except OSError:
        return []
