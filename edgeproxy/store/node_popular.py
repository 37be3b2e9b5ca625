"""Knows which stored responses a worker's memory answers often, so that the node's tier keeps them too.

Must not know how either is kept. Hits in memory never reach the node's tier, which would evict just those.
"""

from collections.abc import Iterator
from itertools import islice

from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_tier import NodeTier

STEP = 250
"""Keys looked at in a step: about half a millisecond."""


class Popular:
    """Walks through memory, a step at a time."""

    def __init__(self, memory: MemoryTier, tier: NodeTier) -> None:
        self._memory = memory
        self._tier = tier
        self._keys: Iterator[bytes] = iter(())

    def __repr__(self) -> str:
        return f"<Popular of {self._memory!r}>"

    def step(self) -> None:
        """Note what of the next keys was hit."""
        looked = 0
        for key in islice(self._keys, STEP):
            looked += 1
            primary = self._memory.get(key)
            if primary is None:
                continue
            for node in list(primary.variants.values()):
                if node.visited or node.hits:
                    self._tier.note_used(name_of(key), node.variant)
        if not looked:
            self._keys = iter(self._memory.keys())
