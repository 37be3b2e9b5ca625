"""The turn of one fetch: the wait for its lease, among the node's workers and then among the fleet's nodes.

Must not know who else in this worker waits for it (`leases`).
"""

import asyncio
from enum import Enum
from functools import partial
from hashlib import blake2b

from edgeproxy.clock import Clock
from edgeproxy.edge.fill import CollapseKey
from edgeproxy.edge.lookup import NOTHING, Lookup
from edgeproxy.edge.request import Request
from edgeproxy.edge.vain import Vain
from edgeproxy.fleet.fleet_lease import FleetLeases, Taken
from edgeproxy.fleet.node_lease import Hold, NodeLeases, Word
from edgeproxy.store.node_tier import NodeTier
from edgeproxy.telemetry.counters import Counters

POLL, LONGEST_POLL = 0.05, 0.5
"""Seconds after which one that waits looks for itself whether the lease is free: its holder may be dead.

An eighth of the time waited so far, within these bounds: a thousand waits for slow answers cost little."""
MOST_SILENT = 3
"""So often in a row Redis may not answer in time before this node goes on without it."""
SHORTEST, LONGEST, PART = 0.005, 0.1, 8
"""Between two looks at a lease in Redis lies an eighth of the time waited so far, within these bounds."""
UNLUCKY_FOR = 5.0
"""Seconds for which nobody waits again for a key after the wait for it took too long."""


class Told(Enum):
    """What to do instead of waiting."""

    LEAD = "fetch, for all"
    FOLLOW = "somebody in this worker fetches"
    LOOK = "what others fetched is stored"
    ALONE = "fetch, without a lease"
    REFUSED = "fetch: the answer is for nobody else"


class Lease:
    """What is held for one fetch: in the node, in the fleet, or both."""

    __slots__ = ("hold", "name", "token")

    def __init__(self, name: bytes, hold: Hold | None) -> None:
        self.name = name
        self.hold = hold
        self.token = b""


class Wait:
    """The requests of one worker that wait for the same lease; `lead`: one of them has it and is to begin."""

    __slots__ = ("asked", "deadline", "lease", "looks", "name", "request", "seats")

    def __init__(self, asked: CollapseKey, name: bytes, request: Request, *, looks: bool) -> None:
        self.asked = asked
        self.name = name
        self.request = request  # the first one's: what is looked for
        self.looks = looks
        self.deadline = request.waits_until
        self.lease = Lease(name, None)
        self.seats: list[asyncio.Future[Told]] = []


class LeaseCounts:
    """`edgeproxy_fill_leases_total` of one scope."""

    __slots__ = ("expired", "fallen_back", "held", "ints", "waited")

    def __init__(self, counters: Counters, scope: str) -> None:
        self.ints = counters.ints
        metric = "edgeproxy_fill_leases_total"
        self.held = counters.counter(metric, scope, "held")
        self.waited = counters.counter(metric, scope, "waited")
        self.expired = counters.counter(metric, scope, "expired")
        self.fallen_back = counters.counter(metric, scope, "fallen_back")


def lease_name(asked: CollapseKey) -> bytes:
    """What a fetch is known by to all workers and nodes; 16 bytes."""
    key, variant = asked
    whole = key if variant is None else b"%d:%b%b" % (len(key), key, variant)
    return blake2b(whole, digest_size=16).digest()


class Turns:
    """What one worker's fetches have in common while they wait for their leases.

    `name` is its node's; `node` are the leases among its siblings, None for a worker alone; `vain` the keys
    whose answers are not for others.
    """

    def __init__(
        self,
        name: str,
        node: NodeLeases | None,
        lookup: Lookup,
        vain: Vain,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self.name = name
        self.node = node
        self.fleet: FleetLeases | None = None
        self.unlucky = Vain(remember_for=UNLUCKY_FOR)
        self.vain = vain
        self.clock = clock
        self.in_node = LeaseCounts(counters, "node")
        self.in_fleet = LeaseCounts(counters, "fleet")
        self._lookup = lookup
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Turns {self.node!r} {self.fleet!r}>"

    @property
    def tier(self) -> NodeTier | None:
        """The node's tier, where there is one and it is asked."""
        node = self._lookup.shared.node if self._lookup.shared is not None else None
        return node if node is not None and node.available else None

    @property
    def siblings(self) -> NodeLeases | None:
        """The node's leases, where what is fetched can be read by the others."""
        return self.node if self.tier is not None else None

    def let_go(self, lease: Lease, word: Word) -> None:
        """Let go of the node's lease, if it is to say that something is stored once it can be read."""
        hold, lease.hold = lease.hold, None
        if hold is None or self.node is None:
            return
        tier = self.tier
        if word is Word.STORED and tier is not None:
            tier.after_writes(partial(self.node.release, hold, word))
        else:
            self.node.release(hold, word)

    def there(self, asked: CollapseKey) -> bool:
        """Whether the node's tier has that variant by now, or anything of that key."""
        tier = self.tier
        return tier is not None and tier.holds_now(*asked)

    async def take(self, wait: Wait) -> Told:
        """Wait until it is this fetch's turn, or need not be any more; `wait.lease` has what was taken."""
        told = await self._among_siblings(wait)
        if told is not Told.LEAD:
            return told
        if wait.looks and self.there(wait.asked) and await self._look(wait):
            return Told.LOOK
        if self.fleet is not None:
            told = await self._among_nodes(wait, self.fleet)
        return told

    async def _look(self, wait: Wait) -> bool:
        """Bring what was stored meanwhile into memory, for all who wait."""
        request = wait.request
        found = await self._lookup.in_shared(request.key, request.head, request.route.policy, NOTHING)
        return found.stored is not None

    async def _among_siblings(self, wait: Wait) -> Told:
        counts, ints = self.in_node, self.in_node.ints
        lease, name = wait.lease, wait.name
        began = self._loop.time()
        while lease.hold is None:
            siblings = self.siblings
            if siblings is None:
                break
            lease.hold = siblings.take(name)
            if lease.hold is not None:
                break
            now = self._loop.time()
            left = wait.deadline - now
            if left <= 0:
                ints[counts.expired] += 1
                self.unlucky.remember(name, now)
                return Told.ALONE
            holder = siblings.holder(name)
            if holder is None:
                await asyncio.sleep(0)  # it was let go of just now
                continue
            poll = min(max(POLL, (now - began) / PART), LONGEST_POLL)
            word = await siblings.wait(name, holder, min(poll, left))
            if word is Word.STORED:
                ints[counts.waited] += 1
                await self._look(wait)
                return Told.LOOK
            if word is Word.REFUSED:
                self.vain.remember(wait.asked[0], self.clock.monotonic())
                return Told.REFUSED
            if word is Word.APART:
                return Told.ALONE
        return Told.LEAD

    async def _among_nodes(self, wait: Wait, fleet: FleetLeases) -> Told:
        """As among siblings; when Redis or the holder is of no use, one fetch a node it is."""
        lease, key = wait.lease, wait.asked[0]
        counts, ints = self.in_fleet, self.in_fleet.ints
        began, looks, silent, insist = self._loop.time(), wait.looks, 0, False
        while True:
            taken, lease.token = await fleet.take(
                lease.name,
                key,
                looks=looks,
                variant=wait.asked[1],
                succeeds=lease.hold is not None,
                token=lease.token,
                insist=insist,
            )
            silent = silent + 1 if taken is Taken.UNREACHABLE else 0
            if taken is Taken.THERE:
                if await self._look(wait):
                    ints[counts.waited] += self._loop.time() > began + SHORTEST
                    return Told.LOOK
                looks = False  # another variant
                continue
            if taken is Taken.REFUSED:
                self.vain.remember(key, self.clock.monotonic())
                return Told.REFUSED
            # One late answer says little: another node may well be fetching.
            insist = taken is Taken.ANOTHERS or (0 < silent < MOST_SILENT and bool(lease.token))
            if taken is not Taken.ANOTHERS and not (insist and fleet.answers):
                self.count_fleet(taken)
                return Told.LEAD
            now = self._loop.time()
            if now >= wait.deadline:
                ints[counts.expired] += 1
                return Told.LEAD
            await asyncio.sleep(min(max(SHORTEST, (now - began) / PART), LONGEST, wait.deadline - now))

    def count_fleet(self, taken: Taken) -> None:
        """Count what came of asking the fleet."""
        counts, ints = self.in_fleet, self.in_fleet.ints
        if taken is Taken.OURS:
            ints[counts.held] += 1
        elif taken is Taken.UNREACHABLE:
            ints[counts.fallen_back] += 1
