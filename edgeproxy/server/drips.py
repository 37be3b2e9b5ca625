"""Knows how a large soft purge is spread over time: URL by URL, those that are asked for most at the end.

Must not know HTTP, nor how rules reach other nodes.

A drip begins with a mark. From then on the URLs that its rules name in this node's memory are made
stale at the rate asked for, on every node; at the end the rules themselves are given, for whatever
else they name, here, elsewhere and in Redis. All of it counts as of the mark, so that what was fetched
or validated meanwhile is not made stale once more.
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeproxy.config.units import format_rate
from edgeproxy.errors import BadRequest
from edgeproxy.fleet.purge_log import PENDING, PurgeLog
from edgeproxy.fleet.rules import PurgeKind, PurgeRule, dump_rules
from edgeproxy.server.crew import Crew

MAX_DRIPS = 4  # at a time
MAX_URLS = 100_000  # of one; those that are asked for least wait for the end, beyond
STEP = 0.25  # seconds between two portions, at the least
TELL = 10.0  # seconds between two lines of the log
LIST_TIMEOUT = 20.0
ROUNDS = (0.25, 0.5, 1.0, 2.0)  # seconds for which it is watched what is asked for

_log = logging.getLogger("edgeproxy.supervisor")


@dataclass(slots=True, eq=False)
class Drip:
    """One under way: `urls` from the most popular to the least, taken from the end."""

    id: str
    rules: tuple[PurgeRule, ...]
    urls: list[bytes]
    rate: float
    total: int


class Drips:
    """The paced purges that were given to this node; `progress` is told how many URLs are left."""

    def __init__(
        self, log: Callable[[], PurgeLog], crew: Crew, progress: Callable[[int], None] = lambda left: None
    ) -> None:
        self._log = log
        self._crew = crew
        self._progress = progress
        self._drips: dict[Drip, asyncio.Task[None]] = {}
        self._beginning = 0

    def __repr__(self) -> str:
        return f"<Drips {len(self._drips)} remaining={self.remaining}>"

    @property
    def remaining(self) -> int:
        """URLs that are still to be made stale."""
        return sum(len(drip.urls) for drip in self._drips)

    async def begin(self, rules: Sequence[PurgeRule], rate: float) -> dict[str, Any]:
        """Begin one, `rate` URLs a second; the answer of the admin API. Raises BadRequest: too many."""
        if len(self._drips) + self._beginning >= MAX_DRIPS:
            raise BadRequest(f"{MAX_DRIPS} paced purges are under way; wait for one to end", 429)
        self._beginning += 1
        try:
            mark = self._log().mark()
            urls = await self._urls(rules)
        finally:
            self._beginning -= 1
        drip = Drip(mark, tuple(rules), urls, rate, len(urls))
        task = asyncio.get_running_loop().create_task(self._run(drip))
        self._drips[drip] = task
        task.add_done_callback(lambda _: self._over(drip))
        self._progress(self.remaining)
        seconds = len(urls) / rate
        _log.info("soft purge %s: %d URLs at %s, %.0f s", drip.id, len(urls), format_rate(rate), seconds)
        nodes = [each["node"] for each in await self._log().nodes()]
        return {
            "id": drip.id,
            "removed": None,
            "nodes": dict.fromkeys(nodes, PENDING),
            "receipts": {},
            "drip": {"urls": drip.total, "rate": format_rate(rate), "seconds": round(seconds, 3)},
        }

    async def close(self) -> None:
        """Give at once what is left: what was to become stale does so before this node ends."""
        left = list(self._drips)
        tasks = list(self._drips.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for drip in left:
            _log.warning("soft purge %s: %d URLs were left, they go at once now", drip.id, len(drip.urls))
            await self._finish(drip)

    async def _urls(self, rules: Sequence[PurgeRule], rounds: Sequence[float] = ()) -> list[bytes]:
        """What the rules name in memory here, the most popular first, as many as there may be."""
        dumped = dump_rules(rules)
        answers = await self._crew.ask("popularity", dumped, MAX_URLS, rounds, timeout=LIST_TIMEOUT)
        popularity: dict[bytes, float] = {}
        for answer in answers.values():
            if isinstance(answer, dict):
                for url, hits in answer.items():
                    popularity[url] = popularity.get(url, 0) + hits
        return await asyncio.to_thread(heapq.nlargest, MAX_URLS, popularity, popularity.__getitem__)

    async def _run(self, drip: Drip) -> None:
        drip.urls = await self._urls(drip.rules, ROUNDS) or drip.urls
        pause = max(STEP, 1 / drip.rate)
        due = told = time.monotonic()
        given = 0.0
        while drip.urls:
            given += drip.rate * pause
            portion = [drip.urls.pop() for _ in range(min(len(drip.urls), int(given)))]
            given -= int(given)
            await self._log().purge(
                [PurgeRule(PurgeKind.URL, url, True) for url in portion], 0.0, since=drip.id
            )
            self._progress(self.remaining)
            now = time.monotonic()
            if now - told >= TELL:
                told = now
                _log.info("soft purge %s: %d of %d URLs are left", drip.id, len(drip.urls), drip.total)
            due += pause
            await asyncio.sleep(max(0.0, due - now))
        await self._finish(drip)
        _log.info("soft purge %s: all are stale", drip.id)

    async def _finish(self, drip: Drip) -> None:
        await self._log().purge(drip.rules, 0.0, since=drip.id)

    def _over(self, drip: Drip) -> None:
        self._drips.pop(drip, None)
        self._progress(self.remaining)
