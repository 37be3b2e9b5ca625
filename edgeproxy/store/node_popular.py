"""Knows which stored responses a worker's memory answers often, so that the node's tier keeps them too.

Must not know how either is kept. Hits in memory never reach the node's tier, which would evict just those.
"""

from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_tier import NodeTier

STEP = 250
"""Stored responses looked at in a step: about half a millisecond."""


class Popular:
    """Walks through memory, a step at a time."""

    def __init__(self, memory: MemoryTier, tier: NodeTier) -> None:
        self._memory = memory
        self._tier = tier
        self._walk = memory.walk()

    def __repr__(self) -> str:
        return f"<Popular of {self._memory!r}>"

    def step(self) -> None:
        """Note what of the next stored responses was hit."""
        nodes = self._walk.some(STEP)
        if not nodes:
            self._walk = self._memory.walk()
        for node in nodes:
            if node.live and (node.visited or node.hits):
                self._tier.note_used(name_of(node.primary.key), node.variant)
