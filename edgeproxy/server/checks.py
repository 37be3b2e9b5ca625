"""The node's active health checks, through reloads.

Must not know what becomes of their results.
"""

import asyncio
import logging

from edgeproxy.config.model import Config
from edgeproxy.upstream.build import settings_of
from edgeproxy.upstream.health import HealthChecker, Report

_log = logging.getLogger("edgeproxy.supervisor")


class HealthChecks:
    """One checker for each upstream; a reload replaces those whose settings changed."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._config: Config | None = None
        self._checkers: dict[str, HealthChecker] = {}
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<HealthChecks {self._checkers!r}>"

    async def follow(self, config: Config) -> None:
        """Check what this configuration says from now on."""
        async with self._turn:
            old = self._config.upstreams if self._config is not None else {}
            self._config = config
            for name in [name for name in self._checkers if config.upstreams.get(name) != old.get(name)]:
                await self._checkers.pop(name).close()
            for name, settings in config.upstreams.items():
                if name in self._checkers or settings.health_check is None:
                    continue
                checker = HealthChecker([settings_of(name, settings)], self._report)
                try:
                    await checker.start()
                except ValueError as error:
                    _log.error("no health checks of upstream %s: %s", name, error)
                    await checker.close()
                    continue
                self._checkers[name] = checker

    async def close(self) -> None:
        """Check no more."""
        async with self._turn:
            for checker in self._checkers.values():
                await checker.close()
            self._checkers.clear()
