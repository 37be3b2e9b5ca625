"""Knows how listening sockets are made: one for each worker and listener, kept by the supervisor.

Must not know who serves them.

SO_REUSEPORT lets the kernel spread connections evenly; one socket shared by all workers
gave 60 of 64 connections of a burst to one of two. The sockets outlive every worker: what
waits in the queue of a dead one is served by a sibling, which inherited it too.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

from edgeproxy.config.addresses import join_address
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.estate import Estate

_SO_ATTACH_FILTER = 26
# classic BPF over the TCP header: load the byte of flags; if it has SYN, pass nothing, else all
_PROGRAM = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
)
_PROGRAM_BUFFER = ctypes.create_string_buffer(_PROGRAM, len(_PROGRAM))  # alive as long as its address is used
_NO_SYN = struct.pack("@HP", len(_PROGRAM) // 8, ctypes.addressof(_PROGRAM_BUFFER))
_TCPI_UNACKED = 24  # in tcp_info; of a listening socket: the length of its queue

BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn


class ListenError(EdgeProxyError):
    """An address that cannot be listened on; the message says why and what to do."""


class ListenerSockets:
    """The sockets of one listener, one for each worker; `address` is where they listen in truth."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        """Bind and listen. Raises ListenError. Port 0 is any free port, the same for all workers."""
        self.sockets: list[socket.socket] = []
        self.shared = False  # with a process that goes on listening
        try:
            family, address = _resolve(host, port)
            if port:
                _bind(family, address, shared=False).close()  # else a second proxy would share the port
            for _ in range(workers):
                sock = _bind(family, address, shared=True)
                self.sockets.append(sock)
                address = sock.getsockname()
                sock.listen(BACKLOG)
        except OSError as error:
            self.close()
            raise ListenError(_explain(error, join_address(host, port))) from error
        self.address = join_address(*address[:2])

    @classmethod
    def inherited(cls, sockets: list[socket.socket], workers: int) -> "ListenerSockets":
        """Sockets that listen already, which another process holds too; repeated where too few."""
        made = cls.__new__(cls)
        made.sockets = [*sockets, *(sockets[at % len(sockets)].dup() for at in range(workers - len(sockets)))]
        for sock in made.sockets:
            sock.setblocking(False)
        made.address = join_address(*sockets[0].getsockname()[:2])
        made.shared = True
        return made

    def __repr__(self) -> str:
        return f"<ListenerSockets {self.address} sockets={len(self.sockets)}>"

    def refuse_new(self) -> None:
        """Let no further connection begin; those under way still come to the queue.

        Closing a listening socket resets what waits in its queue, so that is emptied first. A
        client that comes meanwhile is not answered and asks again after a second, as TCP does.
        Where others listen too, they answer.
        """
        for sock in () if self.shared else self.sockets:
            with suppress(OSError):  # a sandbox without socket filters
                sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _NO_SYN)

    @property
    def waiting(self) -> int:
        """Connections in the queues, which no worker has accepted yet; others' are not ours to wait for."""
        return 0 if self.shared else sum(_queued(sock) for sock in self.sockets)

    def close(self) -> None:
        """Stop listening here; a process that inherited a socket still has it."""
        for sock in self.sockets:
            sock.close()


def open_all(
    listeners: Iterable[tuple[str, int]], workers: int, estate: Estate | None = None
) -> list[ListenerSockets]:
    """The sockets of all listeners, of `estate` where it has them, or none.

    Raises ListenError at the first that fails.
    """
    opened: list[ListenerSockets] = []
    try:
        for host, port in listeners:
            sockets = [] if estate is None else estate.claim(host, port)
            if sockets:
                opened.append(ListenerSockets.inherited(sockets, workers))
            else:
                opened.append(ListenerSockets(host, port, workers))
    except ListenError:
        for listener in opened:
            listener.close()
        raise
    return opened


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))


def _bind(family: socket.AddressFamily, address: tuple[str, int], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):  # a kernel without IPv4
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _queued(sock: socket.socket) -> int:
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    except OSError:
        return 0
    return int.from_bytes(info[_TCPI_UNACKED : _TCPI_UNACKED + 4], sys.byteorder)


def _explain(error: OSError, address: str) -> str:
    if isinstance(error, socket.gaierror):
        return f"cannot listen on {address}: the name does not resolve; write an address of this machine"
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {address}: another process does; stop it, or choose another port"
    if error.errno == errno.EACCES:
        return (
            f"cannot listen on {address}: no permission; choose a port from 1024 up, "
            "or grant CAP_NET_BIND_SERVICE"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"cannot listen on {address}: this machine has no such address; 0.0.0.0 is all of them"
    return f"cannot listen on {address}: {error.strerror or error}"
