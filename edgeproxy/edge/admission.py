"""Who may ask an upstream next, where its refetches are held to a rate: the popular first.

Must not know requests or responses. After an outage, a purge of everything or a cold start, what is stored
comes back at the pace that the origins bear.
"""

import asyncio
from collections.abc import Collection
from heapq import heapify, heappop, heappush

from edgeproxy.caching.popularity import Popularity
from edgeproxy.errors import UpstreamError
from edgeproxy.upstream.settings import AdmissionSettings
from edgeproxy.upstream.upstream import Upstream

Rank = tuple[bool, float, int]
"""In the background or not, less popular, later: the least is the next."""


class NotAdmitted(UpstreamError):
    """The upstream is asked for as much as it may be, and the queue is full or the wait over."""

    status = 503
    proxy_error = "connection_limit_reached"
    retry_safe = True


class _Ticket:
    """One fetch that waits; `rank` as it was queued last."""

    __slots__ = ("admitted", "key", "rank", "timer")

    def __init__(self, key: bytes, rank: Rank, admitted: "asyncio.Future[None]") -> None:
        self.key = key
        self.rank = rank
        self.admitted = admitted
        self.timer: asyncio.TimerHandle | None = None


class Gate:
    """The token bucket of one upstream, this worker's share, and the bounded queue before it.

    `admitted` at once, `waited` and `turned_away` count fetches.
    """

    def __init__(self, settings: AdmissionSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.admitted = self.waited = self.turned_away = 0
        self._loop = loop
        now = loop.time()
        self.popularity = Popularity(now)
        # bucket
        self._tokens = settings.burst
        self._counted = now
        # queue: heap entries whose rank is no longer their ticket's are passed over
        self._heap: list[tuple[Rank, _Ticket]] = []
        self._tickets: dict[bytes, list[_Ticket]] = {}
        self._waiting = 0
        self._number = 0
        self._floor: Rank | None = None  # nobody who waits ranks behind it
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Gate {self.settings.rate}/s tokens={self._tokens:.1f} waiting={self._waiting}>"

    def __len__(self) -> int:
        return self._waiting

    def follow(self, settings: AdmissionSettings) -> None:
        """Go on by other settings; whoever waits keeps the place."""
        self._refill()
        self.settings = settings
        self._tokens = min(self._tokens, settings.burst)

    @property
    def busy(self) -> bool:
        """Whether a fetch would have to wait now."""
        self._refill()
        return self._waiting > 0 or self._tokens < 1.0

    def asked(self, key: bytes, count: float = 1.0) -> None:
        """Clients asked for `key`; one that waits moves up once that doubled how popular it is."""
        now = self._loop.time()
        self.popularity.add(key, now, count)
        tickets = self._tickets.get(key)
        if tickets:
            popular = self.popularity.of(key, now)
            for ticket in tickets:
                background, rank, number = ticket.rank
                if popular >= -2 * rank:
                    self._place(ticket, (background, -popular, number))

    def joined(self, key: bytes) -> None:
        """A client has to wait for what is fetched for `key`: if that waits, it is no longer background."""
        for ticket in self._tickets.get(key, ()):
            background, rank, number = ticket.rank
            if background:
                self._place(ticket, (False, rank, number))

    async def admit(self, key: bytes, *, background: bool) -> None:
        """Wait for a place; at most `settings.wait` seconds. Raises NotAdmitted."""
        if not self.busy:
            self._tokens -= 1.0
            self.admitted += 1
            return
        self._number += 1
        rank = (background, -self.popularity.of(key, self._loop.time()), self._number)
        if self._waiting >= self.settings.queue and not self._make_room(rank):
            self.turned_away += 1
            raise NotAdmitted("too many wait for this upstream already")
        ticket = _Ticket(key, rank, self._loop.create_future())
        self._waiting += 1
        self._tickets.setdefault(key, []).append(ticket)
        if self._floor is not None and rank > self._floor:
            self._floor = rank
        self._place(ticket, rank)
        ticket.timer = self._loop.call_later(self.settings.wait, self._turn_away, ticket)
        self._wake()
        try:
            await ticket.admitted
        finally:
            self._leave(ticket)
        self.waited += 1

    def _place(self, ticket: _Ticket, rank: Rank) -> None:
        ticket.rank = rank
        heappush(self._heap, (rank, ticket))  # ranks differ by their number, so no ticket is compared
        if len(self._heap) > 4 * self._waiting + 64:
            self._heap = [(each.rank, each) for tickets in self._tickets.values() for each in tickets]
            heapify(self._heap)

    def _make_room(self, rank: Rank) -> bool:
        """Turn away whoever ranks last, if that is not the newcomer."""
        if self._floor is not None and rank >= self._floor:
            return False
        waiting = [each for tickets in self._tickets.values() for each in tickets if not each.admitted.done()]
        if not waiting:
            return False
        last = max(waiting, key=lambda each: each.rank)
        if rank < last.rank:
            self._turn_away(last)
        self._floor = last.rank
        return rank < last.rank

    def _turn_away(self, ticket: _Ticket) -> None:
        if not ticket.admitted.done():
            self.turned_away += 1
            ticket.admitted.set_exception(NotAdmitted("waited too long for this upstream"))
            self._leave(ticket)

    def _leave(self, ticket: _Ticket) -> None:
        """It waits no longer, for whatever reason."""
        if ticket.timer is None:
            return
        ticket.timer.cancel()
        ticket.timer = None
        self._waiting -= 1
        tickets = self._tickets[ticket.key]
        tickets.remove(ticket)
        if not tickets:
            del self._tickets[ticket.key]
        if self._floor is not None and self._waiting < self.settings.queue:
            self._floor = None

    def _refill(self) -> None:
        now, settings = self._loop.time(), self.settings
        self._tokens = min(settings.burst, self._tokens + (now - self._counted) * settings.rate)
        self._counted = now

    def _wake(self) -> None:
        """See to it that whoever waits is admitted when there is a token again."""
        if self._timer is None and self._waiting:
            missing = max(0.0, 1.0 - self._tokens)
            self._timer = self._loop.call_later(missing / self.settings.rate, self._grant)

    def _grant(self) -> None:
        self._timer = None
        self._refill()
        while self._heap and self._tokens >= 1.0 - 1e-9:
            rank, ticket = heappop(self._heap)
            if ticket.rank is rank and ticket.timer is not None and not ticket.admitted.done():
                self._tokens -= 1.0
                ticket.admitted.set_result(None)
                self._leave(ticket)
        self._wake()

    def open(self) -> None:
        """Admit all who wait: there is no rate any more."""
        for ticket in [each for tickets in self._tickets.values() for each in tickets]:
            if not ticket.admitted.done():
                ticket.admitted.set_result(None)
            self._leave(ticket)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Let nobody wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for ticket in [each for tickets in self._tickets.values() for each in tickets]:
            self._turn_away(ticket)


class Admissions:
    """The gates of a worker's upstreams, by name; they outlive reloads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.gates: dict[str, Gate] = {}

    def __repr__(self) -> str:
        return f"<Admissions {self.gates}>"

    def of(self, upstream: Upstream) -> Gate | None:
        """The gate before an upstream; None where everybody may pass."""
        settings = upstream.settings.admission
        if settings is None:
            return None
        gate = self.gates.get(upstream.name)
        if gate is None:
            gate = self.gates[upstream.name] = Gate(settings, self._loop)
        elif gate.settings is not settings and gate.settings != settings:
            gate.follow(settings)
        return gate

    def keep(self, names: Collection[str]) -> None:
        """No upstream but these is held to a rate any more."""
        for name in [name for name in self.gates if name not in names]:
            self.gates.pop(name).open()

    def snapshot(self) -> dict[str, dict[str, int]]:
        """What waits, and what came of those that did: JSON-able."""
        return {
            name: {
                "waiting": len(gate),
                "admitted": gate.admitted,
                "waited": gate.waited,
                "turned_away": gate.turned_away,
            }
            for name, gate in self.gates.items()
        }

    def close(self) -> None:
        """Let nobody wait any more."""
        for gate in self.gates.values():
            gate.close()
