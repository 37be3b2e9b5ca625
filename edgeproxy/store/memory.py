"""Knows the stored responses of one worker, in memory, within a budget of bytes.

Must not know freshness, Vary's meaning or purges; everything here is synchronous.
"""

from collections.abc import Callable

import msgspec

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store.eviction import Link, S3Fifo, Walk
from edgeproxy.store.packed import pack, unpack
from edgeproxy.store.tier import Names

OVERHEAD = 560
"""Bytes that a stored response costs beyond body, packed head and key, allocator included; measured by
tests/benchmarks/memory_overhead.py, and rounded up so that RSS stays within a few percent of the budget."""
SEGMENT_OVERHEAD = 56
"""Bytes that each segment of a body costs beyond its content."""
MAX_SHARE = 4
"""A response is admitted up to this part of the budget: budget / 4."""
MAX_SHARED_NAMES = 1024
"""Distinct tuples of selecting field names that are shared among nodes; more are kept one by one."""
JOIN_BELOW = 65536
"""Bodies up to this size are kept in one segment, larger ones in segments of at least this size."""


class Node(Link, gc=False, eq=False, kw_only=True):
    """One stored variant in memory.

    `names` are those of its selecting fields. `stored` is unpacked at each use (about 4 µs), so take
    it once. `hot` is free for its user: set it by `MemoryTier.heat`, so that it is counted. `live`
    turns False when it was evicted, removed or replaced; its content is let go at that moment.
    """

    # content
    primary: "Primary"
    variant: bytes
    names: Names
    packed: bytes
    body: tuple[bytes, ...]
    hot: object | None = None
    # state
    live: bool = True

    def __repr__(self) -> str:
        state = "live" if self.live else "dead"
        return f"<Node {self.primary.key!r} {self.variant.hex() or '-'} {state} cost={self.cost}>"

    @property
    def stored(self) -> StoredResponse:
        """The stored response; raises TierFault once the node is dead."""
        if not self.live:
            raise TierFault("this stored response was evicted, removed or replaced; look it up again")
        return unpack(self.packed, self.primary.key, self.variant, self.body)


class Primary(msgspec.Struct, gc=False, eq=False):
    """All variants of one cache key."""

    key: bytes
    # A dict for one variant would cost 232 bytes, and most keys have but one.
    _only: Node | None = None
    _many: dict[bytes, Node] | None = None

    def __repr__(self) -> str:
        return f"<Primary {self.key!r} variants={len(self)}>"

    def __len__(self) -> int:
        return len(self._many) if self._many is not None else int(self._only is not None)

    @property
    def variants(self) -> dict[bytes, Node]:
        """Variant key to node; a fresh dict where there is but one, so use `find` for one look-up."""
        if self._many is not None:
            return self._many
        return {} if self._only is None else {self._only.variant: self._only}

    @property
    def name_sets(self) -> tuple[Names, ...]:
        """The distinct tuples of selecting field names among the variants, the one stored last first."""
        if self._many is None:
            return () if self._only is None else (self._only.names,)
        return tuple(dict.fromkeys(node.names for node in reversed(self._many.values())))

    @property
    def vary_names(self) -> Names:
        """Union of the names of selecting fields over all variants, sorted where they differ."""
        sets = self.name_sets
        return sets[0] if len(sets) == 1 else tuple(sorted({name for names in sets for name in names}))

    def find(self, variant: bytes) -> Node | None:
        """The node of that variant key."""
        if self._many is not None:
            return self._many.get(variant)
        only = self._only
        return only if only is not None and only.variant == variant else None

    def _set(self, node: Node) -> None:
        if self._many is not None:
            self._many.pop(node.variant, None)  # to the end: the one stored last
            self._many[node.variant] = node
        elif self._only is None or self._only.variant == node.variant:
            self._only = node
        else:
            self._many = {self._only.variant: self._only, node.variant: node}
            self._only = None

    def _drop(self, node: Node) -> None:
        if self._many is None:
            self._only = None
        else:
            del self._many[node.variant]


class MemoryTier:
    """Stored responses of one worker under one byte budget, fills in flight included.

    `get` is the look-up by cache key itself: `get(key) -> Primary | None`, 40 ns. `on_evict` is
    called with each node that dies, for whatever reason. `evictions` counts those for want of room.
    """

    __slots__ = ("_names", "_on_evict", "_policy", "_primaries", "budget", "bytes", "evictions", "get",
                 "reserved", "responses")  # fmt: skip

    def __init__(self, budget: int, on_evict: Callable[[Node], None] | None = None) -> None:
        self.budget = budget
        self.bytes = 0
        self.reserved = 0
        self.responses = 0
        self.evictions = 0
        self._on_evict = on_evict
        self._policy: S3Fifo[Node] = S3Fifo()
        self._primaries: dict[bytes, Primary] = {}
        self._names: dict[Names, Names] = {(): ()}
        self.get: Callable[[bytes], Primary | None] = self._primaries.get

    def __repr__(self) -> str:
        return (
            f"<MemoryTier {self.responses} responses, {self.bytes}+{self.reserved}/{self.budget} bytes, "
            f"{self.evictions} evicted>"
        )

    # --- look-up ----------------------------------------------------------------

    def nodes(self) -> list[Node]:
        """All live nodes, in no order; for explain and tests, linear in their number."""
        return [node for primary in self._primaries.values() for node in primary.variants.values()]

    def walk(self) -> Walk[Node]:
        """A way through all live nodes, a few at a time, while others come and go."""
        return self._policy.walk()

    # --- changes ----------------------------------------------------------------

    def put(self, stored: StoredResponse, max_variants: int = 64) -> Node | None:
        """Store, in place of the same key and variant; None when it is too large to be admitted.

        The one it would replace is gone even then: it is known to be out of date. Beyond
        `max_variants` of the key, the variant that was longest without a hit goes first.
        """
        packed = pack(stored)
        body = _segments(stored.body, stored.size)
        cost = _cost(stored, packed, body)
        old = self._find(stored.key, stored.variant)
        if cost > min(self.budget // MAX_SHARE, self.budget - self.reserved):
            if old is not None:
                self._kill(old)
            return None
        self._make_room(cost - (old.cost if old is not None else 0))
        primary = self._primaries.get(stored.key)
        if primary is None:
            primary = self._primaries[stored.key] = Primary(stored.key)
        node = Node(
            cost,
            primary=primary,
            variant=stored.variant,
            names=self._names_of(stored),
            packed=packed,
            body=body,
        )
        if old is not None and old.live:
            self._policy.replace(old, node)
            self._bury(old)
        else:
            if len(primary) >= max_variants:
                self._kill(_least_used(primary))
                self._primaries[stored.key] = primary
            self._policy.add(node, hash((stored.key, stored.variant)))
        primary._set(node)
        self.bytes += cost
        self.responses += 1
        return node

    def heat(self, node: Node, hot: object, size: int) -> None:
        """Attach the serialised form of a node and count its `size` in bytes; evicts to make room.

        A dead node is left alone. Where there was a form before, `size` is the difference.
        """
        if not node.live:
            return
        node.hot = hot
        self.bytes += size
        self._policy.recost(node, node.cost + size)
        self._make_room(0)

    def remove(self, key: bytes) -> list[bytes]:
        """Remove all variants of a cache key; their variant keys."""
        primary = self._primaries.get(key)
        if primary is None:
            return []
        nodes = list(primary.variants.values())
        for node in nodes:
            self._kill(node)
        return [node.variant for node in nodes]

    def remove_variant(self, key: bytes, variant: bytes) -> bool:
        """Remove one variant of a cache key; whether it was there."""
        node = self._find(key, variant)
        if node is None:
            return False
        self._kill(node)
        return True

    def clear(self) -> int:
        """Remove everything; how many responses that were. Linear: about 1 µs each."""
        nodes = self.nodes()
        for node in nodes:
            self._kill(node)
        return len(nodes)

    # --- budget -----------------------------------------------------------------

    def reserve(self, size: int) -> bool:
        """Count `size` bytes of a fill in flight, evicting to make room.

        False, and nothing counted, where fills in flight would take more than half of the
        budget: such a fill must not be kept.
        """
        if self.reserved + size > self.budget // 2:
            return False
        self._make_room(size)
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        """Give back what `reserve` counted."""
        self.reserved -= size

    def resize(self, budget: int) -> None:
        """Change the budget in bytes; evicts down to a smaller one at once."""
        self.budget = budget
        self._make_room(0)

    # --- within -----------------------------------------------------------------

    def _find(self, key: bytes, variant: bytes) -> Node | None:
        primary = self._primaries.get(key)
        return None if primary is None else primary.find(variant)

    def _make_room(self, size: int) -> None:
        limit = self.budget - self.reserved - size
        while self.bytes > limit:
            victim = self._policy.evict()
            if victim is None:
                return
            self.evictions += 1
            if not victim.hits:
                self._policy.haunt(hash((victim.primary.key, victim.variant)), victim.cost)
            self._forget(victim)
            self._bury(victim)

    def _kill(self, node: Node) -> None:
        self._policy.remove(node)
        self._forget(node)
        self._bury(node)

    def _forget(self, node: Node) -> None:
        primary = node.primary
        primary._drop(node)
        if not primary:
            del self._primaries[primary.key]

    def _bury(self, node: Node) -> None:
        node.live = False
        self.bytes -= node.cost
        self.responses -= 1
        if self._on_evict is not None:
            self._on_evict(node)
        node.hot = None
        node.packed = b""
        node.body = ()

    def _names_of(self, stored: StoredResponse) -> Names:
        names = tuple(name for name, _ in stored.selecting)
        if len(self._names) < MAX_SHARED_NAMES:
            return self._names.setdefault(names, names)
        return self._names.get(names, names)


def _least_used(primary: Primary) -> Node:
    nodes = list(primary.variants.values())
    return next((node for node in nodes if not node.visited), nodes[0])


def _segments(body: tuple[bytes, ...], size: int) -> tuple[bytes, ...]:
    """Few and large: a body that came in drips would cost more in objects than in content."""
    if len(body) < 2:
        return body
    if size <= JOIN_BELOW:
        return (b"".join(body),)
    if size >= JOIN_BELOW * len(body):
        return body
    segments: list[bytes] = []
    gathered: list[bytes] = []
    length = 0
    for segment in body:
        gathered.append(segment)
        length += len(segment)
        if length >= JOIN_BELOW:
            segments.append(b"".join(gathered))
            gathered, length = [], 0
    if gathered:
        segments.append(b"".join(gathered))
    return tuple(segments)


def _cost(stored: StoredResponse, packed: bytes, body: tuple[bytes, ...]) -> int:
    return stored.size + len(packed) + len(stored.key) + OVERHEAD + SEGMENT_OVERHEAD * len(body)
