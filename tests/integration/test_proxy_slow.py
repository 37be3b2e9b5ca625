"""Stale for those who wait for a slow origin, or a dead one; early revalidation of what is popular."""

import asyncio

import pytest

from tests.integration.raw_origins import RawOrigin, origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, count, crowd, requests
from tests.plane import HandClock, Proxy, plane

CACHED = "Cache-Control: max-age=60"
SLOW = caching("stale_if_slow: 50ms")
LATE = b"edgeproxy; fwd=stale; ttl=-1"
LATE_TOO = b"edgeproxy; fwd=stale; ttl=-1; collapsed"


async def settled(proxy: Proxy) -> None:
    await until(lambda: not len(proxy.plane._revalidations) and not proxy.plane._fetcher.fills)


async def explained(proxy: Proxy, target: str = "/a") -> dict[str, object]:
    return await proxy.plane.explain(f"http://shop.test{target}".encode(), [])


# --- stale if slow


async def test_leader_and_followers_get_stale_after_that_time_and_the_fetch_goes_on() -> None:
    shop = Shop(CACHED)
    async with origin(shop) as raw, plane(SLOW, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        told = await explained(proxy)
        assert told["steps"][-1]["rule"] == "stale-if-slow"  # type: ignore[index]
        shop.gate.clear()
        shop.body = b"new"
        answers = await asyncio.gather(*await crowd(proxy, 4))
        assert sorted(answer.cache_status for answer in answers) == sorted([LATE, *[LATE_TOO] * 3])
        assert {(answer.body, answer.get("age")) for answer in answers} == {(b"hello", b"61")}
        at_once = await proxy.get("/a")  # the origin is slow already
        assert at_once.cache_status == LATE_TOO
        assert shop.count == 2
        shop.gate.set()
        await settled(proxy)
        fresh = await proxy.get("/a")
        assert (fresh.body, fresh.cache_status) == (b"new", b"edgeproxy; hit; ttl=60")
        assert requests(proxy)[("all", "stale", "200")] == 5


async def test_an_origin_within_its_time_is_waited_for() -> None:
    shop = Shop(CACHED, 'ETag: "v1"')
    text = caching("stale_if_slow: 5s")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        assert (await proxy.get("/a")).cache_status.startswith(
            b"edgeproxy; fwd=stale; fwd-status=304; ttl=60; stored"
        )
        await proxy.advance(61)
        shop.body, shop.validates = b"new", False
        answer = await proxy.get("/a")
        assert (answer.body, answer.cache_status) == (b"new", b"edgeproxy; fwd=stale; fwd-status=200; stored")
        await proxy.advance(61)
        shop.status, shop.lines = "200 OK", ("Cache-Control: private",)
        shop.body = b"p" * 100_000  # relayed to the one who asked, though it is not stored
        assert (await proxy.get("/a")).body == shop.body


async def test_where_no_more_may_be_fetched_behind_it_stale_is_served_at_once() -> None:
    shop = Shop(CACHED)
    async with origin(shop) as raw, plane(SLOW, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        proxy.plane._revalidations._most = 0
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=-1"
        assert (await proxy.get("/b")).status == 200  # nothing stored: it has to be asked
        assert shop.count == 2


@pytest.mark.parametrize(
    "forbids", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache", "stale-if-error=0"]
)
async def test_never_against_what_forbids_it(forbids: str) -> None:
    shop = Shop(f"Cache-Control: max-age=60, {forbids}")
    async with origin(shop) as raw, plane(SLOW, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        shop.body = b"new"
        waits = await crowd(proxy, 2)
        await asyncio.sleep(0.15)
        assert not any(task.done() for task in waits)
        shop.gate.set()
        assert {(await task).body for task in waits} == {b"new"}


async def test_a_slow_origin_that_fails_in_the_end_leaves_no_trace_but_the_backoff() -> None:
    shop = Shop(CACHED)
    async with origin(shop) as raw, plane(SLOW, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        assert (await proxy.get("/a")).cache_status == LATE
        await until(lambda: shop.waiting == 1)
        shop.raw, shop.close = b"garbage\r\n\r\n", True
        shop.gate.set()
        await settled(proxy)
        assert len(proxy.plane._fetcher.shield.backoff) == 1


# --- backoff


async def test_after_a_failure_stale_serves_at_once_and_one_tries_in_the_background() -> None:
    shop = Shop(CACHED)
    async with origin(shop) as raw, plane(caching(), HandClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        port = raw.port
        await proxy.advance(61)
        await raw.stop()
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; fwd=stale; ttl=-2"
        tried = count(proxy, "edgeproxy_origin_requests_total", "o", raw.address, "connection_refused")
        for _ in range(5):
            answer = await proxy.get("/a")
            assert answer.cache_status == b"edgeproxy; hit; ttl=-2"
        again = count(proxy, "edgeproxy_origin_requests_total", "o", raw.address, "connection_refused")
        assert again == tried
        told = await explained(proxy)
        assert (told["outcome"], told["reason"]) == ("stale", "backoff")
        back = RawOrigin(shop)
        await back.start(port=port)
        try:
            await proxy.advance(2)  # the first wait is over, spread and all
            shop.body = b"new"
            assert {(await proxy.get("/a")).body for _ in range(3)} <= {b"hello", b"new"}
            await settled(proxy)
            assert shop.count == 2
            assert (await proxy.get("/a")).body == b"new"
            assert not len(proxy.plane._fetcher.shield.backoff)
        finally:
            await back.stop()


async def test_it_is_held_no_longer_than_its_window_and_never_where_stale_is_forbidden() -> None:
    shop = Shop(CACHED)
    text = caching("stale_if_error: 10s, backoff: 1h")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.status = "503 Busy"
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; fwd=stale; fwd-status=503; ttl=-1"
        await proxy.advance(5)
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=-6"
        refused = await proxy.get("/a", {"Cache-Control": "no-cache"})  # taken at its word
        assert refused.status == 503
        await proxy.advance(5)
        assert (await proxy.get("/a")).status == 503


async def test_stale_while_revalidate_leaves_a_dead_origin_alone_too() -> None:
    shop = Shop("Cache-Control: max-age=60, stale-while-revalidate=30")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.status, shop.lines = "500 Oops", ()
        for _ in range(4):
            assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=-1"
            await settled(proxy)
        assert shop.count == 2
        await proxy.advance(3)
        await proxy.get("/a")
        await settled(proxy)
        assert shop.count == 3


# --- early revalidation


async def test_what_is_popular_is_revalidated_in_time_once_at_a_time() -> None:
    shop = Shop("Cache-Control: max-age=2")
    most = 0
    respond = shop.respond

    async def slowly(talk: object, head: bytes) -> None:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)
        under_way -= 1
        await respond(talk, head)  # type: ignore[arg-type]

    under_way = 0
    shop.respond = slowly  # type: ignore[method-assign,assignment]
    async with origin(shop) as raw, plane(caching("early_revalidation: 2"), o=raw.url) as proxy:
        await proxy.get("/a")
        outcomes: set[bytes] = set()
        async with proxy.client() as client:
            until_then = asyncio.get_running_loop().time() + 2.8
            while asyncio.get_running_loop().time() < until_then:
                answer = await client.ask(b"GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n")
                outcomes.add(answer.cache_status.partition(b"; ttl")[0])
                await asyncio.sleep(0.001)
        assert outcomes == {b"edgeproxy; hit"}  # nobody waited, and nothing expired
        assert most == 1
        started = count(proxy, "edgeproxy_early_revalidations_total")
        assert started == shop.count - 1 >= 1
        assert b"X-Forwarded-For: unknown" in shop.last


async def test_early_revalidation_may_be_off_and_the_long_way_draws_as_well() -> None:
    shop = Shop(CACHED)
    ask = {"Cache-Control": "max-age=600"}  # not for the fast path
    for text, fetches in ((caching("early_revalidation: false"), 1), (caching(), 2)):
        shop.heads.clear()
        async with origin(shop) as raw, plane(text, HandClock(), o=raw.url) as proxy:
            proxy.plane._cycle.early._draw = lambda: 0.0
            shop.gate.clear()
            first = asyncio.create_task(proxy.get("/a"))
            await until(lambda: shop.waiting == 1)
            await proxy.advance(5)
            shop.gate.set()
            await first
            await proxy.advance(50)
            assert (await proxy.get("/a", ask)).cache_status.startswith(b"edgeproxy; hit")
            await settled(proxy)
            assert shop.count == fetches
