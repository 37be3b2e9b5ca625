"""The supervisor: owns the sockets, the shared memory and the workers, and runs the control plane.

Must not know HTTP towards clients: that is the workers'.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Coroutine
from typing import Any

import uvloop

from edgeproxy.admin.app import make_app
from edgeproxy.config.model import Config
from edgeproxy.config.warnings import warnings
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.admin_server import AdminServer
from edgeproxy.server.crew import DEFAULT_TIMING, Crew, Timing
from edgeproxy.server.descriptors import raise_limit, too_few
from edgeproxy.server.estate import Estate, EstateError
from edgeproxy.server.limits import connections_wanted
from edgeproxy.server.listeners import ListenError, ListenerSockets, open_all
from edgeproxy.server.node import Node, worker_count
from edgeproxy.server.process import StartFailed
from edgeproxy.server.reload import Reloader, ReloadRefused
from edgeproxy.server.sources import FileSource, RemoteSource
from edgeproxy.server.succession import Succession, left_behind
from edgeproxy.server.takeover import Predecessor
from edgeproxy.server.tls import TlsFileError, server_context
from edgeproxy.server.watch import poll_url, watch_file
from edgeproxy.telemetry import log

STOPPED, FAILED, MISTAKEN = 0, 1, 2
"""Exit codes: ended as told, could not serve (or was forced to end), a file of the configuration is bad."""

HANDSHAKE = 0.15  # seconds for connections under way when the end begins, and for their first request

_log = logging.getLogger("edgeproxy.supervisor")


def run(
    config: Config,
    *,
    source: str | RemoteSource | None = None,
    timing: Timing = DEFAULT_TIMING,
    takeover: bool = False,
) -> int:
    """Serve until told to stop; the exit code.

    `source` is the file or the URL that a reload reads again; with `takeover`, the sockets are those of the
    node that runs.
    """
    log.set_up(config.log.level, "supervisor")
    old: Predecessor | None = None
    try:
        for listener in config.server.listen:
            if listener.tls is not None:
                server_context(listener.tls)
        old, estate = left_behind(config, takeover)
        config = _fitted(config, estate)
        listeners = [(each.host, each.port) for each in config.server.listen]
        sockets = open_all(listeners, worker_count(config), estate)
        admin = estate.claim_admin(config.admin.host, config.admin.port)
        estate.discard()
    except TlsFileError as error:
        _log.error("%s", error)
        return MISTAKEN
    except (ListenError, EstateError) as error:
        _log.error("%s", error)
        if old is not None:
            old.close()
        return FAILED
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            origin = FileSource(source) if isinstance(source, str) else source
            supervisor = Supervisor(config, sockets, origin, timing, estate, old)
            return runner.run(supervisor.run(admin))
    finally:
        for each in sockets:
            each.close()


def _fitted(config: Config, estate: Estate) -> Config:
    """As many workers as there are sockets: closing one would reset what waits in it."""
    count = estate.count
    if count in (0, worker_count(config)) or (count < worker_count(config) and not estate.node):
        return config
    _log.warning("%d workers instead of %d: one for each socket taken over", count, worker_count(config))
    return config.model_copy(update={"server": config.server.model_copy(update={"workers": count})})


class Supervisor:
    """One run of the node, from start to exit code."""

    def __init__(
        self,
        config: Config,
        sockets: list[ListenerSockets],
        source: FileSource | RemoteSource | None,
        timing: Timing,
        estate: Estate,
        old: Predecessor | None,
    ) -> None:
        self._node = Node(config, sockets, estate)
        self._sockets = sockets
        self._source = source
        self._crew = Crew(
            self._node.counters,
            self._node.hello,
            self._node.inherited_fds,
            handlers={
                "invalidate": self._node.purges.invalidate,
                "node_tier_damaged": self._node.node_tier_damaged,
            },
            greeted=self._node.greeted,
            ended=self._node.worker_ended,
            timing=timing,
        )
        self._node.crew = self._crew
        self._reloader = Reloader(
            source, self._crew, lambda: self._node.config, self._node.take, self._node.count_reload
        )
        app = make_app(self._node, self._reloader)
        self._admin = AdminServer(app, config.admin.host, config.admin.port)
        # lifetime
        self._told_to_stop = asyncio.Event()
        self._succession = Succession(self._node, self._crew, self._admin, sockets, old, self._told_to_stop)
        self._forced = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        return f"<Supervisor {self._node!r} {self._crew!r}>"

    async def run(self, admin: socket.socket | None = None) -> int:
        """Start everything, wait to be told to stop, drain; `admin` is a socket for the admin API."""
        self._hear_signals()
        if admin is not None:
            self._admin.bind(admin)
        for warning in warnings(self._node.config):
            _log.warning("%s", warning)
        config = self._node.config
        few = too_few(raise_limit(), *connections_wanted(config, worker_count(config)))
        if few is not None:
            _log.warning("%s", few)
        try:
            await self._start()
            await self._told_to_stop.wait()
            return await self._stop()
        except StartFailed as error:
            _log.error("%s", error)
            return FAILED
        except ListenError as error:
            _log.error("admin API: %s", error)
            return FAILED
        finally:
            await self._end()

    async def _start(self) -> None:
        if not self._succession.heir:
            await self._admin.start()
        await self._node.start(heir=self._succession.heir)
        starting = asyncio.ensure_future(self._crew.start())
        told = asyncio.ensure_future(self._told_to_stop.wait())
        try:
            await asyncio.wait([starting, told], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return  # told to stop before it served
            starting.result()
        finally:
            for task in (starting, told):
                task.cancel()
            await asyncio.gather(starting, told, return_exceptions=True)
        await self._succession.relieve()
        self._node.started = True
        self._node.config_confirmed()
        self._announce()
        self._follow_source()
        self._succession.open()

    def _announce(self) -> None:
        config = self._node.config
        for listener, sockets in zip(config.server.listen, self._sockets, strict=True):
            _log.info("listening on %s://%s", "https" if listener.tls else "http", sockets.address)
        _log.info("admin API on http://%s", self._admin.address)
        workers = ", ".join(f"{each['worker']} (pid {each['pid']})" for each in self._crew.describe())
        _log.info("node %s serves with workers %s", self._node.name, workers)

    def _follow_source(self) -> None:
        match self._source:
            case FileSource() as file:
                self._own(watch_file(file, self._reloader, lambda: self._node.config.watch))
            case RemoteSource() as remote:
                self._own(poll_url(remote, self._reloader, self._node.count_poll))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # signals

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload_signal)

    def _stop_signal(self, number: signal.Signals) -> None:
        if self._told_to_stop.is_set():
            _log.warning("%s again: ended at once, requests are cut", number.name)
            self._forced.set()
            return
        timeout = self._node.config.server.drain_timeout
        _log.info("%s: no new connections; requests in flight have %g s to finish", number.name, timeout)
        self._node.draining = True
        self._told_to_stop.set()

    def _reload_signal(self) -> None:
        self._own(self._reload())

    async def _reload(self) -> None:
        self._crew.tell("reopen")
        try:
            await self._reloader.reload()
        except ReloadRefused:
            pass  # said by the reloader
        except EdgeProxyError as error:
            _log.error("not reloaded: %s", error)

    # the end

    async def _stop(self) -> int:
        draining = asyncio.ensure_future(self._drain(self._node.config.server.drain_timeout))
        forced = asyncio.ensure_future(self._forced.wait())
        try:
            await asyncio.wait([draining, forced], return_when=asyncio.FIRST_COMPLETED)
        finally:
            forced.cancel()
            draining.cancel()
            await asyncio.gather(draining, forced, return_exceptions=True)
        if draining.cancelled():
            return FAILED
        _log.info("stopped" if draining.result() else "stopped; some requests did not finish in time")
        return STOPPED

    async def _drain(self, timeout: float) -> bool:
        """Take no new connection, let workers accept those that wait, then let them finish and end."""
        for sockets in self._sockets:
            sockets.refuse_new()
        loop = asyncio.get_running_loop()
        now = loop.time()
        earliest, latest = now + HANDSHAKE, now + max(HANDSHAKE, timeout / 2)
        while (now := loop.time()) < latest:
            if now >= earliest and not any(sockets.waiting for sockets in self._sockets):
                break
            await asyncio.sleep(0.01)
        for sockets in self._sockets:
            sockets.close()
        if self._succession.relieved:
            return await self._crew.drain(timeout, timeout / 2)
        shared = any(sockets.shared for sockets in self._sockets)
        return await self._crew.drain(timeout, min(timeout, HANDSHAKE) if shared else 0.0)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._crew.kill()
        await self._succession.end()
        await self._admin.close()
        await self._node.close()
