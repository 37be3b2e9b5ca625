"""Knows whom this node's purges are told: its table, its log, and in a takeover the process beside this one.

Must not know HTTP, nor what an operator asked for (`purging`).

In a takeover both processes have one table in common, so that a rule that either applies holds in both at
once. Only where the new configuration keeps its tier elsewhere are there two; then each tells the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from edgeproxy.caching.stored import Stamp
from edgeproxy.config.model import Config
from edgeproxy.edge.routing import Router
from edgeproxy.fleet.cards import NodeCard
from edgeproxy.fleet.fleet_log import FleetPurgeLog
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.purge_log import PENDING, UNKNOWN_NODES, LocalPurgeLog, PurgeLog
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.fleet.redis_advice import advise
from edgeproxy.fleet.redis_log import RedisLog
from edgeproxy.fleet.rules import PurgeKind, PurgeRule, dump_rules, rules_from, without_scheme
from edgeproxy.server.purging import rules_of_event
from edgeproxy.server.takeover import Forward

CAUGHT_UP = 2.0  # seconds for the log to be read before the node's state is told

Free = Callable[[Sequence[PurgeRule]], Awaitable[int | None]]


class NodePurges:
    """The purges of one node; `counted` is told of each rule, `free` frees what rules name in memory."""

    def __init__(
        self,
        name: str,
        table: PurgeTable,
        card: NodeCard,
        config: Config,
        *,
        counted: Callable[[PurgeKind], None],
        router: Callable[[], Router],
        free: Free,
    ) -> None:
        self.table = table
        self._name = name
        self._card = card
        self._config = config
        self._counted = counted
        self._router = router
        self._free = free
        self._tasks: set[asyncio.Task[None]] = set()
        # the process beside this one
        self._beside: Forward | None = None
        self._follows = True  # the fleet's log is this process's to follow
        self.log = self._make()

    def __repr__(self) -> str:
        return f"<NodePurges {self.log!r}>"

    # --- life

    async def start(self) -> None:
        """Begin to follow the fleet."""
        await self.log.start()
        if self._config.cache.redis is not None:
            task = asyncio.get_running_loop().create_task(advise(self._config.cache.redis.url))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.log.close()

    async def take(self, config: Config) -> None:
        """Let another configuration be in force: its fleet's log is followed."""
        before, self._config = self._config, config
        if before.cache.redis == config.cache.redis or not self._follows:
            return
        old, new = self.log, self._make()
        self.log = new
        await old.close()
        if new is self.log:
            await self.start()

    def _make(self) -> PurgeLog:
        settings = self._config.cache.redis
        if settings is None or not self._follows:
            return LocalPurgeLog(self._name, self.table, self._counted, self._card)
        disk = self._config.cache.disk
        return FleetPurgeLog(
            self._name,
            self.table,
            RedisLog(settings.url, settings.key_prefix, self._name),
            self._counted,
            card=self._card,
            journal=None if disk is None else PurgeJournal(Path(disk.path) / "purges.unsent"),
            rules_of=lambda event: rules_of_event(event, self._router()),
            count=self._free,
        )

    # --- the process beside this one

    def beside(self, tell: Forward | None, *, common: bool) -> None:
        """Purges are told to the process beside this one too; `common`: the table is its own as well."""
        self._beside = None if common and self._config.cache.redis is None else tell

    async def succeed(self) -> None:
        """Follow the log in place of the old process."""
        self.log = self._make()  # from where that one stands now
        await self.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CAUGHT_UP
        while self.log.not_ready() is not None and loop.time() < deadline:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)

    async def hand_over(self, tell: Forward, *, common: bool) -> None:
        """Let the new process follow the log from now on; what the fleet was not told yet, it tells."""
        self.beside(tell, common=common)
        if self._config.cache.redis is None:
            return
        old, self._follows = self.log, False
        self.log = self._make()
        await old.close(leave=False)
        left = old.unsent()
        if left:
            await tell(dump_rules(left))

    async def resume(self) -> None:
        """Follow it again: the new process came to nothing."""
        self._beside = None
        if not self._follows:
            self._follows = True
            self.log = self._make()
            await self.log.start()

    async def mirror(self, rules: list[list[Any]]) -> None:
        """Apply what the process beside this one purges, and let the fleet know where this one follows it."""
        await self.log.purge(rules_from(rules), 0.0)

    # --- purges

    async def told(self, rules: Sequence[PurgeRule]) -> dict[str, str]:
        """Tell them to the process beside this one; what is open then, by node, for a purge's answer."""
        if self._beside is None:
            return {}
        held = await self._beside(dump_rules(rules))
        fleet = {} if self._config.cache.redis is None else {UNKNOWN_NODES: PENDING}
        return fleet if held else {self._name: PENDING, **fleet}

    async def invalidate(
        self, keys: list[bytes], tags: list[bytes], answer: list[Any] | None
    ) -> tuple[Any, ...] | None:
        """Purge what an unsafe request made void (RFC 9111 §4.4); holds in every worker on return.

        `answer` is the request's own (key, tags, stamp): the stamp with which it outlives these rules and no
        other is returned, None where another purge named it before.
        """
        rules = [PurgeRule(PurgeKind.URL, without_scheme(key)) for key in keys]
        rules += [PurgeRule(PurgeKind.TAG, tag) for tag in tags]
        await self.told(rules)
        table = self.table
        before = table.stamp()
        outlives = (
            answer is not None
            and table.verdict(answer[0], tuple(answer[1]), Stamp(*answer[2])) is Verdict.LIVE
        )
        await self.log.purge(rules, 0.0)  # applies them before it waits for anything
        if not outlives or (table.shared and table.order != before.local + len(rules)):
            return None
        return before.log, before.position, before.run, before.local + len(rules)
