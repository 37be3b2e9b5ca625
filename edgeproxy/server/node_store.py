"""The node's tier as the supervisor keeps it: its directory, its writer's process, what workers are given.

Must not know what is stored, nor HTTP.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from edgeproxy.config.model import Config
from edgeproxy.fleet.node_lease import NodeLeaseShares
from edgeproxy.server.estate import Estate, TierLeft
from edgeproxy.server.hello import NodeShare
from edgeproxy.server.node_directory import NodeDirectory
from edgeproxy.server.node_place import take_place
from edgeproxy.server.node_writer import RENEW, WriterSettings
from edgeproxy.store.node_file import largest_of
from edgeproxy.telemetry.counters import Counters

MOST_RENEWALS = 2
"""How often in a run the file may be set aside before the tier is off for good."""
MOST_FAILURES = 5
"""Starts of the writer in a row that may fail before the tier is off for good."""
START_TIMEOUT = 10.0
END_TIMEOUT = 5.0  # seconds for the writer to take what waits and bring it to the disk
CRASHES = (-signal.SIGBUS, -signal.SIGSEGV)
WRITER = (sys.executable, "-m", "edgeproxy.server.node_writer")

_log = logging.getLogger("edgeproxy.supervisor")

Tell = Callable[..., None]


class NodeStore:
    """The tier of this node; `tell` tells all workers something. Off where it cannot be had, and says so."""

    def __init__(self, config: Config, workers: int, tell: Tell, estate: Estate | None = None) -> None:
        """`estate`: what another process leaves; of that, this takes what fits the configuration."""
        self._tell = tell
        place = take_place(config, workers, estate or Estate())
        self._directory, self.purges = place.directory, place.table
        self._size, self._share = place.size, place.share
        self._heir = place.inherited  # to a tier that another process still writes
        self._seen: object = None  # the file that is read until then
        self._handed = False  # to another process
        self.counters = Counters.create()
        self._pairs = [
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for _ in range(workers if self._directory is not None else 0)
        ]
        self._leases = NodeLeaseShares(workers) if self._directory is not None and workers > 1 else None
        # state
        self.pid: int | None = None
        self._generation = 0  # of the file; 0 while it is off
        self._largest = 0
        self._renewals = 0
        self._reported = False  # a worker said that the file is damaged
        self._ending = False
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: asyncio.StreamWriter | None = None
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._clean = False

    def __repr__(self) -> str:
        where = self._directory.root if self._directory is not None else None
        return f"<NodeStore {where} generation={self._generation} pid={self.pid}>"

    # --- life

    async def start(self) -> None:
        """Start the writer; returns once the file is there, or the tier is off.

        A tier that another process still writes is only read, until `succeed`.
        """
        if self._directory is None:
            return
        if self._heir:
            self._seen = _file_in(self._directory)
            self._generation, self._largest = 1, largest_of(self._size)
            return
        self._keeper = asyncio.create_task(self._keep())
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait(
                [ready, self._keeper], timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
        if not self._generation:
            await self.off("its writer does not start")

    async def close(self) -> None:
        """End the writer once it has written what waits, and leave the directory in order."""
        self._ending = True
        await self._end_writer()
        for pair in self._pairs:
            for sock in pair:
                sock.close()
        if self._leases is not None:
            self._leases.close()
        self.counters.close()
        if self._directory is None:
            return
        if self._ours:
            self._directory.close(clean=self._clean)
        else:
            self._directory.release()

    # --- from one process to the next

    @property
    def _ours(self) -> bool:
        """Whether the directory is this process's to keep in order."""
        return not self._handed and (not self._heir or self._keeper is not None)

    @property
    def common(self) -> tuple[bool, bool]:
        """Whether the table of purges, and whether the tier, are those of the process before this one."""
        return self.purges.shared, self._heir

    def offer(self) -> TierLeft | None:
        """What a process that takes this node over may have."""
        self.purges.shared = True
        directory = self._directory
        if directory is None:
            return None
        root = os.path.realpath(directory.root)
        return TierLeft(root, directory.lasting, self._size, self._generation > 0, directory.lock)

    async def hand_over(self) -> None:
        """End the writer, so that the new process has its own; the directory stays as it is."""
        self._handed = self._ending = True
        await self._end_writer()

    def handed_over(self) -> None:
        """Nothing is written here any more."""
        self._tell("read_only")

    def leave(self) -> None:
        """Leave the directory as it is: another process has it."""
        self._handed = True

    def resume(self) -> None:
        """Write again: the new process came to nothing."""
        if self._handed:
            self._handed = self._ending = False
            self._keeper = asyncio.create_task(self._keep())

    def succeed(self) -> None:
        """Write, as soon as the old process does not."""
        if not self._heir or self._directory is None or self._keeper is not None:
            return
        if self._seen is None or self._seen != _file_in(self._directory):
            self._renewals += 1  # workers are to open the file that is there by then
            self._generation = 0
        self._keeper = asyncio.create_task(self._keep())

    async def _end_writer(self) -> None:
        if self._control is not None:
            with suppress(OSError):
                self._control.write(b"end\n")
        if self._keeper is not None:
            await asyncio.wait([self._keeper], timeout=END_TIMEOUT)
        await self._halt()

    async def _halt(self) -> None:
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._popen is not None:
            with suppress(ProcessLookupError):
                self._popen.kill()
            await self._reap(self._popen)

    async def off(self, why: str, *, set_aside: bool = False) -> None:
        """Do without the tier from now on."""
        _log.error("the node tier is off: %s; memory and origins serve", why)
        self._ending = True
        self._generation = 0
        self._share = 0
        self._tell("node_tier", 0)
        await self._halt()
        if set_aside and self._directory is not None and self._ours:
            self._directory.set_aside()

    # --- what workers are given

    def fds(self, index: int) -> list[int]:
        """What the worker in that seat inherits."""
        if not self._generation:
            return []
        return [self._pairs[index][0].fileno(), *self._lease_fds(index)]

    def _lease_fds(self, index: int) -> list[int]:
        return self._leases.fds(index) if self._leases is not None else []

    def hello(self, index: int) -> NodeShare | None:
        """What the worker in that seat is told; None while the tier is off."""
        if not self._generation or self._directory is None:
            return None
        fd = self._pairs[index][0].fileno()
        tier = str(self._directory.tier)
        leases = self._lease_fds(index)
        return NodeShare(tier, self._size, self._largest, self._generation, fd, self._share, leases)

    # --- faults

    async def worker_ended(self, code: int) -> None:
        """A worker ended with that code; where the file may have been the reason, do without it."""
        if code in CRASHES and self._generation:
            how = signal.Signals(-code).name
            why = f"a worker was ended by {how}, and its file may have been why: it is set aside"
            await self.off(why, set_aside=True)

    def damaged(self, generation: int, why: str) -> None:
        """A worker cannot read the file of that generation: it is set aside, and another one begun."""
        if generation == self._generation and self._popen is not None and not self._ending:
            _log.error("node tier: its file is damaged (%s): set aside, and begun anew", why)
            self._generation = 0
            self._reported = True
            self._popen.kill()  # its keeper does the rest

    # --- the writer

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._ready.clear()
            said = await self._run()
            if self._ending:
                self._clean = said["code"] == 0
                return
            code = said["code"]
            if code == RENEW or code in CRASHES or self._reported:
                self._reported = False
                why = said.get("unusable") or said.get("damaged") or "see above"
                if not self._renew(why):
                    asyncio.get_running_loop().call_soon(
                        self._give_up, f"its file fails again and again ({why})"
                    )
                    return
                continue
            failures = 0 if self._ready.is_set() else failures + 1
            if failures >= MOST_FAILURES:
                why = said.get("failed", f"its writer ended with code {code}")
                asyncio.get_running_loop().call_soon(self._give_up, str(why))
                return
            _log.error(
                "the node tier's writer ended (%s): another one starts", said.get("failed", f"code {code}")
            )
            await asyncio.sleep(0.1 * 2**failures)

    def _give_up(self, why: str) -> None:
        self._off = asyncio.ensure_future(self.off(why))

    def _renew(self, why: str) -> bool:
        assert self._directory is not None
        self._generation = 0
        self._renewals += 1
        _log.warning("node tier: its file is set aside and begun anew: %s", why)
        self._directory.set_aside()
        return self._renewals <= MOST_RENEWALS

    async def _run(self) -> dict[str, Any]:
        """One process of the writer, to its end; what it said, and its exit code."""
        assert self._directory is not None
        ours, theirs = socket.socketpair()
        sockets = [pair[1].fileno() for pair in self._pairs]
        settings = WriterSettings(
            path=str(self._directory.tier),
            size=self._size,
            purges=self.purges.name.hex(),
            latest=self.purges.order,
            sockets=sockets,
            counters=self.counters.fd,
        )
        told = msgspec.json.encode(settings).decode()
        try:
            # by the main thread: the parent-death signal follows the thread that forked
            self._popen = popen = subprocess.Popen(  # noqa: ASYNC220 - returns once exec was done, some ms
                [*WRITER, str(theirs.fileno()), str(os.getpid()), told],
                pass_fds=(theirs.fileno(), self.counters.fd, *sockets),
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            return {"code": 1, "failed": f"cannot execute: {error.strerror}"}
        finally:
            theirs.close()
        self.pid = popen.pid
        try:
            reader, self._control = await asyncio.open_unix_connection(sock=ours)
            said = await self._listen(reader)
            await self._reap(popen)
        finally:
            self.pid = None
            self.counters.reset_gauges()
            if self._control is not None:
                self._control.close()
                self._control = None
        return said | {"code": popen.returncode}

    async def _listen(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        said: dict[str, Any] = {}
        with suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                if "log" in message:
                    _log.log(logging.getLevelNamesMapping()[message["level"].upper()], "%s", message["log"])
                elif "ready" in message:
                    self._began(message["largest"])
                else:
                    said |= message
        return said

    def _began(self, largest: int) -> None:
        self._largest = largest
        self._ready.set()
        if not self._generation:
            self._generation = self._renewals + 1
            self._tell("node_tier", self._generation)

    async def _reap(self, popen: "subprocess.Popen[bytes]") -> None:
        deadline = asyncio.get_running_loop().time() + 2.0
        while popen.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                popen.kill()
            await asyncio.sleep(0.01)


def _file_in(directory: NodeDirectory) -> object:
    """What tells the tier's file from another one in its place; None for none."""
    try:
        return (directory.tier / "data.mdb").stat().st_ino
    except OSError:
        return None
