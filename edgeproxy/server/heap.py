"""Gives the kernel back what evictions left in pieces: glibc keeps freed memory between what is still held.

Must not know what was evicted.
"""

import ctypes
from collections.abc import Callable

EVICTIONS = 4096
"""Between two times: about 1 ms of work then; left for longer, it becomes much in one go."""


def _trim() -> Callable[[int], int] | None:
    """glibc's own; other C libraries have none."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


class Heap:
    """This process's heap, trimmed as evictions go on: a tenth of what is stored, where sizes differ."""

    def __init__(self, trim: Callable[[int], int] | None = None) -> None:
        self._trim = trim or _trim()
        self._evictions = 0

    def __repr__(self) -> str:
        return f"<Heap trimmed at {self._evictions} evictions>"

    def follow(self, evictions: int) -> None:
        """Trim where there were enough evictions since the last time; `evictions` counts all so far."""
        if self._trim is not None and evictions - self._evictions >= EVICTIONS:
            self._evictions = evictions
            self._trim(0)
