"""Knows which stored response to give up next: SIEVE (Zhang et al., NSDI 2024).

Must not know keys, bodies or budgets: it sees links and their visited bits only.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar, cast


class Link:
    """A place in the policy's queue; whoever is to be evicted inherits from this."""

    __slots__ = ("newer", "older", "visited")

    def __init__(self) -> None:
        self.newer: Link | None = None
        self.older: Link | None = None
        self.visited = False


L = TypeVar("L", bound=Link)

MAX_STEPS = 512
"""Visited links that one eviction may pass over: keeps an eviction under 50 µs, a whole sweep of a
million links would hold the loop for 50 ms."""


class Sieve(Generic[L]):
    """A queue in order of arrival, and a hand that walks from old to new and spares the visited once.

    A hit sets `visited` and moves nothing.
    """

    __slots__ = ("_hand", "_newest", "_oldest")

    def __init__(self) -> None:
        self._newest: Link | None = None
        self._oldest: Link | None = None
        self._hand: Link | None = None

    def __repr__(self) -> str:
        return f"<Sieve {''.join('x' if link.visited else '.' for link in self)}>"

    def __iter__(self) -> Iterator[Link]:
        link = self._oldest
        while link is not None:
            following = link.newer
            yield link
            link = following

    def add(self, link: L) -> None:
        """Take in a link as the newest."""
        newest = self._newest
        link.older = newest
        link.newer = None
        if newest is None:
            self._oldest = link
        else:
            newest.newer = link
        self._newest = link

    def remove(self, link: L) -> None:
        """Let go of a link that this policy holds."""
        older, newer = link.older, link.newer
        if self._hand is link:
            self._hand = newer
        if older is None:
            self._oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self._newest = older
        else:
            newer.older = older
        link.older = link.newer = None

    def replace(self, old: L, new: L) -> None:
        """Put `new` into the place of `old`, with its visited bit: the popular stay so when renewed."""
        older, newer = old.older, old.newer
        new.older, new.newer, new.visited = older, newer, old.visited
        if older is None:
            self._oldest = new
        else:
            older.newer = new
        if newer is None:
            self._newest = new
        else:
            newer.older = new
        if self._hand is old:
            self._hand = new
        old.older = old.newer = None

    def evict(self) -> L | None:
        """Choose, let go and return the next victim; None when nothing is held."""
        link = self._hand or self._oldest
        if link is None:
            return None
        steps = 0
        while link.visited and steps < MAX_STEPS:
            link.visited = False
            steps += 1
            link = link.newer or self._oldest
            assert link is not None
        victim = cast(L, link)
        self._hand = link  # so that `remove` moves the hand on
        self.remove(victim)
        return victim
