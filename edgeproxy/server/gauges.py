"""The gauges of a worker, and counts that others keep for themselves.

Must not know how often it is asked.
"""

from edgeproxy.edge.ledger import Ledger
from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.tier import TierStats
from edgeproxy.telemetry.counters import Counters


class Gauges:
    """Carries the state of tiers and connections into the counters."""

    def __init__(self, counters: Counters, memory: MemoryTier, ledger: Ledger) -> None:
        self._counters = counters
        self._memory = memory
        self._ledger = ledger
        self._bytes = counters.gauge("edgeproxy_cache_bytes", "memory")
        self._responses = counters.gauge("edgeproxy_cache_responses", "memory")
        self._evictions = counters.counter("edgeproxy_cache_evictions_total", "memory")
        self._downstream = counters.gauge("edgeproxy_connections", "downstream")
        self._upstream = counters.gauge("edgeproxy_connections", "upstream")
        self._evicted = 0
        self._redis: TierStats | None = None
        self._faults = 0
        self._skipped = 0

    def __repr__(self) -> str:
        return f"<Gauges evicted={self._evicted}>"

    def set(self, *, downstream: int, upstream: int, redis: TierStats | None) -> None:
        """Bring everything up to date."""
        floats = self._counters.floats
        floats[self._bytes] = self._memory.bytes
        floats[self._responses] = self._memory.responses
        floats[self._downstream] = downstream
        floats[self._upstream] = upstream
        evictions = self._memory.evictions
        self._counters.ints[self._evictions] += evictions - self._evicted
        self._evicted = evictions
        if redis is not None:
            if redis is not self._redis:
                self._redis, self._faults, self._skipped = redis, 0, 0
            self._ledger.tier_results("redis", "fault", redis.fault_total - self._faults)
            self._ledger.tier_results("redis", "skipped", redis.skipped - self._skipped)
            self._faults, self._skipped = redis.fault_total, redis.skipped
