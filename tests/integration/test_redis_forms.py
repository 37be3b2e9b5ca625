"""All that is said to Redis, to each form of it by URL: single, Sentinel, Cluster, with TLS and users."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis

from edgeproxy.fleet.redis_advice import advice, advise
from edgeproxy.fleet.redis_log import FAULTS, REMOVED, RedisLog
from edgeproxy.store.cluster_pipe import ClusterPipe
from edgeproxy.store.redis_tier import RedisTier
from tests.redis_fleets import MASTER, RedisNodes, WatchedRedis, direct
from tests.redis_server import RedisServer, free_port
from tests.tls_relay import TlsRelay
from tests.unit.store.responses import stored

LONG = 5.0


def plain(_names: tuple[bytes, ...]) -> bytes:
    return b""


@asynccontextmanager
async def tier_at(url: str, **options: object) -> AsyncIterator[RedisTier]:
    tier = RedisTier(url, **{"timeout": LONG, **options})  # type: ignore[arg-type]
    await tier.start()
    try:
        yield tier
    finally:
        await tier.close()


async def keeps_and_removes(url: str) -> RedisTier:
    """A round of everything that the tier does, over many keys."""
    async with tier_at(url) as tier:
        for number in range(100):
            tier.put(stored(number, body=b"%d" % number), 60)
        await asyncio.wait_for(tier.flush(), 20)
        found = await asyncio.gather(*(tier.get(stored(number).key, plain) for number in range(100)))
        assert [one.body if one else None for one in found] == [(b"%d" % n,) for n in range(100)]
        for number in range(50):
            assert await tier.remove(stored(number).key) == [b""]
        tier.discard(stored(50).key, b"")
        await asyncio.wait_for(tier.flush(), 20)
        for number in range(51):
            assert await tier.get(stored(number).key, plain) is None
        assert await tier.get(stored(51).key, plain) == stored(51, body=b"51")
        assert tier.stats.fault_total == 0
        return tier


async def follows_the_log(url: str) -> None:
    """A round of everything that the purge log does."""
    log, other = RedisLog(url, "edge:", "a"), RedisLog(url, "edge:", "b")
    try:
        joined = await log.join(b"", 0)
        assert (await other.join(b"", 0)).identity == joined.identity
        assert (await log.append(joined.identity, b"purge"))[0] == 1
        assert [entry.data for entry in await other.read(0, 10, 1.0)] == [b"purge"]
        assert await other.read(1, 10, 0.01) == []
        assert not await other.wait_for_inbox(0.01)
        assert await other.take_in(joined.identity) == 1
        await log.beat(joined.identity, 1, 60, b"card of a", ["one"])
        await log.counted("one", 5)
        await other.beat(joined.identity, 0, 60, b"card of b")
        roll = await other.roll("one")
        assert roll.positions == {"a": 1, "b": 0}
        assert roll.receipts["a"] > 0
        assert roll.receipts["a" + REMOVED] == 5
        assert await other.cards() == {"a": b"card of a", "b": b"card of b"}
        await log.leave()
        assert (await other.roll()).positions == {"b": 0}
    finally:
        await log.close()
        await other.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS in threads of this very process is slow on a busy machine."""
    monkeypatch.setattr("edgeproxy.fleet.redis_log.CONNECT_TIMEOUT", 10.0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisNodes]:
    with RedisNodes() as nodes:
        yield nodes


@pytest.fixture(params=["single", "user", "sentinel", "cluster", "tls", "tls+sentinel", "tls+cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A running Redis of each form; the password has what must be escaped in a URL."""
    with ExitStack() as stack:
        match request.param:
            case "single":
                yield stack.enter_context(RedisServer()).url
            case "user":
                server = stack.enter_context(RedisServer())
                with direct(server) as client:
                    # What README says that a user needs.
                    rights = "~edge:* +@read +@write +@scripting +@connection +info +time +cluster"
                    client.execute_command("ACL", "SETUSER", "edge", "on", ">h@s/h?", *rights.split())
                    client.execute_command("ACL", "SETUSER", "default", "off")
                yield f"redis://edge:h%40s%2Fh%3F@127.0.0.1:{server.port}/0"
            case "sentinel":
                yield stack.enter_context(WatchedRedis("hush")).url
            case "cluster":
                yield stack.enter_context(RedisNodes()).url
            case "tls":
                server = stack.enter_context(RedisServer(requirepass="hush"))
                relay = stack.enter_context(TlsRelay(tmp_path, server.port))
                yield f"rediss://:hush@127.0.0.1:{relay.port}/3?ssl_ca_certs={relay.ca}"
            case "tls+sentinel":
                yield watched_by_tls(stack, tmp_path)
            case "tls+cluster":
                yield cluster_by_tls(stack, tmp_path)


def watched_by_tls(stack: ExitStack, folder: Path) -> str:
    relay = stack.enter_context(TlsRelay(folder))
    watched = WatchedRedis("hush", through=relay.port)
    relay.target = watched.master.port
    stack.enter_context(watched)
    door = stack.enter_context(TlsRelay(folder, watched.sentinel.port))
    both = folder / "both.pem"
    both.write_text(relay.ca.read_text() + door.ca.read_text())
    return f"rediss+sentinel://:hush@127.0.0.1:{door.port}/{MASTER}/0?ssl_ca_certs={both}"


def cluster_by_tls(stack: ExitStack, folder: Path) -> str:
    nodes = RedisNodes()
    relays = [stack.enter_context(TlsRelay(folder, port)) for port in nodes.ports]
    nodes.announce = {relay.target: relay.port for relay in relays}
    stack.enter_context(nodes)
    every = folder / "every.pem"
    every.write_text("".join(relay.ca.read_text() for relay in relays))
    return f"rediss+cluster://127.0.0.1:{relays[0].port}?ssl_ca_certs={every}"


async def test_every_form_does_everything(url: str) -> None:
    await keeps_and_removes(url)
    await follows_the_log(url)


async def test_tls_that_is_not_trusted_is_a_miss(tmp_path: Path) -> None:
    with RedisServer() as server, TlsRelay(tmp_path, server.port) as relay:
        async with tier_at(f"rediss://127.0.0.1:{relay.port}/0") as tier:
            assert await tier.get(stored().key, plain) is None
            assert tier.stats.fault_total == 1


async def test_wrong_password_is_told_without_it(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(requirepass="right") as server, caplog.at_level(logging.DEBUG):
        for user in (":hush", "edge:hush"):
            url = f"redis://{user}@127.0.0.1:{server.port}/0"
            async with tier_at(url) as tier:
                assert await tier.get(stored().key, plain) is None
                assert "hush" not in repr(tier)
            log = RedisLog(url, "edge:", "a")
            with pytest.raises(FAULTS) as raised:
                await log.join(b"", 0)
            assert "hush" not in str(raised.value)
            await log.close()
    assert "password" in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize("form", ["redis+sentinel://:hush@{}/shop", "redis+cluster://:hush@{}"])
async def test_nobody_there_is_a_miss_then_answered_at_once(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = form.format(f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}")
    async with tier_at(url) as tier:
        for _ in range(10):
            assert await tier.get(stored().key, plain) is None
        assert not tier.breaker.closed
        assert tier.stats.skipped == 7
    log = RedisLog(url, "edge:", "a")
    with pytest.raises(FAULTS):
        await log.join(b"", 0)
    await log.close()
    assert "hush" not in caplog.text


async def test_master_that_no_sentinel_knows_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with WatchedRedis() as watched:
        url = watched.url.replace(MASTER, "nobody")
        async with tier_at(url) as tier:
            assert await tier.get(stored().key, plain) is None
    assert "nobody" in caplog.text


async def test_keys_are_spread_and_the_purge_log_lies_together(cluster: RedisNodes) -> None:
    async with tier_at(cluster.url) as tier:
        for number in range(60):
            tier.put(stored(number), 60)
        await asyncio.wait_for(tier.flush(), 20)
        assert isinstance(tier._reads, ClusterPipe)
    held = []
    for server in cluster.masters:
        with direct(server) as client:
            held.append(client.dbsize())
    assert all(held), held
    await follows_the_log(cluster.url)


# --- what may lose the purge log ------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "maxmemory", "told"),
    [
        ("allkeys-lfu", 0, "volatile-lfu"),
        ("noeviction", 1 << 20, "volatile-lfu"),
        ("noeviction", 0, ""),
        ("volatile-lfu", 1 << 20, ""),
    ],
)
def test_settings_that_lose_purges_are_told(policy: str, maxmemory: int, told: str) -> None:
    found = advice({"maxmemory_policy": policy, "maxmemory": maxmemory})
    assert (told in found) if told else not found


async def test_a_real_redis_is_looked_at_once_it_answers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, cluster: RedisNodes
) -> None:
    monkeypatch.setattr("edgeproxy.fleet.redis_advice.AGAIN", 0.01)
    port = free_port()
    looking = asyncio.create_task(advise(f"redis://:hush@127.0.0.1:{port}/0"))
    with RedisServer(port, maxmemory_policy="allkeys-lru", requirepass="hush"):
        await asyncio.wait_for(looking, 10)
    assert "allkeys-lru" in caplog.text
    assert "hush" not in caplog.text
    caplog.clear()
    await asyncio.wait_for(advise(cluster.url), 10)
    assert caplog.text == ""


async def test_nothing_is_found_by_walking_keys(redis_server: RedisServer) -> None:
    """All that is said is heard: neither SCAN nor KEYS, which stop a Redis of many keys."""
    with redis.Redis.from_url(redis_server.url) as client, client.monitor() as monitor:
        await keeps_and_removes(redis_server.url)
        await follows_the_log(redis_server.url)
        client.echo("over")
        said = set()
        for told in monitor.listen():
            said.add(str(told["command"]).split()[0].upper())
            if told["command"] == "ECHO over":
                break
    assert said >= {"HKEYS", "HGET", "EVALSHA", "UNLINK", "XADD", "XREAD"}
    assert not said & {"SCAN", "KEYS", "HSCAN", "SSCAN", "ZSCAN", "FLUSHDB", "FLUSHALL"}


async def test_an_event_with_the_last_id_there_is_does_not_close_the_inbox() -> None:
    with RedisServer() as server, direct(server) as client:
        log = RedisLog(server.url, "edge:", "a")
        inbox = "edge:{purge}:inbox"
        try:
            joined = await log.join(b"", 0)
            client.xadd(inbox, {"tag": "a"}, id="18446744073709551615-18446744073709551615")
            assert await log.take_in(joined.identity) == 1
            client.xadd(inbox, {"tag": "b"})
            assert await log.take_in(joined.identity) == 2
        finally:
            await log.close()
