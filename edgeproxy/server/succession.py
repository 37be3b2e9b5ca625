"""Knows how one supervisor takes the place of another, from either side.

Must not know how their messages and descriptors travel (`takeover`), nor how anything is served.

Until the new one is ready, nothing changes for the old one. Then the old one ends what only one process of
a node may do (it follows the fleet's log, and its writer writes the tier), and drains. If the new one is gone
by then, the old one takes all that up again.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

from edgeproxy.config.model import Config
from edgeproxy.server.admin_server import AdminServer
from edgeproxy.server.control import Channel, ControlError
from edgeproxy.server.crew import Crew
from edgeproxy.server.estate import Estate, EstateError, from_systemd
from edgeproxy.server.listeners import ListenerSockets
from edgeproxy.server.node import Node
from edgeproxy.server.takeover import (
    READY_TIMEOUT,
    Handover,
    Offer,
    Predecessor,
    forward_over,
    meeting_point,
    take_over,
)

_log = logging.getLogger("edgeproxy.supervisor")


def left_behind(config: Config, takeover: bool) -> tuple[Predecessor | None, Estate]:
    """What this node starts with: systemd's sockets, or those of the node that runs. Raises EstateError."""
    estate = from_systemd()
    if not takeover or estate.count:
        return None, estate
    if not config.admin.port:
        raise EstateError("--takeover finds the running node by admin.listen: give it a port, not 0")
    path = meeting_point(config.admin)
    found = take_over(path)
    if found is None:
        _log.warning("%s: no node to take over, this one starts afresh", path)
        return None, estate
    return found


class Succession:
    """The process before this one (`old`), and the one after; `told_to_stop` is set once there is one."""

    def __init__(
        self,
        node: Node,
        crew: Crew,
        admin: AdminServer,
        sockets: list[ListenerSockets],
        old: Predecessor | None,
        told_to_stop: asyncio.Event,
    ) -> None:
        self.heir = old is not None
        self.relieved = False  # by a successor
        self._node = node
        self._crew = crew
        self._admin = admin
        self._sockets = sockets
        self._old = old
        self._told_to_stop = told_to_stop
        self._shared = [each.shared for each in sockets]
        self._handover: Handover | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        crew.closed = self.heir

    def __repr__(self) -> str:
        return f"<Succession old={self._old!r} {self._handover!r}>"

    # --- the new one's side

    async def relieve(self) -> None:
        """Serve in place of the old process: it drains from now on, or is gone or hung anyway."""
        old = self._old
        if old is None:
            return
        channel = await old.talk({"purged": self._node.purges.mirror})
        purges, tier = self._node.common
        if not purges:
            self._node.purges.beside(forward_over(channel), common=False)
        kept = [each.address for each in self._sockets]
        try:
            await channel.call("ready", kept, purges, tier, timeout=READY_TIMEOUT)
            _log.info("took over from process %d", old.pid)
        except ControlError as error:
            _log.warning("process %d did not say that it goes (%s): this one serves", old.pid, error)
        self._crew.open_doors()
        await self._node.succeed()
        await self._admin.start()
        self._own(self._outlive(channel))

    async def _outlive(self, channel: Channel) -> None:
        await channel.closed
        self._node.purges.beside(None, common=True)
        for each in self._sockets:
            each.shared = False
        _log.info("the process before this one has ended")
        if self._handover is not None and not self._handover.waiting:  # it hung, where successors come
            self._handover.open()

    # --- the old one's side

    def open(self) -> None:
        """Let a successor come."""
        port = int(self._admin.address.rpartition(":")[2])
        self._handover = Handover(
            meeting_point(self._node.config.admin, port),
            self._offer,
            {"ready": self._ready, "purged": self._node.purges.mirror},
            self._came_to_nothing,
        )
        self._handover.open()

    def _offer(self) -> tuple[Offer, list[int]]:
        admin = self._admin.socket
        if self._told_to_stop.is_set() or admin is None:
            return Offer(os.getpid(), refused="it is stopping"), []
        for each in self._sockets:
            each.shared = True
        return self._node.offer(admin.fileno())

    async def _ready(self, kept: list[str], purges: bool, tier: bool) -> None:
        """A successor serves on these addresses, with these of the stores: drain, and end."""
        handover = self._handover
        if handover is None or handover.channel is None or handover.done:
            return
        try:
            await self._node.hand_over(forward_over(handover.channel), purges, tier)
        except asyncio.CancelledError:  # it is gone, just now
            if not self._told_to_stop.is_set():
                self._own(self._node.resume())
            raise
        for each in self._sockets:
            each.shared = each.address in kept
        self.relieved = handover.done = True
        handover.close()
        self._node.handed_over()
        if not self._told_to_stop.is_set():
            timeout = self._node.config.server.drain_timeout
            _log.info("the successor serves: requests in flight have %g s to finish", timeout)
        self._node.draining = True
        await self._admin.leave()
        self._told_to_stop.set()

    def _came_to_nothing(self, pid: int) -> None:
        for each, shared in zip(self._sockets, self._shared, strict=True):
            each.shared = shared

    # --- the end

    async def end(self) -> None:
        """Let go of both."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._handover is not None:
            if self._handover.channel is not None:  # told to stop while a successor starts: it has them
                self._node.leave_stores()
            await self._handover.end()
        if self._old is not None:
            self._old.close()

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
