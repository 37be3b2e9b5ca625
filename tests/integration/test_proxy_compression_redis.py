"""Coded copies in the shared tier: put there, promoted, taken over from others, gone with their page."""

from tests.codings import decoded
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, count
from tests.plane import Answer, Proxy, plane
from tests.redis_server import RedisServer

PAGE = b"<p>All shirts of the shop, in every size.</p>\n" * 200
FRESH = "Cache-Control: max-age=60"
HTML = "Content-Type: text/html"
TAG = 'ETag: "v1"'
HIT = b"edgeproxy; hit; ttl=60"


def shared(server: RedisServer) -> str:
    return caching(route="compress: [br, gzip]", tiers=f'redis: {{url: "{server.url}", timeout: 2s}}')


async def get(proxy: Proxy, accept: str, **fields: str) -> Answer:
    more = {name.replace("_", "-"): value for name, value in fields.items()}
    return await proxy.get("/a", {"Accept-Encoding": accept} | more)


async def written(proxy: Proxy) -> None:
    """Wait until nothing is to be compressed, and what was put is in Redis."""
    await until(lambda: not len(proxy.plane._fetcher.compression))
    redis = proxy.plane._tiers.redis
    assert redis is not None
    await redis.wait_available()
    await redis.flush()


def results(proxy: Proxy, result: str) -> int:
    return count(proxy, "edgeproxy_compressions_total", result)


async def test_page_and_copies_are_promoted_each_by_who_wants_it(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, HTML, TAG, body=PAGE)
    text = shared(redis_server)
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await get(proxy, "br")
        await written(proxy)
        proxy.plane._memory.clear()
        for _ in range(2):
            hit = await get(proxy, "br")
            assert (hit.cache_status, hit.get("content-encoding")) == (HIT, b"br")
            assert decoded("br", hit.body) == PAGE
        assert proxy.plane._memory.responses == 1
        hit = await get(proxy, "gzip")  # there is none yet: the page stands in
        assert (hit.cache_status, hit.body) == (HIT, PAGE)
        await written(proxy)
        assert (await get(proxy, "gzip")).get("content-encoding") == b"gzip"
        assert (await get(proxy, "identity")).body == PAGE
        assert shop.count == 1


async def test_a_copy_that_is_there_is_taken_over_instead_of_made_again(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, HTML, TAG, body=PAGE)
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        await get(proxy, "br")
        await written(proxy)
        memory = proxy.plane._memory
        (copy,) = [node for node in memory.nodes() if node.stored.coded_here]
        memory.remove_variant(copy.primary.key, copy.variant)
        assert (await get(proxy, "br")).body == PAGE
        await written(proxy)
        assert (await get(proxy, "br")).get("content-encoding") == b"br"
        assert (results(proxy, "coded"), results(proxy, "shared")) == (1, 1)


async def test_another_representation_takes_the_copies_out_of_redis(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, HTML, TAG, body=PAGE)
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        for coding in ("br", "gzip"):
            await get(proxy, coding)
            await written(proxy)
        await proxy.advance(1)
        shop.lines, shop.body = (FRESH, HTML, 'ETag: "v2"'), PAGE.upper()
        await get(proxy, "br", Cache_Control="no-cache")
        await written(proxy)
        proxy.plane._memory.clear()
        for accept in ("gzip", "br", "identity"):
            answer = await get(proxy, accept)
            assert decoded(answer.get("content-encoding"), answer.body) == PAGE.upper()
        assert shop.count == 2


async def test_a_validation_renews_the_copies_in_redis(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, HTML, TAG, body=PAGE)
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        await get(proxy, "br")
        await written(proxy)
        await get(proxy, "gzip")
        await written(proxy)
        await proxy.advance(61)
        assert b"fwd-status=304" in (await get(proxy, "gzip")).cache_status
        await written(proxy)
        proxy.plane._memory.clear()
        for accept in ("gzip", "br", "identity"):
            answer = await get(proxy, accept)
            assert answer.cache_status == HIT
            assert decoded(answer.get("content-encoding"), answer.body) == PAGE
        assert (shop.count, results(proxy, "coded")) == (2, 2)


async def test_removing_a_url_takes_copies_that_are_in_redis_alone(redis_server: RedisServer) -> None:
    shop = Shop(FRESH, HTML, TAG, body=PAGE)
    async with origin(shop) as raw, plane(shared(redis_server), StandingClock(), o=raw.url) as proxy:
        await get(proxy, "br")
        await written(proxy)
        key = proxy.plane._memory.nodes()[0].primary.key
        proxy.plane._memory.clear()
        assert len(await proxy.plane.remove([key])) == 2
        assert b"uri-miss" in (await get(proxy, "br")).cache_status
