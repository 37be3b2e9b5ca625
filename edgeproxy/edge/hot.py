"""The serialised form of a fresh stored response: one write answers a request.

Must not know requests. Rebuilt once a second at most, when its Age changes.
"""

from collections.abc import Sequence
from math import floor

from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.memory import Node

JOIN_BELOW = 16 * 1024
"""Bodies up to this size are joined with their head into one piece for one write."""

Wire = bytes | tuple[bytes, ...]


class Hot:
    """What one kind of answer (200, its HEAD, its 304) of a stored response costs the fast path.

    `head` is all but Age, Cache-Status (whose member comes as what stands before and after the ttl) and
    the blank line; `born` the wall second at which its age
    was 0; `fresh_until` the wall second at which it is stale; `saved` the origin's seconds.
    Holds no stored response: `die` lets the body go when the node dies.
    """

    __slots__ = (
        "_body",
        "_cache_status",
        "_head",
        "born",
        "fresh_until",
        "hits",
        "lifetime",
        "node",
        "purge_seq",
        "requests_slot",
        "route",
        "saved",
        "sent",
        "status",
        "valid_until",
        "wire",
    )

    def __init__(
        self,
        node: Node,
        head: bytes,
        body: Sequence[bytes],
        cache_status: tuple[bytes, bytes],
        *,
        born: float,
        lifetime: float,
        route: str,
        status: int,
        requests_slot: int,
        saved: float,
        purge_seq: int,
    ) -> None:
        # content
        self.node: Node | None = node
        self._head = head
        self._body = tuple(body)
        self._cache_status = cache_status
        self.wire: Wire = b""
        # time
        self.born = born
        self.lifetime = lifetime
        self.fresh_until = born + lifetime
        self.valid_until = 0.0
        self.purge_seq = purge_seq
        # counts
        self.route = route
        self.status = status
        self.requests_slot = requests_slot
        self.hits = 0  # not yet folded into the counters
        self.saved = saved
        self.sent = sum(map(len, self._body))

    def __repr__(self) -> str:
        state = "dead" if self.node is None else f"until {self.fresh_until:.1f}"
        return f"<Hot {self.sent} bytes, {state}>"

    def renew(self, now: float, purges: PurgeTable) -> bool:
        """Make the bytes for wall second `now`; False where it may not be used any more.

        Age and ttl are those of `decide.on_request` at that moment.
        """
        node = self.node
        if node is None or now >= self.fresh_until:
            return False
        seq = purges.seq[0]
        if seq != self.purge_seq:
            stored = node.stored
            if purges.verdict(stored.key, stored.tags, stored.stamp) is not Verdict.LIVE:
                return False
            self.purge_seq = seq
        exact = now - self.born
        age = int(exact)
        ttl = floor(self.lifetime - exact)
        before, after = self._cache_status
        head = b"%sAge: %d\r\nCache-Status: %s%d%s\r\n\r\n" % (self._head, age, before, ttl, after)
        if self.sent <= JOIN_BELOW:
            self.wire = b"".join((head, *self._body))
        else:
            self.wire = (head, *self._body)
        # The next moment at which Age or ttl reads differently.
        self.valid_until = min(self.born + age + 1, self.fresh_until - ttl)
        return True

    def die(self) -> None:
        """The stored response is gone or replaced, or judged by other rules now."""
        self.node = None
        self.valid_until = 0.0
        self.fresh_until = 0.0
        self.wire = b""
        self._body = ()
