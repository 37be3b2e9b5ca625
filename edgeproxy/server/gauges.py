"""The gauges of a worker, and counts that others keep for themselves.

Must not know how often it is asked.
"""

from collections.abc import Mapping

from edgeproxy.edge.admission import Gate
from edgeproxy.edge.ledger import Ledger
from edgeproxy.store.breaker import BreakerState
from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.node_tier import NodeTier
from edgeproxy.store.redis_tier import RedisTier
from edgeproxy.store.tier import TierStats
from edgeproxy.telemetry.counters import Counters, Histogram

_NO_GATES: Mapping[str, Gate] = {}


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
        self._early = counters.counter("edgeproxy_early_revalidations_total")
        self._evicted = self._started = 0
        self._admissions = AdmissionGauges(counters)
        self._redis: RedisGauges | None = None
        self._node: NodeGauges | None = None

    def __repr__(self) -> str:
        return f"<Gauges evicted={self._evicted}>"

    def set(
        self,
        *,
        downstream: int,
        upstream: int,
        redis: RedisTier | None,
        node: NodeTier | None = None,
        gates: Mapping[str, Gate] = _NO_GATES,
        early: int = 0,
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
        self._counters.ints[self._early] += early - self._started
        self._started = early
        self._admissions.set(gates)
        if node is not None:
            if self._node is None:
                self._node = NodeGauges(self._counters, self._ledger, node)
            self._node.set()
        if redis is not None:
            if self._redis is None or self._redis.tier is not redis:
                self._redis = RedisGauges(self._counters, self._ledger, redis)
            self._redis.set()
        elif self._redis is not None:
            self._redis.clear()
            self._redis = None


class AdmissionGauges:
    """Carries what waits before upstreams into the counters."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._before: dict[str, tuple[Gate, dict[str, int]]] = {}

    def __repr__(self) -> str:
        return f"<AdmissionGauges {sorted(self._before)}>"

    def set(self, gates: Mapping[str, Gate]) -> None:
        """Bring everything up to date."""
        if not gates and not self._before:
            return
        counters = self._counters
        for name in self._before.keys() - gates.keys():
            counters.floats[counters.gauge("edgeproxy_admission_queue", name)] = 0.0
            del self._before[name]
        for name, gate in gates.items():
            counters.floats[counters.gauge("edgeproxy_admission_queue", name)] = len(gate)
            of, before = self._before.get(name, (gate, {}))
            now = {"at_once": gate.admitted, "waited": gate.waited, "turned_away": gate.turned_away}
            for result, count in now.items():
                new = count - (before.get(result, 0) if of is gate else 0)
                counters.ints[counters.counter("edgeproxy_admissions_total", name, result)] += new
            self._before[name] = (gate, now)


class TierFaults:
    """Carries what a shared tier did not do into the counters."""

    def __init__(self, name: str, counters: Counters, ledger: Ledger, stats: TierStats) -> None:
        self._name = name
        self._counters = counters
        self._ledger = ledger
        self._stats = stats
        self._faults: dict[str, int] = {}
        self._skipped = 0

    def __repr__(self) -> str:
        return f"<TierFaults {self._name} {self._stats!r}>"

    def set(self) -> None:
        """Bring everything up to date."""
        stats = self._stats
        self._ledger.tier_results(self._name, "skipped", stats.skipped - self._skipped)
        self._skipped = stats.skipped
        for fault, count in stats.faults.items():
            new = count - self._faults.get(fault, 0)
            if new:
                self._ledger.tier_results(self._name, "fault", new)
                slot = self._counters.counter("edgeproxy_tier_faults_total", self._name, fault.value)
                self._counters.ints[slot] += new
                self._faults[fault] = count


class NodeGauges:
    """Carries the state of the node's tier, as this worker has it, into the counters."""

    def __init__(self, counters: Counters, ledger: Ledger, tier: NodeTier) -> None:
        self._counters = counters
        self._tier = tier
        self._queue = counters.gauge("edgeproxy_tier_write_queue", "node")
        self._faults = TierFaults("node", counters, ledger, tier.stats)

    def __repr__(self) -> str:
        return f"<NodeGauges {self._tier!r}>"

    def set(self) -> None:
        """Bring everything up to date."""
        self._counters.floats[self._queue] = self._tier.queue_depth
        self._faults.set()


class RedisGauges:
    """Carries the state of one Redis tier into the counters."""

    def __init__(self, counters: Counters, ledger: Ledger, tier: RedisTier) -> None:
        self.tier = tier
        self._counters = counters
        self._queue = counters.gauge("edgeproxy_tier_write_queue", "redis")
        self._states = {
            state: counters.gauge("edgeproxy_redis_breaker", state.value) for state in BreakerState
        }
        self._faults = TierFaults("redis", counters, ledger, tier.stats)

    def __repr__(self) -> str:
        return f"<RedisGauges {self.tier!r}>"

    def clear(self) -> None:
        """The tier is no more."""
        for slot in (self._queue, *self._states.values()):
            self._counters.floats[slot] = 0.0

    def set(self) -> None:
        """Bring everything up to date."""
        floats = self._counters.floats
        floats[self._queue] = self.tier.queue_depth
        for state, slot in self._states.items():
            floats[slot] = self.tier.breaker.state is state
        self._faults.set()


class RedisTimes:
    """Counts how long the commands to Redis take."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._known: dict[str, Histogram] = {}

    def __repr__(self) -> str:
        return f"<RedisTimes {sorted(self._known)}>"

    def observe(self, command: str, seconds: float) -> None:
        """One command of ours was answered, `seconds` after it was sent."""
        histogram = self._known.get(command)
        if histogram is None:
            histogram = self._counters.histogram("edgeproxy_redis_command_duration_seconds", command.lower())
            self._known[command] = histogram
        histogram.observe(seconds)
