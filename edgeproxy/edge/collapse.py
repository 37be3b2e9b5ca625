"""Collapsed forwarding (RFC 9111 §4): who fetches, and who waits for whom.

Must not know what a response means: callers say when waiting was in vain.
"""

from collections import OrderedDict

from edgeproxy.edge.fill import CollapseKey, Fill

REMEMBERED = 10_000
REMEMBER_FOR = 60.0


class Collapse:
    """The fills under way, and the keys that are not worth waiting for.

    A key whose response could not be shared is remembered for `remember_for` seconds
    (monotonic), up to `remembered` keys: its requests do not wait for each other.
    """

    def __init__(self, remembered: int = REMEMBERED, remember_for: float = REMEMBER_FOR) -> None:
        self._fills: dict[CollapseKey, Fill] = {}
        self._vain: OrderedDict[bytes, float] = OrderedDict()
        self._remembered = remembered
        self._remember_for = remember_for

    def __repr__(self) -> str:
        return f"<Collapse fills={len(self._fills)} remembered={len(self._vain)}>"

    def __len__(self) -> int:
        return len(self._fills)

    def find(self, key: CollapseKey) -> Fill | None:
        """The fill under way for that key."""
        return self._fills.get(key)

    def lead(self, key: CollapseKey, fill: Fill) -> None:
        """This fill is the one to wait for; it replaces one that can no longer be joined."""
        fill.collapse_key = key
        self._fills[key] = fill

    def release(self, fill: Fill) -> None:
        """Nobody can join that fill any more."""
        key = fill.collapse_key
        if key is not None and self._fills.get(key) is fill:
            del self._fills[key]

    def remember(self, key: bytes, now: float) -> None:
        """Waiting for this key was in vain."""
        self._vain[key] = now + self._remember_for
        self._vain.move_to_end(key)
        while len(self._vain) > self._remembered:
            self._vain.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """A response of this key could be shared after all."""
        self._vain.pop(key, None)

    def vain(self, key: bytes, now: float) -> bool:
        """Whether requests for this key should not wait for each other."""
        if not self._vain:
            return False
        until = self._vain.get(key)
        if until is None:
            return False
        if until <= now:
            del self._vain[key]
            return False
        return True
