"""Which pieces of a representation are stored beside it, so that a purge by URL can count them.

Must not know what they hold.
"""

from edgeproxy.caching.key import whole_key


class Pieces:
    """Keys of stored pieces by the key of their whole."""

    def __init__(self) -> None:
        self._keys: dict[bytes, set[bytes]] = {}

    def __repr__(self) -> str:
        return f"<Pieces of {len(self._keys)}>"

    def add(self, key: bytes) -> None:
        """A response is stored under `key`, which may be that of a piece."""
        whole = whole_key(key)
        if whole != key:
            self._keys.setdefault(whole, set()).add(key)

    def drop(self, key: bytes) -> None:
        """Nothing is stored under `key` any more."""
        whole = whole_key(key)
        keys = self._keys.get(whole)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._keys[whole]

    def of(self, key: bytes) -> list[bytes]:
        """The keys of the pieces of what `key` names."""
        return sorted(self._keys.get(key, ()))
