"""The shared tier behind memory: put to both, promoted, judged by purges and by today's key, and lost."""

import asyncio

from edgeproxy.fleet.purge_table import Verdict
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, count
from tests.plane import Proxy, plane
from tests.redis_server import RedisServer

FRESH = "Cache-Control: max-age=60"


def shared(server: RedisServer, cache: str = "", timeout: str = "2s") -> str:
    return caching(cache, tiers=f'redis: {{url: "{server.url}", timeout: {timeout}}}')


async def written(proxy: Proxy) -> None:
    """Wait until what was put is in Redis."""
    redis = proxy.plane._tiers.redis
    assert redis is not None
    await redis.wait_available()
    await redis.flush()


async def test_what_is_stored_goes_to_both_and_is_promoted_from_redis(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, "Vary: Accept-Language", body=b"b" * 100_000)
    text = shared(redis_server)
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Accept-Language": "de"})
        await written(proxy)
        await proxy.advance(5)
        proxy.plane._memory.clear()
        for result in (b"redis", b"memory"):
            answer = await proxy.get("/a", {"Accept-Language": "de"})
            assert (answer.body, answer.cache_status) == (b"b" * 100_000, b"edgeproxy; hit; ttl=55"), result
            assert answer.get("age") == b"5"
        assert shop.count == 1
        other = await proxy.get("/a", {"Accept-Language": "en"})
        assert b"fwd=vary-miss" in other.cache_status
        assert count(proxy, "edgeproxy_tier_requests_total", "redis", "hit") == 1
        assert count(proxy, "edgeproxy_tier_requests_total", "redis", "miss") == 2


async def test_another_variant_in_redis_alone_makes_a_vary_miss(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, "Vary: Accept-Language")
    async with origin(shop) as raw, plane(shared(redis_server), o=raw.url) as proxy:
        await proxy.get("/a", {"Accept-Language": "de"})
        await written(proxy)
        proxy.plane._memory.clear()
        answer = await proxy.get("/a", {"Accept-Language": "en"})
        assert b"fwd=vary-miss" in answer.cache_status


async def test_a_purge_holds_for_what_redis_has(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, 'ETag: "v1"')
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await written(proxy)
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a", soft=True))
        proxy.plane._memory.clear()
        assert b"fwd=stale; fwd-status=304" in (await proxy.get("/a")).cache_status
        await written(proxy)
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        proxy.plane._memory.clear()
        assert b"fwd=uri-miss" in (await proxy.get("/a")).cache_status


async def test_removing_by_key_takes_it_from_both(redis_server: RedisServer) -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(shared(redis_server), o=raw.url) as proxy:
        await proxy.get("/a")
        await written(proxy)
        assert await proxy.plane.remove([b"http://shop.test/a"]) == ["http://shop.test/a "]
        assert b"fwd=uri-miss" in (await proxy.get("/a")).cache_status


async def test_what_redis_has_by_an_older_key_was_answered_to_everybody(redis_server: RedisServer) -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"X-Tenant": "t1"})
        await written(proxy)
    async with origin(shop) as raw:
        text = shared(redis_server, "key: {headers: [X-Tenant]}")
        async with plane(text, StandingClock(), o=raw.url) as proxy:
            await proxy.plane._tiers.redis.wait_available()  # type: ignore[union-attr]
            proxy.purges.verdict = lambda *_: Verdict.LIVE  # type: ignore[method-assign]
            assert b"hit" not in (await proxy.get("/a", {"X-Tenant": "t2"})).cache_status


async def test_what_another_request_fetched_meanwhile_was_fetched_again(redis_server: RedisServer) -> None:
    """Asking Redis takes a moment, in which a fetch by another request may begin and end."""
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(shared(redis_server), o=raw.url) as proxy:
        redis = proxy.plane._tiers.redis
        assert redis is not None
        await redis.wait_available()
        real, reached, go = redis.get, asyncio.Event(), asyncio.Event()

        async def slow(*arguments: object) -> object:
            found = await real(*arguments)  # type: ignore[arg-type]
            reached.set()
            await go.wait()
            return found

        redis.get = slow  # type: ignore[method-assign, assignment]
        late = asyncio.create_task(proxy.get("/a"))
        await reached.wait()
        redis.get = real  # type: ignore[method-assign]
        await proxy.get("/a")
        go.set()
        assert b"hit" in (await late).cache_status
        assert shop.count == 1


async def test_what_redis_had_replaced_what_was_fetched_meanwhile(redis_server: RedisServer) -> None:
    shop = Shop("Cache-Control: max-age=60", body=b"old")
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        redis = proxy.plane._tiers.redis
        assert redis is not None
        await proxy.get("/a")
        await written(proxy)
        proxy.plane._memory.clear()
        await proxy.advance(1)
        real, reached, go = redis.get, asyncio.Event(), asyncio.Event()

        async def slow(*arguments: object) -> object:
            found = await real(*arguments)  # type: ignore[arg-type]
            reached.set()
            await go.wait()
            return found

        redis.get = slow  # type: ignore[method-assign, assignment]
        late = asyncio.create_task(proxy.get("/a"))
        await reached.wait()
        redis.get = real  # type: ignore[method-assign]
        shop.body = b"new"
        await proxy.get("/a", {"Cache-Control": "no-cache"})
        go.set()
        assert (await late).body == b"new"
        assert (await proxy.get("/a")).body == b"new"


async def test_explaining_asks_redis_and_promotes_nothing(redis_server: RedisServer) -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(shared(redis_server), o=raw.url) as proxy:
        await proxy.get("/a")
        await written(proxy)
        proxy.plane._memory.clear()
        told = await proxy.plane.explain(b"http://shop.test/a", [])
        assert (told["tier"], told["outcome"]) == ("redis", "hit")
        assert proxy.plane.snapshot()["memory"]["responses"] == 0
        assert count(proxy, "edgeproxy_tier_requests_total", "redis", "hit") == 0


async def test_an_answer_no_longer_to_be_stored_leaves_redis_too(redis_server: RedisServer) -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await written(proxy)
        shop.lines = ("Cache-Control: private",)
        await proxy.get("/a", {"Cache-Control": "no-cache"})
        await until(lambda: not proxy.plane._fetcher.keeper._removals)
        assert b"fwd=uri-miss" in (await proxy.get("/a")).cache_status


async def test_killing_redis_in_the_midst_fails_nothing() -> None:
    shop = Shop(FRESH)
    with RedisServer() as server:
        text = shared(server, timeout="100ms")
        async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
            await proxy.get("/a")
            await written(proxy)

            async def ask(number: int) -> int:
                if number == 30:
                    await asyncio.to_thread(server.kill)
                return (await proxy.get(f"/{number}")).status

            statuses = [await ask(number) for number in range(60)]
            assert statuses == [200] * 60
            assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; hit")
            told = {
                result: count(proxy, "edgeproxy_tier_requests_total", "redis", result)
                for result in ("fault", "skipped")
            }
            assert told["fault"] > 0
            assert told["skipped"] > 0


async def test_a_hung_redis_delays_a_request_by_its_timeout_at_most_and_then_not_at_all() -> None:
    shop = Shop(FRESH)
    with RedisServer() as server:
        async with origin(shop) as raw, plane(shared(server, timeout="50ms"), o=raw.url) as proxy:
            await proxy.get("/a")
            await written(proxy)
            server.pause()
            try:
                for number in range(30):
                    assert (await proxy.get(f"/{number}")).status == 200
                assert count(proxy, "edgeproxy_tier_requests_total", "redis", "skipped") > 0
            finally:
                server.resume()
