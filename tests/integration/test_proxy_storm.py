"""Refetches at a bounded rate, the popular first; what is stale meanwhile serves at once."""

import asyncio
from time import monotonic

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, count, requests
from tests.plane import Answer, Proxy, plane

CACHED = "Cache-Control: max-age=60"


def paced(admission: str, cache: str = "", route: str = "") -> str:
    return caching(cache, route).replace('["${o}"]', f'["${{o}}"], admission: {{{admission}}}')


def waiting(proxy: Proxy) -> int:
    return proxy.plane._fetcher.shield.admissions.snapshot().get("o", {}).get("waiting", 0)


def purge_everything(proxy: Proxy, *, soft: bool = False) -> None:
    proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING, soft=soft))


async def test_after_a_purge_of_everything_the_origin_sees_a_rate_and_the_popular_first() -> None:
    shop = Shop(CACHED)
    text = paced("rate: 10/s, burst: 4")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        for n in range(4):
            await proxy.get(f"/{n}")
        for _ in range(9):
            await proxy.get("/3")  # hits of the fast path
        proxy.plane._fold()
        purge_everything(proxy)
        gate = proxy.plane._fetcher.shield.admissions.gates["o"]
        gate._tokens, gate._counted = -5.0, gate._loop.time()  # time enough to line up
        seen, began = shop.count, monotonic()
        tasks: list[asyncio.Task[Answer]] = []
        for n in range(4):
            tasks.append(asyncio.create_task(proxy.get(f"/{n}")))
            await until(lambda n=n: waiting(proxy) + shop.count - seen > n)  # type: ignore[misc]
        answers = await asyncio.gather(*tasks)
        assert monotonic() - began > 0.8  # the first after six tokens, three more after that
        assert {answer.status for answer in answers} == {200}
        assert shop.heads[seen].startswith(b"GET /3 ")
        assert count(proxy, "edgeproxy_admissions_total", "o", "waited") == 4
        assert count(proxy, "edgeproxy_admissions_total", "o", "at_once") == 4
        assert proxy.plane.snapshot()["admission"]["o"]["waiting"] == 0


async def test_what_is_stale_serves_at_once_and_is_refetched_when_there_is_room() -> None:
    shop = Shop(CACHED)
    text = paced("rate: 20/s, burst: 1")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        for n in range(3):
            await proxy.get(f"/{n}")
        purge_everything(proxy, soft=True)
        gate = proxy.plane._fetcher.shield.admissions.gates["o"]
        gate._tokens, gate._counted = 0.0, gate._loop.time()
        for n in range(3):
            answer = await proxy.get(f"/{n}")
            stale = answer.cache_status == b"edgeproxy; hit; ttl=-1"
            assert stale or answer.cache_status.startswith(b"edgeproxy; fwd=stale; fwd-status=200; stored")
        assert requests(proxy)[("all", "stale", "200")] >= 2
        await until(lambda: shop.count == 6)
        await until(lambda: not len(proxy.plane._revalidations))
        assert (await proxy.get("/2")).cache_status == b"edgeproxy; hit; ttl=60"


async def test_beyond_queue_and_wait_it_is_503_with_retry_after() -> None:
    shop = Shop(CACHED)
    text = paced("rate: 1/m, burst: 1, queue: 1, wait: 1s")
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        await proxy.get("/0")
        first = asyncio.create_task(proxy.get("/1"))
        await until(lambda: waiting(proxy) == 1)
        followers = [asyncio.create_task(proxy.get("/1")) for _ in range(3)]
        await until(lambda: len(proxy.plane._requests) == 4)
        for answer in (await proxy.get("/2"), await first, *await asyncio.gather(*followers)):
            assert (answer.status, answer.get("retry-after")) == (503, b"1")
            assert answer.get("proxy-status") == b"edgeproxy; error=connection_limit_reached"
        assert shop.count == 1
        assert count(proxy, "edgeproxy_admissions_total", "o", "turned_away") == 2


async def test_hits_other_methods_and_routes_without_a_cache_do_not_wait() -> None:
    shop = Shop(CACHED)
    text = paced("rate: 1/m, burst: 1, wait: 100ms").replace(
        "routes: [", "routes: [{name: raw, match: {path: /raw}, upstream: o, cache: {enabled: false}}, "
    )
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        assert (await proxy.get("/0")).status == 200
        assert (await proxy.get("/0")).cache_status.startswith(b"edgeproxy; hit")
        for _ in range(3):
            assert (await proxy.get("/raw")).status == 200
            assert (await proxy.get("/0", method="POST")).status == 200
        assert (await proxy.get("/1")).status == 503
        assert (await proxy.get("/1", {"Range": "bytes=0-1"})).status == 503
        taken = proxy.plane._express.taken
        assert taken > 0  # the route without a cache: nothing is refetched there
        assert (await proxy.get("/2")).status == 503
        assert proxy.plane._express.taken == taken


@pytest.mark.parametrize("wish", ["no-cache", "max-age=0"])
async def test_a_client_s_wish_for_validation_waits_its_turn(wish: str) -> None:
    shop = Shop(CACHED)
    async with origin(shop) as raw, plane(paced("rate: 20/s, burst: 1"), o=raw.url) as proxy:
        await proxy.get("/0")
        answer = await proxy.get("/0", {"Cache-Control": wish})
        assert (answer.status, shop.count) == (200, 2)


async def test_a_reload_lets_those_pass_who_wait() -> None:
    shop = Shop(CACHED)
    text = paced("rate: 1/m, burst: 1, wait: 20s")
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        await proxy.get("/0")
        left = asyncio.create_task(proxy.get("/1"))
        await until(lambda: waiting(proxy) == 1)
        proxy.plane._fold()
        proxy.plane.switch(proxy.plane.prepare(load_text(caching(), {"o": raw.url})))
        assert (await left).status == 200
        assert not proxy.plane._fetcher.shield.admissions.gates
        assert count(proxy, "edgeproxy_admissions_total", "o", "at_once") == 1


async def test_a_purge_while_it_waits_wins() -> None:
    shop = Shop(CACHED)
    async with origin(shop) as raw, plane(paced("rate: 10/s, burst: 1"), o=raw.url) as proxy:
        await proxy.get("/0")
        waits = asyncio.create_task(proxy.get("/1"))
        await until(lambda: waiting(proxy) == 1)
        purge_everything(proxy)
        assert (await waits).status == 200
        assert (await proxy.get("/1")).cache_status.startswith(b"edgeproxy; fwd=uri-miss")
