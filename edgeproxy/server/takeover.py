"""Knows how a new supervisor gets the old one's sockets, and how the old one hears that it may go.

Must not know how either serves or drains.

The old one listens on a Unix socket that only its user may open. It sends what it has (one frame, then the
descriptors), and from then on both talk over a control channel. Until the new one says `ready`, nothing has
changed for the old one; it goes on if the new one fails.
"""

import asyncio
import logging
import os
import re
import socket
import struct
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from edgeproxy.config.addresses import join_address
from edgeproxy.config.model import Admin
from edgeproxy.server.control import Channel, ControlError, Handler
from edgeproxy.server.estate import Estate, EstateError, TierLeft
from edgeproxy.server.hello import Steered

EXCHANGE_TIMEOUT = 5.0  # seconds for the frame and the descriptors
READY_TIMEOUT = 10.0  # seconds for the old one to answer that it goes
START_LIMIT = 120.0  # seconds for the new one to become ready
PURGE_TIMEOUT = 1.0  # seconds for the other side to apply a purge
MAX_FRAME = 16 * 1024 * 1024
_FDS_A_MESSAGE = 200  # the kernel takes 253

_log = logging.getLogger("edgeproxy.supervisor")


Forward = Callable[[list[list[Any]]], Awaitable[bool]]
"""Tells rules, as `dump_rules` gives them, to another process: whether they hold there, or it is gone."""


class Offer(msgspec.Struct):
    """What the old one tells before the descriptors: of listeners in order, then of the admin API, the node's
    lock, the table of purges and the tier, as far as there are any."""

    pid: int
    refused: str = ""  # why there is nothing to have
    listeners: list[tuple[str, int]] = []  # address, and how many sockets
    admin: bool = False
    lock: bool = False
    node: str = ""
    steered: list[Steered] = []
    purges: bool = False
    tier: tuple[str, bool, int, bool] | None = None  # as TierLeft


# --- where they meet


def meeting_point(admin: Admin, port: int | None = None) -> Path:
    """The Unix socket of the node whose admin API has this address; `port` in place of 0.

    In $RUNTIME_DIRECTORY (systemd's), else $XDG_RUNTIME_DIR/edgeproxy, else /tmp/edgeproxy-UID.
    """
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if given:
        folder = Path(given)
    elif runtime:
        folder = Path(runtime) / "edgeproxy"
    else:
        folder = Path(tempfile.gettempdir()) / f"edgeproxy-{os.geteuid()}"
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{admin.host}_{admin.port or port}")
    return folder / f"{name}.takeover"


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, as the kernel knows them."""
    pid, uid, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


# --- the new one's side


class Predecessor:
    """The old supervisor, from the first word until it is gone."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.pid = pid
        self._sock = sock
        self._channel: Channel | None = None

    def __repr__(self) -> str:
        return f"<Predecessor {self.pid}>"

    async def talk(self, handlers: Mapping[str, Handler]) -> Channel:
        """Open the channel, once there is a loop."""
        self._channel = await Channel.open(self._sock, handlers)
        return self._channel

    def close(self) -> None:
        """Leave it as it is, if it was not told to go."""
        if self._channel is not None:
            self._channel.close()
        else:
            self._sock.close()


def take_over(path: Path) -> tuple[Predecessor, Estate] | None:
    """Ask the node at `path` for its sockets; None where none runs.

    Raises EstateError when there is one that does not give them.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(EXCHANGE_TIMEOUT)
    try:
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            return None
        pid = _of_our_user(sock, path)
        return Predecessor(sock, pid), _receive(sock)
    except OSError as error:
        sock.close()
        raise EstateError(f"cannot take over from {path}: {error}") from error
    except BaseException:
        sock.close()
        raise


def _of_our_user(sock: socket.socket, path: Path) -> int:
    pid, uid = peer_of(sock)
    if uid != os.geteuid():
        raise EstateError(f"{path} is another user's ({uid})")
    return pid


def _hung_up() -> NoReturn:
    raise EstateError("the other process hung up")


def _receive(sock: socket.socket) -> Estate:
    size = int.from_bytes(_exactly(sock, 4), "big")
    if size > MAX_FRAME:
        raise EstateError("the other process is no edgeproxy")
    try:
        offer = msgspec.msgpack.decode(_exactly(sock, size), type=Offer)
    except msgspec.MsgspecError as error:
        raise EstateError(f"the other process is no edgeproxy, or a very different one: {error}") from error
    if offer.refused:
        raise EstateError(f"process {offer.pid} does not hand over: {offer.refused}")
    wanted = sum(count for _, count in offer.listeners) + sum(
        (offer.admin, offer.lock, offer.purges, offer.tier is not None)
    )
    fds: list[int] = []
    try:
        while len(fds) < wanted:
            data, more, _, _ = socket.recv_fds(sock, 1, _FDS_A_MESSAGE, socket.MSG_CMSG_CLOEXEC)
            fds += more
            if not data:
                _hung_up()
    except BaseException:
        for descriptor in fds:
            os.close(descriptor)
        raise
    given = iter(fds)
    estate = Estate(node=offer.node, steered=offer.steered)
    for address, count in offer.listeners:
        estate.listeners[address] = [socket.socket(fileno=next(given)) for _ in range(count)]
    if offer.admin:
        estate.admin = socket.socket(fileno=next(given))
    if offer.lock:
        estate.lock = next(given)
    if offer.purges:
        estate.purges = next(given)
    if offer.tier is not None:
        estate.tier = TierLeft(*offer.tier, lock=next(given))
    return estate


def _exactly(sock: socket.socket, size: int) -> bytes:
    """Not a byte more: the descriptors hang on the next ones."""
    data = b""
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 65536))
        if not piece:
            _hung_up()
        data += piece
    return data


# --- the old one's side


class Handover:
    """Waits for a successor, gives it what it asks for, and tells when it may be trusted with the rest.

    `offer` gives what there is, with the descriptors; `handlers` are the channel's; `failed` is told of each
    process that came and did not become ready.
    """

    def __init__(
        self,
        path: Path,
        offer: Callable[[], tuple[Offer, list[int]]],
        handlers: Mapping[str, Handler],
        failed: Callable[[int], None],
    ) -> None:
        self.path = path
        self.channel: Channel | None = None  # to a successor
        self.done = False
        self._offer = offer
        self._handlers = handlers
        self._failed = failed
        self._sock: socket.socket | None = None
        self._inode = 0
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Handover {self.path} {'done' if self.done else 'waiting'}>"

    @property
    def waiting(self) -> bool:
        """Whether a successor can come, or has."""
        return self._sock is not None or self.done

    def open(self) -> None:
        """Wait for a successor from now on, in place of whoever did before; a failure is only said."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.parent.stat().st_uid not in (os.geteuid(), 0):
                raise PermissionError("the directory is another user's")
            if _answers(self.path):
                raise FileExistsError("another node waits there")
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            beside.unlink(missing_ok=True)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._sock = sock
            sock.bind(str(beside))
            beside.chmod(0o600)
            sock.listen(4)
            beside.replace(self.path)
            self._inode = self.path.stat().st_ino
        except OSError as error:
            _log.warning("%s: %s: this node cannot be taken over", self.path, error)
            self.close()
            return
        self._task = asyncio.get_running_loop().create_task(self._wait(sock))

    def close(self) -> None:
        """Wait no longer. Who has begun may go on."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        with suppress(OSError):
            if self._inode and self.path.stat().st_ino == self._inode:
                self.path.unlink()

    async def end(self) -> None:
        """Wait no longer, and let go of who has begun."""
        self.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.channel is not None:
            self.channel.close()

    async def _wait(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while self._sock is sock and not self.done:
            try:
                client, _ = await loop.sock_accept(sock)
            except OSError:
                return
            pid, uid = peer_of(client)
            if uid != os.geteuid():
                _log.error("user %d (process %d) may not take this node over", uid, pid)
                client.close()
                continue
            try:
                await self._serve(client, pid)
            except (OSError, EstateError) as error:
                client.close()
                self._failed(pid)
                _log.warning("process %d did not take over (%s): this one goes on", pid, error)

    async def _serve(self, client: socket.socket, pid: int) -> None:
        offer, fds = self._offer()
        await asyncio.to_thread(_send, client, offer, fds)
        if offer.refused:
            client.close()
            return
        _log.info("process %d takes over: it has the listening sockets, and starts", pid)
        self.channel = channel = await Channel.open(client, self._handlers)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_LIMIT):
                await self._until(channel)
        if self.done:
            await channel.closed
            return
        channel.close()
        self.channel = None
        raise EstateError("it did not become ready")

    async def _until(self, channel: Channel) -> None:
        """Until it is ready, or gone."""
        while not self.done and not channel.closed.done():
            await asyncio.wait([channel.closed], timeout=0.1)


def _answers(path: Path) -> bool:
    """Whether someone listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def _send(client: socket.socket, offer: Offer, fds: list[int]) -> None:
    client.settimeout(EXCHANGE_TIMEOUT)
    frame = msgspec.msgpack.encode(offer)
    client.sendall(len(frame).to_bytes(4, "big") + frame)
    for at in range(0, len(fds), _FDS_A_MESSAGE):
        socket.send_fds(client, [b"."], fds[at : at + _FDS_A_MESSAGE])


def address_of(host: str, port: int, true: str) -> str:
    """How a successor asks for a listener: as configured, but the true address in place of port 0."""
    return join_address(host, port) if port else true


def forward_over(channel: Channel) -> Forward:
    """How purges are told to the process at the other end; one that is silent does not hold them up long."""

    async def forward(rules: list[list[Any]]) -> bool:
        try:
            await channel.call("purged", rules, timeout=PURGE_TIMEOUT)
        except ControlError as error:
            if channel.closed.done():
                return True
            _log.warning("the other process in this takeover does not hear of a purge: %s", error)
            return False
        return True

    return forward
