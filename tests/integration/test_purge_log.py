import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import redis

from edgeproxy.caching.stored import Stamp
from edgeproxy.fleet import redis_log
from edgeproxy.fleet import unsettled as module
from edgeproxy.fleet.fleet_log import FleetPurgeLog
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.fleet.redis_log import RedisLog
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.fleet.timing import FleetTiming
from tests.redis_server import RedisServer

URL = PurgeRule(PurgeKind.URL, b"shop.example/a")
OTHER = PurgeRule(PurgeKind.URL, b"shop.example/other")
KEY = b"http://shop.example/a"
FAST = FleetTiming(block=0.1, retry_least=0.02, retry_most=0.1)


class FleetNode:
    """A node's purge log and table; `elsewhere` is what others see of a response it fetched now."""

    def __init__(
        self,
        name: str,
        server: RedisServer,
        timing: FleetTiming = FAST,
        journal: PurgeJournal | None = None,
    ) -> None:
        self.name = name
        self.table = PurgeTable.create()
        self.counted: Counter[PurgeKind] = Counter()
        self.log = FleetPurgeLog(
            name,
            self.table,
            RedisLog(server.url, "edge:", name),
            lambda kind: self.counted.update([kind]),
            timing,
            journal=journal,
        )

    def verdict(self, stamp: Stamp, key: bytes = KEY) -> Verdict:
        return self.table.verdict(key, (), stamp)

    @property
    def state(self) -> dict[str, Any]:
        return self.log.describe()

    async def joined(self) -> None:
        await eventually(lambda: self.state["connected"])


async def eventually(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def fleet(server: RedisServer, *names: str, timing: FleetTiming = FAST):
    nodes = [FleetNode(name, server, timing) for name in names]
    try:
        for node in nodes:
            await node.log.start()
        yield nodes
    finally:
        for node in nodes:
            await node.log.close()
            node.table.close()


@pytest.fixture
def server():
    with RedisServer() as running:
        yield running


async def test_a_purge_is_applied_by_every_node_before_the_answer(redis_server):
    async with fleet(redis_server, "a", "b", "c") as (a, b, c):
        for node in (a, b, c):
            await node.joined()
        await eventually(lambda: len(a.state["nodes"]) == 3)
        stamps = {node: node.table.stamp() for node in (a, b, c)}
        done = await a.log.purge([URL], 10)
        assert done.nodes == {"a": "applied", "b": "applied", "c": "applied"}
        assert {receipt.position for receipt in done.receipts.values()} == {1}
        for node in (a, b, c):
            assert node.verdict(stamps[node]) is Verdict.DEAD
            assert node.verdict(stamps[a]) is Verdict.DEAD
            assert node.verdict(node.table.stamp()) is Verdict.LIVE


async def test_what_one_node_fetched_after_a_purge_is_good_for_the_others(redis_server):
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await a.log.purge([URL], 10)
        await eventually(lambda: a.state["pending"] == 0)
        assert b.verdict(a.table.stamp()) is Verdict.LIVE
        assert a.verdict(b.table.stamp()) is Verdict.LIVE


async def test_each_rule_is_counted_once_by_each_node(redis_server):
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await a.log.purge([URL, PurgeRule(PurgeKind.TAG, b"t")], 10)
        await eventually(lambda: a.state["position"] == b.state["position"] == 1)
        assert a.counted == b.counted == {PurgeKind.URL: 1, PurgeKind.TAG: 1}


async def test_a_node_that_starts_replays_the_log_before_it_is_ready(redis_server):
    async with fleet(redis_server, "a") as (a,):
        await a.joined()
        old = a.table.stamp()
        for _ in range(5):
            await a.log.purge([URL], 10)
        await eventually(lambda: a.state["pending"] == 0)
        async with fleet(redis_server, "b") as (b,):
            assert b.log.not_ready() is not None or b.state["connected"]
            await b.joined()
            assert b.log.not_ready() is None
            assert b.state["position"] == 5
            assert b.verdict(old) is Verdict.DEAD
            assert b.verdict(a.table.stamp()) is Verdict.LIVE


async def test_a_restarted_node_judges_what_its_earlier_run_stored(redis_server):
    async with fleet(redis_server, "a") as (a,):
        await a.joined()
        before = a.table.stamp()
        await a.log.purge([URL], 10)
        await eventually(lambda: a.state["pending"] == 0)
        after = a.table.stamp()
    async with fleet(redis_server, "a") as (again,):
        await again.joined()
        assert again.verdict(before) is Verdict.DEAD
        assert again.verdict(after) is Verdict.LIVE


async def test_a_node_that_hangs_is_pending_and_catches_up(redis_server):
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await eventually(lambda: len(a.state["nodes"]) == 2)
        await b.log._halt()
        stamp = b.table.stamp()
        done = await a.log.purge([URL], 0.2)
        assert done.nodes == {"a": "applied", "b": "pending"}
        assert list(done.receipts) == ["a"]
        assert b.verdict(stamp) is Verdict.LIVE
        await b.log.start()
        await eventually(lambda: b.verdict(stamp) is Verdict.DEAD)


async def test_a_node_that_left_is_not_waited_for(redis_server):
    async with fleet(redis_server, "a") as (a,):
        await a.joined()
        async with fleet(redis_server, "b") as (b,):
            await b.joined()
            await eventually(lambda: len(a.state["nodes"]) == 2)
        done = await a.log.purge([URL], 10)
        assert done.nodes == {"a": "applied"}


async def test_a_silent_node_is_forgotten_after_a_while(redis_server):
    timing = replace(FAST, lease=1.0, max_purge_lag=2.0)
    async with fleet(redis_server, "a", timing=timing) as (a,):
        await a.joined()
        with redis.Redis.from_url(redis_server.url) as client:
            client.zadd("edge:{purge}:applied", {"gone": 0})
            client.zadd("edge:{purge}:seen", {"gone": time.time() - 30})
        await eventually(lambda: (a.state["nodes"]) == ["a"] and a.log._members.others == {})
        assert (await a.log.purge([URL], 10)).nodes == {"a": "applied"}


async def test_without_redis_at_start_a_purge_counts_here_and_is_sent_on_later(server):
    server.kill()
    async with fleet(server, "a", "b") as (a, b):
        await eventually(lambda: a.log.not_ready() is None)
        old = a.table.stamp()
        began = time.monotonic()
        done = await a.log.purge([URL], 15)
        assert time.monotonic() - began < 10, "nobody is there to wait for"
        assert done.nodes == {"a": "applied", "*": "pending"}
        assert a.verdict(old) is Verdict.DEAD
        stamp_of_b = b.table.stamp()
        assert b.verdict(stamp_of_b) is Verdict.LIVE
        server.start()
        await eventually(lambda: b.verdict(stamp_of_b) is Verdict.DEAD)
        await eventually(lambda: a.state["pending"] == 0)
        assert a.verdict(a.table.stamp()) is Verdict.LIVE


async def test_what_a_node_fetched_before_it_found_any_log_is_validated(server):
    server.kill()
    async with fleet(server, "a") as (a,):
        await eventually(lambda: a.log.not_ready() is None)
        stamp = a.table.stamp()
        server.start()
        await a.joined()
        assert a.verdict(stamp) is Verdict.SOFT, "the log of its time may be lost"
        assert a.verdict(a.table.stamp()) is Verdict.LIVE


async def test_a_redis_that_hangs_does_not_stretch_the_time_that_purges_may_be_late(server):
    timing = replace(FAST, max_purge_lag=0.3)
    async with fleet(server, "a", timing=timing) as (a,):
        await a.joined()
        stamp = a.table.stamp()
        server.pause()
        try:
            await eventually(lambda: a.verdict(stamp) is Verdict.SOFT)
            assert a.state["connected"], "its read is still under way"
        finally:
            server.resume()


async def test_what_others_stored_is_not_used_while_a_purge_of_it_waits_to_be_sent(server):
    async with fleet(server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await eventually(lambda: len(a.state["nodes"]) == 2)
        server.pause()
        try:
            done = await a.log.purge([URL], 0.1)
            assert done.nodes["a"] == "applied"
            assert done.nodes["b"] == "pending"
            assert a.verdict(b.table.stamp()) is Verdict.DEAD
        finally:
            server.resume()
        await eventually(lambda: a.state["pending"] == 0 and b.state["position"] >= 1)
        await eventually(lambda: b.state["position"] == a.state["position"])
        assert a.verdict(b.table.stamp()) is Verdict.LIVE


async def test_a_hung_redis_holds_a_purge_no_longer_than_it_may_wait(server):
    async with fleet(server, "a") as (a,):
        await a.joined()
        server.pause()
        try:
            began = time.monotonic()
            done = await a.log.purge([URL], 0.3)
            assert time.monotonic() - began < 5
            assert done.nodes == {"a": "applied", "*": "pending"}
        finally:
            server.resume()
        await eventually(lambda: a.state["pending"] == 0)


async def test_two_nodes_converge_after_redis_came_back_empty(server, caplog):
    async with fleet(server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await a.log.purge([OTHER], 10)
        await eventually(lambda: a.state["pending"] == 0)
        identity, stamp_a, stamp_b = a.table.log, a.table.stamp(), b.table.stamp()
        server.kill()
        await eventually(lambda: not a.state["connected"] and not b.state["connected"])
        done = await a.log.purge([URL], 0.1)
        assert done.nodes["a"] == "applied"
        assert "pending" in done.nodes.values()
        server.start()
        await eventually(lambda: a.state["connected"] and b.state["connected"] and a.state["pending"] == 0)
        await eventually(lambda: a.table.log == b.table.log != identity and b.state["position"] == 1)
        assert b.verdict(stamp_b) is Verdict.DEAD, "purged by a while Redis was away"
        assert b.verdict(stamp_b, b"http://shop.example/z") is Verdict.SOFT, "validated before reuse"
        assert b.verdict(stamp_a, b"http://shop.example/z") is Verdict.DEAD, (
            "stamped by the log that was lost"
        )
        assert b.verdict(a.table.stamp()) is Verdict.LIVE
        assert "the purge log is another one than before" in caplog.text


async def test_a_flushed_redis_is_noticed_and_its_nodes_are_not_taken_for_gone(server):
    async with fleet(server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await a.log.purge([URL], 10)
        await eventually(lambda: len(a.state["nodes"]) == 2 and a.state["pending"] == 0)
        identity = a.table.log
        await b.log._halt()
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        await eventually(lambda: a.table.log not in (identity, b""))
        done = await a.log.purge([URL], 2)
        assert done.nodes == {"a": "applied", "b": "pending"}
        await b.log.start()
        await eventually(lambda: b.table.log == a.table.log)
        assert (await a.log.purge([URL], 10)).nodes == {"a": "applied", "b": "applied"}


async def test_a_log_that_fell_behind_its_nodes_is_begun_anew(server):
    async with fleet(server, "a") as (a,):
        await a.joined()
        for _ in range(3):
            await a.log.purge([URL], 10)
        await eventually(lambda: a.state["pending"] == 0)
        identity = a.table.log
        with redis.Redis.from_url(server.url) as client:
            client.delete("edge:{purge}:log")
            client.set("edge:{purge}:last", 1)
            client.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda: a.table.log not in (identity, b"") and a.state["connected"])
        assert a.state["position"] == 0


async def test_rules_trimmed_while_a_node_was_away_take_all_that_it_had(server, monkeypatch, caplog):
    monkeypatch.setattr(redis_log, "MAX_ENTRIES", 10)
    async with fleet(server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await b.log._halt()
        stamp_of_a, stamp_of_b = a.table.stamp(), b.table.stamp()
        with redis.Redis.from_url(server.url) as client:
            for _ in range(30):
                await a.log.purge([OTHER], 0.0)
            await eventually(lambda: a.state["pending"] == 0)
            client.xtrim("edge:{purge}:log", 5, approximate=False)
        assert a.verdict(stamp_of_a) is Verdict.LIVE, "a saw every rule"
        await b.log.start()
        await eventually(lambda: b.state["position"] == 30)
        assert b.verdict(stamp_of_b) is Verdict.DEAD
        assert b.verdict(stamp_of_a) is Verdict.DEAD
        assert b.verdict(a.table.stamp()) is Verdict.LIVE
        assert "holds nothing between 0 and 25 any more" in caplog.text


async def test_a_node_cut_off_for_long_validates_what_it_has(server, caplog):
    timing = replace(FAST, max_purge_lag=0.3)
    async with fleet(server, "a", timing=timing) as (a,):
        await a.joined()
        stamp = a.table.stamp()
        server.kill()
        await eventually(lambda: a.verdict(stamp) is Verdict.SOFT)
        validated = a.table.stamp()
        assert a.verdict(validated) is Verdict.LIVE
        await eventually(lambda: a.verdict(validated) is Verdict.SOFT)
        assert caplog.text.count("cut off from the fleet's purges for 0.3 s") == 1


async def test_what_a_newer_version_wrote_takes_everything(redis_server, caplog):
    async with fleet(redis_server, "a") as (a,):
        await a.joined()
        stamp = a.table.stamp()
        with redis.Redis.from_url(redis_server.url) as client:
            client.incr("edge:{purge}:last")
            client.xadd("edge:{purge}:log", {"p": b"\x95\x02???"}, id="1-0")
        await eventually(lambda: a.verdict(stamp) is Verdict.DEAD)
        assert "not understood by this version" in caplog.text


async def test_more_unsent_purges_than_the_bound_become_one_of_everything(server, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNSETTLED", 5)
    server.kill()
    async with fleet(server, "a", "b") as (a, b):
        stamp_of_b = b.table.stamp()
        for _ in range(6):
            await a.log.purge([OTHER], 0.0)
        assert a.state["pending"] == 1
        assert a.verdict(b.table.stamp()) is Verdict.DEAD
        server.start()
        await eventually(lambda: b.verdict(stamp_of_b) is Verdict.DEAD)
        await eventually(lambda: a.state["pending"] == 0 and a.state["connected"])
        await eventually(lambda: a.state["position"] == b.state["position"])
        assert a.verdict(b.table.stamp()) is Verdict.LIVE
        assert a.verdict(b.table.stamp(), b"http://shop.example/other") is Verdict.LIVE


async def test_a_redis_that_takes_no_writes_leaves_purges_pending_until_it_does(server):
    async with fleet(server, "a") as (a,):
        await a.joined()
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "1")
            client.config_set("maxmemory-policy", "noeviction")
            done = await a.log.purge([URL], 0.2)
            assert done.nodes == {"a": "applied", "*": "pending"}
            client.config_set("maxmemory", "0")
        await eventually(lambda: a.state["pending"] == 0)


async def test_a_purge_as_of_a_mark_spares_what_any_node_fetched_since(redis_server):
    soft = replace(URL, soft=True)
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        old = {node: node.table.stamp() for node in (a, b)}
        mark = a.log.mark()
        await eventually(lambda: a.state["position"] == b.state["position"] == 1)
        new = {node: node.table.stamp() for node in (a, b)}
        await a.log.purge([soft], 10, since=mark)
        await eventually(lambda: a.state["position"] == b.state["position"] == 2 and not a.state["pending"])
        for node in (a, b):
            for fetched_by in (a, b):
                assert node.verdict(old[fetched_by]) is Verdict.SOFT
                assert node.verdict(new[fetched_by]) is Verdict.LIVE


async def test_a_mark_made_without_redis_takes_too_much_rather_than_too_little(server):
    server.kill()
    async with fleet(server, "a", "b") as (a, b):
        old = {node: node.table.stamp() for node in (a, b)}
        mark = a.log.mark()
        new = a.table.stamp()
        await a.log.purge([replace(URL, soft=True)], 0.0, since=mark)
        assert a.verdict(new) is Verdict.LIVE
        assert a.verdict(old[a]) is Verdict.SOFT
        server.start()
        await eventually(lambda: a.state["connected"] and a.state["pending"] == 0)
        await eventually(lambda: b.verdict(old[b]) is not Verdict.LIVE)


async def test_receipts_tell_what_each_node_removed_and_how_long_it_took(redis_server):
    async def removed(rules: object) -> int:
        return 5

    async with fleet(redis_server, "a", "b") as (a, b):
        b.log._count = removed
        await a.joined()
        await b.joined()
        await eventually(lambda: len(a.state["nodes"]) == 2)
        done = await a.log.purge([URL], 10, count=True)
        assert done.receipts["b"].removed == 5
        assert done.receipts["a"].removed is None
        for receipt in done.receipts.values():
            assert receipt.milliseconds is not None
            assert 0 <= receipt.milliseconds < 10_000
        assert (await a.log.purge([URL], 10)).receipts["b"].milliseconds is not None


async def test_a_node_whose_lease_ended_is_pending_but_nobody_waits_for_it(redis_server):
    timing = replace(FAST, lease=1.0)
    async with fleet(redis_server, "a", "b", timing=timing) as (a, b):
        await a.joined()
        await b.joined()
        await eventually(lambda: a.state["nodes"] == ["a", "b"])
        await b.log._halt()
        await eventually(lambda: a.state["nodes"] == ["a"])
        assert [each["node"] for each in await a.log.nodes()] == ["a"]
        async with asyncio.timeout(10):
            done = await a.log.purge([URL], 20)
        assert done.nodes == {"a": "applied", "b": "pending"}


async def test_purges_of_an_earlier_run_are_read_from_disk_count_and_are_sent(server, tmp_path):
    server.kill()
    a = FleetNode("a", server, journal=PurgeJournal(tmp_path / "unsent"))
    await a.log.start()
    await eventually(lambda: a.log.not_ready() is None)
    await asyncio.gather(*(a.log.purge([PurgeRule(PurgeKind.TAG, b"%d" % n)], 0.1) for n in range(20)))
    await a.log.purge([URL], 0.0)
    await a.log._halt()  # as if it were killed
    again = FleetNode("a", server, journal=PurgeJournal(tmp_path / "unsent"))
    stamp = again.table.stamp()
    await again.log.start()
    try:
        assert again.state["pending"] == 21
        assert again.verdict(stamp) is Verdict.DEAD
        server.start()
        await eventually(lambda: again.state["pending"] == 0 and again.state["position"] == 21)
        await eventually(lambda: (tmp_path / "unsent").stat().st_size == 0)
    finally:
        await again.log.close()
        await a.log.close()


async def test_other_services_may_write_while_no_node_is_there(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        for _ in range(250):
            client.xadd("edge:{purge}:inbox", {"everything": "1"})
    async with fleet(redis_server, "a") as (a,):
        await a.joined()
        assert a.state["position"] == 250, "all of it before it is ready"
        with redis.Redis.from_url(redis_server.url) as client:
            assert client.xlen("edge:{purge}:inbox") == 0


async def test_an_inbox_that_is_none_leaves_the_log_alone(redis_server, caplog):
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        with redis.Redis.from_url(redis_server.url) as client:
            client.set("edge:{purge}:inbox", "hello")
            await eventually(lambda: "not taken in for now" in caplog.text)
            done = await a.log.purge([URL], 10)
            assert set(done.nodes.values()) == {"applied"}


async def test_whatever_stands_in_redis_the_log_is_followed_again(redis_server, caplog):
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        with redis.Redis.from_url(redis_server.url) as client:
            client.zadd("edge:{purge}:applied", {b"\xff": float("inf"), "low": float("-inf")})
            client.hset("edge:{purge}:nodes", b"\xff", b"\xff")
            client.xadd("edge:{purge}:log", {"e": b"\x91\xa1x"}, id=f"{2**64 - 1}-0")
        await eventually(lambda: caplog.records)
        await eventually(lambda: a.state["connected"] and b.state["connected"])

        async def agreed() -> bool:
            done = await a.log.purge([URL], 1)
            return done.nodes["a"] == done.nodes.get("b") == "applied"

        async with asyncio.timeout(20):
            while not await agreed():  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_purges_that_never_left_are_told_at_the_end(server, caplog):
    server.kill()
    async with fleet(server, "a") as (a,):
        await a.log.purge([URL], 0.0)
    assert "1 purges made here never reached the other nodes" in caplog.text


async def test_purges_just_made_are_sent_before_it_ends(redis_server):
    async with fleet(redis_server, "a") as (a,):
        await a.joined()
        await a.log.purge([URL], 0.0)
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.xlen("edge:{purge}:log") == 1
        assert client.zcard("edge:{purge}:seen") == 0


async def test_nothing_grows_with_the_number_of_purges(redis_server, caplog):
    caplog.set_level(logging.WARNING)
    async with fleet(redis_server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        await asyncio.gather(*(a.log.purge([URL], 0.0 if n % 2 else 10) for n in range(200)))
        await eventually(lambda: a.state["pending"] == 0 and b.state["position"] == 200)
        assert not a.log._unsettled.sent
        assert not a.log._unsettled.awaited
        assert not a.log._receipts
        assert not caplog.records
        assert "following at 200" in repr(a.log)


async def test_a_write_that_was_answered_too_late_counts_once(server):
    async with fleet(server, "a", "b") as (a, b):
        await a.joined()
        await b.joined()
        server.pause()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await a.log._redis.append(a.table.log, b"")
        purging = asyncio.ensure_future(a.log.purge([URL], 10))
        await asyncio.sleep(0)
        server.resume()
        await purging
        await eventually(lambda: a.state["pending"] == 0 and a.state["position"] == b.state["position"])
