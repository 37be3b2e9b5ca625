"""The node as operators and the crew see it: what is in force, what is shared, how it stands.

Must not know signals or exit codes (`supervisor`), nor HTTP.
"""

import asyncio
import os
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from edgeproxy.admin.ports import PurgeOrder, UnknownOrigin
from edgeproxy.clock import SteadyClock
from edgeproxy.config.model import Config
from edgeproxy.edge.routing import Router
from edgeproxy.fleet.rules import PurgeKind
from edgeproxy.server.checks import HealthChecks
from edgeproxy.server.control import ControlError
from edgeproxy.server.crew import Crew
from edgeproxy.server.drips import Drips
from edgeproxy.server.estate import Estate
from edgeproxy.server.forecast import Forecast
from edgeproxy.server.hello import Hello, Inherited
from edgeproxy.server.identity import Identity, card_of
from edgeproxy.server.listeners import ListenerSockets
from edgeproxy.server.node_purges import NodePurges
from edgeproxy.server.node_store import NodeStore
from edgeproxy.server.origins import Origins
from edgeproxy.server.purging import PurgeDesk, parse, plan
from edgeproxy.server.takeover import Forward, Offer, address_of
from edgeproxy.server.traffic import Traffic
from edgeproxy.telemetry.collector import NodeCollector
from edgeproxy.telemetry.counters import Counters
from edgeproxy.wire.fields import RawField

ASK_TIMEOUT = 2.0  # seconds for workers to tell how they stand
EXPLAIN_TIMEOUT = 10.0


class Node:
    """What the processes of this node share, and the answers of its admin API."""

    def __init__(self, config: Config, sockets: list[ListenerSockets], estate: Estate | None = None) -> None:
        estate = estate or Estate()
        self._identity = Identity(config, estate.node, estate.lock)
        self.name = self._identity.name
        self.config = config
        self.started = False
        self.draining = False
        self._crew: Crew | None = None
        # shared memory
        workers = worker_count(config)
        self.counters = [Counters.create() for _ in range(workers)]
        self._own = Counters.create()
        self._store = NodeStore(config, workers, self._tell, estate)
        self._purges = self._store.purges
        if config.cache.redis is not None and self._purges.recovered and not self._purges.shared:
            self._purges.doubt()  # until the log was replayed
        # parts
        self._sockets = sockets
        self._router = Router(config)
        self._traffic = Traffic(self.counters)
        self.purges = NodePurges(
            self.name,
            self._purges,
            card_of(config, workers),
            config,
            counted=self._count_purge,
            router=lambda: self._router,
            free=lambda rules: self._desk.free(rules),
        )
        self._collector = NodeCollector([*self.counters, self._own, self._store.counters], self._pids)
        self._clock = SteadyClock()
        self._told: dict[int, Config] = {}
        self._origins = Origins(config, self._own, self._tell)
        for each in estate.steered:
            with suppress(UnknownOrigin):
                self._origins.steer(each.upstream, each.origin, each.state)
        self._checks = HealthChecks(self._origins.set_health)
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Node {self.name} started={self.started} draining={self.draining}>"

    @property
    def crew(self) -> Crew:
        """The workers; set once, right after both were made."""
        assert self._crew is not None
        return self._crew

    @crew.setter
    def crew(self, crew: Crew) -> None:
        self._crew = crew
        self._drips = Drips(lambda: self.purges.log, crew, self._show_drips)
        forecast = Forecast(self.name, crew, lambda: self.config, self._traffic.rate)
        self._desk = PurgeDesk(lambda: self.purges.log, crew, lambda: self._router, self._drips, forecast)

    # lifetime

    async def start(self, *, heir: bool = False) -> None:
        """Begin to follow the fleet and to check origins; as `heir`, the fleet once `succeed` says so."""
        await self._store.start()
        if not heir:
            await self.purges.start()
        await self._checks.follow(self.config)
        self._own_task(self._traffic.run())

    async def close(self) -> None:
        """Stop that, and give the shared memory back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._checks.close()
        await self._drips.close()
        await self.purges.close()
        await self._store.close()
        for each in (*self.counters, self._own):
            each.close()
        self._purges.close()
        self._identity.close()

    def take(self, config: Config) -> None:
        """Let another configuration be in force."""
        before, self.config = self.config, config
        self._router = Router(config)
        self._origins.take(config)
        self._own_task(self._checks.follow(config))
        if before.cache.redis != config.cache.redis:
            self._own_task(self.purges.take(config))

    def _own_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what workers are given

    def inherited_fds(self, index: int) -> list[int]:
        """The descriptors that the worker in that seat inherits."""
        return [
            *(sock.fileno() for listener in self._sockets for sock in listener.sockets),
            self.counters[index].fd,
            self._purges.fd,
            *self._store.fds(index),
        ]

    def hello(self, index: int) -> Hello:
        """What the next process in that seat is told."""
        self._told[index] = self.config
        return Hello(
            index=index,
            workers=len(self.counters),
            node=self.name,
            config=self.config.dump(),
            sockets=[
                Inherited(at, owner, sock.fileno())
                for at, listener in enumerate(self._sockets)
                for owner, sock in enumerate(listener.sockets)
            ],
            counters=self.counters[index].fd,
            purges=self._purges.fd,
            origins=self._origins.all(),
            node_tier=self._store.hello(index),
            closed=self.crew.closed,
            clock=self._clock.anchor,
        )

    def greeted(self, index: int) -> None:
        """Make up for what changed while a worker was starting."""
        process = self.crew.seats[index].process
        if process is None:
            return
        if self._told[index] is not self.config:
            process.channel.notify("prepare", self.config.dump())
            process.channel.notify("switch")
        for known in self._origins.all():
            process.channel.notify("health", known.upstream, known.origin, known.healthy)
            process.channel.notify("steer", known.upstream, known.origin, known.state)

    async def worker_ended(self, index: int, code: int) -> None:
        """A worker's process ended with that code; the next one is started after this returned."""
        await self._store.worker_ended(code)

    def node_tier_damaged(self, generation: int, why: str) -> None:
        """A worker cannot read the node tier's file."""
        self._store.damaged(generation, why)

    def _tell(self, name: str, *args: Any) -> None:
        if self._crew is not None:
            self._crew.tell(name, *args)

    # how it stands

    def not_ready(self) -> list[str]:
        """Why the node should get no traffic."""
        reasons = []
        if self.draining:
            reasons.append("draining: the node is stopping")
        if not self.started:
            reasons.append("starting: not all workers have been up yet")
        elif not self.crew.serving:
            reasons.append("no worker serves")
        late = self.purges.log.not_ready()
        return [*reasons, late] if late is not None else reasons

    def health(self) -> dict[str, dict[str, bool]]:
        """What active checks found."""
        return self._origins.health()

    def purge_log(self) -> dict[str, object]:
        """How the purge log stands."""
        return self.purges.log.describe()

    def metrics(self) -> bytes:
        """Prometheus text, all processes added up."""
        slot = self._own.gauge("edgeproxy_workers")
        self._own.floats[slot] = len(self.crew.serving)
        log = self.purges.log.describe()
        self._own.floats[self._own.gauge("edgeproxy_purge_log_connected")] = bool(log.get("connected"))
        self._own.floats[self._own.gauge("edgeproxy_purges_pending")] = log.get("pending", 0)
        for seat in self.crew.seats:
            restarts = self._own.counter("edgeproxy_worker_restarts_total", str(seat.index))
            self._own.ints[restarts] = seat.restarts
        return self._collector.text()

    async def workers(self) -> list[dict[str, Any]]:
        """One entry a worker, with what it tells of itself."""
        snapshots = await self.crew.ask("snapshot", timeout=ASK_TIMEOUT)
        out = []
        for entry in self.crew.describe():
            snapshot = snapshots.get(entry["worker"])
            if isinstance(snapshot, dict):
                entry |= {name: value for name, value in snapshot.items() if name != "upstreams"}
            out.append(entry)
        return out

    async def nodes(self) -> list[dict[str, Any]]:
        """The fleet's nodes, this one first."""
        return await self.purges.log.nodes()

    # what operators do

    async def purge(self, order: PurgeOrder) -> dict[str, Any]:
        """Carry out a purge. Raises BadRequest."""
        if order.dry_run:
            return await self._desk.purge(order)
        still_open = await self.purges.told(plan(order, self._router).rules)
        answer = await self._desk.purge(order)
        answer["nodes"] |= still_open
        return answer

    def offer(self, admin: int) -> tuple[Offer, list[int]]:
        """What a process that takes this node over is told, and the descriptors; `admin` is one of them."""
        listeners = [
            (address_of(each.host, each.port, sockets.address), len(sockets.sockets))
            for each, sockets in zip(self.config.server.listen, self._sockets, strict=True)
        ]
        fds = [sock.fileno() for each in self._sockets for sock in each.sockets]
        lock, tier = self._identity.lock, self._store.offer()
        steered = [each for each in self._origins.all() if each.state != "up"]
        offer = Offer(
            os.getpid(),
            listeners=listeners,
            admin=True,
            lock=lock >= 0,
            node=self.name,
            steered=steered,
            purges=True,
            tier=None if tier is None else (tier.root, tier.lasting, tier.size, tier.readable),
        )
        fds += [admin, *([lock] if offer.lock else []), self._purges.fd]
        return offer, fds if tier is None else [*fds, tier.lock]

    @property
    def common(self) -> tuple[bool, bool]:
        """Whether the table of purges, and whether the tier, are those of the process before this one."""
        return self._store.common

    async def succeed(self) -> None:
        """Do what only one process does, in place of the old one."""
        self._store.succeed()
        await self.purges.succeed()

    async def hand_over(self, tell: Forward, purges: bool, tier: bool) -> None:
        """Leave that to the new process, which has taken these of the stores."""
        await self.purges.hand_over(tell, common=purges)
        if tier:
            await self._store.hand_over()

    def handed_over(self) -> None:
        """The new process serves, and this one ends."""
        self._store.handed_over()

    def leave_stores(self) -> None:
        """Leave what the new process may have of the stores as it is."""
        self._store.leave()

    async def resume(self) -> None:
        """Do it again: the new process came to nothing."""
        self._store.resume()
        await self.purges.resume()

    async def explain(self, url: str, fields: list[RawField]) -> dict[str, Any]:
        """Why a URL is, or is not, answered from a store, by the worker that knows most of it."""
        target = parse(url, "url")
        answers = await self.crew.ask("explain", target.uri, fields, timeout=EXPLAIN_TIMEOUT)
        told: list[dict[str, Any]] = [answer for answer in answers.values() if isinstance(answer, dict)]
        if not told:
            failed = next(iter(answers.values()), "no worker serves")
            raise ControlError(str(failed))
        return max(told, key=_knowledge)

    async def upstreams(self) -> dict[str, Any]:
        """Each upstream with its origins, all workers together."""
        snapshots = await self.crew.ask("snapshot", timeout=ASK_TIMEOUT)
        return self._origins.merge([each for each in snapshots.values() if isinstance(each, dict)])

    async def steer(self, upstream: str, origin: str, state: str) -> dict[str, Any]:
        """Drain an origin, take it down or up again. Raises UnknownOrigin."""
        steered = self._origins.steer(upstream, origin, state)
        return {"upstream": upstream, "origin": origin, "state": state, "healthy": steered.healthy}

    def count_reload(self, result: str) -> None:
        """Count a reload: applied or refused."""
        self._own.ints[self._own.counter("edgeproxy_config_reloads_total", result)] += 1
        if result == "applied":
            self.config_confirmed()

    def count_poll(self, result: str) -> None:
        """Count a poll of the control plane: changed, unchanged or failed."""
        self._own.ints[self._own.counter("edgeproxy_config_polls_total", result)] += 1

    def config_confirmed(self) -> None:
        """Note that what is in force now is what its source says."""
        self._own.floats[self._own.gauge("edgeproxy_config_last_success_timestamp_seconds")] = time.time()

    def _count_purge(self, kind: PurgeKind) -> None:
        self._own.ints[self._own.counter("edgeproxy_purges_total", kind)] += 1

    def _show_drips(self, left: int) -> None:
        self._own.floats[self._own.gauge("edgeproxy_purge_drip_remaining")] = left

    def _pids(self) -> dict[str, int]:
        pids = {str(seat.index): seat.process.pid for seat in self.crew.seats if seat.process is not None}
        if self._store.pid is not None:
            pids["node-writer"] = self._store.pid
        return {"supervisor": os.getpid(), **pids}


def _knowledge(told: dict[str, Any]) -> tuple[bool, float]:
    """How much a worker's explanation says: of what is stored, else of the answer not stored last."""
    refusal = told.get("last_refusal") or {}
    return bool(told.get("stored")), float(refusal.get("wall", 0.0))


def worker_count(config: Config) -> int:
    """`server.workers`, where `auto` is one for each core this process may use."""
    if config.server.workers == "auto":
        return len(os.sched_getaffinity(0))
    return config.server.workers
