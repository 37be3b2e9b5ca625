"""The gauges of a worker, and counts that others keep for themselves.

Must not know how often it is asked.
"""

from edgeproxy.edge.ledger import Ledger
from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.tier import Fault, TierStats
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
        self._told: dict[str, tuple[TierStats, int, int, int]] = {}

    def __repr__(self) -> str:
        return f"<Gauges evicted={self._evicted}>"

    def set(
        self, *, downstream: int, upstream: int, redis: TierStats | None, node: TierStats | None = None
    ) -> None:
        """Bring everything up to date."""
        floats = self._counters.floats
        floats[self._bytes] = self._memory.bytes
        floats[self._responses] = self._memory.responses
        floats[self._downstream] = downstream
        floats[self._upstream] = upstream
        evictions = self._memory.evictions
        self._counters.ints[self._evictions] += evictions - self._evicted
        self._evicted = evictions
        self._tier("node", node)
        self._tier("redis", redis)

    def _tier(self, name: str, stats: TierStats | None) -> None:
        """What a shared tier counted since it was looked at last."""
        if stats is None:
            return
        told, faults, skipped, dropped = self._told.get(name, (stats, 0, 0, 0))
        if told is not stats:  # another tier since a reload
            faults = skipped = dropped = 0
        drops = stats.count(Fault.DROPPED)
        self._ledger.tier_results(name, "fault", stats.fault_total - faults)
        self._ledger.tier_results(name, "skipped", stats.skipped - skipped)
        if drops > dropped:
            self._counters.ints[self._counters.counter("edgeproxy_tier_drops_total", name)] += drops - dropped
        self._told[name] = (stats, stats.fault_total, stats.skipped, drops)
