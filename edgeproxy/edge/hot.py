"""The serialised form of a fresh stored response: one write answers a request.

Must not know requests. Rebuilt once a second at most, when its Age changes.
"""

from math import floor, inf, nextafter

import msgspec

from edgeproxy.caching.early import NEVER, early_chance
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.memory import MemoryTier, Node

JOIN_BELOW = 16 * 1024
"""Bodies up to this size are joined with their head into one piece for one write."""
ROUNDING = 1e-6
"""Seconds that a moment reckoned in doubles of today's wall time may be off, and more."""

_NO_STATUS = (b"", b"")

Wire = bytes | tuple[bytes, ...]


class Hot(msgspec.Struct, gc=False, eq=False):
    """What one kind of answer (200, its HEAD, its 304) of a stored response costs the fast path.

    `early` is the scale of `caching.early` in seconds (0: off), `early_chance` how likely the requests until
    `valid_until` would have it revalidated early, as `drawn` and `hits` of the last bytes tell.
    `lines` is all of the head but Age, Cache-Status (whose member comes as what stands before and after
    the ttl) and the blank line; `came` the wall second at which the response came, `initial_age` how
    old it was then; `saved` the origin's seconds. Holds no stored response: `die` lets the body
    go when the node dies. The garbage collector knows nothing of it, as of its node.
    """

    # content
    node: Node | None
    lines: bytes
    body: tuple[bytes, ...]
    cache_status: tuple[bytes, bytes]
    # time
    came: float
    initial_age: float
    lifetime: float
    # counts
    route: str
    status: int
    requests_slot: int
    saved: float
    early: float = 0.0
    # what changes
    purge_seq: int = -1
    valid_until: float = 0.0
    wire: Wire = b""
    hits: int = 0  # not yet folded into the counters
    drawn: int = 0  # hits folded since the bytes were made, less those not folded when they were
    early_chance: float = 0.0
    sent: int = 0  # bytes of content

    def __post_init__(self) -> None:
        self.sent = sum(map(len, self.body))

    def __repr__(self) -> str:
        state = "dead" if self.node is None else f"until {self.valid_until:.1f}"
        return f"<Hot {self.sent} bytes, {state}>"

    def renew(self, now: float, purges: PurgeTable) -> bool:
        """Make the bytes for wall second `now`; False where it may not be used any more.

        Age and ttl are those of `decide.on_request` at that moment, reckoned in the same steps.
        """
        node = self.node
        if node is None:
            return False
        age = self.initial_age + max(0.0, now - self.came)
        left = self.lifetime - age
        if left <= 0:
            return False
        seq = purges.seq[0]
        if seq != self.purge_seq:
            stored = node.stored
            if purges.verdict(stored.key, stored.tags, stored.stamp) is not Verdict.LIVE:
                return False
            self.purge_seq = seq
        shown, ttl = int(age), floor(left)
        before, after = self.cache_status
        head = b"%sAge: %d\r\nCache-Status: %s%d%s\r\n\r\n" % (self.lines, shown, before, ttl, after)
        if self.sent <= JOIN_BELOW:
            self.wire = b"".join((head, *self.body))
        else:
            self.wire = (head, *self.body)
        # The next moment at which Age or ttl reads differently; rather too early than too late.
        reads_until = self.came - self.initial_age + min(shown + 1.0, self.lifetime - ttl)
        self.valid_until = max(reads_until - ROUNDING, nextafter(now, inf))
        if self.early:
            step = self.valid_until - now
            if left - step < NEVER * self.early:
                self.early_chance = early_chance(left, self.early, max(1, self.drawn + self.hits), step)
            self.drawn = -self.hits
        return True

    def die(self) -> None:
        """The stored response is gone or replaced, or judged by other rules now."""
        self.node = None
        self.body = ()
        self.lines = b""
        self.cache_status = _NO_STATUS
        self.cool()

    def cool(self) -> None:
        """Let the bytes go that the next request can have made anew."""
        self.valid_until = 0.0
        self.wire = b""


class Heats(msgspec.Struct, gc=False, eq=False):
    """The serialised answers of one stored response: plain, HEAD, 304. Hangs on its node.

    They hold under the rules of `generation`; `size` is what they count in memory, in bytes.
    """

    generation: int
    size: int = 0
    get: Hot | None = None
    head: Hot | None = None
    not_modified: Hot | None = None

    def __repr__(self) -> str:
        return f"<Heats of {self.generation}, {self.size} bytes: {self.get} {self.head} {self.not_modified}>"

    def die(self) -> None:
        """Let all go."""
        for hot in (self.get, self.head, self.not_modified):
            if hot is not None:
                hot.die()


def on_evict(node: Node) -> None:
    """For the memory tier: what was serialised dies with its node."""
    if isinstance(node.hot, Heats):
        node.hot.die()


def heats_of(memory: MemoryTier, node: Node, generation: int) -> Heats:
    """Where the serialised answers of `node` are kept; those of other generations are let go."""
    heats = node.hot
    if isinstance(heats, Heats) and heats.generation == generation:
        return heats
    made = Heats(generation)
    if isinstance(heats, Heats):
        heats.die()
    memory.heat(node, made, -heats.size if isinstance(heats, Heats) else 0)
    return made


def cool(memory: MemoryTier, node: Node) -> None:
    """Let the serialised answers of `node` go: its requests have to be looked up again."""
    heats = node.hot
    if isinstance(heats, Heats):
        heats.die()
        memory.heat(node, Heats(heats.generation), -heats.size)
