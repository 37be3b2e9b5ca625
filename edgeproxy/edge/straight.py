"""Fresh hits in the node's tier, answered from there: what was asked for once is not taken into memory.

Must not answer what the fast path would not, had memory the same stored response: what is kept ready there
was made of such an answer, and holds under the very rules that it was made by.

Where memory is full, taking something in costs more than the answer, and something else its place. What is
asked for again while memory would still have it (as many others came in between as it holds) is taken in.
"""

from math import floor

import msgspec

from edgeproxy import __version__
from edgeproxy.caching.age import AHEAD
from edgeproxy.caching.early import NEVER
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.edge.heads import Heads
from edgeproxy.edge.hot import JOIN_BELOW, Hot, Wire
from edgeproxy.edge.ledger import Ledger, Outcome
from edgeproxy.edge.lookup import Lookup
from edgeproxy.edge.routing import Route
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_ready import Ready
from edgeproxy.store.node_tier import NodeTier
from edgeproxy.telemetry.counters import Counters

ROOM = 4096
"""Bytes beyond a body for which memory must have room to count as not full."""
MOST_SEEN = 8192
"""Keys of which is known that they were asked for once."""

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Told(msgspec.Struct, gc=False, eq=False):
    """An answer from the node's tier, told the access log as a `Hot` is; `sent` in bytes of content."""

    route: str
    status: int
    sent: int
    wire: Wire


class Tally(msgspec.Struct, gc=False):
    """What answers of a route and status came to since they were counted last; `saved` in seconds."""

    slot: int
    hits: int = 0
    sent: int = 0
    saved: float = 0.0


class Way(msgspec.Struct):
    """A route under the present rules: what names those, and what was answered by status."""

    rules: bytes
    tallies: dict[int, Tally]


class Seen:
    """Which keys were asked for lately, once: two generations."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __repr__(self) -> str:
        return f"<Seen {len(self._young)}+{len(self._old)}>"

    def again(self, key: bytes, most: int) -> bool:
        """Whether it was asked for within the last `most` others; noted."""
        mark = hash(key)
        if mark in self._young or mark in self._old:
            self._young.discard(mark)
            self._old.discard(mark)
            return True
        self._young.add(mark)
        if len(self._young) > most // 2:
            self._old, self._young = self._young, set()
        return False


class Straight:
    """Answers straight from the node's tier, for one fast path."""

    __slots__ = ("_calm", "_counters", "_ledger", "_memory", "_names", "_node", "_order", "_purges", "_seen",
                 "_slot", "_ways")  # fmt: skip

    def __init__(self, lookup: Lookup, purges: PurgeTable, counters: Counters, ledger: Ledger) -> None:
        self._node: NodeTier | None = lookup.shared.node if lookup.shared is not None else None
        self._memory: MemoryTier = lookup.memory
        self._purges = purges
        self._counters = counters
        self._ledger = ledger
        self._slot = ledger.tier_slot("node", "hit")
        self._seen = Seen()
        self._names: Heads | None = None
        self._ways: dict[str, Way] = {}
        self._calm = -1  # where the purges stood when `_order` was read
        self._order = 0

    def __repr__(self) -> str:
        return f"<Straight {self._seen!r} from {self._node!r}>"

    def follow(self, names: Heads) -> None:
        """Other rules hold from now on."""
        self.fold()
        self._names = names
        self._ways = {}

    def take(self, key: bytes, route: Route, now: float) -> Told | None:
        """The answer to a plain GET of that key at wall second `now`; None where memory is to be asked to.

        Age and ttl are those of `Hot.renew`, reckoned in the same steps.
        """
        node = self._node
        found = node.ready(key, now) if node is not None else None
        if found is None:
            return None
        name, ready, body = found
        way = self._ways.get(route.name) or self._way(route)
        if ready.rules != way.rules:
            return None
        if ready.came > now + AHEAD:
            return None  # `age.from_the_future`
        age = ready.initial_age + max(0.0, now - ready.came)
        left = ready.lifetime - age
        purges = self._purges
        seq = purges.seq[0]
        if seq != self._calm:
            self._order, self._calm = purges.order, seq  # in this order: a rule may come in between
        if left <= 0 or not ((ready.own and ready.local >= self._order) or self._lives(key, ready)):
            return None
        early = route.early * ready.saved
        if early and left - 1.0 < NEVER * early:
            return None  # it may be due for its early revalidation: memory's answers draw lots for that
        memory = self._memory
        sent = len(body)
        if memory.bytes + memory.reserved + sent + ROOM < memory.budget:
            return None
        if self._seen.again(key, min(memory.responses, MOST_SEEN)):
            return None
        node.hit(name)  # type: ignore[union-attr]  # something was found in it
        status = ready.status
        tally = way.tallies.get(status) or self._tally(way, route, status)
        ints = self._counters.ints
        ints[tally.slot] += 1
        ints[self._slot] += 1
        tally.hits += 1
        tally.sent += sent
        tally.saved += ready.saved
        joined = sent <= JOIN_BELOW
        wire = b"%sAge: %d\r\nCache-Status: %s%d%s\r\n\r\n%s" % (
            ready.lines, int(age), ready.before_ttl, floor(left), ready.after_ttl, body if joined else b"",
        )  # fmt: skip
        return Told(route.name, status, sent, wire if joined else (wire, body))

    def fold(self) -> None:
        """Count what was answered since the last time; to be called now and then."""
        for route, way in self._ways.items():
            for tally in way.tallies.values():
                if tally.hits:
                    self._ledger.hits(route, tally.hits, tally.sent, tally.saved, in_memory=False)
                    tally.hits = tally.sent = 0
                    tally.saved = 0.0

    def keep(self, key: bytes, route: Route, hot: Hot, stored: StoredResponse) -> None:
        """Have it answered so from now on: what was just brought into memory, and the answer made of it.

        Nothing is written while memory has room: there it stays.
        """
        memory, policy, node = self._memory, route.policy, self._node
        full = memory.bytes + memory.reserved + stored.size + ROOM >= memory.budget
        if node is None or not full or stored.variant or stored.selecting or hot.sent != stored.size:
            return
        if policy.compress or policy.esi:
            return  # more of a request matters
        way, stamp = self._ways.get(route.name) or self._way(route), stored.stamp
        own = stamp.run == self._purges.run
        node.make_ready(
            key,
            Ready(
                rules=way.rules,
                status=hot.status,
                lines=hot.lines,
                before_ttl=hot.cache_status[0],
                after_ttl=hot.cache_status[1],
                came=hot.came,
                initial_age=hot.initial_age,
                lifetime=hot.lifetime,
                saved=hot.saved,
                tags=stored.tags,
                own=own,
                log=stamp.log,
                position=stamp.position,
                run=b"" if own else stamp.run,
                local=stamp.local,
            ),
        )

    # --- within

    def _lives(self, key: bytes, ready: Ready) -> bool:
        run = self._purges.run if ready.own else ready.run
        stamp = Stamp(ready.log, ready.position, run, ready.local)
        return self._purges.verdict(key, ready.tags, stamp) is Verdict.LIVE

    def _way(self, route: Route) -> Way:
        assert self._names is not None
        rules = _encode((__version__, self._names.name, route.response_edits, route.policy))
        way = self._ways[route.name] = Way(name_of(rules), {})
        return way

    def _tally(self, way: Way, route: Route, status: int) -> Tally:
        tally = way.tallies[status] = Tally(self._ledger.request_slot(route.name, Outcome.HIT, status))
        return tally
