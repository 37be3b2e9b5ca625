"""Knows the tiers behind a worker's memory, nearest first: asked one after the other, written all.

Must not know what any of them is.
"""

import asyncio
from collections.abc import Sequence

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.store.node_tier import NodeTier
from edgeproxy.store.tier import SharedTier, VariantOf


class Layers:
    """Shared tiers by name, in the order in which they are asked; a `SharedTier` itself."""

    def __init__(self, tiers: Sequence[tuple[str, SharedTier]]) -> None:
        self.tiers = tuple(tiers)
        self.node = next((tier for _, tier in tiers if isinstance(tier, NodeTier)), None)
        self.near = self.node is not None and len(self.tiers) == 1
        """Whether all of them are on this machine."""

    def __repr__(self) -> str:
        return f"<Layers {' '.join(repr(tier) for _, tier in self.tiers)}>"

    async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
        """What the nearest one that has it holds."""
        for _, tier in self.tiers:
            stored = await tier.get(key, variant_of)
            if stored is not None:
                return stored
        return None

    def lacks(self, key: bytes) -> bool:
        """Whether there surely is nothing of that key, as far as can be told without waiting."""
        return self.near and self.node is not None and not self.node.holds(key)

    def put(self, stored: StoredResponse, ttl: float) -> None:
        """Store in all."""
        for _, tier in self.tiers:
            tier.put(stored, ttl)

    def put_before(self, name: str, stored: StoredResponse, ttl: float) -> None:
        """Store what was found in the tier of that name in those that are nearer."""
        for nearer, tier in self.tiers:
            if nearer == name:
                return
            tier.put(stored, ttl)

    async def remove(self, key: bytes) -> list[bytes]:
        """Remove all variants of a cache key from all; the variant keys that were there."""
        removed = await asyncio.gather(*(tier.remove(key) for _, tier in self.tiers))
        return list(dict.fromkeys(variant for variants in removed for variant in variants))

    def discard(self, key: bytes, variant: bytes) -> None:
        """Remove one variant from all."""
        for _, tier in self.tiers:
            tier.discard(key, variant)


class Newer:
    """A node's tier without what was received before a wall time."""

    def __init__(self, tier: NodeTier, than: float) -> None:
        self._tier = tier
        self._than = than

    def __repr__(self) -> str:
        return f"<Newer than {self._than} in {self._tier!r}>"

    async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
        """The stored response, if it was received later."""
        return await self._tier.get(key, variant_of, self._than)


def layers(*tiers: tuple[str, SharedTier | None]) -> Layers | None:
    """Those of the tiers that there are; None for none."""
    there = [(name, tier) for name, tier in tiers if tier is not None]
    return Layers(there) if there else None
