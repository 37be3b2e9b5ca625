"""Who asks the shared tiers for a key, and who waits for that question: a crowd asks once.

Must not know what the tiers are.
"""

import asyncio

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.edge.lookup import Found, Lookup
from edgeproxy.wire.heads import RequestHead

CROWD = 8
"""So many ask for the same key at once beside the first one, before the rest waits for that."""


class Asking:
    """The questions of one worker that are on their way to Redis."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._asking: dict[bytes, asyncio.Future[bool]] = {}
        self._others: dict[bytes, int] = {}  # that asked beside the first

    def __repr__(self) -> str:
        return f"<Asking {len(self._asking)}>"

    async def in_shared(self, key: bytes, request: RequestHead, policy: CachePolicy, before: Found) -> Found:
        """As `Lookup.in_shared`.

        While a crowd asks for the same key, wait for what the first one finds: in memory, or nothing at all.
        """
        lookup = self._lookup
        if lookup.shared is None or lookup.shared.near:
            return await lookup.in_shared(key, request, policy, before)
        asking, others = self._asking.get(key), self._others.get(key, 0)
        if asking is not None and others < CROWD:
            self._others[key] = others + 1
            return await lookup.in_shared(key, request, policy, before)
        if asking is not None:
            await asyncio.wait((asking,))
            found = lookup.peek(key, request, policy)
            if found.stored is not None or asking.result():
                return found
            return await lookup.in_shared(key, request, policy, before)
        self._asking[key] = asking = asyncio.get_running_loop().create_future()
        nothing = False
        try:
            found = await lookup.in_shared(key, request, policy, before)
            nothing = found.stored is None and found.variant is None and not found.others
            return found
        finally:
            del self._asking[key]
            self._others.pop(key, None)
            asking.set_result(nothing)
