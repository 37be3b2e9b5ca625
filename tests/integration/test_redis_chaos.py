"""Redis killed, paused, emptied, full, failing over, while clients ask: none fails, one waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import redis

from edgeproxy.store.cluster_pipe import ClusterPipe
from edgeproxy.store.redis_tier import RedisTier
from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, caching, count
from tests.integration.test_redis_forms import plain, tier_at
from tests.plane import Proxy, plane
from tests.redis_fleets import RedisNodes, WatchedRedis, direct, until
from tests.redis_server import RedisServer
from tests.unit.store.responses import stored

FRESH = "Cache-Control: max-age=60"
TIMEOUT = 0.2


def shared(url: str) -> str:
    return caching("", tiers=f'redis: {{url: "{url}", timeout: {TIMEOUT * 1000:.0f}ms}}')


def tier_of(proxy: Proxy) -> RedisTier:
    assert proxy.plane._tiers.redis is not None
    return proxy.plane._tiers.redis


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.02)


async def shared_again(proxy: Proxy) -> None:
    """What is stored now is found in Redis again, whatever it went through."""
    numbers = iter(range(10_000))

    async def found() -> bool:
        path = f"/again-{next(numbers)}"
        await proxy.get(path)
        await asyncio.wait_for(tier_of(proxy).flush(), 10)
        proxy.plane._memory.clear()
        return b"; hit" in (await proxy.get(path)).cache_status

    await eventually(found)


async def all_answered(proxy: Proxy, name: str, requests: int = 60) -> None:
    """Requests for new URLs one after the other: none fails, and not each waits for Redis."""
    late = 0
    for number in range(requests):
        began = time.monotonic()
        assert (await proxy.get(f"/{name}-{number}")).status == 200
        late += time.monotonic() - began > TIMEOUT / 2
    assert late <= requests // 4, f"{late} of {requests} waited"


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_sentinel_failover_under_load(fault: str) -> None:
    with WatchedRedis() as watched:
        async with origin(Shop(FRESH)) as raw, plane(shared(watched.url), o=raw.url) as proxy:
            await shared_again(proxy)
            getattr(watched.master, fault)()
            await all_answered(proxy, fault)
            await asyncio.to_thread(watched.promoted)
            await shared_again(proxy)
            with direct(watched.replica) as client:
                assert client.dbsize() > 0


async def test_master_that_became_a_replica_is_left() -> None:
    with WatchedRedis() as watched:
        async with tier_at(watched.url) as tier:
            tier.put(stored(), 60)
            await asyncio.wait_for(tier.flush(), 10)

            def failover() -> bool:
                with direct(watched.sentinel) as client:
                    return bool(client.execute_command("SENTINEL", "FAILOVER", "shop"))

            await asyncio.to_thread(until, failover)  # refused until the replica is known to be good
            await asyncio.to_thread(watched.promoted)

            async def written() -> bool:
                tier.put(stored(2), 60)
                await asyncio.wait_for(tier.flush(), 10)
                with direct(watched.replica) as client:
                    return bool(client.exists(tier.name_of(stored(2).key)))

            await eventually(written)


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_cluster_failover_under_load(fault: str) -> None:
    with RedisNodes(replicas=1) as nodes:
        async with origin(Shop(FRESH)) as raw, plane(shared(nodes.url), o=raw.url) as proxy:
            await shared_again(proxy)
            getattr(nodes.masters[0], fault)()
            await all_answered(proxy, fault)
            await asyncio.to_thread(nodes.promoted)
            pipe = tier_of(proxy)._reads
            assert isinstance(pipe, ClusterPipe)

            async def moved() -> bool:
                return ("127.0.0.1", nodes.replicas[0].port) in pipe._map.nodes

            await eventually(moved)
            await shared_again(proxy)


async def test_slots_that_move_are_followed() -> None:
    """MOVED for good, ASK while it is under way."""
    with RedisNodes() as nodes:
        async with tier_at(nodes.url) as tier:
            tier.put(stored(), 60)
            await asyncio.wait_for(tier.flush(), 10)
            name = tier.name_of(stored().key)
            holder = next(server for server in nodes.masters if holds(server, name))
            other = next(server for server in nodes.masters if server is not holder)
            with direct(holder) as old, direct(other) as new:
                slot = old.execute_command("CLUSTER", "KEYSLOT", name)
                ids = [client.execute_command("CLUSTER", "MYID").decode() for client in (old, new)]
                new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
                old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
                old.execute_command("MIGRATE", "127.0.0.1", other.port, name, 0, 2000)
                assert await tier.get(stored().key, plain) == stored()
                for client in (new, old):
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            assert await tier.get(stored().key, plain) == stored()
            assert tier.stats.fault_total == 0


def holds(server: RedisServer, name: bytes) -> bool:
    with direct(server) as client:
        try:
            return bool(client.exists(name))
        except redis.ResponseError:
            return False


async def test_one_node_of_a_cluster_away_costs_only_its_own_keys() -> None:
    with RedisNodes() as nodes:
        async with tier_at(nodes.url, timeout=TIMEOUT) as tier:
            for number in range(60):
                tier.put(stored(number), 60)
            await asyncio.wait_for(tier.flush(), 10)
            nodes.masters[0].pause()
            for _ in range(3):
                with suppress(TimeoutError):
                    await asyncio.wait_for(tier.wait_available(), 5)
                for number in range(60):
                    await tier.get(stored(number).key, plain)
            await asyncio.wait_for(tier.wait_available(), 10)
            began, hits = time.monotonic(), tier.stats.hits
            for number in range(60):
                await tier.get(stored(number).key, plain)
            assert tier.stats.hits - hits >= 20
            assert time.monotonic() - began < 20 * TIMEOUT
            nodes.masters[0].resume()

            async def whole() -> bool:
                return all([await tier.get(stored(number).key, plain) for number in range(60)])

            await eventually(whole)


async def test_killed_and_back_empty() -> None:
    with RedisServer() as server:
        async with origin(Shop(FRESH)) as raw, plane(shared(server.url), o=raw.url) as proxy:
            await shared_again(proxy)
            server.kill()
            await all_answered(proxy, "dead")
            assert count(proxy, "edgeproxy_tier_requests_total", "redis", "skipped") > 0
            await asyncio.to_thread(server.start)
            await asyncio.wait_for(tier_of(proxy).wait_available(), 10)
            await shared_again(proxy)


async def test_full_it_serves_what_it_has() -> None:
    with RedisServer(maxmemory="3mb", maxmemory_policy="noeviction") as server:
        shop = Shop(FRESH, "Content-Encoding: gzip", body=b"x" * 200_000)
        async with origin(shop) as raw, plane(shared(server.url), o=raw.url) as proxy:
            await proxy.get("/first")
            await asyncio.wait_for(tier_of(proxy).flush(), 10)
            await all_answered(proxy, "full")
            await asyncio.wait_for(tier_of(proxy).flush(), 10)
            assert tier_of(proxy).breaker.closed
            proxy.plane._fold()
            assert count(proxy, "edgeproxy_tier_faults_total", "redis", "full") > 0
            proxy.plane._memory.clear()
            assert b"; hit" in (await proxy.get("/first")).cache_status


async def test_times_and_breaker_are_metrics() -> None:
    with RedisServer() as server:
        async with origin(Shop(FRESH)) as raw, plane(shared(server.url), o=raw.url) as proxy:
            await shared_again(proxy)
            proxy.plane._fold()
            times = proxy.counters.histogram("edgeproxy_redis_command_duration_seconds", "hget")
            assert sum(proxy.counters.ints[times.first_bucket + at] for at in range(13)) > 0
            assert gauge(proxy, "closed") == 1
            server.kill()
            await all_answered(proxy, "dead", 10)
            proxy.plane._fold()
            assert gauge(proxy, "closed") == 0
            assert gauge(proxy, "open") + gauge(proxy, "half_open") == 1


def gauge(proxy: Proxy, state: str) -> float:
    return proxy.counters.floats[proxy.counters.gauge("edgeproxy_redis_breaker", state)]


@pytest.mark.parametrize(
    ("lines", "route", "seconds"),
    [
        (("Cache-Control: max-age=60",), "stale_if_error: 0s", 60),
        (("Cache-Control: max-age=60",), "stale_if_error: 10m", 660),
        (("Cache-Control: max-age=60, stale-while-revalidate=100",), "stale_if_error: 0s", 160),
        (("Cache-Control: max-age=60, must-revalidate",), "stale_if_error: 10m", 60),
        (("Cache-Control: max-age=60, must-revalidate", 'ETag: "v"'), "", 3660),
        (("Cache-Control: max-age=60",), "stale_if_error: 0s, override_ttl: 200s", 200),
    ],
)
async def test_expires_with_the_last_window(
    lines: tuple[str, ...], route: str, seconds: int, redis_server: RedisServer
) -> None:
    text = caching(route, tiers=f'redis: {{url: "{redis_server.url}", timeout: 2s}}')
    async with origin(Shop(*lines)) as raw, plane(text, o=raw.url) as proxy:
        await proxy.get("/a")
        await asyncio.wait_for(tier_of(proxy).flush(), 10)
    with redis.Redis.from_url(redis_server.url) as client:
        (key,) = client.keys("edge:r:*")
        assert seconds - 10 <= client.ttl(key) <= seconds
