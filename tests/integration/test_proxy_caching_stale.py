"""Stale responses: while validated in the background, when the origin fails, and when never."""

import asyncio

import pytest

from tests.integration.raw_origins import RawOrigin, Talk, origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, count, requests
from tests.plane import Proxy, plane

SWR = "Cache-Control: max-age=60, stale-while-revalidate=30"


async def settled(proxy: Proxy) -> None:
    """Wait until what goes on in the background is over."""
    await until(lambda: not len(proxy.plane._revalidations) and not proxy.plane._fetcher.fills)


# --- while validated


async def test_within_the_window_it_is_served_at_once_and_fetched_once_in_the_background() -> None:
    shop = Shop(SWR)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(65)
        shop.gate.clear()
        shop.body = b"new"
        for _ in range(5):
            answer = await proxy.get("/a")
            assert (answer.body, answer.cache_status) == (b"hello", b"edgeproxy; hit; ttl=-5")
            assert answer.get("age") == b"65"
        await until(lambda: shop.waiting == 1)
        assert shop.count == 2
        shop.gate.set()
        await settled(proxy)
        fresh = await proxy.get("/a")
        assert (fresh.body, fresh.cache_status) == (b"new", b"edgeproxy; hit; ttl=60")
        assert requests(proxy)[("all", "stale", "200")] == 5
        assert shop.count == 2


async def test_past_the_window_it_is_validated_first() -> None:
    shop = Shop(SWR)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(90)
        shop.body = b"new"
        answer = await proxy.get("/a")
        assert (answer.body, b"fwd=stale" in answer.cache_status) == (b"new", True)


async def test_a_background_validation_freshens() -> None:
    shop = Shop(SWR, 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        head = await proxy.get("/a", method="HEAD")
        assert head.cache_status == b"edgeproxy; hit; ttl=-1"
        await settled(proxy)
        assert shop.last.startswith(b"GET ")
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"


async def test_a_background_fetch_that_fails_leaves_the_stale_response_in_use() -> None:
    shop = Shop(SWR)
    text = caching("backoff: 0s")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.status, shop.lines = "500 Oops", ()
        for _ in range(2):
            assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=-1"
            await settled(proxy)
        await raw.stop()
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=-1"
        await settled(proxy)
        assert shop.count == 3


async def test_a_request_past_the_window_joins_the_fetch_in_the_background() -> None:
    shop = Shop(SWR)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        await proxy.get("/a")
        await until(lambda: shop.waiting == 1)
        await proxy.advance(60)
        shop.body = b"new"
        waiting = asyncio.create_task(proxy.get("/a"))
        await until(lambda: len(proxy.plane._requests) == 1)
        shop.gate.set()
        answer = await waiting
        assert (answer.body, b"collapsed" in answer.cache_status) == (b"new", True)
        assert shop.count == 2


async def test_background_fetches_are_bounded() -> None:
    shop = Shop(SWR)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        proxy.plane._revalidations._most = 0
        assert b"ttl=-1" in (await proxy.get("/a")).cache_status
        assert proxy.plane._revalidations.skipped == 1
        assert shop.count == 1


async def test_the_operator_s_window_holds_where_the_origin_says_nothing() -> None:
    shop = Shop("Cache-Control: max-age=60")
    text = caching("stale_while_revalidate: 30s")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=-1"
        await settled(proxy)


# --- when the origin fails


async def break_(raw: RawOrigin, how: str) -> None:
    """Let every request from now on fail in this way."""

    async def reset(talk: Talk) -> None:
        await talk.head()
        talk.reset()

    async def truncated(talk: Talk) -> None:
        await talk.head()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")

    async def hang(talk: Talk) -> None:
        await talk.head()
        await talk.ended()

    async def nonsense(talk: Talk) -> None:
        await talk.head()
        await talk.send(b"nonsense\r\n\r\n")

    port = raw.port
    await raw.stop()
    if how != "refuses":
        raw.script = {"resets": reset, "truncates": truncated, "hangs": hang, "babbles": nonsense}[how]
        await raw.start(port=port)


TIMEOUTS = "timeouts: {first_byte: 200ms}, retries: {attempts: 0}"


def quick(text: str) -> str:
    return text.replace('origins: ["${o}"]', 'origins: ["${o}"], ' + TIMEOUTS)


@pytest.mark.parametrize("how", ["refuses", "resets", "truncates", "hangs"])
async def test_out_of_reach_stale_is_served_for_an_hour_by_default(how: str) -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(quick(caching()), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await break_(raw, how)
        await proxy.advance(61)
        answer = await proxy.get("/a")
        assert (answer.status, answer.body, answer.cache_status) == (
            200,
            b"hello",
            b"edgeproxy; fwd=stale; ttl=-1",
        )
        assert answer.get("age") == b"61"
        await proxy.advance(3599)
        gone = await proxy.get("/a")
        assert gone.status in (502, 503, 504)
        assert gone.get("cache-status") is None
        assert requests(proxy)[("all", "stale", "200")] == 1


async def test_an_answer_that_is_no_http_is_an_error_not_a_disconnection() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(quick(caching()), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await break_(raw, "babbles")
        await proxy.advance(61)
        assert (await proxy.get("/a")).status == 502


@pytest.mark.parametrize(
    ("control", "settings", "stale"),
    [
        ("max-age=60", "", False),
        ("max-age=60, stale-if-error=10", "", True),
        ("max-age=60", "stale_if_error: 10s", True),
        ("max-age=60, must-revalidate", "stale_if_error: 10s", False),
        ("max-age=60, proxy-revalidate", "stale_if_error: 10s", False),
        ("s-maxage=60", "stale_if_error: 10s", False),
        ("s-maxage=60, stale-if-error=10", "", True),
        ("max-age=60, stale-if-error=0", "stale_if_error: 10s", False),
    ],
)
async def test_for_an_answered_error_only_where_it_is_explicit(
    control: str, settings: str, stale: bool
) -> None:
    shop = Shop(f"Cache-Control: {control}")
    async with origin(shop) as raw, plane(caching(settings), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.status, shop.lines = "503 Busy", ()
        answer = await proxy.get("/a")
        assert answer.status == (200 if stale else 503)
        if stale:
            assert answer.cache_status == b"edgeproxy; fwd=stale; fwd-status=503; ttl=-1"
        else:
            assert answer.cache_status == b"edgeproxy; fwd=stale; fwd-status=503"
        assert shop.count == 2


async def test_an_error_that_replaces_nothing_leaves_what_is_stored() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.status, shop.lines = "503 Busy", ()
        assert (await proxy.get("/a")).status == 503
        shop.lines = ("Cache-Control: max-age=60", 'ETag: "v1"')
        assert b"fwd-status=304" in (await proxy.get("/a")).cache_status


async def test_an_answer_that_is_no_longer_to_be_stored_takes_the_old_one_away() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.lines = ("Cache-Control: private",)
        await proxy.get("/a")
        await raw.stop()
        assert (await proxy.get("/a")).status == 502


async def test_a_broken_body_is_never_stored() -> None:
    shop = Shop()
    shop.raw = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf"
    shop.close = True
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await proxy.get("/a")
        assert shop.count == 2
        assert count(proxy, "edgeproxy_tier_requests_total", "memory", "hit") == 0


async def test_a_stored_error_is_never_served_stale() -> None:
    shop = Shop(status="500 Oops")
    text = caching("negative_ttl: 10s, stale_if_error: 1h, stale_while_revalidate: 1h")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=10"
        await proxy.advance(11)
        await raw.stop()
        assert (await proxy.get("/a")).status == 502
