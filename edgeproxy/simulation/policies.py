"""Knows eviction policies to compare with: LRU, FIFO, GDSF, Belady's; and how to drive the one that ships.

Must not know logs, or how results are counted. Each of them admits what fits, by bytes.
"""

from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol

from edgeproxy.simulation.trace import NEVER, Trace
from edgeproxy.store.eviction import Link, S3Fifo
from edgeproxy.store.memory import MAX_SHARE

OURS = "edgeproxy"


class Policy(Protocol):
    """A cache that holds numbers of URLs; `at` is the place of the request in the trace."""

    def touch(self, number: int, at: int) -> bool:
        """Whether that URL is held; counts as a use of it."""

    def insert(self, number: int, cost: int, at: int) -> None:
        """Take in what is not held, evicting to make room; `cost` in bytes."""


class Lru:
    """Least recently used."""

    def __init__(self, budget: int, trace: Trace) -> None:
        self._room = budget
        self._budget = budget
        self._held: OrderedDict[int, int] = OrderedDict()

    def touch(self, number: int, at: int) -> bool:
        """Move it to the end."""
        if number not in self._held:
            return False
        self._held.move_to_end(number)
        return True

    def insert(self, number: int, cost: int, at: int) -> None:
        """At the end."""
        if cost > self._budget:
            return
        while self._room < cost:
            self._room += self._held.popitem(last=False)[1]
        self._held[number] = cost
        self._room -= cost


class Fifo(Lru):
    """First in, first out."""

    def touch(self, number: int, at: int) -> bool:
        """Stays where it is."""
        return number in self._held


class _ByPriority:
    """Evicts the least, of equals the one used longest ago; outdated entries stay in the heap for a while."""

    def __init__(self, budget: int, trace: Trace) -> None:
        self._room = budget
        self._budget = budget
        self._held: dict[int, tuple[float, int, int]] = {}  # priority, place of the last use, cost
        self._heap: list[tuple[float, int, int]] = []

    def _set(self, number: int, priority: float, cost: int, at: int) -> None:
        self._held[number] = priority, at, cost
        heappush(self._heap, (priority, at, number))
        if len(self._heap) > 4 * len(self._held) + 1024:
            self._heap = [(priority, at, number) for number, (priority, at, _) in self._held.items()]
            heapify(self._heap)

    def _pop(self) -> tuple[float, int]:
        while True:
            priority, at, number = heappop(self._heap)
            held = self._held.get(number)
            if held is not None and held[:2] == (priority, at):
                del self._held[number]
                self._room += held[2]
                return priority, number


class Gdsf(_ByPriority):
    """GreedyDual-Size with frequency (Cherkasova, 1998): uses / bytes above what was evicted last."""

    def __init__(self, budget: int, trace: Trace) -> None:
        super().__init__(budget, trace)
        self._uses: dict[int, int] = {}
        self._floor = 0.0

    def touch(self, number: int, at: int) -> bool:
        """One use more."""
        held = self._held.get(number)
        if held is None:
            return False
        cost = held[2]
        uses = self._uses[number] = self._uses[number] + 1
        self._set(number, self._floor + uses / cost, cost, at)
        return True

    def insert(self, number: int, cost: int, at: int) -> None:
        """With one use."""
        if cost > self._budget:
            return
        while self._room < cost:
            self._floor, victim = self._pop()
            del self._uses[victim]
        self._uses[number] = 1
        self._room -= cost
        self._set(number, self._floor + 1 / cost, cost, at)


class Belady(_ByPriority):
    """Furthest next use first (Belady's MIN): knows the future, and does not store what never comes back.

    The optimum where all sizes are equal. Where they differ finding it is NP-hard, and this is the usual
    approximation: a policy that prefers small responses may pass it by requests.
    """

    def __init__(self, budget: int, trace: Trace) -> None:
        super().__init__(budget, trace)
        self._next = trace.next_uses

    def touch(self, number: int, at: int) -> bool:
        """Its next use is known anew."""
        held = self._held.get(number)
        if held is None:
            return False
        self._set(number, -self._next[at], held[2], at)
        return True

    def insert(self, number: int, cost: int, at: int) -> None:
        """Unless it never comes back."""
        if cost > self._budget or self._next[at] == NEVER:
            return
        while self._room < cost:
            self._pop()
        self._room -= cost
        self._set(number, -self._next[at], cost, at)


class _Node(Link, gc=False, eq=False, kw_only=True):
    number: int


class Shipped:
    """The very policy of the memory tier, its admission by size included."""

    def __init__(self, budget: int, trace: Trace) -> None:
        self._budget = budget
        self._held: dict[int, _Node] = {}
        self._policy: S3Fifo[_Node] = S3Fifo()

    def touch(self, number: int, at: int) -> bool:
        """Set the bit, as the fast path does."""
        node = self._held.get(number)
        if node is None:
            return False
        node.visited = True
        return True

    def insert(self, number: int, cost: int, at: int) -> None:
        """As `MemoryTier.put` does."""
        if cost > self._budget // MAX_SHARE:
            return
        policy = self._policy
        while policy.bytes + cost > self._budget and (victim := policy.evict()) is not None:
            del self._held[victim.number]
            if not victim.hits:
                policy.haunt(hash(victim.number), victim.cost)
        node = self._held[number] = _Node(cost, number=number)
        policy.add(node, hash(number))


OWN: dict[str, Callable[[int, Trace], Policy]] = {
    OURS: Shipped,
    "LRU": Lru,
    "FIFO": Fifo,
    "GDSF": Gdsf,
    "Belady": Belady,
}
"""The policies that need nothing installed, by name."""
