"""Who fetches for the whole node, and for the fleet: the leases behind `Collapse`, and the wait for others'.

Must not know how leases are kept (`fleet.node_lease`, `fleet.fleet_lease`), nor what a response means.

First the node's lease, then the fleet's: of a node's workers one asks Redis. Within a worker one watcher a
key waits, whoever else wants that key waits for the watcher: thousands of clients cost a future each.
"""

import asyncio
import logging
from collections.abc import Coroutine
from math import inf
from typing import Any

from edgeproxy.edge.fill import CollapseKey
from edgeproxy.edge.lease_turns import Lease, Told, Turns, Wait, lease_name
from edgeproxy.edge.request import Request
from edgeproxy.fleet.fleet_lease import REFUSED, TOO_LARGE, FleetLeases, Taken
from edgeproxy.fleet.node_lease import Word
from edgeproxy.store.redis_tier import RedisTier

RENEW = 1.0
"""Seconds between two renewals of what is held in the fleet."""
MOST_WAITS = 1000
"""Keys that a worker waits for at once; what comes on top of that is fetched without a lease."""
MOST_LOOKS = 3
"""So often one request looks again for what others fetched, before it fetches itself."""
_log = logging.getLogger("edgeproxy.edge")


class Leases:
    """The leases of one worker: what it holds, and what its requests wait for."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._held: dict[CollapseKey, Lease] = {}
        self._waits: dict[CollapseKey, Wait] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewal: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Leases {len(self._held)} held, {len(self._waits)} waited for, {self._turns!r}>"

    def __len__(self) -> int:
        return len(self._held) + len(self._waits)

    def follow(self, redis: RedisTier | None) -> "Leases | None":
        """Use this Redis, or none, from now on; itself where there is anybody to agree with."""
        turns = self._turns
        if redis is None:
            turns.fleet = None
        elif turns.fleet is None or turns.fleet.tier is not redis:
            turns.fleet = FleetLeases(redis, turns.name)
        return self if turns.node is not None or turns.fleet is not None else None

    @property
    def fleet(self) -> FleetLeases | None:
        """Those of the fleet, where there is Redis."""
        return self._turns.fleet

    async def close(self) -> None:
        """Let go of all that is held, and of who waits."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for asked in list(self._held):
            self.release(asked, failed=True)
        if self._renewal is not None:
            self._renewal.cancel()
        if self._turns.node is not None:
            self._turns.node.close()

    # --- for those who fetch

    async def told(self, asked: CollapseKey, request: Request, *, looks: bool) -> Told:
        """What is to be done about a fetch; returns once it is known.

        With `looks` nothing was found for it: it is looked for once more when nobody else can be fetching it.
        """
        wait = self._waits.get(asked)
        if wait is None:
            if asked in self._held:
                return Told.LEAD  # in place of a fetch that nobody may join any more
            name = lease_name(asked)
            now = self._loop.time()
            request.waits_until = request.waits_until or now + request.route.collapse_timeout
            if request.looks >= MOST_LOOKS or self._turns.unlucky.holds(name, now):
                return Told.ALONE
            wait = Wait(asked, name, request, looks=looks)
            siblings = self._turns.siblings
            if self.fleet is None:
                hold = siblings.take(name) if siblings is not None else None
                wait.lease.hold = hold
                if siblings is None or (hold is not None and not (looks and self._turns.there(asked))):
                    self._hold(asked, wait.lease)
                    return Told.LEAD
            if len(self._waits) >= MOST_WAITS:
                counts = self._turns.in_node
                counts.ints[counts.fallen_back] += 1
                self._turns.let_go(wait.lease, Word.APART)
                return Told.ALONE
            self._waits[asked] = wait
            self._run(self._watch(wait))
        seat = self._loop.create_future()
        wait.seats.append(seat)
        try:
            told: Told = await seat
        except asyncio.CancelledError:
            if seat.done() and not seat.cancelled() and seat.result() is Told.LEAD:
                self._lead(wait)
            raise
        if told is Told.LEAD:
            self._end(wait, Told.FOLLOW)
        return told

    def take_at_once(self, asked: CollapseKey) -> bool:
        """Whether a fetch of what nothing stored answers may begin now: without a wait, and looked again."""
        if asked in self._waits or self.fleet is not None:
            return False
        siblings = self._turns.siblings
        if siblings is None:
            return True
        name = lease_name(asked)
        hold = siblings.take(name)
        if hold is None:
            return False
        if self._turns.there((asked[0], None)):
            siblings.release(hold, Word.GONE)
            return False
        self._hold(asked, Lease(name, hold))
        return True

    def give_back(self, asked: CollapseKey) -> None:
        """As if it had not been taken at once."""
        lease, node = self._held.pop(asked, None), self._turns.node
        if lease is not None and lease.hold is not None and node is not None:
            node.release(lease.hold, Word.GONE)
            counts = self._turns.in_node
            counts.ints[counts.held] -= 1

    def take_to_refresh(self, asked: CollapseKey) -> bool:
        """Whether a fetch that nobody waits for may begin, as far as this node is concerned."""
        if asked in self._waits or asked in self._held:
            return False
        name, siblings = lease_name(asked), self._turns.siblings
        hold = siblings.take(name) if siblings is not None else None
        if siblings is not None and hold is None:
            return False
        self._hold(asked, Lease(name, hold))
        return True

    async def granted(self, asked: CollapseKey) -> bool:
        """Whether the fleet too lets that fetch begin; if not, it is not held any more."""
        lease, fleet = self._held.get(asked), self.fleet
        if lease is None or fleet is None:
            return lease is not None
        taken, lease.token = await fleet.take(lease.name, asked[0], looks=False)
        if self._held.get(asked) is not lease:
            fleet.release(lease.name, asked[0], lease.token)
            return False
        if taken is Taken.ANOTHERS:
            self.release(asked, failed=True)
            return False
        self._turns.count_fleet(taken)
        self._renew_later()
        return True

    def release(self, asked: CollapseKey, *, failed: bool) -> None:
        """The fetch is over: whatever it stored was put into the tiers before this."""
        lease = self._held.pop(asked, None)
        if lease is None:
            return
        if self._turns.vain.holds(asked[0], self._turns.clock.monotonic()):
            word = Word.REFUSED
        else:
            word = Word.APART if failed else Word.STORED
        if lease.token and self.fleet is not None:
            mark = REFUSED if word is Word.REFUSED else b""
            self.fleet.release(lease.name, asked[0], lease.token, mark)
        self._turns.let_go(lease, word)

    def not_shared(self, asked: CollapseKey, length: int | None) -> float:
        """What is being fetched has at least so many bytes, or with None is not stored: others are told now.

        The bytes from which on there are more to tell.
        """
        lease, more = self._held.get(asked), inf
        if lease is None:
            return more
        tier, fleet = self._turns.tier, self.fleet
        if length is None or (tier is not None and length > tier.largest):
            self._turns.let_go(lease, Word.APART)
        elif tier is not None and lease.hold is not None:
            more = tier.largest
        if fleet is not None and lease.token:
            if length is None or length > fleet.largest:
                fleet.release(lease.name, asked[0], lease.token, TOO_LARGE)
                lease.token = b""
            else:
                more = min(more, fleet.largest)
        return more

    def _hold(self, asked: CollapseKey, lease: Lease) -> None:
        self._held[asked] = lease
        if lease.hold is not None:
            counts = self._turns.in_node
            counts.ints[counts.held] += 1

    # --- for those who wait

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, wait: Wait) -> None:
        told = Told.ALONE
        try:
            told = await self._turns.take(wait)
        except Exception:
            _log.exception("internal error while waiting for another fetch")
        finally:
            if told is Told.LEAD:
                self._hold(wait.asked, wait.lease)
                self._renew_later()
                self._lead(wait)
            else:
                self._turns.let_go(wait.lease, Word.STORED if told is Told.LOOK else Word.APART)
                self._end(wait, told)

    def _lead(self, wait: Wait) -> None:
        """Let the first one that is still there begin; the others wait on until it has."""
        while wait.seats:
            seat = wait.seats.pop(0)
            if not seat.done():
                seat.set_result(Told.LEAD)
                return
        self._end(wait, Told.FOLLOW)
        self.release(wait.asked, failed=True)

    def _end(self, wait: Wait, told: Told) -> None:
        if self._waits.get(wait.asked) is wait:
            del self._waits[wait.asked]
        for seat in wait.seats:
            if not seat.done():
                seat.set_result(told)
        wait.seats.clear()

    # --- the fleet's

    def _renew_later(self) -> None:
        if self._renewal is None and self.fleet is not None:
            self._renewal = self._loop.call_later(RENEW, self._renew)

    def _renew(self) -> None:
        """Renew what is held in the fleet, as long as anything is."""
        self._renewal = None
        held = [(lease, asked[0]) for asked, lease in self._held.items() if lease.token]
        held += [(wait.lease, wait.asked[0]) for wait in self._waits.values() if wait.lease.token]
        if held and self.fleet is not None:
            for lease, key in held:
                self.fleet.renew(lease.name, key, lease.token)
            self._renew_later()
