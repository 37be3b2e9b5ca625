"""Where a stored response for a request is found: tiers in order, purges in mind, hits promoted.

Must not know what is done with it.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from edgeproxy.caching.age import current_age, from_the_future
from edgeproxy.caching.compression import compressible, identity_variant, may_be_offered
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.key import PIECE, part_key
from edgeproxy.caching.negotiation import ACCEPT_ENCODING, ACCEPT_LANGUAGE
from edgeproxy.caching.no_vary_search import NO_VARY_SEARCH, search_variance
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.retention import retention
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.vary import matches, preferred, selecting_names, variant_of
from edgeproxy.clock import Clock, SteadyClock
from edgeproxy.edge.aliases import Aliases
from edgeproxy.edge.copies import drop_outdated, plain_node
from edgeproxy.edge.hot import cool
from edgeproxy.edge.pieces import Pieces
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.layers import Layers, Newer
from edgeproxy.store.memory import MemoryTier, Node, Primary
from edgeproxy.store.tier import Readable
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
MOST_OFFERED = 8
"""Variants of one key whose entity tags are offered to the origin at once."""


class TierCounts(Protocol):
    """Counts look-ups by tier and result."""

    def looked_up(self, tier: str, hit: bool) -> None: ...


class Lookup:
    """Memory first, then the shared tier; what a purge took is removed on the way."""

    def __init__(
        self,
        memory: MemoryTier,
        shared: Layers | None,
        purges: PurgeTable,
        counts: TierCounts,
        clock: Clock | None = None,
    ) -> None:
        self.memory = memory
        self.shared = shared
        self.aliases = Aliases()
        self.pieces = Pieces()
        self._purges = purges
        self._counts = counts
        self._clock = clock or SteadyClock()

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
        suitable: list[Found] = []
        for names in primary.name_sets:
            mine = variant_of(request, names, policy)
            variant = mine if variant is None else variant
            node = primary.find(mine)
            if node is None and policy.compress:
                node = plain_node(primary, names, request, policy)
            self._add(suitable, key, node, policy)
        if not suitable and ACCEPT_LANGUAGE in request.fields:
            self._add_by_language(suitable, primary, request, policy)
        if len(suitable) > 1:
            best = preferred(found.stored for found in suitable if found.stored is not None)
            return next(found for found in suitable if found.stored is best)
        return suitable[0] if suitable else Found(variant=variant, others=len(primary) > 0)

    def _add(self, suitable: list[Found], key: bytes, node: Node | None, policy: CachePolicy) -> None:
        """Add what is stored there, unless a purge took it or it was keyed by other rules."""
        if node is None or not node.live:
            return
        stored = node.stored
        if node.names != selecting_names(stored.fields, policy):
            return  # stored when the route's key had other parts
        verdict = self._purges.verdict(key, stored.tags, stored.stamp)
        if verdict is Verdict.DEAD:
            self.memory.remove_variant(key, node.variant)
        else:
            suitable.append(Found(stored, "memory", verdict is Verdict.SOFT, stored.variant, True, node))

    def _add_by_language(
        self, suitable: list[Found], primary: Primary, request: RequestHead, policy: CachePolicy
    ) -> None:
        """Variants whose Content-Language is what the request wants most, whoever it was made for."""
        for node in list(primary.variants.values()):
            if ACCEPT_LANGUAGE in node.names and matches(node.stored, request, policy):
                self._add(suitable, primary.key, node, policy)

    def age_of(self, key: bytes, now: float) -> float | None:
        """The age in seconds of the oldest that is in memory under this key; None for nothing."""
        primary = self.memory.get(key)
        if primary is None:
            return None
        return max((current_age(node.stored, now) for node in primary.variants.values()), default=None)

    def others(self, key: bytes, request: RequestHead, policy: CachePolicy) -> list[StoredResponse]:
        """Stored variants of the key that may be offered to the origin for it, the most recent first."""
        primary = self.memory.get(key)
        found: list[Found] = []
        for node in list(primary.variants.values()) if primary is not None else ():
            self._add(found, key, node, policy)
        stored = [one.stored for one in found if one.stored is not None and not one.soft_purged]
        stored = [one for one in stored if may_be_offered(one, request, policy)]
        return sorted(stored, key=lambda one: one.response_time, reverse=True)[:MOST_OFFERED]

    def find(self, key: bytes, request: RequestHead, policy: CachePolicy, *, trace: bool = True) -> Found:
        """What memory holds for it: under its own key, under another query's, for its very Range.

        Without `trace`, counts and eviction do not notice.
        """
        found = (self.in_memory if trace else self.peek)(key, request, policy)
        if PIECE in key:
            return found
        if found.stored is None and self.aliases:
            other = self.by_alias(key, request, policy, trace=trace)
            if other.stored is not None:
                return other
        if found.stored is None and b"range" in request.fields:
            other = self.peek(part_key(key, request.fields.get(b"range") or b""), request, policy)
            if other.stored is not None:
                return other
        return found

    def by_alias(self, key: bytes, request: RequestHead, policy: CachePolicy, *, trace: bool = True) -> Found:
        """What is stored for another query that its origin calls equal to this one (No-Vary-Search)."""
        for other, rule in self.aliases.of(key) if policy.no_vary_search else ():
            found = (self.in_memory if trace else self.peek)(other, request, policy)
            stored = found.stored
            if stored is None or search_variance(stored.fields) != rule:
                continue
            # A purge of this very URL is meant for what it is answered with.
            verdict = self._purges.verdict(key, stored.tags, stored.stamp)
            if verdict is not Verdict.DEAD:
                return replace(found, soft_purged=found.soft_purged or verdict is Verdict.SOFT)
        return NOTHING

    async def in_shared(
        self, key: bytes, request: RequestHead, policy: CachePolicy, before: Found, *, promote: bool = True
    ) -> Found:
        """Look in the shared tier, and promote what is found; without `promote`, leave no trace."""
        found = before
        for name, tier in self.shared.tiers if self.shared is not None else ():
            found = await self._in_tier(name, tier, key, request, policy, found, promote=promote)
            if found.stored is not None:
                break
        return found

    def bring(self, key: bytes, policy: CachePolicy) -> Primary | None:
        """Take into memory what the node's tier holds for every request of this key, where that is quick.

        It is not judged yet: `peek` does that, by purges and by what selects it now.
        """
        node = self.shared.node if self.shared is not None else None
        stored = node.take(key) if node is not None else None
        if stored is None or from_the_future(stored.response_time, self._clock.wall()):
            return None
        self._counts.looked_up("node", True)
        self.keep(stored, policy)
        return self.memory.get(key)

    def absent(self, key: bytes) -> bool:
        """Of a key that memory does not hold: whether nothing else could, as far as is known at once."""
        return self.shared is None or self.shared.lacks(key)

    def missed(self) -> None:
        """Count what `absent` told."""
        self._counts.looked_up("memory", False)
        if self.shared is not None:
            self._counts.looked_up("node", False)

    async def more_recent(self, key: bytes, request: RequestHead, policy: CachePolicy, found: Found) -> Found:
        """What a sibling has stored in the node's tier since, where memory holds but what is stale."""
        stored, node = found.stored, self.shared.node if self.shared is not None else None
        if stored is None or node is None or stored.key != key:
            return found
        age = current_age(stored, self._clock.wall())
        if not found.soft_purged and age < freshness_lifetime(stored, policy).seconds:
            return found
        newer = Newer(node, stored.response_time)
        other = await self._in_tier("node", newer, key, request, policy, found, promote=True)
        return found if other.stored is None else other

    async def _in_tier(
        self,
        name: str,
        tier: Readable,
        key: bytes,
        request: RequestHead,
        policy: CachePolicy,
        before: Found,
        *,
        promote: bool,
    ) -> Found:
        asked: dict[bytes, tuple[bytes, ...]] = {}

        def mine(names: tuple[bytes, ...]) -> bytes:
            variant = variant_of(request, names, policy)
            asked.setdefault(variant, names)
            return variant

        stored = await tier.get(key, mine)
        if stored is None and policy.compress and any(ACCEPT_ENCODING in names for names in asked.values()):
            stored = await self._plain_in_shared(tier, key, request, policy, asked)
        others = stored is None and any(asked.values())
        if stored is not None and asked.get(stored.variant) != selecting_names(stored.fields, policy):
            stored = None  # stored when the route's key had other parts
        soft = False
        if stored is not None:
            verdict = self._purges.verdict(key, stored.tags, stored.stamp)
            soft = verdict is Verdict.SOFT
            if verdict is Verdict.DEAD or from_the_future(stored.response_time, self._clock.wall()):
                stored = None
        if promote:
            self._counts.looked_up(name, stored is not None)
        meanwhile = self.peek(key, request, policy)
        if meanwhile.stored is not None and (
            stored is None or meanwhile.stored.response_time >= stored.response_time
        ):
            return meanwhile  # fetched by another request while this one waited
        if stored is not None:
            if promote:
                self.keep(stored, policy)
                self._promote(name, stored, policy)
            return Found(stored, name, soft, stored.variant, True)
        if before.variant is None and asked:
            return Found(variant=next(iter(asked)), others=others)
        return before

    def _promote(self, name: str, stored: StoredResponse, policy: CachePolicy) -> None:
        """Let the shared tiers that are nearer than the one of that name hold it too."""
        if self.shared is not None and len(self.shared.tiers) > 1:
            ttl = retention(stored, policy, self._clock.wall())
            self.shared.put_before(name, stored, ttl)

    @staticmethod
    async def _plain_in_shared(
        shared: Readable,
        key: bytes,
        request: RequestHead,
        policy: CachePolicy,
        asked: dict[bytes, tuple[bytes, ...]],
    ) -> StoredResponse | None:
        """What answers the request for want of the coding that it prefers, as `plain_node` in memory."""

        def plain(names: tuple[bytes, ...]) -> bytes:
            variant = identity_variant(request, names, policy)
            asked.setdefault(variant, names)
            return variant

        stored = await shared.get(key, plain)
        return stored if stored is not None and compressible(stored, policy) else None

    def keep(self, stored: StoredResponse, policy: CachePolicy) -> None:
        """Put a response into memory, where it is from now on found first by requests that it suits."""
        if policy.compress:
            drop_outdated(self.memory, stored)
        node = self.memory.put(stored, policy.max_variants)
        if node is not None:
            self.pieces.add(stored.key)
        if policy.no_vary_search and NO_VARY_SEARCH in stored.fields:
            rule = search_variance(stored.fields)
            if rule and node is not None:
                self.aliases.learn(stored.key, rule)
        primary = self.memory.get(stored.key)
        if primary is None or len(primary) < 2 or len(primary.name_sets) < 2:
            return
        # What varied on other fields suits some of the same requests: it must not be answered from its
        # serialised form any more without a look at which is more recent.
        for other in primary.variants.values():
            if other is not node:
                cool(self.memory, other)
