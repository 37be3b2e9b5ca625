"""The data plane of one worker, put together: listeners, edge, tiers, upstreams; and its clockwork.

Must not know processes: `worker` tells it what to do.
"""

import asyncio
import logging
import socket
from collections.abc import Coroutine, Sequence
from typing import Any

from edgeproxy.caching.key import PIECE
from edgeproxy.caching.stored import Stamp
from edgeproxy.clock import Clock
from edgeproxy.config.model import Config, Listener
from edgeproxy.edge.compress import Compression
from edgeproxy.edge.cycle import Cycle
from edgeproxy.edge.explain import explain
from edgeproxy.edge.express import Express
from edgeproxy.edge.fastpath import FastPath
from edgeproxy.edge.fetch import Answered, Fetcher, Invalidate
from edgeproxy.edge.forward import Forwarder
from edgeproxy.edge.hot import on_evict
from edgeproxy.edge.lease_turns import Turns
from edgeproxy.edge.leases import Leases
from edgeproxy.edge.ledger import Ledger
from edgeproxy.edge.lookup import Lookup
from edgeproxy.edge.outgoing import identify
from edgeproxy.edge.purge_scan import PurgeScan
from edgeproxy.edge.revalidations import Revalidations
from edgeproxy.edge.sweep import Sweep
from edgeproxy.edge.tunnel import Tunnels
from edgeproxy.fleet.node_lease import NodeLeases
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import PurgeRule
from edgeproxy.server.doors import Doors
from edgeproxy.server.draining import let_go
from edgeproxy.server.exchange import Exchange
from edgeproxy.server.gauges import Gauges
from edgeproxy.server.heap import Heap
from edgeproxy.server.hit_log import HitLog
from edgeproxy.server.limits import client_limits, trusted_networks
from edgeproxy.server.listening import Listening
from edgeproxy.server.plans import Prepared, Upstreams, make_plan
from edgeproxy.server.refusals import Refusals
from edgeproxy.server.tiers import Tiers
from edgeproxy.store.memory import Node
from edgeproxy.store.node_tier import NodeTier
from edgeproxy.telemetry.access_log import AccessLog
from edgeproxy.telemetry.counters import Counters
from edgeproxy.telemetry.origins import OriginCounts
from edgeproxy.wire.fields import RawField

TICK = 0.1
"""Seconds between two moves of the coarse clocks."""
TICKS_A_SWEEP = 10
TICKS_A_FOLD = 5
HEADS_SHARE = 8
"""One part in so many of a worker's memory budget is for heads that the fast path remembers."""
MOST_HEADS = 32 << 20

_log = logging.getLogger("edgeproxy.dataplane")

Sockets = list[tuple[socket.socket, Listener]]


async def _only_here(keys: list[bytes], tags: list[bytes], answer: Answered | None) -> Stamp | None:
    """Invalidation where there is no node around the worker: its own memory was enough."""
    return None if answer is None else answer.stamp


class DataPlane:
    """Everything of one worker that touches requests.

    `index` of `workers` decides on its share of the node's limits; `invalidate` purges keys and
    tags on the whole node.
    """

    def __init__(
        self,
        config: Config,
        *,
        index: int,
        workers: int,
        counters: Counters,
        purges: PurgeTable,
        clock: Clock,
        access_log: AccessLog | None,
        node: str,
        invalidate: Invalidate = _only_here,
        node_tier: NodeTier | None = None,
        node_leases: NodeLeases | None = None,
        memory_shared: int = 0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._config = config
        self._workers = workers
        self._node = node
        self._clock = clock
        self._counters = counters
        self._generation = 1
        # tiers
        self._tiers = tiers = Tiers(
            config,
            workers=workers,
            counters=counters,
            node=node_tier,
            shared=memory_shared,
            evicted=self._evicted,
        )
        self._memory = tiers.memory
        budget = tiers.budget(config)
        # edge
        self._ledger = Ledger(counters, access_log, clock)
        self._upstreams = Upstreams(OriginCounts(counters), workers, clock)
        self._plan = make_plan(config, node, self._upstreams.prepare(config))
        self._upstreams.switch(self._plan.upstreams)
        self._lookup = Lookup(self._memory, tiers.layers, purges, self._ledger, clock)
        compression = Compression(self._lookup, purges, clock, self._ledger)
        self._fetcher = Fetcher(
            lookup=self._lookup,
            compression=compression,
            purges=purges,
            clock=clock,
            loop=loop,
            invalidate=invalidate,
        )
        collapse = self._fetcher.collapse
        self._leases = Leases(Turns(node, node_leases, self._lookup, collapse.vain, clock, counters))
        collapse.leases = self._leases.follow(tiers.redis)
        self._scan = PurgeScan(self._memory, purges, self._lookup.pieces)
        self._revalidations = Revalidations()
        self._tunnels = Tunnels(clock)
        forwarder = Forwarder(self._fetcher, self._revalidations, self._tunnels, clock)
        self._cycle = Cycle(
            self._plan,
            lookup=self._lookup,
            forwarder=forwarder,
            compression=compression,
            ledger=self._ledger,
            clock=clock,
            workers=workers,
        )
        self._express = Express(self._cycle, self._fetcher, self._ledger, clock, self._run)
        # clients
        self._requests: set[asyncio.Task[None]] = set()
        heads = min(budget // HEADS_SHARE, MOST_HEADS)
        self._paths = {
            (scheme, trusted): FastPath(
                scheme=scheme,
                trusted=trusted,
                lookup=self._lookup,
                purges=purges,
                counters=counters,
                ledger=self._ledger,
                budget=heads,
                now=clock.wall(),
            )
            for scheme in (b"http", b"https")
            for trusted in (False, True)
        }
        hits = None
        if access_log is not None:
            hits = HitLog(access_log, clock, budget=heads // 2, reserve=self._memory.reserve)
        refusals = Refusals(self._ledger, access_log, clock, self._plan.heads)
        self._listenings = {
            scheme: Listening(
                scheme=scheme,
                limits=client_limits(config, workers),
                fast=self._paths[(scheme, False)],
                fast_trusted=self._paths[(scheme, True)],
                serve=self.serve,
                take=self._express.take,
                refusal=refusals.answer,
                refused=refusals.note,
                hits=hits.of if hits is not None else None,
                identify=identify,
                trusted=trusted_networks(config),
                loop=loop,
                clock=clock,
                open_now=self._open_now,
            )
            for scheme in (b"http", b"https")
        }
        self._doors = Doors(loop, self._listenings)
        self._sweep = Sweep(self._memory, purges, loop)
        self._heap = Heap()
        self._gauges = Gauges(counters, self._memory, self._ledger)
        self._follow()
        self._ticks = 0
        self._ticker: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<DataPlane {self._doors!r} {self._memory!r} requests={len(self._requests)}>"

    # --- life

    async def start(self, sockets: Sockets) -> None:
        """Begin to serve on these listening sockets."""
        await self._tiers.start()
        await self._upstreams.start()
        self._tick()
        await self._doors.open(sockets)

    def adopt(self, sockets: Sockets) -> None:
        """Serve a sibling's sockets too, from the next turn of the loop on."""
        self._doors.adopt(sockets)

    def release(self, sockets: Sockets) -> None:
        """Leave a sibling's sockets to it again."""
        self._doors.release(sockets)

    async def drain(self, timeout: float, patience: float = 0.0) -> None:
        """Stop accepting, finish what is in flight within `timeout` seconds, close everything.

        Idle connections may ask once more within the first `patience` seconds of it.
        """
        self._doors.close()
        await let_go(self._listenings.values(), self._busy, timeout, patience)
        self._tunnels.close()
        await self._end()

    def _busy(self) -> bool:
        """Whether a client is connected, through a tunnel or not, or a fetch under way."""
        return bool(self._open_now() or self._tunnels or self._express or self._fetcher.fills)

    async def _end(self) -> None:
        self._express.closed = True
        for task in list(self._requests):
            task.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        self._fetcher.shield.close()
        await self._cycle.close()
        await self._revalidations.close(0.0)
        await self._leases.close()
        await self._fetcher.close()
        await self._doors.closed()
        await self._upstreams.close()
        await self._tiers.close()
        if self._ticker is not None:
            self._ticker.cancel()
        self._sweep.close()
        self._fold()

    # --- requests

    def serve(self, exchange: Exchange) -> "asyncio.Task[None]":
        """Run the cycle for an exchange."""
        return self._run(self._cycle.serve(exchange, exchange.received))

    def _run(self, serving: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(serving)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        return task

    @property
    def requests(self) -> int:
        """Requests under way that the fast path did not answer."""
        return len(self._requests) + len(self._express)

    def _open_now(self) -> int:
        return sum(len(listening.connections) for listening in self._listenings.values())

    # --- clockwork

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK, self._tick)
        self._ticks += 1
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        for path in self._paths.values():
            path.now = wall
        sweeping = self._ticks % TICKS_A_SWEEP == 0
        for listening in self._listenings.values():
            listening.now = monotonic
            if sweeping:
                listening.sweep()
        if sweeping:
            self._tunnels.sweep()
            self._sweep.look()
        if self._ticks % TICKS_A_FOLD == 0:
            self._fold()

    def _fold(self) -> None:
        self._tiers.tell()
        for path in self._paths.values():
            path.fold()
        self._heap.follow(self._memory.evictions)
        self._gauges.set(
            downstream=self._open_now() + len(self._tunnels),
            upstream=self._upstreams.connections,
            redis=self._tiers.redis,
            node=self._tiers.node,
            gates=self._fetcher.shield.admissions.gates,
            early=self._cycle.early.started,
        )

    # --- reload

    def prepare(self, config: Config) -> Prepared:
        """Build what the new configuration needs; changes nothing. Raises EdgeProxyError."""
        upstreams = self._upstreams.prepare(config)
        redis = self._tiers.redis_of(config)
        return Prepared(config, make_plan(config, self._node, upstreams), redis)

    def switch(self, prepared: Prepared) -> None:
        """Serve by the new configuration from now on; what is stored stays, and is judged by it."""
        config = prepared.config
        self._config = config
        self._plan = self._cycle.plan = prepared.plan
        self._upstreams.switch(prepared.plan.upstreams)
        left = self._tiers.switch(config, prepared.redis)
        if left is not None:
            self._upstreams.later(left)
            self._lookup.shared = self._tiers.layers
            self._fetcher.collapse.leases = self._leases.follow(prepared.redis)
        self._generation += 1
        self._follow()

    def _follow(self) -> None:
        limits = client_limits(self._config, self._workers)
        self._cycle.early.plan = self._plan
        popular = self._fetcher.shield.follow(self._plan)
        for path in self._paths.values():
            path.follow(self._plan.router, self._plan.heads, limits.head, self._generation)
            path.early, path.popular = self._cycle.early.many, popular
        for listening in self._listenings.values():
            listening.limits = limits
            listening.trust(trusted_networks(self._config))

    # --- questions and orders

    async def explain(self, url: bytes, fields: list[RawField]) -> dict[str, Any]:
        """Why a URL is, or is not, answered from a store here."""
        unstored, instead = self._fetcher.unstored, self._cycle.instead
        return await explain(self._plan, self._lookup, unstored, self._clock, url, fields, instead)

    async def remove(self, keys: list[bytes]) -> list[str]:
        """Remove all variants of these cache keys from memory and Redis; a name for each that was there."""
        removed: list[str] = []
        for key in [piece for whole in keys for piece in (whole, *self._lookup.pieces.of(whole))]:
            variants = await self._fetcher.keeper.forget(key)
            removed += [f"{key.decode('latin-1')} {variant.hex()}" for variant in variants]
        return removed

    def free(self, keys: list[bytes]) -> int:
        """Remove what purges took under these cache keys from memory; how many stored responses that were."""
        return self._scan.free(keys)

    async def weigh(self, rules: Sequence[PurgeRule], keys: list[bytes]) -> list[Any]:
        """What rules would take here, a `Sample`; of URLs, whose cache keys are given, from Redis too."""
        sample = await self._scan.weigh(rules)
        redis = self._tiers.redis
        if redis is not None:
            for key in keys:
                self._scan.weigh_variants(sample, key, await redis.variants(key))
        return sample.dump()

    async def popularity(
        self, rules: Sequence[PurgeRule], most: int, rounds: Sequence[float]
    ) -> dict[bytes, float]:
        """The most popular URLs here that rules name, as seen in rounds of some seconds."""
        return await self._scan.popularity(rules, most, rounds)

    def _evicted(self, node: Node) -> None:
        on_evict(node)
        if PIECE in node.primary.key and self._memory.get(node.primary.key) is None:
            self._lookup.pieces.drop(node.primary.key)

    def set_health(self, upstream: str, origin: str, healthy: bool) -> None:
        """What an active check found."""
        self._upstreams.set_health(upstream, origin, healthy)

    def steer(self, upstream: str, origin: str, state: str) -> None:
        """`up`, `drain` or `down` an origin."""
        self._upstreams.steer(upstream, origin, state)

    def snapshot(self) -> dict[str, Any]:
        """The worker as it is now, for operators: JSON-able."""
        return {
            "connections": {"downstream": self._open_now(), "upstream": self._upstreams.connections},
            "requests": self.requests,
            "express": {"taken": self._express.taken, "handed_on": self._express.handed_on},
            "fills": len(self._fetcher.fills),
            "tunnels": len(self._tunnels),
            "revalidations": len(self._revalidations),
            "admission": self._fetcher.shield.admissions.snapshot(),
            "compressions": len(self._fetcher.compression),
            "memory": {
                "bytes": self._memory.bytes,
                "budget": self._memory.budget,
                "responses": self._memory.responses,
                "evictions": self._memory.evictions,
            },
            **self._tiers.snapshot(),
            "upstreams": self._upstreams.snapshot(),
        }
