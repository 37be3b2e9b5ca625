"""Knows the directory of a node's tier: whose it is, whether it can be believed, what is set aside.

Must not know what is in the tier's file, nor who reads it.

    lock         held by the node that uses the directory
    writer       held by the process that writes the tier's file (`node_writer`)
    state.json   the boot in which it was used, and whether the last run ended in order
    purges       the table of purges that judges the tier (`fleet.purge_table`), mapped while in use
    tier/        the file of the tier (`store.node_file`)
    tier.aside/  the last one that was found damaged
"""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from edgeproxy.errors import EdgeProxyError
from edgeproxy.fleet.purge_table import PurgeTable, TableDamaged

PREFIX = "edgeproxy-node-"
SHARED_MEMORY = Path("/dev/shm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LEFT_BEHIND = 60.0
"""Seconds after which a temporary directory that nobody holds counts as left behind."""

_log = logging.getLogger("edgeproxy.supervisor")
_LONGEST_STATE = 4096  # bytes


class Unusable(EdgeProxyError):
    """A directory in which there can be no tier; the message says why."""


@dataclass(slots=True)
class NodeDirectory:
    """A directory that this node holds."""

    root: Path
    lock: int
    table: PurgeTable
    lasting: bool

    @property
    def tier(self) -> Path:
        """Where the tier's file is."""
        return self.root / "tier"

    def release(self) -> None:
        """Let go of it, and leave it to the process that holds it too."""
        os.close(self.lock)

    def set_aside(self) -> None:
        """Move the tier's file out of the way, for people to look at; one at most is kept."""
        aside = self.root / "tier.aside"
        shutil.rmtree(aside, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self.tier.rename(aside)

    def drop(self) -> None:
        """Delete the tier's file."""
        shutil.rmtree(self.tier, ignore_errors=True)

    def close(self, *, clean: bool) -> None:
        """Let go of it; `clean` says that the tier's file is whole on the disk."""
        try:
            if not self.lasting:
                shutil.rmtree(self.root, ignore_errors=True)
            elif clean:
                self.table.flush()
                _write_state(self.root, clean=True, digest=_digest(self.root))
        except OSError as error:
            _log.warning("node tier: %s cannot be left in order: %s", self.root, error)
        finally:
            os.close(self.lock)


def open_lasting(path: str) -> NodeDirectory:
    """Take a directory over as the last run left it, as far as that can be believed. Raises Unusable."""
    root = Path(path)
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = _hold(root)
    except OSError as error:
        raise Unusable(f"{root} cannot be used: {error.strerror or error}") from error
    if lock is None:
        raise Unusable(f"another node uses {root}, give each its own")
    try:
        directory = NodeDirectory(root, lock, _table_of(root), True)
        _write_state(root, clean=False, digest="")
    except BaseException as error:
        os.close(lock)
        if isinstance(error, OSError):
            raise Unusable(f"{root} cannot be used: {error.strerror or error}") from error
        raise
    return directory


def open_temporary(table: PurgeTable, size: int) -> NodeDirectory:
    """A directory for this run, in shared memory if `size` bytes fit there. Raises Unusable."""
    try:
        place = SHARED_MEMORY if _room(SHARED_MEMORY) > size else Path(tempfile.gettempdir())
    except OSError as error:
        raise Unusable(f"no directory for temporary files can be written to: {error.strerror}") from error
    try:
        if _room(place) < size:
            raise Unusable(f"neither {SHARED_MEMORY} nor {place} has {size} bytes free")
        _remove_left_behind(place)
        root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = _hold(root)
    except OSError as error:
        raise Unusable(f"no directory can be made in {place}: {error.strerror}") from error
    assert lock is not None
    return NodeDirectory(root, lock, table, False)


def _table_of(root: Path) -> PurgeTable:
    """The table that judges what is there; where that cannot be told, what is there is dropped."""
    file, tier = root / "purges", root / "tier"
    state = _read_state(root)
    doubt = ""
    if state is None:
        doubt = "nothing says how the last run ended"
    elif not state.get("clean") and state.get("boot") != _boot():
        doubt = "the machine stopped while it was in use"
    elif state.get("clean") and state.get("digest") != _digest(root):
        doubt = "its purges are not those that the last run left"
    if not doubt:
        try:
            return PurgeTable.reopen(file)
        except FileNotFoundError:
            doubt = "its purges are missing"
        except TableDamaged:
            doubt = "its purges are damaged"
    if tier.exists():
        _log.warning("node tier: what is stored in %s is dropped: %s", root, doubt)
        shutil.rmtree(tier)
    return PurgeTable.make(file)


def _hold(root: Path) -> int | None:
    """A lock on a directory for as long as the descriptor lives; None where another process has it."""
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _read_state(root: Path) -> dict[str, object] | None:
    try:
        state = json.loads(_read(root / "state.json", _LONGEST_STATE))
    except (OSError, ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) else None


def _read(path: Path, most: int = -1) -> bytes:
    """A file's bytes, `most` of them; of a pipe or what a link leads to, nothing. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read(most) or b""


def _digest(root: Path) -> str:
    try:
        return blake2b(_read(root / "purges"), digest_size=16).hexdigest()
    except OSError:
        return "none"


def _write_state(root: Path, *, clean: bool, digest: str) -> None:
    new = root / "state.json.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"clean": clean, "boot": _boot(), "digest": digest}, file)
        file.flush()
        os.fsync(file.fileno())
    new.rename(root / "state.json")
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _boot() -> str:
    """What names this boot of the machine: what was not on the disk at its end is lost."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return f"unknown {time.time()}"  # never the same: only an end in order is believed


def _room(place: Path) -> int:
    try:
        stat = os.statvfs(place)
    except OSError:
        return 0
    return stat.f_bavail * stat.f_frsize if os.access(place, os.W_OK) else 0


def _remove_left_behind(place: Path) -> None:
    """Nodes that were killed could not remove theirs."""
    for root in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            stat = root.stat()
            if stat.st_uid != os.getuid() or time.time() - stat.st_mtime < _LEFT_BEHIND:
                continue
            lock = _hold(root)
            if lock is not None:
                shutil.rmtree(root, ignore_errors=True)
                os.close(lock)
