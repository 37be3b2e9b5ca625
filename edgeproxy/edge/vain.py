"""Keys for which something was tried in vain, and is not tried again for a while.

Must not know what it was.
"""

from collections import OrderedDict

REMEMBERED = 10_000
REMEMBER_FOR = 60.0


class Vain:
    """Up to `remembered` keys, each for `remember_for` seconds (monotonic)."""

    def __init__(self, remembered: int = REMEMBERED, remember_for: float = REMEMBER_FOR) -> None:
        # By hash: keys may be long, and two that share one cost each other a try.
        self._until: OrderedDict[int, float] = OrderedDict()
        self._remembered = remembered
        self._remember_for = remember_for

    def __repr__(self) -> str:
        return f"<Vain {len(self._until)}>"

    def __len__(self) -> int:
        return len(self._until)

    def remember(self, key: bytes, now: float) -> None:
        """It was in vain for this key."""
        self._until[hash(key)] = now + self._remember_for
        self._until.move_to_end(hash(key))
        while len(self._until) > self._remembered:
            self._until.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """It would not be in vain after all."""
        self._until.pop(hash(key), None)

    def holds(self, key: bytes, now: float) -> bool:
        """Whether not to try it for this key."""
        if not self._until:
            return False
        until = self._until.get(hash(key))
        if until is None:
            return False
        if until <= now:
            del self._until[hash(key)]
            return False
        return True
