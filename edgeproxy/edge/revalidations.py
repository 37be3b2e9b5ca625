"""Fetches in the background that no client waits for, or none any more.

Must not know what is fetched, or why.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import CollapseKey, Fill
from edgeproxy.edge.leases import Leases
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

    def start(
        self,
        fetcher: Fetcher,
        asked: CollapseKey,
        begin: Callable[[], Fill],
        upstream: Upstream,
        request: OriginRequest,
    ) -> None:
        """Run a fill that nobody waits for, unless another worker or node is at it."""
        leases = fetcher.collapse.leases
        if leases is not None and not leases.take_to_refresh(asked):
            return
        if leases is None or leases.fleet is None:
            fill = begin()  # now: who comes next finds it
            self.left(self.own(fetcher.run(fill, upstream, request)), fill)
        else:
            self.own(self._once_granted(leases, fetcher, asked, begin, upstream, request))

    @staticmethod
    async def _once_granted(
        leases: Leases,
        fetcher: Fetcher,
        asked: CollapseKey,
        begin: Callable[[], Fill],
        upstream: Upstream,
        request: OriginRequest,
    ) -> None:
        if not await leases.granted(asked):
            return
        fill = begin()
        try:
            await fetcher.run(fill, upstream, request)
            fill.settle()
        except EdgeProxyError as error:
            _log.debug("background fetch of %s failed: %s", fill.job.key.decode("latin-1"), error)

    def own(self, running: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a fetch that outlives whoever waits for it; the caller takes what it raises, or says `left`."""
        task = asyncio.ensure_future(running)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def left(task: "asyncio.Task[None]", fill: Fill) -> None:
        """Nobody waits for that fetch any more."""

        def ended(task: "asyncio.Task[None]") -> None:
            if task.cancelled():
                return
            error = task.exception()
            if error is None:
                fill.settle()
            elif isinstance(error, EdgeProxyError):
                _log.debug("background fetch of %s failed: %s", fill.job.key.decode("latin-1"), error)
            else:
                _log.error("internal error in a background fetch", exc_info=error)

        task.add_done_callback(ended)

    async def close(self, timeout: float) -> None:
        """Let them finish for so many seconds, then cancel."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
