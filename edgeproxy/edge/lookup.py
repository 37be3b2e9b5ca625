"""Where a stored response for a request is found: tiers in order, purges in mind, hits promoted.

Must not know what is done with it.
"""

from dataclasses import dataclass
from typing import Protocol

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.vary import selecting_names, variant_of
from edgeproxy.edge.hot import cool
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.memory import MemoryTier, Node
from edgeproxy.store.tier import SharedTier
from edgeproxy.wire.heads import RequestHead


@dataclass(frozen=True, slots=True)
class Found:
    """What the tiers hold for a request.

    `variant` is the request's variant key under the selecting fields known for this key, None
    where none are known; `others` says that other variants are stored.
    """

    stored: StoredResponse | None = None
    tier: str = ""
    soft_purged: bool = False
    variant: bytes | None = None
    others: bool = False
    node: Node | None = None


NOTHING = Found()


class TierCounts(Protocol):
    """Counts look-ups by tier and result."""

    def looked_up(self, tier: str, hit: bool) -> None: ...


class Lookup:
    """Memory first, then the shared tier; what a purge took is removed on the way."""

    def __init__(
        self, memory: MemoryTier, shared: SharedTier | None, purges: PurgeTable, counts: TierCounts
    ) -> None:
        self.memory = memory
        self.shared = shared
        self._purges = purges
        self._counts = counts

    def __repr__(self) -> str:
        return f"<Lookup {self.memory!r} {self.shared!r}>"

    def in_memory(self, key: bytes, request: RequestHead, policy: CachePolicy) -> Found:
        """Look in this worker's memory; no IO."""
        found = self.peek(key, request, policy)
        self._counts.looked_up("memory", found.stored is not None)
        if found.node is not None:
            found.node.visited = True
        return found

    def peek(self, key: bytes, request: RequestHead, policy: CachePolicy) -> Found:
        """As `in_memory`, without a trace in counts and eviction."""
        primary = self.memory.get(key)
        if primary is None:
            return NOTHING
        variant: bytes | None = None
        best = NOTHING
        for names in primary.name_sets:
            mine = variant_of(request, names, policy)
            variant = mine if variant is None else variant
            node = primary.find(mine)
            if node is None or not node.live:
                continue
            stored = node.stored
            if names != selecting_names(stored.fields, policy):
                continue  # stored when the route's key had other parts
            verdict = self._purges.verdict(key, stored.tags, stored.stamp)
            if verdict is Verdict.DEAD:
                self.memory.remove_variant(key, node.variant)
            elif best.stored is None or stored.response_time > best.stored.response_time:
                best = Found(stored, "memory", verdict is Verdict.SOFT, stored.variant, True, node)
        if best.stored is None:
            return Found(variant=variant, others=len(primary) > 0)
        return best

    async def in_shared(
        self, key: bytes, request: RequestHead, policy: CachePolicy, before: Found, *, promote: bool = True
    ) -> Found:
        """Look in the shared tier, and promote what is found; without `promote`, leave no trace."""
        if self.shared is None:
            return before
        asked: dict[bytes, tuple[bytes, ...]] = {}

        def mine(names: tuple[bytes, ...]) -> bytes:
            variant = variant_of(request, names, policy)
            asked.setdefault(variant, names)
            return variant

        stored = await self.shared.get(key, mine)
        others = stored is None and any(asked.values())
        if stored is not None and asked.get(stored.variant) != selecting_names(stored.fields, policy):
            stored = None  # stored when the route's key had other parts
        soft = False
        if stored is not None:
            verdict = self._purges.verdict(key, stored.tags, stored.stamp)
            soft = verdict is Verdict.SOFT
            if verdict is Verdict.DEAD:
                stored = None
        if promote:
            self._counts.looked_up("redis", stored is not None)
        meanwhile = self.peek(key, request, policy)
        if meanwhile.stored is not None and (
            stored is None or meanwhile.stored.response_time >= stored.response_time
        ):
            return meanwhile  # fetched by another request while this one waited
        if stored is not None:
            if promote:
                self.keep(stored, policy)
            return Found(stored, "redis", soft, stored.variant, True)
        if before.variant is None and asked:
            return Found(variant=next(iter(asked)), others=others)
        return before

    def keep(self, stored: StoredResponse, policy: CachePolicy) -> None:
        """Put a response into memory, where it is from now on found first by requests that it suits."""
        node = self.memory.put(stored, policy.max_variants)
        primary = self.memory.get(stored.key)
        if primary is None or len(primary) < 2 or len(primary.name_sets) < 2:
            return
        # What varied on other fields suits some of the same requests: it must not be answered from its
        # serialised form any more without a look at which is more recent.
        for other in primary.variants.values():
            if other is not node:
                cool(self.memory, other)
