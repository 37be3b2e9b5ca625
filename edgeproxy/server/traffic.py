"""Knows how many requests a second the node answers, over the last minute.

Must not know what was answered, nor who asks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from edgeproxy.telemetry.counters import Counters

EVERY = 5.0  # seconds
WINDOW = 12  # looks


class Traffic:
    """Looks at the workers' counts now and then."""

    def __init__(self, counters: Iterable[Counters]) -> None:
        self._counters = tuple(counters)
        self._looks: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)

    def __repr__(self) -> str:
        return f"<Traffic {self.rate():.1f}/s>"

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            self._looks.append(self._look())
            await asyncio.sleep(EVERY)

    def rate(self) -> float:
        """Requests a second; 0 before there was anything to compare."""
        now, total = self._look()
        if not self._looks:
            return 0.0
        then, before = self._looks[0]
        return (total - before) / (now - then) if now > then else 0.0

    def _look(self) -> tuple[float, int]:
        total = sum(
            each.ints[series.ints]
            for each in self._counters
            for series in each.series()
            if series.metric == "edgeproxy_requests_total"
        )
        return time.monotonic(), total
