"""The course that watched requests of an upstream take: what more is tried, and what is learnt from it.

Must not send anything, nor keep time for a try: `race` does.
"""

from typing import Protocol

from edgeproxy.errors import FirstByteTimeout
from edgeproxy.upstream.budget import RetryBudget
from edgeproxy.upstream.concurrency import Limiter
from edgeproxy.upstream.connection import Connection
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.ports import OriginRequest, ResponseSink
from edgeproxy.upstream.race import Races
from edgeproxy.upstream.recorder import Recorder
from edgeproxy.upstream.roster import Roster
from edgeproxy.upstream.settings import UpstreamSettings
from edgeproxy.upstream.supply import Supply, Tries

LEAST_LEFT = 0.1
"""The share of the time for all tries with less of which none is begun."""


class Sender(Protocol):
    """The upstream itself."""

    name: str
    settings: UpstreamSettings

    def now(self) -> float:
        """Monotonic seconds."""

    async def acquire(self, request: OriginRequest, tries: Tries) -> Connection: ...
    def begin(
        self, connection: Connection, request: OriginRequest, sink: ResponseSink, now: float
    ) -> OriginExchange: ...


def watches(settings: UpstreamSettings) -> bool:
    """Whether a request needs more than to be sent and waited for."""
    retries = settings.retries
    bounded = retries.per_try is not None or retries.total is not None
    return bool(retries.status) or bounded or settings.hedge is not None or settings.concurrency is not None


class UpstreamCourse:
    """Retries within attempts, time and budget, second copies, and limits of origins (`race.Course`).

    `bad` are the answers that count as failures of their origin.
    """

    def __init__(
        self,
        sender: Sender,
        roster: Roster,
        supply: Supply,
        budget: RetryBudget,
        recorder: Recorder,
        bad: frozenset[int],
    ) -> None:
        settings = sender.settings
        self.acquire = sender.acquire
        self.begin = sender.begin
        self.give_back = supply.give_back
        self._now = sender.now
        self._name = sender.name
        self._retries = settings.retries
        self._roster = roster
        self._budget = budget
        self._recorder = recorder
        self._races = Races(settings, self, bad | settings.retries.status, sender.now)
        self.run = self._races.run
        self.close = self._races.close
        self._limited = settings.concurrency is not None
        if settings.concurrency is not None:
            for origin in roster.origins:
                origin.limiter = Limiter(settings.concurrency)

    def __repr__(self) -> str:
        return f"<UpstreamCourse {self._races!r} {self._budget!r}>"

    def start(self) -> None:
        """Tell the limits that the origins begin with."""
        for origin in self._roster.origins:
            self._tell_limit(origin)

    @property
    def delay(self) -> float | None:
        """Seconds after which a second copy of a GET goes out now; None: none does."""
        return self._races.usual

    # --- more tries

    def once_more(self, origin: Origin, tries: Tries) -> bool:
        """Whether another origin than that, and than those tried, may be asked; it is counted."""
        if origin not in tries.tried:
            tries.tried.append(origin)
        total = self._retries.total
        late = total is not None and tries.deadline - self._now() < total * LEAST_LEFT
        if tries.left <= 0 or late or not self._elsewhere(tries.tried):
            return False
        taken = self._budget.take()
        self._recorder.retried(self._name, taken)
        tries.left -= taken
        return taken

    def second(self, origin: Origin) -> bool:
        """Whether a second copy may go to another origin than that; it is counted."""
        return self._elsewhere([origin]) and self._budget.take()

    def _elsewhere(self, tried: list[Origin]) -> bool:
        """Whether there is an origin besides these, and it bears one more request."""
        full = [origin for origin in self._roster.origins if origin.full] if self._limited else []
        return self._roster.elsewhere([*tried, *full])

    # --- what became of them

    def hedged(self, *, won: bool) -> None:
        """A second copy was sent, and was answered first or not."""
        self._recorder.hedged(self._name, won)

    def outrun(self, exchange: OriginExchange) -> None:
        """Another origin, asked later, answered before this one did."""
        now = self._now()
        self._roster.outrun(exchange.connection.endpoint, now, exchange.started)
        if self._races.latencies is not None:  # at least so long: what is usual must not shrink by hedging
            self._races.latencies.add(now - exchange.started)

    def cut_short(self, exchange: OriginExchange) -> None:
        """The time for all tries was over; the origin is not to blame."""
        spent = self._now() - exchange.started
        self._recorder.origin_request(self._name, exchange.origin.key, FirstByteTimeout.proxy_error, spent)

    def learn(self, exchange: OriginExchange) -> None:
        """From the time that a good answer took; a request's body takes its own time."""
        if exchange.request.body is not None:
            return
        now, origin = self._now(), exchange.origin
        spent = now - exchange.started
        if self._races.latencies is not None:
            self._races.latencies.add(spent)
        limiter = origin.limiter
        if limiter is not None and limiter.answered(spent, origin.active, now):
            self._tell_limit(origin)

    def dropped(self, origin: Origin, started: float) -> None:
        """A request that began then was refused by that origin, or timed out there."""
        limiter = origin.limiter
        if limiter is not None and limiter.dropped(started, self._now()):
            self._tell_limit(origin)

    def _tell_limit(self, origin: Origin) -> None:
        if origin.limiter is not None:
            self._recorder.concurrency(self._name, origin.key, origin.limiter.limit)
