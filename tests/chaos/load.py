"""A steady load over connections that are kept, and what came of each request.

Must not know what is done to the proxy meanwhile. No client asks twice: every failure counts.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.answers import Answer, Ask, Cut, Unframed, read_answer, wrong_age, wrong_bytes
from tests.chaos.content import etag_of

HOST = "shop.example"
KEPT, FRESH_EACH = 10, 2
PAUSE = 0.008  # seconds between the requests of one client
TIMEOUT = 15.0  # seconds that a client waits for an answer; longer than any of the proxy's
CACHED, LASTING, UNCACHED, NEGLECTED = 120, 40, 60, 30  # URLs of each kind


@dataclass(slots=True)
class Count:
    """What came of the requests that ended since it was made."""

    sent: int = 0
    stale: int = 0
    relayed: int = 0  # 5xx that an origin answered
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ages: list[str] = field(default_factory=list)
    slowest: float = 0.0
    last_failure: float = 0.0

    @property
    def failures(self) -> int:
        return self.failed.total()


def _zipf(name: str, count: int) -> tuple[list[str], list[float]]:
    weights = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))
    return [f"/{name}/{number}" for number in range(count)], weights


class Mix:
    """What is asked for: Zipf over the URLs of each kind."""

    def __init__(self, seed: int, kinds: Sequence[str] = ("c", "c", "c", "k", "u")) -> None:
        self._random = random.Random(seed)
        self.kinds = kinds
        self._wide = 0
        counts = {"c": CACHED, "k": LASTING, "u": UNCACHED, "n": NEGLECTED}
        self._urls = {name: _zipf(name, count) for name, count in counts.items()}

    def next(self) -> Ask:
        draw = self._random
        kind = draw.choice(self.kinds)
        if kind == "w":
            self._wide += 1
            return Ask(f"/k/wide/{draw.randrange(1 << 30)}/{self._wide}")
        paths, weights = self._urls[kind]
        path = draw.choices(paths, cum_weights=weights)[0]
        match draw.randrange(10):
            case 0:
                return Ask(path, "HEAD")
            case 1:
                return Ask(path, fields=(("If-None-Match", etag_of(path)),))
            case 2:
                return Ask(
                    path, fields=(("Range", f"bytes={draw.randrange(60)}-{draw.randrange(60, 20000)}"),)
                )
        return Ask(path)


class Load:
    """Clients in tasks of this loop, from `start` to `stop`."""

    def __init__(self, port: int, mix: Mix) -> None:
        self.port = port
        self.mix = mix
        self.count = Count()
        self.whole = 0  # requests that did not fail, in all
        self.ended = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._moved = asyncio.Event()

    @property
    def clients(self) -> int:
        return KEPT + FRESH_EACH

    def start(self) -> None:
        for number in range(self.clients):
            self._tasks.append(asyncio.create_task(self._client(number < KEPT), name=f"client {number}"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def fresh_count(self) -> Count:
        """Count anew from now on; gives the new one."""
        self.count = Count()
        return self.count

    async def requests(self, number: int) -> None:
        """Wait until so many more have ended, whatever came of them."""
        goal = self.ended + number
        while self.ended < goal:
            self._moved.clear()
            await self._moved.wait()

    async def quiet(self, seconds: float, requests: int) -> None:
        """Wait for a time, and so many requests, without one failure."""
        since, whole = time.monotonic(), self.whole
        failures = self.count.failures
        while time.monotonic() - since < seconds or self.whole - whole < requests:
            self._moved.clear()
            await self._moved.wait()
            if self.count.failures != failures:
                since, whole, failures = time.monotonic(), self.whole, self.count.failures

    async def visit(self) -> None:
        """Have each URL of the kind `n` stored by all workers, by asking on several connections."""
        for number in range(NEGLECTED):
            for _ in range(4):
                ask = Ask(f"/n/{number}", fields=(("Connection", "close"),))
                reader, writer = await self._connect()
                writer.write(ask.head(HOST))
                await read_answer(reader, ask)
                writer.close()

    # --- a client

    async def _client(self, keeps: bool) -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        try:
            while True:
                ask, began = self.mix.next(), time.monotonic()
                try:
                    async with asyncio.timeout(TIMEOUT):
                        if writer is None or reader is None or reader.at_eof() or writer.is_closing():
                            if writer is not None:
                                writer.close()
                            reader, writer = await self._connect()
                        writer.write(ask.head(HOST))
                        answer = await read_answer(reader, ask)
                except (OSError, Cut, Unframed) as error:
                    self._failed(_kind(error))
                    kept = False
                else:
                    self._answered(ask, answer, began)
                    kept = keeps and not answer.closes
                self._done(began)
                if not kept and writer is not None:
                    writer.close()
                    writer = None
                await asyncio.sleep(PAUSE)
        finally:
            if writer is not None:
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 17)

    def _answered(self, ask: Ask, answer: Answer, began: float) -> None:
        count = self.count
        if answer.made_here:
            self._failed(f"{answer.status} made here")
            return
        self.whole += 1
        count.relayed += answer.status >= 500
        count.stale += answer.stale
        if 400 <= answer.status < 500:
            self._failed(f"{answer.status} of a good request")
        if why := wrong_bytes(ask, answer):
            count.wrong.append(
                f"{ask.method} {ask.path} {ask.fields}: {answer.status}, {why}; {answer.fields}"
            )
        if why := wrong_age(ask, answer, began):
            count.ages.append(f"{ask.path}: {why}; {answer.fields}")

    def _failed(self, kind: str) -> None:
        self.count.failed[kind] += 1
        self.count.last_failure = time.monotonic()

    def _done(self, began: float) -> None:
        self.ended += 1
        self.count.sent += 1
        self.count.slowest = max(self.count.slowest, time.monotonic() - began)
        self._moved.set()


def _kind(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "refused"
        case Cut():
            return f"cut {error}"
        case ConnectionError():
            return "reset"
        case Unframed():
            return f"no HTTP: {error}"
    return f"{type(error).__name__}: {error}"
