"""Knows which of a node's workers fetches what: a lease is a lock of the kernel's, and notes wake who waits.

Must not know what is fetched, nor how it is stored. Nothing here waits for another process.

A lease is a byte range, locked in a file without a name that all workers inherit: taken or not in a
microsecond, and let go by the kernel when its holder dies. Where the range begins says what is fetched, how
long it is says by whom: so who finds it taken knows whom to ask for a note when it is over.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from fcntl import F_GETLK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_UN, fcntl, lockf
from struct import Struct
from struct import error as StructError

FILES = 16
"""The kernel walks a list for each file: so many shorter ones."""
APART = 1024
"""Bytes from one range to the next: more than there are workers, so that two never touch."""
_RANGES = (1 << 52) - 1
_FLOCK = Struct("@hhqqi4x")
_NOTE = Struct("<BH16s")
_NOTES = 64
"""Notes in one datagram."""
_READS = 64
"""Datagrams read in one turn of the loop."""


class Word(IntEnum):
    """What is said of a lease."""

    WAITS = 0  # to its holder: tell me when it is over
    STORED = 1  # look: what was fetched can be read
    REFUSED = 2  # the answer is not for others: neither wait nor look for a while
    APART = 3  # nothing came that could be read: fetch for yourselves
    GONE = 4  # nobody holds it


class Hold:
    """One lease that this worker holds, and the workers that wait for it to be over."""

    __slots__ = ("name", "waiting")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.waiting: set[int] = set()

    def __repr__(self) -> str:
        return f"<Hold {self.name.hex()} waiting={sorted(self.waiting)}>"


class NodeLeases:
    """The leases of one worker, the one with that `index`.

    `files` are descriptors of the files with the locks, which this process has open just once: closing any
    other would drop its locks. What a worker is told comes by its `ear`, and is sent by its one of the
    `mouths`, by index.
    """

    def __init__(
        self, index: int, files: Sequence[int], ear: socket.socket, mouths: Sequence[socket.socket]
    ) -> None:
        self._index = index
        self._length = index + 1
        self._files = tuple(files)
        self._ear = ear
        self._mouths = tuple(mouths)
        self._held: dict[bytes, Hold] = {}
        self._waiting: dict[bytes, asyncio.Future[Word]] = {}
        self._notes: dict[int, list[bytes]] = {}
        self._loop = asyncio.get_running_loop()
        for sock in (ear, *mouths):
            sock.setblocking(False)
        self._loop.add_reader(ear, self._heard)
        self.lost = 0
        """Notes that found no room: who waits for them looks for itself."""

    def __repr__(self) -> str:
        return f"<NodeLeases of {self._index}: {len(self._held)} held, {len(self._waiting)} waited for>"

    def __len__(self) -> int:
        return len(self._held)

    # --- held

    def take(self, name: bytes) -> Hold | None:
        """Take the lease of that name, 16 bytes; None where another worker has it.

        One that this worker has already is had by the new hold from now on.
        """
        if name not in self._held:
            file, at = self._place(name)
            try:
                lockf(file, LOCK_EX | LOCK_NB, self._length, at)
            except OSError:
                return None
        hold = self._held[name] = Hold(name)
        return hold

    def release(self, hold: Hold, word: Word) -> None:
        """Let go of a lease, and tell who waits; of one that a later hold has, only the latter."""
        name = hold.name
        if self._held.get(name) is hold:
            del self._held[name]
            file, at = self._place(name)
            with suppress(OSError):
                lockf(file, LOCK_UN, self._length, at)
        for worker in hold.waiting:
            self._tell(worker, word, name)

    def close(self) -> None:
        """Let go of everything."""
        for hold in list(self._held.values()):
            self.release(hold, Word.GONE)
        self._flush()
        self._loop.remove_reader(self._ear)
        for sock in (self._ear, *self._mouths):
            sock.close()
        for file in self._files:
            os.close(file)

    # --- waited for

    def holder(self, name: bytes) -> int | None:
        """The index of the worker that holds this lease; None where none of the others does."""
        file, at = self._place(name)
        try:
            told = fcntl(file, F_GETLK, _FLOCK.pack(F_WRLCK, os.SEEK_SET, at, 1, 0))
            kind, _, _, length, _ = _FLOCK.unpack(told)
        except (OSError, StructError):
            return None
        return None if kind == F_UNLCK else length - 1

    async def wait(self, name: bytes, holder: int, patience: float) -> Word | None:
        """What the holder says once its lease is over; None after `patience` seconds without a word."""
        waiting: asyncio.Future[Word] = self._loop.create_future()
        self._waiting[name] = waiting
        self._tell(holder, Word.WAITS, name)
        try:
            async with asyncio.timeout(patience):
                return await waiting
        except TimeoutError:
            return None
        finally:
            if self._waiting.get(name) is waiting:
                del self._waiting[name]

    # --- notes

    def _place(self, name: bytes) -> tuple[int, int]:
        number = int.from_bytes(name[:8], "little")
        return self._files[number % FILES], ((number >> 8) & _RANGES) * APART

    def _tell(self, worker: int, word: Word, name: bytes) -> None:
        if not self._notes:
            self._loop.call_soon(self._flush)
        self._notes.setdefault(worker, []).append(_NOTE.pack(word, self._index, name))

    def _flush(self) -> None:
        notes, self._notes = self._notes, {}
        for worker, said in notes.items():
            if worker >= len(self._mouths):
                continue
            for at in range(0, len(said), _NOTES):
                try:
                    self._mouths[worker].send(b"".join(said[at : at + _NOTES]))
                except OSError:  # it does not listen: hung, or gone with all the rest
                    self.lost += len(said[at : at + _NOTES])

    def _heard(self) -> None:
        for _ in range(_READS):
            try:
                datagram = self._ear.recv(_NOTES * _NOTE.size)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._loop.remove_reader(self._ear)
                return
            whole = len(datagram) - len(datagram) % _NOTE.size
            for word, worker, name in _NOTE.iter_unpack(datagram[:whole]):
                self._note(word, worker, name)

    def _note(self, word: int, worker: int, name: bytes) -> None:
        if word == Word.WAITS:
            hold = self._held.get(name)
            if hold is not None:
                hold.waiting.add(worker)
            else:
                self._tell(worker, Word.GONE, name)
            return
        waiting = self._waiting.get(name)
        if waiting is not None and not waiting.done():
            with suppress(ValueError):  # nothing that we say
                waiting.set_result(Word(word))


class NodeLeaseShares:
    """What the supervisor makes for `workers` workers to inherit: it holds no lease itself."""

    def __init__(self, workers: int) -> None:
        self.files = [os.memfd_create("edgeproxy-leases") for _ in range(FILES)]
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]

    def __repr__(self) -> str:
        return f"<NodeLeaseShares for {len(self._pairs)} workers>"

    def fds(self, index: int) -> list[int]:
        """The files, one's own ear, and all mouths, in this order."""
        return [*self.files, self._pairs[index][0].fileno(), *(mouth.fileno() for _, mouth in self._pairs)]

    def close(self) -> None:
        """Give everything back."""
        for file in self.files:
            os.close(file)
        for pair in self._pairs:
            for sock in pair:
                sock.close()


def inherited_leases(index: int, fds: Sequence[int]) -> NodeLeases:
    """The leases of a worker, from the descriptors that `NodeLeaseShares.fds` named for it."""
    ear, *mouths = (socket.socket(fileno=fd) for fd in fds[FILES:])
    return NodeLeases(index, fds[:FILES], ear, mouths)
