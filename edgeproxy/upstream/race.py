"""One try of a request that is watched: its time, answers to be tried again, and a second copy of it.

Must not choose origins or judge them, nor know when a failed try is followed by another: `Course` does.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from edgeproxy.errors import BadRequest, FirstByteTimeout, UpstreamError
from edgeproxy.upstream.connection import Connection
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.latencies import Latencies
from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.ports import OriginRequest, ResponseSink
from edgeproxy.upstream.retry import IDEMPOTENT
from edgeproxy.upstream.settings import UpstreamSettings
from edgeproxy.upstream.supply import Tries
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

LOOK_AGAIN = 0.02
"""Seconds after which a try that is overdue, yet has something in its socket, is looked at once more."""


class Course(Protocol):
    """What a race asks of its upstream."""

    async def acquire(self, request: OriginRequest, tries: Tries) -> Connection: ...
    def begin(
        self, connection: Connection, request: OriginRequest, sink: ResponseSink, now: float
    ) -> OriginExchange: ...
    def give_back(self, connection: Connection) -> None:
        """It is not used after all."""

    def once_more(self, origin: Origin, tries: Tries) -> bool:
        """Whether an answer of that origin may be followed by another try; it is counted."""

    def second(self, origin: Origin) -> bool:
        """Whether a second copy may go elsewhere than to that origin; it is counted."""

    def hedged(self, *, won: bool) -> None:
        """A second copy was sent, and was answered first or not."""

    def outrun(self, exchange: OriginExchange) -> None:
        """Another origin, asked later, answered before this one did."""

    def cut_short(self, exchange: OriginExchange) -> None:
        """The time for all tries was over; the origin is not to blame."""


class Races:
    """The watched requests of one upstream."""

    __slots__ = ("_tasks", "clock", "course", "latencies", "refused", "settings")

    def __init__(
        self,
        settings: UpstreamSettings,
        course: Course,
        refused: frozenset[int],
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.course = course
        self.refused = refused
        self.clock = clock
        hedge = settings.hedge
        by_percentile = hedge is not None and hedge.after is None
        self.latencies = Latencies(hedge.percentile) if hedge is not None and by_percentile else None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Races {self.latencies!r}>"

    async def run(
        self, connection: Connection, request: OriginRequest, sink: ResponseSink, tries: Tries
    ) -> OriginExchange | None:
        """Send it; the exchange whose head went to `sink`, or None where another try is to follow.

        Raises as `OriginExchange.answered`, with the exchange that failed in `tries`.
        """
        return await _Race(self, request, sink, tries).run(connection)

    def own(self, race: "_Race") -> asyncio.Task[None]:
        """Begin a second copy; the race cancels it, or `close`."""
        task = asyncio.create_task(race.hedge(), name=f"hedge {self.settings.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def delay(self, request: OriginRequest, tries: Tries) -> float | None:
        """Seconds after which a second copy is sent; None: never."""
        if tries.hedged or request.method != b"GET" or request.body is not None:
            return None
        if request.upgrade is not None or request.prefer is not None:
            return None
        return self.usual

    @property
    def usual(self) -> float | None:
        """Seconds within which a head is usually there; None where nobody knows or asks."""
        hedge = self.settings.hedge
        if hedge is None or self.latencies is None:
            return None if hedge is None else hedge.after
        return self.latencies.usual

    async def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Leg:
    """One copy of the request: the sink of its exchange until a head wins."""

    __slots__ = ("exchange", "open", "race", "timer", "tries")

    def __init__(self, race: "_Race", tries: Tries) -> None:
        self.race = race
        self.tries = tries
        self.exchange: OriginExchange | None = None
        self.open = True
        self.timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """No more is expected of it."""
        self.open = False
        if self.timer is not None:
            self.timer.cancel()

    def done(self, answered: "asyncio.Future[None]") -> None:
        if not answered.cancelled():
            error = answered.exception()
            if error is not None:
                self.race.failed(self, error)

    # --- ResponseSink

    def on_interim(self, head: ResponseHead) -> None:
        if len(self.race.legs) == 1:
            self.race.sink.on_interim(head)

    def on_head(self, head: ResponseHead, origin: Origin) -> None:
        self.race.head(self, head, origin)

    def on_data(self, data: bytes) -> None:
        return

    def on_end(self, trailers: Fields | None) -> None:
        return

    def on_error(self, error: UpstreamError) -> None:
        return


class _Race:
    def __init__(self, races: Races, request: OriginRequest, sink: ResponseSink, tries: Tries) -> None:
        self.sink = sink
        self.legs: list[_Leg] = []
        self._races = races
        self._request = request
        self._tries = tries
        self._loop = asyncio.get_running_loop()
        self._settled: asyncio.Future[OriginExchange | None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._winner: _Leg | None = None
        self._over = False

    async def run(self, connection: Connection) -> OriginExchange | None:
        try:
            self._add(connection, self._tries)
            delay = self._races.delay(self._request, self._tries)
            if delay is not None:
                self._timer = self._loop.call_later(delay, self._second)
            return await self._settled
        finally:
            self._end()

    def _add(self, connection: Connection, tries: Tries) -> None:
        races = self._races
        leg = _Leg(self, tries)
        exchange = leg.exchange = races.course.begin(connection, self._request, leg, races.clock())
        self.legs.append(leg)
        if tries.until < math.inf:
            left = max(tries.until - races.clock(), 0.0)
            leg.timer = self._loop.call_later(left, self._overdue, leg)
        exchange.answered.add_done_callback(leg.done)

    # --- a second copy

    def _second(self) -> None:
        (first,) = self.legs
        assert first.exchange is not None
        if not self._settled.done() and self._races.course.second(first.exchange.origin):
            self._tries.hedged = True
            self._task = self._races.own(self)

    async def hedge(self) -> None:
        """Send the request to another origin too."""
        first, course = self.legs[0].exchange, self._races.course
        assert first is not None
        tries = Tries(0, tried=[first.origin], hedge=True, deadline=self._tries.deadline)
        try:
            connection = await course.acquire(self._request, tries)
        except UpstreamError:
            return
        if self._settled.done() or connection.endpoint.origin is first.origin:
            course.give_back(connection)
            return
        try:
            self._add(connection, tries)
        except BadRequest:  # its own Host cannot be written
            return

    # --- what the copies tell

    def head(self, leg: _Leg, head: ResponseHead, origin: Origin) -> None:
        """A final head has come: it wins, unless it is one to be tried again."""
        exchange = leg.exchange
        assert exchange is not None
        leg.close()
        if self._settled.done():
            self._loop.call_soon(exchange.abort)
            return
        if self._again(head.status, origin):
            # Nobody wants the rest: what is there already does no harm to the connection.
            self._loop.call_soon(exchange.abort)
            return
        self._winner = leg
        exchange.sink = self.sink
        exchange.connection.reader.hand_to(self.sink)
        self._settled.set_result(exchange)
        self._end()
        self.sink.on_head(head, origin)

    def _again(self, status: int, origin: Origin) -> bool:
        """Whether the answer with that status is let go, for another copy or another try."""
        request, races = self._request, self._races
        if status not in races.refused:
            return False
        if any(leg.open for leg in self.legs):
            self._tried(origin)
            return True
        if status not in races.settings.retries.status or request.method not in IDEMPOTENT:
            return False
        if request.body is not None and request.body.consumed:
            return False
        if not races.course.once_more(origin, self._tries):
            return False
        self._settled.set_result(None)
        return True

    def failed(self, leg: _Leg, error: BaseException) -> None:
        """A copy broke off before its head: the others go on."""
        exchange = leg.exchange
        assert exchange is not None
        leg.close()
        if self._settled.done():
            return
        if any(other.open for other in self.legs):
            self._tried(exchange.origin)
            return
        self._tries.exchange = exchange
        self._tries.endpoint = exchange.connection.endpoint
        self._settled.set_exception(error)

    def _tried(self, origin: Origin) -> None:
        if origin not in self._tries.tried:
            self._tries.tried.append(origin)

    # --- time and the end

    def _overdue(self, leg: _Leg) -> None:
        exchange, retries = leg.exchange, self._races.settings.retries
        assert exchange is not None
        if exchange.finished or not leg.open:
            return
        now = self._races.clock()
        error = FirstByteTimeout("no answer within the time for a try")
        if now >= leg.tries.deadline:
            error = FirstByteTimeout("no answer within the time for all tries")
            if retries.total is not None and now - exchange.started < retries.total / 2:
                self._races.course.cut_short(exchange)
                exchange.abort()
                self.failed(leg, error)
                return
        if not exchange.expire(error):
            leg.timer = self._loop.call_later(LOOK_AGAIN, self._overdue, leg)

    def _end(self) -> None:
        """Once it is settled, or nobody waits: the copies that did not win are given up."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        for leg in self.legs:
            exchange = leg.exchange
            assert exchange is not None
            if leg is self._winner:
                continue
            if leg.open:
                leg.close()
                if self._winner is not None and leg is self.legs[0]:
                    self._races.course.outrun(exchange)
                exchange.abort()
        if len(self.legs) > 1:
            self._races.course.hedged(won=self._winner is not None and self._winner is not self.legs[0])
