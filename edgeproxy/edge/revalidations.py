"""Fetches in the background that no client waits for.

Must not know what is fetched, or why.
"""

import asyncio
import logging

from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import Fill
from edgeproxy.errors import EdgeProxyError
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.upstream.upstream import Upstream

_log = logging.getLogger("edgeproxy.edge")


class Revalidations:
    """Fetches in the background that no client waits for; at most `most` at once, the rest is skipped."""

    def __init__(self, most: int = 256) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._most = most
        self.skipped = 0

    def __repr__(self) -> str:
        return f"<Revalidations {len(self._tasks)} skipped={self.skipped}>"

    def __len__(self) -> int:
        return len(self._tasks)

    def skips(self) -> bool:
        """Whether there is no room for one more, which is then counted as skipped."""
        full = len(self._tasks) >= self._most
        self.skipped += full
        return full

    def start(self, fetcher: Fetcher, fill: Fill, upstream: Upstream, request: OriginRequest) -> None:
        """Run a fill that nobody waits for."""
        task = asyncio.ensure_future(self._run(fetcher, fill, upstream, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _run(fetcher: Fetcher, fill: Fill, upstream: Upstream, request: OriginRequest) -> None:
        try:
            await fetcher.run(fill, upstream, request)
            fill.settle()
        except EdgeProxyError as error:
            _log.debug("background validation of %s failed: %s", fill.job.key.decode("latin-1"), error)

    async def close(self, timeout: float) -> None:
        """Let them finish for so many seconds, then cancel."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
