"""Knows how another configuration comes into force: read, prepared by all workers, then switched.

Must not know what the configuration says beyond what cannot change while running.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgeproxy.config.changes import diff, needs_restart
from edgeproxy.config.mistakes import ConfigError
from edgeproxy.config.model import Config
from edgeproxy.config.remote import Unreachable
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.control import ControlError
from edgeproxy.server.sources import Source

PREPARE_TIMEOUT = 10.0  # seconds; certificates are read, regular expressions compiled

_log = logging.getLogger("edgeproxy.supervisor")


class ReloadRefused(EdgeProxyError):
    """The old configuration stays in force; `mistakes` says why, one line each."""

    status = 422

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = list(mistakes)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload changed, and what changes only at the next start."""

    changed: list[str]
    needs_restart: list[str]


class Workers(Protocol):
    """What a reload asks of the crew."""

    async def ask(self, name: str, *args: Any, timeout: float) -> dict[int, Any]: ...


class Reloader:
    """Reads the configuration again from where it stands and brings it into force, one reload at a time."""

    def __init__(
        self,
        source: Source | None,
        workers: Workers,
        in_force: Callable[[], Config],
        take: Callable[[Config], None],
        counted: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._source = source
        self._workers = workers
        self._in_force = in_force
        self._take = take
        self._counted = counted
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Reloader {self._source}>"

    async def reload(self) -> Reloaded:
        """Reload, or raise ReloadRefused and leave everything as it was."""
        async with self._one_at_a_time:
            try:
                done = await self._reload()
            except ReloadRefused as refused:
                self._counted("refused")
                for mistake in refused.mistakes:
                    _log.error("%s", mistake)
                _log.error("the configuration was not reloaded, the old one stays in force")
                raise
        self._counted("applied")
        _log.info("reloaded: %s", ", ".join(done.changed) or "nothing changed")
        for key in done.needs_restart:
            _log.warning("%s changes only at the next start", key)
        return done

    async def _reload(self) -> Reloaded:
        if self._source is None:
            raise ReloadRefused(["started without a file (--origin): there is nothing to read again"])
        try:
            read = await self._source.read()
        except ConfigError as error:
            raise ReloadRefused([str(mistake) for mistake in error.mistakes]) from error
        except Unreachable as error:
            raise ReloadRefused([f"{self._source.name} {error}"]) from error
        old = self._in_force()
        new = keep_fixed(old, read)
        await self._prepare(new)
        answers = await self._workers.ask("switch", timeout=PREPARE_TIMEOUT)
        self._take(new)
        await self._source.accepted()
        for index, answer in answers.items():
            if isinstance(answer, ControlError):  # a worker that dies now starts anew with the new one
                _log.warning("worker %d did not switch: %s", index, answer)
        return Reloaded(diff(old, new), needs_restart(old, read))

    async def _prepare(self, config: Config) -> None:
        answers = await self._workers.ask("prepare", config.dump(), timeout=PREPARE_TIMEOUT)
        refused = [str(answer) for answer in answers.values() if isinstance(answer, ControlError)]
        if refused:
            raise ReloadRefused(sorted(set(refused)))


def keep_fixed(old: Config, new: Config) -> Config:
    """`new`, but where a restart is needed as `old`: listeners, workers, node, admin, access log, disk."""
    fixed: dict[str, Any] = {"workers": old.server.workers, "node": old.server.node}
    if [listener.address for listener in new.server.listen] != [
        listener.address for listener in old.server.listen
    ]:
        fixed["listen"] = old.server.listen
    return new.model_copy(
        update={
            "cache": new.cache.model_copy(update={"disk": old.cache.disk}),
            "server": new.server.model_copy(update=fixed),
            "admin": new.admin.model_copy(update={"listen": old.admin.listen}),
            "log": new.log.model_copy(update={"access": old.log.access}),
        }
    )
