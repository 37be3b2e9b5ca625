"""Knows what a starting node is left by another process: listening sockets, and what it is called.

Must not know how they were passed (`takeover`), except for systemd's way, which is the environment's.
"""

import logging
import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field

from edgeproxy.config.addresses import join_address
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.hello import Steered

FIRST_FD = 3  # sd_listen_fds(3)
MOST_FDS = 4096

_log = logging.getLogger("edgeproxy.supervisor")


class EstateError(EdgeProxyError):
    """What was left cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class TierLeft:
    """A node tier's directory: where, whether it outlives the node, its map's size in bytes, whether there is
    a file to be read in it, and the descriptor that holds it."""

    root: str
    lasting: bool
    size: int
    readable: bool
    lock: int


@dataclass(slots=True)
class Estate:
    """Sockets that listen already, by the address they were asked for; others may hold them too.

    `node` and `lock` are the name and the lock of the node that ran before, `steered` its operator's word,
    `purges` the descriptor of its table and `tier` its tier.
    """

    listeners: dict[str, list[socket.socket]] = field(default_factory=dict)
    admin: socket.socket | None = None
    node: str | None = None
    lock: int = -1
    steered: list[Steered] = field(default_factory=list)
    purges: int = -1
    tier: TierLeft | None = None

    @property
    def count(self) -> int:
        """Sockets of the listener that has most: so many workers there must be; 0: none."""
        return max((len(sockets) for sockets in self.listeners.values()), default=0)

    def claim(self, host: str, port: int) -> list[socket.socket]:
        """The sockets for that address, which are the caller's from now on; empty where there are none."""
        asked = join_address(host, port)
        if asked in self.listeners:
            return self.listeners.pop(asked)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError:
            return []
        names = {join_address(*entry[4][:2]) for entry in found}
        for address in names & self.listeners.keys() if port else ():
            return self.listeners.pop(address)
        return []

    def claim_admin(self, host: str, port: int) -> socket.socket | None:
        """The admin API's socket, likewise."""
        admin, self.admin = self.admin, None
        if admin is None:
            sockets = self.claim(host, port)
            admin = sockets.pop(0) if sockets else None
            for other in sockets:
                other.close()
        return admin

    def claim_purges(self) -> int:
        """The descriptor of the table of purges, the caller's from now on; -1 for none."""
        claimed, self.purges = self.purges, -1
        return claimed

    def claim_tier(self) -> TierLeft | None:
        """The tier, likewise."""
        claimed, self.tier = self.tier, None
        return claimed

    def discard_stores(self) -> None:
        """Close what nobody claimed of the table of purges and of the tier."""
        tier = self.claim_tier()
        for descriptor in (self.claim_purges(), -1 if tier is None else tier.lock):
            if descriptor >= 0:
                os.close(descriptor)

    def discard(self) -> None:
        """Close the sockets that nobody claimed."""
        for address, sockets in self.listeners.items():
            _log.warning("%s is no listener of the configuration any more", address)
            for sock in sockets:
                sock.close()
        self.listeners.clear()
        if self.admin is not None:
            self.admin.close()
            self.admin = None


def from_systemd(env: MutableMapping[str, str] = os.environ) -> Estate:
    """The sockets of systemd's socket activation, or an empty estate; the variables are used up.

    A socket named `admin` (FileDescriptorName=) is the admin API's, the others are known by their address.
    Raises EstateError for what is no listening TCP socket.
    """
    pid, count, names = (env.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal() or not 0 < int(count) <= MOST_FDS:
        return Estate()
    estate = Estate()
    named = dict(enumerate(names.split(":")))
    for at in range(int(count)):
        sock = _listening(FIRST_FD + at)
        address = join_address(*sock.getsockname()[:2])
        if named.get(at) == "admin" and estate.admin is None:
            estate.admin = sock
        else:
            estate.listeners.setdefault(address, []).append(sock)
    return estate


def _listening(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise EstateError(f"descriptor {descriptor} of systemd is no socket: {error.strerror}") from error
    with suppress(OSError):
        if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            sock.setblocking(False)
            return sock
    sock.close()
    raise EstateError(
        f"descriptor {descriptor} of systemd is no listening TCP socket: write ListenStream=HOST:PORT"
    )
