"""Where a stored response for a request is found: tiers in order, purges in mind, hits promoted.

Must not know what is done with it.
"""

from dataclasses import dataclass
from typing import Protocol

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.vary import selecting_names, variant_of
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

    async def in_shared(self, key: bytes, request: RequestHead, policy: CachePolicy, before: Found) -> Found:
        """Look in the shared tier, and promote what is found."""
        if self.shared is None:
            return before
        seen: list[bytes] = []

        def mine(names: tuple[bytes, ...]) -> bytes:
            variant = variant_of(request, names, policy)
            seen.append(variant)
            return variant

        stored = await self.shared.get(key, mine)
        if stored is not None:
            verdict = self._purges.verdict(key, stored.tags, stored.stamp)
            if verdict is not Verdict.DEAD:
                self._counts.looked_up("redis", True)
                self.memory.put(stored, policy.max_variants)
                return Found(stored, "redis", verdict is Verdict.SOFT, stored.variant, True)
        self._counts.looked_up("redis", False)
        if before.variant is None and seen:
            return Found(variant=seen[0], others=True)
        return before
