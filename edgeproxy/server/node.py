"""The node as operators and the crew see it: what is in force, what is shared, how it stands.

Must not know signals or exit codes (`supervisor`), nor HTTP.
"""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from edgeproxy.admin.ports import PurgeOrder
from edgeproxy.caching.stored import Stamp
from edgeproxy.clock import SteadyClock
from edgeproxy.config.model import Config
from edgeproxy.edge.routing import Router
from edgeproxy.fleet.fleet_log import FleetPurgeLog
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.purge_log import LocalPurgeLog, PurgeLog
from edgeproxy.fleet.purge_table import Verdict
from edgeproxy.fleet.redis_advice import advise
from edgeproxy.fleet.redis_log import RedisLog
from edgeproxy.fleet.rules import PurgeKind, PurgeRule, without_scheme
from edgeproxy.server.checks import HealthChecks
from edgeproxy.server.control import ControlError
from edgeproxy.server.crew import Crew
from edgeproxy.server.drips import Drips
from edgeproxy.server.forecast import Forecast
from edgeproxy.server.hello import Hello, Inherited
from edgeproxy.server.identity import Identity, card_of
from edgeproxy.server.listeners import ListenerSockets
from edgeproxy.server.node_store import NodeStore
from edgeproxy.server.origins import Origins
from edgeproxy.server.purging import PurgeDesk, parse, rules_of_event
from edgeproxy.server.traffic import Traffic
from edgeproxy.telemetry.collector import NodeCollector
from edgeproxy.telemetry.counters import Counters
from edgeproxy.wire.fields import RawField

ASK_TIMEOUT = 2.0  # seconds for workers to tell how they stand
EXPLAIN_TIMEOUT = 10.0


class Node:
    """What the processes of this node share, and the answers of its admin API."""

    def __init__(self, config: Config, sockets: list[ListenerSockets]) -> None:
        self._identity = Identity(config)
        self.name = self._identity.name
        self.config = config
        self.started = False
        self.draining = False
        self._crew: Crew | None = None
        # shared memory
        workers = worker_count(config)
        self.counters = [Counters.create() for _ in range(workers)]
        self._own = Counters.create()
        self._store = NodeStore(config, workers, self._tell)
        self._purges = self._store.purges
        if config.cache.redis is not None and self._purges.recovered:
            self._purges.doubt()  # until the log was replayed
        # parts
        self._sockets = sockets
        self._router = Router(config)
        self._card = card_of(config, len(self.counters))
        self._traffic = Traffic(self.counters)
        self._log = self._make_log()
        self._collector = NodeCollector([*self.counters, self._own, self._store.counters], self._pids)
        self._clock = SteadyClock()
        self._told: dict[int, Config] = {}
        self._origins = Origins(config, self._own, self._tell)
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
        self._drips = Drips(lambda: self._log, crew, self._show_drips)
        forecast = Forecast(self.name, crew, lambda: self.config, self._traffic.rate)
        self._desk = PurgeDesk(lambda: self._log, crew, lambda: self._router, self._drips, forecast)

    # lifetime

    async def start(self) -> None:
        """Begin to follow the fleet and to check origins."""
        await self._store.start()
        await self._log.start()
        self._look_at_redis()
        await self._checks.follow(self.config)
        self._own_task(self._traffic.run())

    async def close(self) -> None:
        """Stop that, and give the shared memory back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._checks.close()
        await self._drips.close()
        await self._log.close()
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
            old, self._log = self._log, self._make_log()
            self._own_task(self._exchange_logs(old, self._log))

    def _make_log(self) -> PurgeLog:
        settings = self.config.cache.redis
        if settings is None:
            return LocalPurgeLog(self.name, self._purges, self._count_purge, self._card)
        disk = self.config.cache.disk
        return FleetPurgeLog(
            self.name,
            self._purges,
            RedisLog(settings.url, settings.key_prefix, self.name),
            self._count_purge,
            card=self._card,
            journal=None if disk is None else PurgeJournal(Path(disk.path) / "purges.unsent"),
            rules_of=lambda event: rules_of_event(event, self._router),
            count=lambda rules: self._desk.free(rules),
        )

    async def _exchange_logs(self, old: PurgeLog, new: PurgeLog) -> None:
        await old.close()
        if new is self._log:
            await new.start()
            self._look_at_redis()

    def _look_at_redis(self) -> None:
        if self.config.cache.redis is not None:
            self._own_task(advise(self.config.cache.redis.url))

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
        late = self._log.not_ready()
        return [*reasons, late] if late is not None else reasons

    def health(self) -> dict[str, dict[str, bool]]:
        """What active checks found."""
        return self._origins.health()

    def purge_log(self) -> dict[str, object]:
        """How the purge log stands."""
        return self._log.describe()

    def metrics(self) -> bytes:
        """Prometheus text, all processes added up."""
        slot = self._own.gauge("edgeproxy_workers")
        self._own.floats[slot] = len(self.crew.serving)
        log = self._log.describe()
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
        return await self._log.nodes()

    # what operators do

    async def purge(self, order: PurgeOrder) -> dict[str, Any]:
        """Carry out a purge. Raises BadRequest."""
        return await self._desk.purge(order)

    async def invalidate(
        self, keys: list[bytes], tags: list[bytes], answer: list[Any] | None
    ) -> tuple[Any, ...] | None:
        """Purge what an unsafe request made void (RFC 9111 §4.4); holds in every worker on return.

        `answer` is the request's own (key, tags, stamp): the stamp with which it outlives these rules and no
        other is returned, None where another purge named it before.
        """
        rules = [PurgeRule(PurgeKind.URL, without_scheme(key)) for key in keys]
        rules += [PurgeRule(PurgeKind.TAG, tag) for tag in tags]
        before = self._purges.stamp()
        outlives = (
            answer is not None
            and self._purges.verdict(answer[0], tuple(answer[1]), Stamp(*answer[2])) is Verdict.LIVE
        )
        await self._log.purge(rules, 0.0)  # applies them before it waits for anything
        if not outlives:
            return None
        return before.log, before.position, before.run, before.local + len(rules)

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
