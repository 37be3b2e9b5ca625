"""Knows which stored response to give up next: S3-FIFO, its main queue split by worth (GreedyDual-Size).

Must not know keys, bodies or budgets: it sees links, their cost in bytes, their visited bits, and hashes.

A newcomer waits in a small queue, a twentieth of the bytes. Unless it is hit there it leaves again, and
only a ghost of it is kept: scans and URLs asked for once never reach the main part. What was hit, or comes
back while its ghost lasts, moves to the main part. There its worth is `hits / sqrt(bytes)` above the worth of
what was evicted last, so that it ages; a hit sets a bit, which is counted when its turn to leave comes.
Links of about the same worth share one FIFO, whose oldest is its cheapest, so that an eviction compares the
heads of some thirty queues and nothing is ever sorted or moved by a hit.

Measured (tests/benchmarks/hit_ratio.py): with plain byte-FIFO in the main part as in S3-FIFO (Yang et al.,
SOSP 2023) the hit ratio by requests is up to 18 points lower and by bytes no better; SIEVE falls below LRU
where popularity drifts.
"""

from array import array
from collections.abc import Iterator
from typing import Final, Generic, TypeVar, cast

SMALL_SHARE: Final = 0.05
MAX_HITS: Final = 16
MAX_STEPS: Final = 256
"""Links that one eviction may spare: bounds it to about 0.4 ms where everything was hit."""
CLASSES: Final = 32
_WORTH: Final = tuple(2.0 ** (-at / 2) for at in range(CLASSES))
_MIX: Final = 0x9E3779B97F4A7C15
_MASK: Final = 0xFFFFFFFFFFFFFFFF


class Link:
    """A place in the policy's queues; whoever is to be evicted inherits from this.

    A hit sets `visited`. `cost` is in bytes and changed by `S3Fifo.recost` only, the rest by the policy.
    """

    __slots__ = ("cost", "hits", "newer", "older", "queue", "visited", "worth")

    def __init__(self, cost: int) -> None:
        self.newer: Link | None = None
        self.older: Link | None = None
        self.queue: _Fifo | None = None
        self.cost = cost
        self.hits = 0
        self.worth = 0.0
        self.visited = False


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

    A slot holds 32 bits of the hash and 32 bits of the clock, which counts KiB that left. Two hashes in
    one slot: the older is forgotten.
    """

    __slots__ = ("_clock", "_table")

    def __init__(self, slots: int = 1024) -> None:
        self._table = array("Q", bytes(8 * slots))  # slots: a power of two
        self._clock = 1

    def __len__(self) -> int:
        return len(self._table)

    def add(self, hashed: int, size: int) -> None:
        """Remember a hash; `size` in bytes moves the clock."""
        self._clock += (size >> 10) + 1
        mixed = hashed * _MIX & _MASK
        self._table[mixed & len(self._table) - 1] = mixed & 0xFFFFFFFF00000000 | self._clock & 0xFFFFFFFF

    def take(self, hashed: int, window: int) -> bool:
        """Whether the hash left while the last `window` bytes did; forgets it."""
        mixed = hashed * _MIX & _MASK
        at = mixed & len(self._table) - 1
        found = self._table[at]
        if not found or found >> 32 != mixed >> 32:
            return False
        self._table[at] = 0
        return (self._clock - found) & 0xFFFFFFFF <= window >> 10

    def fit(self, links: int) -> None:
        """Make room for the ghosts of that many links; starts anew where it must grow."""
        if links > len(self._table):
            self._table = array("Q", bytes(8 * 2 * len(self._table)))


class S3Fifo(Generic[L]):
    """The policy. `bytes` is the cost of all links held, `links` their number."""

    __slots__ = ("_floor", "_ghosts", "_main", "_small", "bytes", "links")

    def __init__(self) -> None:
        self._small = _Fifo()
        self._main: list[_Fifo] = [_Fifo() for _ in range(CLASSES)]
        self._floor = 0.0  # worth of what was evicted last
        self._ghosts = Ghosts()
        self.bytes = 0
        self.links = 0

    def __repr__(self) -> str:
        main = "".join("x" if link.visited else "." for queue in self._main for link in queue)
        small = "".join("x" if link.visited else "." for link in self._small)
        return f"<S3Fifo small={small} main={main}>"

    def add(self, link: L, hashed: int) -> None:
        """Take in a newcomer; `hashed` is how it is known again when it comes back."""
        if self._ghosts.take(hashed, self.bytes):
            self._promote(link)
        else:
            self._small.append(link)
        self.bytes += link.cost
        self.links += 1

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
        steps = 0
        small = self._small
        while (link := small.oldest) is not None and (
            small.bytes > self.bytes * SMALL_SHARE or small.bytes == self.bytes
        ):
            if not link.visited or steps >= MAX_STEPS:
                self._take_out(link)
                return cast(L, link)
            steps += 1
            link.visited = False
            small.remove(link)
            self._promote(link)
        while (link := self._cheapest()) is not None:
            if not link.visited or steps >= MAX_STEPS:
                self._floor = link.worth
                self._take_out(link)
                return cast(L, link)
            steps += 1
            link.visited = False
            cast(_Fifo, link.queue).remove(link)
            self._promote(link)
        return None

    def haunt(self, hashed: int, cost: int) -> None:
        """Remember an evicted newcomer by its hash, so that it enters the main part when it comes back."""
        self._ghosts.fit(self.links)
        self._ghosts.add(hashed, cost)

    def _take_out(self, link: Link) -> None:
        cast(_Fifo, link.queue).remove(link)
        self.bytes -= link.cost
        self.links -= 1

    def _promote(self, link: Link) -> None:
        """Append to the queue of its worth: of links that arrive later, none there is worth less."""
        hits = link.hits = min(link.hits + 1, MAX_HITS)
        at = min((link.cost // (hits * hits)).bit_length(), CLASSES - 1)
        link.worth = self._floor + _WORTH[at]
        self._main[at].append(link)

    def _cheapest(self) -> Link | None:
        cheapest: Link | None = None
        for queue in self._main:
            head = queue.oldest
            if head is not None and (cheapest is None or head.worth < cheapest.worth):
                cheapest = head
        return cheapest
