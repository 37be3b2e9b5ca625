"""The tiers of one worker, made and changed by the configuration: its memory, the node's tier, Redis.

Must not know requests.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from edgeproxy.config.model import Config
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.gauges import RedisTimes
from edgeproxy.store.layers import Layers, layers
from edgeproxy.store.memory import MemoryTier, Node
from edgeproxy.store.node_popular import Popular
from edgeproxy.store.node_tier import NodeTier
from edgeproxy.store.redis_tier import RedisTier
from edgeproxy.telemetry.counters import Counters


class Tiers:
    """`shared` is how many bytes of the node's memory budget all its workers have together."""

    def __init__(
        self,
        config: Config,
        *,
        workers: int,
        counters: Counters,
        node: NodeTier | None,
        shared: int,
        evicted: Callable[[Node], None],
    ) -> None:
        self._workers = workers
        self._counters = counters
        self._shared = shared
        self._config = config
        self.memory = MemoryTier(self.budget(config), evicted)
        self.redis = self.redis_of(config)
        self.node = node
        self._popular = None if node is None else Popular(self.memory, node)

    def __repr__(self) -> str:
        return f"<Tiers {self.memory!r} {self.layers!r}>"

    @property
    def layers(self) -> Layers | None:
        """What is behind memory; None for nothing."""
        return layers(("node", self.node), ("redis", self.redis))

    def budget(self, config: Config) -> int:
        """This worker's part of the node's memory in bytes, without what all workers share."""
        whole = config.cache.memory.max_size
        return max(whole - self._shared, whole // 2) // self._workers

    async def start(self) -> None:
        """Begin to connect."""
        if self.redis is not None:
            await self.redis.start()

    async def close(self) -> None:
        """Write what waits, and end."""
        if self.redis is not None:
            await self.redis.close()
        if self.node is not None:
            await self.node.close()

    def tell(self) -> None:
        """Tell the node's tier what is asked for here; to be called now and then."""
        if self.node is not None and self._popular is not None:
            self._popular.step()
            self.node.tell_used()

    def snapshot(self) -> dict[str, Any]:
        """The shared tiers as they are now, for operators: JSON-able; null where there is none."""
        node, redis = self.node, self.redis
        return {
            "node_tier": None
            if node is None
            else {
                "open": node.available,
                "hits": node.stats.hits,
                "faults": node.stats.fault_total,
                "queue": node.queue_depth,
                "dropped": node.dropped,
            },
            "redis": None
            if redis is None
            else {
                "breaker": str(redis.breaker.state),
                "hits": redis.stats.hits,
                "faults": redis.stats.fault_total,
                "queue": redis.queue_depth,
            },
        }

    # --- reload

    def redis_of(self, config: Config) -> RedisTier | None:
        """The Redis tier of that configuration: the present one where it says the same.

        Raises EdgeProxyError.
        """
        settings = config.cache.redis
        if config is not self._config and settings == self._config.cache.redis:
            return self.redis
        if settings is None:
            return None
        try:
            return RedisTier(
                settings.url,
                timeout=settings.timeout,
                key_prefix=settings.key_prefix,
                max_size=settings.max_object_size,
                compress_above=settings.compress_above,
                observe=RedisTimes(self._counters).observe,
            )
        except ValueError as error:  # files that the URL names
            raise EdgeProxyError(f"cache.redis.url: {error}") from error

    def switch(self, config: Config, redis: RedisTier | None) -> Coroutine[Any, Any, None] | None:
        """Go over to a configuration and its Redis tier; what is left to be awaited, if anything."""
        old, self.redis, self._config = self.redis, redis, config
        self.memory.resize(self.budget(config))
        return None if redis is old else _replace(old, redis)


async def _replace(old: RedisTier | None, new: RedisTier | None) -> None:
    if new is not None:
        await new.start()
    if old is not None:
        await old.close()
