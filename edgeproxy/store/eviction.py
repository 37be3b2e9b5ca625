"""Knows which stored response to give up next: S3-FIFO, its main part ordered by worth (GreedyDual-Size).

Must not know keys, bodies or budgets: it sees links, their cost in bytes, their visited bits, and hashes.

A newcomer waits in a small queue, a twentieth of the bytes. What is hit there moves to the main part, and so
does what comes back while the ghost of it lasts. What is not hit must be worth more than the cheapest of the
main part, or else it leaves again and only its ghost is kept: scans pass the main part by. While there is
room, newcomers move there unasked, or else a loop larger than the cache would find nothing of itself.

In the main part the worth of a link is `hits / bytes` (half a hit where it had none) above the worth of what
was evicted last, so that it ages; a hit sets a bit, which is counted when its turn to leave comes. Links of
about the same worth share one FIFO, whose oldest is its cheapest, so that an eviction compares the heads of
some thirty queues and nothing is ever sorted or moved by a hit.

What was tried, and what it brought: tests/benchmarks/README.md.
"""

from array import array
from collections.abc import Iterator
from math import inf
from typing import Final, Generic, TypeVar, cast

import msgspec

SMALL_SHARE: Final = 0.05
MAX_HITS: Final = 16
MAX_STEPS: Final = 256
"""Links that one eviction may spare: bounds it to about 0.4 ms where everything was hit."""
FILL_STEPS: Final = 4
"""Links that move on for one that is added while there is room: bounds what a purge leaves to catch up on."""
CLASSES: Final = 32
MOST_RETURNS: Final = 64
"""Times that a walk goes back to the oldest of a queue."""
_FULL: Final = 0.9  # of the bytes at the last eviction; below that there is room
_WORTH: Final = tuple(2.0**-at for at in range(CLASSES))
_MIX: Final = 0x9E3779B97F4A7C15
_MASK: Final = 0xFFFFFFFFFFFFFFFF


class Link(msgspec.Struct, gc=False, eq=False):
    """A place in the policy's queues; whoever is to be evicted inherits from this.

    A hit sets `visited`. `cost` is in bytes and changed by `S3Fifo.recost` only, the rest by the policy.
    The garbage collector knows nothing of links: with a million of them it would stop everything for a
    tenth of a second. So whoever lets one go must take it out of its queue; nothing else frees it.
    """

    cost: int
    newer: "Link | None" = None
    older: "Link | None" = None
    queue: "_Fifo | None" = None
    hits: int = 0
    worth: float = 0.0
    visited: bool = False

    def __repr__(self) -> str:
        return f"<Link cost={self.cost} hits={self.hits}>"


L = TypeVar("L", bound=Link)


class _Fifo:
    """Links in order of arrival; counts their bytes."""

    __slots__ = ("bytes", "newest", "oldest")

    def __init__(self) -> None:
        self.oldest: Link | None = None
        self.newest: Link | None = None
        self.bytes = 0

    def __iter__(self) -> Iterator[Link]:
        link = self.oldest
        while link is not None:
            yield link
            link = link.newer

    def append(self, link: Link) -> None:
        newest = self.newest
        link.older = newest
        link.newer = None
        link.queue = self
        if newest is None:
            self.oldest = link
        else:
            newest.newer = link
        self.newest = link
        self.bytes += link.cost

    def remove(self, link: Link) -> None:
        older, newer = link.older, link.newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        link.older = link.newer = link.queue = None
        self.bytes -= link.cost

    def replace(self, old: Link, new: Link) -> None:
        """Put `new` into the place of `old`."""
        older, newer = old.older, old.newer
        new.older, new.newer, new.queue = older, newer, self
        if older is None:
            self.oldest = new
        else:
            older.newer = new
        if newer is None:
            self.newest = new
        else:
            newer.older = new
        old.older = old.newer = old.queue = None
        self.bytes += new.cost - old.cost


class Ghosts:
    """Hashes of what left the small queue of late, in eight bytes each: a table that forgets by itself.

    A slot holds 32 bits of the hash and 32 bits of the clock, in KiB: it counts the bytes that left. Of two
    hashes in one slot the older is forgotten.
    """

    __slots__ = ("_clock", "_table")

    def __init__(self, slots: int = 1024) -> None:
        self._table = array("Q", bytes(8 * slots))  # slots: a power of two
        self._clock = 1024

    def __len__(self) -> int:
        return len(self._table)

    def add(self, hashed: int, size: int) -> None:
        """Remember a hash; `size` in bytes moves the clock."""
        self._clock += size
        mixed = hashed * _MIX & _MASK
        self._table[mixed & len(self._table) - 1] = (
            mixed & 0xFFFFFFFF00000000 | self._clock >> 10 & 0xFFFFFFFF
        )

    def take(self, hashed: int, window: int) -> bool:
        """Whether the hash left while the last `window` bytes did; forgets it."""
        mixed = hashed * _MIX & _MASK
        at = mixed & len(self._table) - 1
        found = self._table[at]
        if not found or found >> 32 != mixed >> 32:
            return False
        self._table[at] = 0
        return ((self._clock >> 10) - found) & 0xFFFFFFFF <= window >> 10

    def fit(self, links: int) -> None:
        """Make room for the ghosts of that many links; starts anew where it must grow."""
        if links > len(self._table):
            self._table = array("Q", bytes(8 * 2 * len(self._table)))


class Walk(Generic[L]):
    """All links of some queues, oldest first, a few at a time, while others come and go.

    Where the next one left meanwhile, evictions took all that were before it too, so that it goes on at
    the oldest. Where it left otherwise some are seen twice, at most `MOST_RETURNS` times. One that moves
    to a queue that is done is missed.
    """

    __slots__ = ("_next", "_queues", "_returns")

    def __init__(self, queues: list[_Fifo]) -> None:
        self._queues = queues[::-1]
        self._next = queues[0].oldest
        self._returns = 0

    def __repr__(self) -> str:
        return f"<Walk with {len(self._queues)} queues left>"

    def some(self, most: int) -> list[L]:
        """The next links, at most so many; none at the end."""
        found: list[L] = []
        while self._queues and len(found) < most:
            link = self._next
            if link is None or (link.queue is not self._queues[-1] and self._returns >= MOST_RETURNS):
                self._queues.pop()
                self._next = self._queues[-1].oldest if self._queues else None
            elif link.queue is not self._queues[-1]:
                self._returns += 1
                self._next = self._queues[-1].oldest
            else:
                found.append(cast(L, link))
                self._next = link.newer
        return found


class S3Fifo(Generic[L]):
    """The policy. `bytes` is the cost of all links held, `links` their number."""

    __slots__ = ("_floor", "_full", "_ghosts", "_main", "_small", "bytes", "links")

    def __init__(self) -> None:
        self._small = _Fifo()
        self._main: list[_Fifo] = [_Fifo() for _ in range(CLASSES)]
        self._floor = 0.0  # worth of what was evicted last
        self._full = inf  # bytes at the last eviction
        self._ghosts = Ghosts()
        self.bytes = 0
        self.links = 0

    def __repr__(self) -> str:
        main = "".join("x" if link.visited else "." for queue in self._main for link in queue)
        small = "".join("x" if link.visited else "." for link in self._small)
        return f"<S3Fifo small={small} main={main}>"

    def walk(self) -> "Walk[L]":
        """A way through all links, a few at a time."""
        return Walk([self._small, *self._main])

    def add(self, link: L, hashed: int) -> None:
        """Take in a newcomer; `hashed` is how it is known again when it comes back."""
        if self._ghosts.take(hashed, self.bytes):
            self._promote_hit(link)
        else:
            self._small.append(link)
        self.bytes += link.cost
        self.links += 1
        if self.bytes < self._full * _FULL:
            self._fill()

    def remove(self, link: L) -> None:
        """Let go of a link that this policy holds."""
        self._take_out(link)

    def replace(self, old: L, new: L) -> None:
        """Put `new` into the place of `old`, with its hits: the popular stay so when renewed."""
        new.visited, new.hits, new.worth = old.visited, old.hits, old.worth
        self.bytes += new.cost - old.cost
        if old.queue is not None:
            old.queue.replace(old, new)

    def recost(self, link: L, cost: int) -> None:
        """Change the cost of a link, in place."""
        change = cost - link.cost
        link.cost = cost
        self.bytes += change
        if link.queue is not None:
            link.queue.bytes += change

    def evict(self) -> L | None:
        """Choose, let go and return the next victim; None when nothing is held."""
        self._full = self.bytes
        steps = 0
        small = self._small
        while (link := small.oldest) is not None and self._overflows():
            if not link.visited or steps >= MAX_STEPS:
                return cast(L, self._weaker(link, steps))
            steps += 1
            small.remove(link)
            self._promote_hit(link)
        victim = self._unvisited(steps)
        if victim is not None:
            self._give_up(victim)
        return cast("L | None", victim)

    def haunt(self, hashed: int, cost: int) -> None:
        """Remember an evicted newcomer by its hash, so that it enters the main part when it comes back."""
        self._ghosts.fit(self.links)
        self._ghosts.add(hashed, cost)

    def _overflows(self) -> bool:
        """Whether the small queue holds more than its share."""
        size = self._small.bytes
        return size > self.bytes * SMALL_SHARE or size == self.bytes

    def _fill(self) -> None:
        for _ in range(FILL_STEPS):
            link = self._small.oldest
            if link is None or not self._overflows():
                return
            self._small.remove(link)
            if link.visited:
                self._promote_hit(link)
            else:
                self._promote(link)

    def _weaker(self, newcomer: Link, steps: int) -> Link:
        """Let go of the newcomer or of the cheapest of the main part: of the one with less hits a byte."""
        rival = self._unvisited(steps)
        if rival is None or rival.cost <= newcomer.cost * (2 * rival.hits or 1):
            self._take_out(newcomer)
            return newcomer
        self._small.remove(newcomer)
        self._give_up(rival)
        self._promote(newcomer)  # above the floor that the rival leaves
        return rival

    def _unvisited(self, steps: int) -> Link | None:
        """The cheapest of the main part, once those that were hit have gone to where they belong now."""
        while (link := self._cheapest()) is not None and link.visited and steps < MAX_STEPS:
            steps += 1
            cast(_Fifo, link.queue).remove(link)
            self._promote_hit(link)
        return link

    def _give_up(self, link: Link) -> None:
        self._floor = link.worth
        self._take_out(link)

    def _take_out(self, link: Link) -> None:
        cast(_Fifo, link.queue).remove(link)
        self.bytes -= link.cost
        self.links -= 1

    def _promote_hit(self, link: Link) -> None:
        link.visited = False
        link.hits = min(link.hits + 1, MAX_HITS)
        self._promote(link)

    def _promote(self, link: Link) -> None:
        """Append to the queue of its worth: of links that arrive later, none there is worth less."""
        hits = link.hits
        at = min((link.cost // hits if hits else link.cost * 2).bit_length(), CLASSES - 1)
        link.worth = self._floor + _WORTH[at]
        self._main[at].append(link)

    def _cheapest(self) -> Link | None:
        cheapest: Link | None = None
        for queue in self._main:
            head = queue.oldest
            if head is not None and (cheapest is None or head.worth < cheapest.worth):
                cheapest = head
        return cheapest
