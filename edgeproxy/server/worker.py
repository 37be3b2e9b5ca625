"""A worker process: takes what the supervisor gives it, serves, and ends with the supervisor.

Must not know HTTP: that is its data plane's.
"""

import asyncio
import logging
import signal
import socket
import sys
from typing import Any

import msgspec
import uvloop

from edgeproxy.caching.stored import Stamp
from edgeproxy.clock import SteadyClock
from edgeproxy.config.load import load_mapping
from edgeproxy.config.model import Config, Listener
from edgeproxy.edge.fetch import Answered
from edgeproxy.fleet.node_lease import NodeLeases, inherited_leases
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import rules_from
from edgeproxy.server.affinity import pin
from edgeproxy.server.control import Channel, ControlError
from edgeproxy.server.dataplane import DataPlane
from edgeproxy.server.garbage import Pauses, settle
from edgeproxy.server.hello import Hello, Inherited, NodeShare
from edgeproxy.server.parent import die_with
from edgeproxy.server.plans import Prepared
from edgeproxy.store.node_sender import NodeSender
from edgeproxy.store.node_tier import NodeAccess, NodeTier
from edgeproxy.telemetry import log
from edgeproxy.telemetry.access_log import AccessLog
from edgeproxy.telemetry.counters import Counters

HEARTBEAT = 0.5  # seconds between two
INVALIDATE_TIMEOUT = 1.0  # seconds for which an unsafe request waits for the node

_log = logging.getLogger("edgeproxy.worker")

Sockets = list[tuple[socket.socket, Listener]]


class Worker:
    """One worker's life, told by the calls of its control channel."""

    def __init__(self) -> None:
        self._clock = SteadyClock()
        self._plane: DataPlane | None = None
        self._hello: Hello | None = None
        self._config: Config | None = None
        self._counters: Counters | None = None
        self._access_log: AccessLog | None = None
        self._pauses: Pauses | None = None
        self._sockets: dict[tuple[int, int], socket.socket] = {}  # by owner and listener
        self._prepared: Prepared | None = None
        self._drained = asyncio.Event()
        self._channel: Channel | None = None
        self._node_tier: NodeTier | None = None
        self._generation = 0  # of the node tier's file

    def __repr__(self) -> str:
        index = None if self._hello is None else self._hello.index
        return f"<Worker {index} plane={self._plane!r}>"

    async def run(self, control: int) -> None:
        """Serve until drained, or until the supervisor is gone."""
        channel = await Channel.open(
            socket.socket(fileno=control),
            {
                "hello": self.hello,
                "adopt": lambda owner: self.plane.adopt(self._of(owner)),
                "release": lambda owner: self.plane.release(self._of(owner)),
                "prepare": self.prepare,
                "switch": self.switch,
                "drain": self.drain,
                "reopen": self.reopen,
                "explain": self.explain,
                "remove": lambda keys: self.plane.remove(keys),
                "free": lambda keys: self.plane.free(keys),
                "weigh": lambda rules, keys: self.plane.weigh(rules_from(rules), keys),
                "popularity": lambda rules, *how: self.plane.popularity(rules_from(rules), *how),
                "health": lambda *args: self.plane.set_health(*args),
                "steer": lambda *args: self.plane.steer(*args),
                "node_tier": lambda generation: self.node_tier(generation),
                "read_only": self.read_only,
                "snapshot": lambda: self.plane.snapshot(),
            },
        )
        self._channel = channel
        beats = asyncio.create_task(self._beat(channel))
        drained = asyncio.create_task(self._drained.wait())
        ends: list[asyncio.Future[Any]] = [channel.closed, drained, beats]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            beats.cancel()
            drained.cancel()
            await asyncio.gather(beats, drained, return_exceptions=True)
            if self._access_log is not None:
                self._access_log.close()
            if self._pauses is not None:
                self._pauses.close()
            channel.close()
            await channel.closed

    @property
    def plane(self) -> DataPlane:
        """The data plane. Raises ControlError before `hello`."""
        if self._plane is None:
            raise ControlError("the worker has not been told yet what to serve")
        return self._plane

    # calls

    async def hello(self, message: dict[str, Any]) -> None:
        """Take everything over and begin to serve."""
        self._hello = hello = msgspec.convert(message, Hello)
        if hello.clock is not None:
            self._clock.follow(hello.clock)
        config = load_mapping(hello.config)
        log.set_up(config.log.level, f"worker {hello.index}")
        pin(config.server.cpu_affinity, hello.index)
        self._config = config
        self._counters = counters = Counters.attach(hello.counters)
        self._access_log = AccessLog.of(config.log.access, counters)
        for inherited in hello.sockets:
            self._inherit(inherited)
        purges = PurgeTable(hello.purges)
        self._node_tier = self._open_node_tier(hello.node_tier, purges.run)
        plane = DataPlane(
            config,
            index=hello.index,
            workers=hello.workers,
            counters=counters,
            purges=purges,
            clock=self._clock,
            access_log=self._access_log,
            node=hello.node,
            invalidate=self.invalidate,
            node_tier=self._node_tier,
            node_leases=_leases(hello),
            memory_shared=hello.node_tier.memory if hello.node_tier is not None else 0,
        )
        for origin in hello.origins:
            plane.set_health(origin.upstream, origin.origin, origin.healthy)
            plane.steer(origin.upstream, origin.origin, origin.state)
        await plane.start([] if hello.closed else self._of(hello.index))
        self._plane = plane
        settle()
        self._pauses = Pauses(counters)

    def _open_node_tier(self, share: NodeShare | None, run: bytes) -> NodeTier | None:
        if share is None:
            return None
        self._generation = share.generation
        sock = socket.socket(fileno=share.fd)
        access = NodeAccess(share.path, share.size, share.largest)
        tier = NodeTier(
            access, NodeSender(sock), run=run, wall=self._clock.wall, damaged=self._node_tier_damaged
        )
        tier.open()
        return tier

    def _node_tier_damaged(self, why: str) -> None:
        if self._channel is not None:
            self._channel.notify("node_tier_damaged", self._generation, why)

    def node_tier(self, generation: int) -> None:
        """Open the node tier's file anew: it is another one; 0: do without."""
        if self._node_tier is not None and generation != self._generation:
            self._generation = generation
            if generation:
                self._node_tier.open()
            else:
                self._node_tier.shut()

    def read_only(self) -> None:
        """Have nothing written to the node tier any more: it is another process's."""
        if self._node_tier is not None:
            self._node_tier.read_only()

    async def invalidate(self, keys: list[bytes], tags: list[bytes], answer: Answered | None) -> Stamp | None:
        """Let the node purge what an unsafe request made void, and wait until that holds."""
        if self._channel is None:
            return None
        judged = None if answer is None else (answer.key, answer.tags, _words_of(answer.stamp))
        try:
            stamp = await self._channel.call("invalidate", keys, tags, judged, timeout=INVALIDATE_TIMEOUT)
        except ControlError as error:
            _log.error("an unsafe request invalidated only what this worker had stored: %s", error)
            return None
        return None if stamp is None else Stamp(*stamp)

    def _inherit(self, inherited: Inherited) -> None:
        sock = socket.socket(fileno=inherited.fd)
        sock.setblocking(False)
        self._sockets[inherited.owner, inherited.listener] = sock

    def _of(self, owner: int) -> Sockets:
        assert self._config is not None
        listeners = self._config.server.listen
        return [(sock, listeners[at]) for (whose, at), sock in self._sockets.items() if whose == owner]

    def prepare(self, dumped: dict[str, Any]) -> None:
        """Phase one of a reload: build all that the new configuration needs, change nothing."""
        self._prepared = self.plane.prepare(load_mapping(dumped))

    def switch(self) -> None:
        """Phase two: serve by what was prepared."""
        if self._prepared is None:
            raise ControlError("nothing was prepared")
        prepared, self._prepared = self._prepared, None
        self._config = prepared.config
        self.plane.switch(prepared)
        log.set_level(prepared.config.log.level)

    async def drain(self, timeout: float, patience: float = 0.0) -> None:
        """Stop accepting, finish what is in flight, end; idle clients may ask once more within `patience`."""
        draining = asyncio.ensure_future(self.plane.drain(timeout, patience))
        await asyncio.sleep(0)  # it has stopped accepting now; nor may any queue stay open here
        for sock in self._sockets.values():
            sock.close()
        await draining
        self._drained.set()

    def reopen(self) -> None:
        """Open the access log's file anew: it was rotated."""
        if self._access_log is not None:
            self._access_log.reopen()

    async def explain(self, url: bytes, fields: list[list[bytes]]) -> dict[str, Any]:
        """Why a URL is, or is not, answered from a store."""
        return await self.plane.explain(url, [(name, value) for name, value in fields])

    async def _beat(self, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        slot: int | None = None
        while True:
            due = loop.time() + HEARTBEAT
            await asyncio.sleep(HEARTBEAT)
            lag = max(0.0, loop.time() - due)
            self._clock.tick()
            if self._hello is not None and self._counters is not None:
                if slot is None:
                    slot = self._counters.gauge("edgeproxy_event_loop_lag_seconds", str(self._hello.index))
                self._counters.floats[slot] = lag
            if channel.unsent < 65536:  # else the supervisor does not listen: do not pile up
                channel.notify("beat", lag)


def _leases(hello: Hello) -> NodeLeases | None:
    share = hello.node_tier
    return inherited_leases(hello.index, share.leases) if share is not None and share.leases else None


def _words_of(stamp: Stamp) -> tuple[bytes, int, bytes, int]:
    return stamp.log, stamp.position, stamp.run, stamp.local


def main(arguments: list[str]) -> int:
    """`CONTROL_FD SUPERVISOR_PID`; the exit code."""
    control, parent = arguments
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the supervisor hears them, and tells us
    die_with(int(parent))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker().run(int(control)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
