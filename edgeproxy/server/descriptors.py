"""How many files a process may have open, and how many clients that leaves room for.

Must not know connections. Where no descriptor is left the event loop resets new clients without a word;
whoever is refused before that gets a 503, and the log says why.
"""

import resource
from contextlib import suppress

MOST = 1 << 20
"""As many as are asked for where the system sets no bound: each costs a little memory of the kernel."""
KEPT = 100
"""For listening sockets, Redis, the control channel, files and what comes and goes."""


def raise_limit() -> int:
    """Allow as many open files as the system lets this process and its children have; how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return MOST if soft == resource.RLIM_INFINITY else soft


def open_files() -> int:
    """How many this process may have open now."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if soft == resource.RLIM_INFINITY else soft


def room_for_clients(files: int, origins: int) -> int:
    """Client connections of a process with so many open files, which may have `origins` to origins."""
    rest = max(files - KEPT, 2)
    return max(rest - origins, rest // 2)


def too_few(files: int, clients: int, origins: int) -> str | None:
    """What to tell where so many open files a process do not suffice for its share of connections."""
    room = room_for_clients(files, origins)
    if clients <= room:
        return None
    return (
        f"{files:,} open files a worker leave room for {room:,} clients of its {clients:,} "
        f"(server.limits.max_connections): more get 503; allow {clients + origins + KEPT:,} by `ulimit -Hn` "
        "or LimitNOFILE=, or write less there"
    )
