"""Two nodes, a Redis, an origin whose content changes; whatever happens to them in whatever order, and one
rule: what was purged is never served again by a node that said that it applied the purge.

Hypothesis chooses what happens (`--hypothesis-profile=explore`: for a thousand runs). An answer tells by
`X-Asked` when the origin last stood by it, as a number that only grows. Clocks of minutes are the test's.
"""

import asyncio
import logging
import shutil
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, event, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from edgeproxy.fleet import redis_log
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.chaos.fleet_nodes import MAX_PURGE_LAG, PATIENCE, ModelNode, TestClock, Versions
from tests.chaos.fleet_writer import Forks
from tests.integration.raw_origins import RawOrigin, until
from tests.raw_client import Answer
from tests.redis_server import RedisServer

TAGS = {"a.test/p/1": "red", "a.test/p/2": "red, blue", "a.test/q": "blue", "b.test/p/1": "red"}
URLS = sorted(TAGS)
NAMES = {
    **{f"url {url}": (PurgeKind.URL, url, {url}) for url in URLS},
    **{f"tag {tag}": (PurgeKind.TAG, tag, {u for u in URLS if tag in TAGS[u]}) for tag in ("red", "blue")},
    "prefix a.test/p/": (PurgeKind.PREFIX, "a.test/p/", {"a.test/p/1", "a.test/p/2"}),
    "host a.test": (PurgeKind.HOST, "a.test", {u for u in URLS if u.startswith("a.test")}),
    "everything": (PurgeKind.EVERYTHING, "", set(URLS)),
}

which = st.sampled_from([0, 1])
urls = st.sampled_from(URLS)
purges = st.sampled_from(sorted(NAMES))


@dataclass
class Purged:
    """A purge: what was asked for up to `asked` and is among `urls` is purged, as of `time` of the clock."""

    urls: set[str]
    soft: bool
    asked: int
    time: float
    told: bool = False  # the log had it: what only a cut-off node knows binds no other


class FleetModel(RuleBasedStateMachine):
    """What is known of two nodes from outside, and what may follow."""

    server: RedisServer
    folder: Path
    forks: Forks

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = TestClock()
        self.purges: list[Purged] = []
        self.applied: dict[int, list[Purged]] = defaultdict(list)
        self.alone: dict[int, Purged] = {}  # since a node started without Redis: it trusts nothing older
        self.unread: list[Purged] = []  # written by another service
        self.mark: tuple[int, str, int] | None = None
        self.clients: dict[asyncio.Task[None], int] = {}  # those under way, and whom they ask
        self.flushed = False
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(3 * PATIENCE):
                return await work

        return self.runner.run(bounded())

    async def _start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.redis = redis.Redis.from_url(self.server.url)
        self.redis.flushall()
        self.origin = Versions(TAGS)
        self.listener = RawOrigin(self.origin)
        await self.listener.start()
        self.nodes = [
            ModelNode(name, self.folder, self.server.port, self.listener.url, self.clock, self.forks)
            for name in "ab"
        ]
        for node in self.nodes:
            await node.relay.start()
            await node.start()
        await self._settle()

    def teardown(self) -> None:
        try:
            self.run(self._end())
        finally:
            self.runner.close()
            self.redis.close()

    async def _end(self) -> None:
        try:
            await self._let_go(len(self.origin.held))
            await self._settle()
            for at in (0, 1):
                for url in URLS:
                    await self._ask(at, url)
        finally:
            await self._leave(list(self.clients))
            for node in self.nodes:
                await node.end(killed=True)
                await node.relay.close()
            await self.listener.stop()

    # what clients see

    async def _ask(self, at: int, url: str, hold: bool = False) -> None:
        """One client; what it may not be given is known before it asks."""
        known, since = list(self.applied[at]), self.clock.now - MAX_PURGE_LAG
        known += [purge for purge in self.purges if purge.told and purge.time < since]
        known += [self.alone[at]] if at in self.alone else []
        answer = await self.nodes[at].get(url, hold=hold)
        assert answer.status == 200, answer
        self._judge(at, url, answer, known)

    def _judge(self, at: int, url: str, answer: Answer, known: list[Purged]) -> None:
        confirmed = int(answer.get("x-asked") or 0)
        body = int(answer.body.split()[1])
        event(f"answered: {answer.cache_status.split(b';')[1].decode()}")
        for purge in known:
            if url in purge.urls:
                assert confirmed > purge.asked, f"{at} serves {url} of before {purge}: {answer}"
                if not purge.soft and not self.flushed and purge in self.applied[at]:
                    assert body > purge.asked, f"{at} serves the content of before {purge}: {answer}"

    @rule(at=which, url=urls)
    def get(self, at: int, url: str) -> None:
        self.run(self._client(at, url, hold=False))

    @rule(at=which)
    def get_all(self, at: int) -> None:
        for url in URLS:
            self.run(self._client(at, url, hold=False))

    @rule(at=which, url=urls, soft=st.booleans(), changed=st.booleans())
    def get_slowly(self, at: int, url: str, soft: bool, changed: bool) -> None:
        """A fetch, or a validation, that lasts until it is let go."""
        if len(self.clients) < 4:
            self.run(self._purge(at, [f"url {url}"], soft, self.origin.asked))
            self.run(self._client(at, url, hold=True))
            self.origin.version[url] += changed

    async def _client(self, at: int, url: str, *, hold: bool) -> None:
        """Ask; where slow answers are under way it may be one of those that is waited for."""
        task = asyncio.create_task(self._ask(at, url, hold))
        slow = hold or self.clients or self.origin.held
        await asyncio.wait([task], timeout=0.03 if slow else 0.5)
        self.clients[task] = at
        self._finished()

    def _finished(self) -> None:
        for task in [task for task in self.clients if task.done()]:
            del self.clients[task]
            task.result()

    @rule(count=st.integers(1, 3), look=which)
    def answer_slowly(self, count: int, look: int) -> None:
        if self.clients:
            self.run(self._let_go(count))
            self.get_all(look)

    async def _let_go(self, count: int) -> None:
        whole = count >= len(self.origin.held)
        self.origin.let_go(count)
        await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE):
            while whole and self.clients:
                self.origin.let_go(len(self.origin.held))
                await asyncio.wait(self.clients, timeout=0.01)
                self._finished()
        self._finished()

    @rule()
    def client_leaves(self) -> None:
        if self.clients:
            self.run(self._leave([next(iter(self.clients))]))

    async def _leave(self, tasks: list["asyncio.Task[None]"]) -> None:
        for task in tasks:
            del self.clients[task]
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @rule(url=urls)
    def content_changes(self, url: str) -> None:
        self.origin.version[url] += 1

    # purges

    @rule(at=which, name=purges, other=purges, soft=st.booleans(), looks=st.lists(which, max_size=2))
    def purge(self, at: int, name: str, other: str, soft: bool, looks: list[int]) -> None:
        self.run(self._purge(at, [name, other], soft, self.origin.asked))
        for node in looks:
            self.get_all(node)

    async def _purge(self, at: int, names: list[str], soft: bool, asked: int, since: str = "") -> None:
        rules = [PurgeRule(NAMES[name][0], NAMES[name][1].encode(), soft) for name in names]
        named = {url for name in names for url in NAMES[name][2]}
        purged = Purged(named, soft, asked, self.clock.now)
        self.purges.append(purged)
        done = await self.nodes[at].purge(rules, since)
        purged.told = done.receipts[self.nodes[at].name].position is not None
        for index, node in enumerate(self.nodes):
            word = done.nodes.get(node.name, "")
            event(f"purge: {'here' if index == at else 'there'} {word or 'unknown'}")
            if word == "applied":
                self.applied[index].append(purged)
        assert purged in self.applied[at]

    @rule(at=which, name=purges)
    def purge_since_mark(self, at: int, name: str) -> None:
        """As a paced purge does: a mark, and later what counts as of it."""
        if self.mark is None:
            self.mark = at, self.run(self._mark(at)), self.origin.asked
        else:
            (at, mark, asked), self.mark = self.mark, None
            self.run(self._purge(at, [name], True, asked, mark))

    async def _mark(self, at: int) -> str:
        return self.nodes[at].log.mark()

    @rule(url=urls, soft=st.booleans())
    def other_service_purges(self, url: str, soft: bool) -> None:
        """It is told nothing: it holds once both nodes have caught up."""
        self.redis.xadd("edge:{purge}:inbox", {"url": f"http://{url}", "soft": str(int(soft))})
        self.unread.append(Purged({url}, soft, self.origin.asked, self.clock.now))

    # what goes wrong

    @rule(
        at=which,
        how=st.sampled_from(["cut", "stall"]),
        by=which,
        name=purges,
        soft=st.booleans(),
        what=st.sampled_from(["", "restart", "kill", "replace"]),
    )
    def part(self, at: int, how: str, by: int, name: str, soft: bool, what: str) -> None:
        """A node loses Redis, something is purged, and perhaps the node ends meanwhile."""
        self.get_all(1 - by)
        getattr(self.nodes[at].relay, how)()
        self.run(asyncio.sleep(0.005))
        self.run(self._purge(by, [name], soft, self.origin.asked))
        if what:
            self.run(self._restart(at, what))
            self.get_all(at)

    @rule(at=which, what=st.sampled_from(["restart", "kill", "replace", "heal", "settle"]))
    def trouble(self, at: int, what: str) -> None:
        if what == "settle":
            self.run(self._settle())
        elif what == "heal":
            self._heal(at)
            self.run(asyncio.sleep(0.005))
        else:
            self.run(self._restart(at, what))

    def _heal(self, at: int) -> None:
        self.nodes[at].relay.heal()
        self.alone.pop(at, None)

    async def _settle(self) -> None:
        """Heal all, and wait until both nodes say the same: then every purge holds on both."""
        for at in (0, 1):
            self._heal(at)
        async with asyncio.timeout(PATIENCE):
            await until(self._agreed)
        self.purges += self.unread
        self.unread.clear()
        for at in (0, 1):
            self.applied[at] = list(self.purges)

    def _agreed(self) -> bool:
        one, other = (node.at for node in self.nodes)
        last = int(self.redis.get("edge:{purge}:last") or 0)
        log = (self.redis.get("edge:{purge}:id") or b"").decode()
        return one == other == (bytes.fromhex(log), last, True) and not self.redis.exists(
            "edge:{purge}:inbox"
        )

    async def _restart(self, at: int, what: str) -> None:
        """In order, or not, or on another machine: which loses the purges that nobody else was told."""
        await self._leave([task for task, asked in self.clients.items() if asked == at])
        node = self.nodes[at]
        told = node.at[2]
        await node.end(killed=what != "restart")
        if what == "replace" and told:
            shutil.rmtree(node.folder)
        await node.start()
        if node.relay.closed:
            self.alone[at] = Purged(set(URLS), True, self.origin.asked, self.clock.now)

    @rule(connections_too=st.booleans())
    def redis_loses_everything(self, connections_too: bool) -> None:
        self.redis.flushall()
        self.flushed = True
        self.unread.clear()
        if connections_too:
            self.redis.client_kill_filter(_type="normal", skipme=True)

    @rule(seconds=st.sampled_from([10.0, MAX_PURGE_LAG / 2 + 1, MAX_PURGE_LAG + 1]))
    def time_passes(self, seconds: float) -> None:
        self.run(self._pass(seconds))

    async def _pass(self, seconds: float) -> None:
        """Let everything that is due at that time happen."""
        self.clock.now += seconds
        async with asyncio.timeout(PATIENCE):
            await until(lambda: all(not node.overdue for node in self.nodes))


def test_what_was_purged_is_never_served_again(
    shared_redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(redis_log, "COMMAND_TIMEOUT", 0.3)
    caplog.set_level(logging.CRITICAL, "edgeproxy")
    FleetModel.server, FleetModel.folder = shared_redis, tmp_path / "nodes"
    often = settings.default.max_examples
    with Forks() as FleetModel.forks:
        run_state_machine_as_test(
            FleetModel,
            settings=settings(
                max_examples=often if often > 100 else 8,
                stateful_step_count=30,
                suppress_health_check=list(HealthCheck),
            ),
        )
