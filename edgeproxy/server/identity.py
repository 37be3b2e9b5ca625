"""Knows what this node is called in its fleet, and where it sits.

Must not know what a fleet does with it.
"""

import fcntl
import logging
import os
import re
import secrets
import socket
import time
from pathlib import Path

from edgeproxy import __version__
from edgeproxy.config.model import Config
from edgeproxy.fleet.cards import NodeCard

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK = Path("/proc/self/ns/net")
_DIGITS = re.compile(r"[0-9a-f]{8}")

_log = logging.getLogger("edgeproxy.supervisor")


class Identity:
    """The node's name: `server.node`, or the host's name and eight hex digits.

    The digits are kept beside the disk tier, so that a node that starts again is the same one; without
    a disk tier they are random. The file is locked as long as this lives: two nodes are never one.
    """

    def __init__(self, config: Config, inherited: str | None = None, lock: int = -1) -> None:
        """`inherited` and `lock` are what the process had that this one takes over."""
        self.lock = lock
        self.name = config.server.node or inherited or self._made_up(config)

    def __repr__(self) -> str:
        return f"<Identity {self.name}>"

    def close(self) -> None:
        """Let another process have the name."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def _made_up(self, config: Config) -> str:
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "node"
        digits = None if config.cache.disk is None else self._kept(Path(config.cache.disk.path))
        return f"{host[:180]}-{digits or secrets.token_hex(4)}"

    def _kept(self, folder: Path) -> str | None:
        """The digits that an earlier run left, or new ones that the next run finds."""
        path = folder / "node"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.pread(self.lock, 64, 0).decode("ascii", "replace").strip()
            if _DIGITS.fullmatch(found):
                return found
            digits = secrets.token_hex(4)
            os.ftruncate(self.lock, 0)
            os.pwrite(self.lock, digits.encode() + b"\n", 0)
            os.fsync(self.lock)
        except OSError as error:
            self.close()
            _log.warning("%s: %s: this run of the node gets a name of its own; set server.node", path, error)
            return None
        return digits


def card_of(config: Config, workers: int) -> NodeCard:
    """What this node tells of itself to the others."""
    return NodeCard(__version__, time.time(), workers, _place(config))


def _place(config: Config) -> str:
    """Where only one node can be at a time: the admin API's address in this network; empty: unknown."""
    if not config.admin.port:
        return ""
    try:
        network = f"{_BOOT_ID.read_text().strip()}/{_NETWORK.stat().st_ino}"
    except OSError:
        return ""
    return f"{socket.gethostname()}/{network}/{config.admin.host}:{config.admin.port}"
