"""Knows what a purge would take, and what it would cost the origins: a dry run.

Must not know how anything is purged.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from edgeproxy.config.model import Config
from edgeproxy.fleet.rules import PurgeRule, dump_rules
from edgeproxy.fleet.sample import Sample
from edgeproxy.server.control import ControlError
from edgeproxy.server.crew import Crew

WEIGH_TIMEOUT = 20.0  # seconds
MAX_ASKED_REDIS = 1000  # cache keys of one dry run that Redis is asked about

HOW = (
    "origin_seconds: what the origins took for these responses when they sent them, added up; "
    "seconds: the longer of responses / requests_per_second (each is fetched when it is next asked for, and "
    "this node answered so many requests a second over the last minute) and origin_seconds / "
    "origin_connections (as many fetches at a time as the configuration allows)"
)


class Forecast:
    """Counts in every worker's memory; each response once, however many workers have it."""

    def __init__(
        self, node: str, crew: Crew, config: Callable[[], Config], rate: Callable[[], float]
    ) -> None:
        self._node = node
        self._crew = crew
        self._config = config
        self._rate = rate
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Forecast {self._node}>"

    async def of(self, rules: Sequence[PurgeRule], keys: Sequence[bytes]) -> dict[str, Any]:
        """What these rules would take, as the admin API answers it; `keys` if they are all URLs.

        Raises ControlError where no worker answers.
        """
        async with self._turn:
            asked = list(keys) if len(keys) <= MAX_ASKED_REDIS else []
            answers = await self._crew.ask("weigh", dump_rules(rules), asked, timeout=WEIGH_TIMEOUT)
        whole = Sample()
        silent = any(seat.late or seat.process is None for seat in self._crew.seats)
        for answer in answers.values():
            if isinstance(answer, ControlError):
                silent = True
                continue
            whole.merge(Sample.load(answer))
            await asyncio.sleep(0)
        if not answers or all(isinstance(answer, ControlError) for answer in answers.values()):
            raise ControlError("no worker could count; ask again")
        return {
            "dry_run": True,
            "node": self._node,
            "responses": whole.count,
            "bytes": whole.size,
            "exact": whole.exact and not silent,
            "refill": self._refill(whole),
        }

    def _refill(self, whole: Sample) -> dict[str, Any]:
        rate = self._rate()
        upstreams = self._config().upstreams.values()
        connections = sum(each.max_connections * len(each.origins) for each in upstreams)
        seconds: float | None = 0.0
        if whole.count:
            work = whole.seconds / connections if connections else 0.0
            seconds = round(max(whole.count / rate, work), 3) if rate > 0 else None
        return {
            "seconds": seconds,
            "origin_seconds": round(whole.seconds, 3),
            "requests_per_second": round(rate, 3),
            "origin_connections": connections,
            "how": HOW,
        }
