"""Purged responses leave the memory of a worker, a few at a time.

Must not know how purges arrive. No answer depends on it: each look-up asks the purges itself. It is so that
what was purged takes no room from what was not, and soon is nowhere any more.
"""

import asyncio

from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.eviction import Walk
from edgeproxy.store.memory import MemoryTier, Node

SLICE = 32
"""Responses looked at in one turn of the loop: about half a ms, whatever was purged."""
PAUSE = 0.01
"""Seconds between two such turns."""


class Sweep:
    """Walks through one memory tier after purges that may name many responses."""

    def __init__(self, memory: MemoryTier, purges: PurgeTable, loop: asyncio.AbstractEventLoop) -> None:
        self._memory = memory
        self._purges = purges
        self._loop = loop
        self._seen = purges.wide
        self._walk: Walk[Node] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Sweep {'under way' if self._walk is not None else 'waits for a purge'}>"

    def look(self) -> None:
        """Begin where there was a purge; to be called now and then."""
        if self._timer is None and self._purges.wide != self._seen:
            self._go_on()

    def close(self) -> None:
        """Leave the rest."""
        if self._timer is not None:
            self._timer.cancel()

    def _go_on(self) -> None:
        more = self.step()
        self._timer = self._loop.call_later(PAUSE, self._go_on) if more else None

    def step(self) -> bool:
        """Look at a slice; whether there is more to do. A purge meanwhile lets it begin anew in the end."""
        if self._walk is None:
            self._seen = self._purges.wide
            self._walk = self._memory.walk()
        nodes = self._walk.some(SLICE)
        for node in nodes:
            stored = node.stored
            if self._purges.verdict(stored.key, stored.tags, stored.stamp) is Verdict.DEAD:
                self._memory.remove_variant(stored.key, node.variant)
        if nodes:
            return True
        self._walk = None
        return self._purges.wide != self._seen
