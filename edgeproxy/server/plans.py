"""Configurations turned into plans, and the upstreams that outlive them.

Must not know clients or tiers. An upstream whose settings did not change keeps its connections.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from edgeproxy.clock import Clock
from edgeproxy.config.model import Config
from edgeproxy.config.model import Upstream as UpstreamConfig
from edgeproxy.edge.deliver import Deliver
from edgeproxy.edge.heads import Heads
from edgeproxy.edge.outgoing import Outgoing
from edgeproxy.edge.request import Plan
from edgeproxy.edge.routing import Router
from edgeproxy.errors import EdgeProxyError
from edgeproxy.store.redis_tier import RedisTier
from edgeproxy.upstream.build import build_upstream
from edgeproxy.upstream.recorder import Recorder
from edgeproxy.upstream.upstream import Upstream

LINGER = 60.0
"""Seconds for which an upstream that is no longer configured may finish what it has in flight."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a new configuration needs, built and not yet used."""

    config: Config
    plan: Plan
    redis: RedisTier | None


class UnusableConfig(EdgeProxyError):
    """A configuration that is valid and yet cannot be put in force; the message says why."""


def make_plan(config: Config, node: str, upstreams: Mapping[str, Upstream]) -> Plan:
    """What the configuration says about requests."""
    server = config.server
    heads = Heads(server.name)
    return Plan(
        router=Router(config),
        upstreams=upstreams,
        outgoing=Outgoing(server.name, node, server.forwarded),
        deliver=Deliver(heads, server.name),
        heads=heads,
        max_body=server.limits.max_body_size or 0,
    )


class Upstreams:
    """The upstreams in force; started, replaced and closed in the background."""

    def __init__(self, recorder: Recorder, workers: int, clock: Clock) -> None:
        self._recorder = recorder
        self._workers = workers
        self._clock = clock
        self._settings: dict[int, UpstreamConfig] = {}
        self._current: Mapping[str, Upstream] = {}
        self._states: dict[tuple[str, str], tuple[bool, str]] = {}
        self._started = False
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Upstreams {list(self._current)} tasks={len(self._tasks)}>"

    @property
    def connections(self) -> int:
        """Connections to origins now."""
        return sum(upstream.connections for upstream in self._current.values())

    def prepare(self, config: Config) -> dict[str, Upstream]:
        """The upstreams of a configuration, unchanged ones kept. Raises UnusableConfig."""
        prepared: dict[str, Upstream] = {}
        for name, settings in config.upstreams.items():
            old = self._current.get(name)
            if old is not None and self._settings.get(id(old)) == settings:
                prepared[name] = old
                continue
            try:
                new = build_upstream(
                    name,
                    settings,
                    workers=self._workers,
                    recorder=self._recorder,
                    clock=self._clock.monotonic,
                )
            except ValueError as error:
                raise UnusableConfig(f"upstreams.{name}: {error}") from error
            self._settings[id(new)] = settings
            prepared[name] = new
        return prepared

    def switch(self, upstreams: Mapping[str, Upstream]) -> None:
        """Use these from now on."""
        old = [upstream for upstream in self._current.values() if upstream not in upstreams.values()]
        new = [upstream for upstream in upstreams.values() if upstream not in self._current.values()]
        self._current = upstreams
        self._settings = {id(upstream): self._settings[id(upstream)] for upstream in upstreams.values()}
        for (name, origin), (healthy, state) in self._states.items():
            if upstreams.get(name) in new:
                upstreams[name].set_active(origin, healthy)
                upstreams[name].steer(origin, state)
        if self._started:
            for upstream in new:
                self.later(upstream.start())
        for upstream in old:
            self.later(_retire(upstream))

    async def start(self) -> None:
        """Start all."""
        self._started = True
        for upstream in self._current.values():
            await upstream.start()

    async def close(self) -> None:
        """Close all, and end what runs in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for upstream in self._current.values():
            await upstream.close()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background; it is ended with all else."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def set_health(self, upstream: str, origin: str, healthy: bool) -> None:
        """What an active check found; kept for an upstream that a reload makes anew."""
        state = self._states.get((upstream, origin), (True, "up"))[1]
        self._states[(upstream, origin)] = (healthy, state)
        if upstream in self._current:
            self._current[upstream].set_active(origin, healthy)

    def steer(self, upstream: str, origin: str, state: str) -> None:
        """`up`, `drain` or `down` an origin."""
        healthy = self._states.get((upstream, origin), (True, "up"))[0]
        self._states[(upstream, origin)] = (healthy, state)
        if upstream in self._current:
            self._current[upstream].steer(origin, state)

    def snapshot(self) -> dict[str, Any]:
        """All origins, for operators: JSON-able."""
        return {name: upstream.snapshot() for name, upstream in self._current.items()}


async def _retire(upstream: Upstream) -> None:
    try:
        deadline = asyncio.get_running_loop().time() + LINGER
        while asyncio.get_running_loop().time() < deadline:
            if not any(origin["active"] for origin in upstream.snapshot()):
                break
            await asyncio.sleep(0.5)
    finally:
        await upstream.close()
