"""Knows how two processes that write one table of purges take turns: a lock of the kernel's on its file.

Must not know what they write.

While a node is taken over, the old supervisor and the new one both apply rules. Without turns they could give
two rules the same place in the order, and what was fetched between the two would outlive the second.
"""

import errno
import fcntl
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

PATIENCE = 0.5  # seconds; a turn takes microseconds, and one that was killed has left it
_PAUSE = 0.0002

P = ParamSpec("P")
R = TypeVar("R")


class Shared(Protocol):
    """What may be written by others too: `shared` says whether it is."""

    fd: int
    shared: bool


T = TypeVar("T", bound=Shared)


def in_turn(write: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Let a method write while no other process does, where there may be another."""

    @wraps(write)
    def alone(self: T, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self.shared:
            return write(self, *args, **kwargs)
        taken = _take(self.fd)
        try:
            return write(self, *args, **kwargs)
        finally:
            if taken:
                fcntl.lockf(self.fd, fcntl.LOCK_UN)

    return cast("Callable[Concatenate[T, P], R]", alone)


def _take(fd: int) -> bool:
    """Take the turn; False where another process has stood still in its own for too long."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            # of the process, not of the descriptor: both sides may hold the same one
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN) or time.monotonic() > deadline:
                return False
        else:
            return True
        time.sleep(_PAUSE)
