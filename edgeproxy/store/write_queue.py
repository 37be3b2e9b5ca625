"""Knows what waits to be written to a shared tier: bounded in number and bytes, the oldest dropped.

Must not know the tier. A write that is lost costs a later miss, nothing else.
"""

from collections import deque
from dataclasses import dataclass

from edgeproxy.caching.stored import StoredResponse


@dataclass(frozen=True, slots=True)
class Put:
    """Store this until `deadline` (monotonic seconds)."""

    stored: StoredResponse
    deadline: float

    @property
    def key(self) -> bytes:
        return self.stored.key

    @property
    def size(self) -> int:
        return self.stored.size


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete a value of no more use: one variant, or whatever stands at the key (None)."""

    key: bytes
    variant: bytes | None

    @property
    def size(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Order:
    """A command to be sent after what was queued for this cache key before it."""

    key: bytes
    command: tuple[bytes | str | int, ...]

    @property
    def size(self) -> int:
        return 0


Write = Put | Discard | Order


class WriteQueue:
    """First in, first out; at most `max_writes` and `max_bytes` of bodies."""

    __slots__ = ("_max_bytes", "_max_writes", "_writes", "bytes", "dropped")

    def __init__(self, max_writes: int, max_bytes: int) -> None:
        self._max_writes = max_writes
        self._max_bytes = max_bytes
        self._writes: deque[Write] = deque()
        self.bytes = 0
        self.dropped = 0

    def __repr__(self) -> str:
        return f"<WriteQueue {len(self)} writes, {self.bytes} bytes, {self.dropped} dropped>"

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, write: Write) -> int:
        """Append; how many of the oldest had to be dropped for it."""
        self._writes.append(write)
        self.bytes += write.size
        dropped = 0
        while self._writes and (len(self._writes) > self._max_writes or self.bytes > self._max_bytes):
            self.bytes -= self._writes.popleft().size
            dropped += 1
        self.dropped += dropped
        return dropped

    def take(self, max_writes: int, max_bytes: int) -> list[Write]:
        """The oldest ones, at least one if there is any, and no more than fit both bounds."""
        taken: list[Write] = []
        size = 0
        while self._writes and len(taken) < max_writes:
            size += self._writes[0].size
            if taken and size > max_bytes:
                break
            write = self._writes.popleft()
            self.bytes -= write.size
            taken.append(write)
        return taken

    def forget(self, key: bytes) -> None:
        """Take out what waits for this cache key: it was removed."""
        if any(write.key == key for write in self._writes):
            kept = [write for write in self._writes if write.key != key or isinstance(write, Order)]
            self._writes = deque(kept)
            self.bytes = sum(write.size for write in kept)
