"""Knows how the workers are kept serving: started, watched, replaced, drained.

Must not know what they serve.

A seat is a worker's place; its listening sockets and counters stay while processes come and
go. While a seat's process is dead, starting or silent, a sibling serves its sockets too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from edgeproxy.server.control import ChannelClosed, ControlError, Handler
from edgeproxy.server.hello import Hello
from edgeproxy.server.process import WORKER, StartFailed, WorkerProcess, describe, how_it_ended
from edgeproxy.telemetry.counters import Counters

_log = logging.getLogger("edgeproxy.supervisor")


@dataclass(frozen=True, slots=True)
class Timing:
    """When a worker counts as late or hung, and how fast one is replaced; seconds."""

    late: float = 2.0  # without a heartbeat: a sibling takes its new connections
    hung: float = 10.0  # it is killed and replaced
    watch: float = 0.25  # between two looks
    restart_least: float = 0.1
    restart_most: float = 5.0
    stable: float = 10.0  # alive for so long: the next restart is fast again
    grace: float = 1.0  # beyond the drain's own timeout


DEFAULT_TIMING = Timing()


async def _nothing(index: int, code: int) -> None:
    """The callback of those to whom an end means nothing."""


@dataclass(slots=True)
class Seat:
    """A worker's place, and who sits in it."""

    index: int
    counters: Counters
    process: WorkerProcess | None = None  # only once it serves
    late: bool = False
    restarts: int = 0
    adopters: set[int] = field(default_factory=set)
    keeper: "asyncio.Task[None] | None" = None

    @property
    def serving(self) -> bool:
        return self.process is not None and not self.late


class Crew:
    """All workers of the node.

    `hello(index)` gives what the next process of a seat is told, `fds(index)` what it inherits;
    `greeted(index)` is called each time one has come to serve,
    `ended(index, code)` when its process is gone, before another one is started.
    """

    def __init__(
        self,
        counters: Sequence[Counters],
        hello: Callable[[int], Hello],
        fds: Callable[[int], Sequence[int]],
        *,
        handlers: Mapping[str, Handler] | None = None,
        greeted: Callable[[int], None] = lambda index: None,
        ended: Callable[[int, int], Awaitable[None]] = _nothing,
        timing: Timing = DEFAULT_TIMING,
        command: Sequence[str] = WORKER,
    ) -> None:
        self.closed = False  # workers start without accepting, until `open_doors`
        self.seats = [Seat(index, each) for index, each in enumerate(counters)]
        self._hello = hello
        self._fds = fds
        self._handlers = handlers or {}
        self._greeted = greeted
        self._ended = ended
        self._timing = timing
        self._command = command
        self._stopping = False
        self._watcher: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Crew serving={[seat.index for seat in self.seats if seat.serving]} of {len(self.seats)}>"

    @property
    def serving(self) -> list[Seat]:
        """The seats that serve."""
        return [seat for seat in self.seats if seat.serving]

    # lifetime

    async def start(self) -> None:
        """Start all workers. Raises StartFailed with the first one's reason; none is left then.

        Cancelled, those that serve by then go on until `drain` or `kill`: they may have requests in flight.
        """
        first: list[asyncio.Future[None]] = []
        for seat in self.seats:
            served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            first.append(served)
            seat.keeper = asyncio.create_task(self._keep(seat, served))
        try:
            await asyncio.gather(*first)
        except asyncio.CancelledError:
            raise
        except BaseException:
            for future in first:
                future.cancel()
            await self.kill()
            raise
        self._watcher = asyncio.create_task(self._watch())

    async def drain(self, timeout: float, patience: float = 0.0) -> bool:
        """Let every worker finish what is in flight, at most for `timeout` seconds; whether all did.

        Idle clients may ask once more within the first `patience` seconds.
        """
        self._stop_keeping()
        done = await asyncio.gather(*(self._drain_one(seat, timeout, patience) for seat in self.seats))
        await self.kill()
        return all(done)

    async def kill(self) -> None:
        """End all workers now."""
        self._stop_keeping()
        tasks = [seat.keeper for seat in self.seats if seat.keeper is not None]
        if self._watcher is not None:
            tasks.append(self._watcher)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for seat in self.seats:
            if seat.process is not None:
                await seat.process.kill()
                seat.process = None

    def _stop_keeping(self) -> None:
        self._stopping = True
        for seat in self.seats:
            if seat.process is None and seat.keeper is not None:
                seat.keeper.cancel()

    async def _drain_one(self, seat: Seat, timeout: float, patience: float) -> bool:
        process = seat.process
        if process is None:
            return True
        grace = self._timing.grace
        try:
            with suppress(ChannelClosed):  # it may end before its answer is read
                await process.channel.call("drain", timeout, patience, timeout=timeout + grace)
            async with asyncio.timeout(grace):
                await process.ended()
        except (ControlError, TimeoutError) as error:
            _log.warning("worker %d did not finish in time and is ended: %s", seat.index, error)
            await process.kill()
            return False
        return True

    # asking workers

    async def ask(self, name: str, *args: Any, timeout: float) -> dict[int, Any]:
        """Ask every worker that serves; the answers by seat, ControlError where one fails."""
        seats = self.serving
        answers = await asyncio.gather(
            *(
                seat.process.channel.call(name, *args, timeout=timeout)
                for seat in seats
                if seat.process is not None
            ),
            return_exceptions=True,
        )
        out: dict[int, Any] = {}
        for seat, answer in zip(seats, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, ControlError):
                raise answer
            out[seat.index] = answer
        return out

    def tell(self, name: str, *args: Any) -> None:
        """Tell every worker that serves, or would if it were not late."""
        for seat in self.seats:
            if seat.process is not None:
                seat.process.channel.notify(name, *args)

    def open_doors(self) -> None:
        """Let workers that were started closed accept on their own sockets."""
        self.closed = False
        for seat in self.seats:
            self._note(seat.index, "adopt", seat.index)
        self._settle_sockets()

    def describe(self) -> list[dict[str, Any]]:
        """One entry a worker, for the admin API."""
        return [
            {
                "worker": seat.index,
                "pid": None if seat.process is None else seat.process.pid,
                "state": "serving" if seat.serving else "late" if seat.late else "starting",
                "restarts": seat.restarts,
                "answered": seat.counters.sum_of("edgeproxy_requests_total"),
                **({} if seat.process is None else describe(seat.process)),
            }
            for seat in self.seats
        ]

    # keeping a seat

    async def _keep(self, seat: Seat, served: "asyncio.Future[None]") -> None:
        delay = 0.0
        while not self._stopping:
            await asyncio.sleep(delay)
            began = time.monotonic()
            closed = self.closed
            try:
                process = await WorkerProcess.start(
                    self._hello(seat.index), self._fds(seat.index), self._handlers, self._command
                )
            except StartFailed as failed:
                if not served.done():
                    served.set_exception(StartFailed(f"worker {seat.index} could not start: {failed}"))
                    return
                delay = self._next_delay(delay)
                _log.error("worker %d could not start: %s; next try in %.1f s", seat.index, failed, delay)
                continue
            self._seated(seat, process)
            if closed and not self.closed:
                self._note(seat.index, "adopt", seat.index)
            if not served.done():
                served.set_result(None)
            code = await process.ended()
            seat.process = None
            seat.late = False
            seat.counters.reset_gauges()
            await self._ended(seat.index, code)
            if self._is_stopping():
                return
            lived = time.monotonic() - began
            delay = self._next_delay(0.0 if lived >= self._timing.stable else delay)
            seat.restarts += 1
            helped = self._settle_sockets()
            _log.error(
                "worker %d (pid %d) %s: a new one starts in %.1f s%s",
                seat.index, process.pid, how_it_ended(code), delay,
                f", its connections go to worker {helped[seat.index]}" if seat.index in helped else "",
            )  # fmt: skip

    def _is_stopping(self) -> bool:
        return self._stopping

    def _next_delay(self, last: float) -> float:
        return min(max(self._timing.restart_least, 2 * last), self._timing.restart_most)

    def _seated(self, seat: Seat, process: WorkerProcess) -> None:
        seat.process = process
        seat.late = False
        if seat.restarts:
            _log.info("worker %d serves again (pid %d)", seat.index, process.pid)
        self._settle_sockets()
        self._greeted(seat.index)

    def _settle_sockets(self) -> dict[int, int]:
        """Let siblings serve the sockets of those who cannot, and give them back; who helps whom."""
        helped: dict[int, int] = {}
        if self.closed:
            return helped
        serving = {seat.index: seat for seat in self.serving}
        for seat in self.seats:
            seat.adopters = {index for index in seat.adopters if self.seats[index].process is not None}
            if seat.index in serving:
                for index in seat.adopters:
                    self._note(index, "release", seat.index)
                seat.adopters = set()
            elif serving and not seat.adopters & serving.keys():
                helper = min(serving, key=lambda index: (self._load(index), index))
                self._note(helper, "adopt", seat.index)
                seat.adopters.add(helper)
                helped[seat.index] = helper
        return helped

    def _load(self, index: int) -> int:
        return sum(index in seat.adopters for seat in self.seats)

    def _note(self, index: int, name: str, owner: int) -> None:
        process = self.seats[index].process
        if process is not None:
            process.channel.notify(name, owner)

    # watching

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + self._timing.watch
            await asyncio.sleep(self._timing.watch)
            if time.monotonic() - due > self._timing.late / 2:
                # we were held up ourselves: the beats may be there, unread
                for seat in self.seats:
                    if seat.process is not None:
                        seat.process.last_beat = time.monotonic()
                continue
            for seat in self.seats:
                await self._look_at(seat)

    async def _look_at(self, seat: Seat) -> None:
        process = seat.process
        if process is None:
            return
        silent = process.silent_for
        if silent > self._timing.hung:
            _log.error("worker %d (pid %d) hangs since %.1f s: killed", seat.index, process.pid, silent)
            await process.kill()
        elif silent > self._timing.late and not seat.late:
            seat.late = True
            helped = self._settle_sockets()
            _log.warning(
                "worker %d (pid %d) gives no sign of life since %.1f s: %s",
                seat.index, process.pid, silent,
                f"worker {helped[seat.index]} takes its new connections"
                if seat.index in helped
                else "its connections wait, there is no other worker",
            )  # fmt: skip
        elif silent <= self._timing.late and seat.late:
            seat.late = False
            self._settle_sockets()
            _log.info("worker %d (pid %d) is back", seat.index, process.pid)
