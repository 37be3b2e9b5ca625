"""Knows how purges that the fleet has not been told yet outlive this process: a file beside the disk tier.

Must not know when a purge counts as told. Append only; each record has its length and a check, so that
what a crash cut short is found and left out.
"""

import asyncio
import logging
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from edgeproxy.fleet.entries import Purge, decode, encode

MAX_SIZE = 64 * 1024 * 1024  # bytes; beyond, purges are kept in memory only

_MAGIC = b"EPJ1"
_log = logging.getLogger("edgeproxy.purge_log")


class PurgeJournal:
    """The file, and the purges in it by id.

    Every write is on the disk (fsync) when its call returns; writes run in a thread, one at a time.
    A disk that fails is told once and costs no purge: they stay in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._kept: set[str] = set()
        self._size = 0
        self._told = False

    def __repr__(self) -> str:
        return f"<PurgeJournal {self._path} kept={len(self._kept)} size={self._size}>"

    def __contains__(self, purge_id: str) -> bool:
        return purge_id in self._kept

    def load(self) -> list[Purge]:
        """What an earlier run left, in order; blocks for a file of at most MAX_SIZE."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_SIZE + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._tell(error)
            return []
        purges, good = _records(data)
        if good < len(data):
            _log.warning("%s: %d bytes at its end are damaged and left out", self._path, len(data) - good)
        purges = list({purge.id: purge for purge in purges}.values())
        self._kept = {purge.id for purge in purges}
        self._size = good
        return purges

    async def keep(self, purges: Iterable[Purge]) -> bool:
        """Write purges down; whether they are on the disk now."""
        async with self._turn:
            new = [purge for purge in purges if purge.id not in self._kept]
            data = b"".join(_record(purge) for purge in new)
            if self._size + len(data) > MAX_SIZE:
                self._tell(OSError(f"it has reached {MAX_SIZE} bytes"))
                return False
            if not data or not await self._try(self._append, data):
                return not data
            self._kept.update(purge.id for purge in new)
            return True

    async def drop(self, ids: Iterable[str]) -> None:
        """The fleet has these now; once it has all, the file is emptied."""
        async with self._turn:
            before = bool(self._kept)
            self._kept.difference_update(ids)
            if before and not self._kept and not await self._try(self._rewrite, b""):
                _log.warning(
                    "%s may be read again: its purges then count twice, which does no harm", self._path
                )

    async def replace(self, purge: Purge) -> bool:
        """Let one purge stand for all that was written."""
        async with self._turn:
            done = await self._try(self._rewrite, _record(purge))
            if done:
                self._kept = {purge.id}
            return done

    # on the disk

    async def _try(self, write: Callable[[bytes], None], data: bytes) -> bool:
        try:
            # shielded: a thread cannot be stopped, and the next write must not meet it
            await asyncio.shield(asyncio.to_thread(write, data))
        except OSError as error:
            self._tell(error)
            return False
        self._told = False
        return True

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = not self._path.exists()
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, self._size)  # what was cut short before must not stand in the middle
            os.lseek(fd, 0, os.SEEK_END)
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        if new:
            _sync_folder(self._path.parent)
        self._size += len(data)

    def _rewrite(self, data: bytes) -> None:
        if not data and not self._path.exists():
            return
        beside = self._path.with_name(self._path.name + ".new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        beside.replace(self._path)
        _sync_folder(self._path.parent)
        self._size = len(data)

    def _tell(self, error: OSError) -> None:
        if not self._told:
            _log.error(
                "%s: %s: purges that the fleet has not been told are kept in memory only, and are lost if "
                "this node ends before Redis is back",
                self._path,
                error,
            )
        self._told = True


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _record(purge: Purge) -> bytes:
    data = encode(purge)
    return _MAGIC + len(data).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data


def _records(data: bytes) -> tuple[list[Purge], int]:
    """The purges, and how many bytes were good."""
    purges: list[Purge] = []
    at = 0
    while data[at : at + 4] == _MAGIC:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 12 : at + 12 + size]
        if len(body) < size or zlib.crc32(body) != int.from_bytes(data[at + 8 : at + 12], "little"):
            break
        purge = decode(body)
        if purge is None:
            break
        purges.append(purge)
        at += 12 + size
    return purges, at
