"""Peers that may speak for others, and those that may not: scheme, key, chain; the fast path included."""

import pytest

from edgeproxy.config.load import load_text
from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, StandingClock, caching, field, requests
from tests.plane import plane, request

FRESH = "Cache-Control: max-age=60"
SECURE = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.1.1.1"}


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_trusted_peer_names_the_scheme_and_so_the_key(trusted: bool) -> None:
    shop = Shop(FRESH)
    text = caching(server='trusted_proxies: ["127.0.0.0/8"]' if trusted else "")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", SECURE)
        assert field(shop.last, b"x-forwarded-proto") == (b"https" if trusted else b"http")
        chain = b"10.1.1.1, 127.0.0.1" if trusted else b"127.0.0.1"
        assert field(shop.last, b"x-forwarded-for") == chain
        for _ in range(2):
            assert (await proxy.get("/a", SECURE)).cache_status == b"edgeproxy; hit; ttl=60"
        plain = await proxy.get("/a")
        assert (b"hit" in plain.cache_status) is not trusted
        assert shop.count == (2 if trusted else 1)


async def test_a_trusted_peer_s_request_id_and_forwarded_are_continued() -> None:
    shop = Shop("Cache-Control: no-store")
    text = caching(server='trusted_proxies: ["127.0.0.1"], forwarded: true')
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        await proxy.get("/a", {"X-Request-Id": "id-1", "Forwarded": "for=10.0.0.1"})
        assert field(shop.last, b"x-request-id") == b"id-1"
        told = b'for=10.0.0.1, for=127.0.0.1;proto=http;host="shop.test"'
        assert field(shop.last, b"forwarded") == told


async def test_trust_is_given_and_taken_by_a_reload() -> None:
    shop = Shop("Cache-Control: no-store")
    trusting = caching(server='trusted_proxies: ["127.0.0.1"]')
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        await proxy.get("/a", SECURE)
        assert field(shop.last, b"x-forwarded-proto") == b"http"
        proxy.plane.switch(proxy.plane.prepare(load_text(trusting, {"o": raw.url})))
        await proxy.get("/a", SECURE)
        assert field(shop.last, b"x-forwarded-proto") == b"https"


async def test_pipelined_hits_and_misses_are_answered_in_order() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy, proxy.client() as client:
        await client.ask(request("/a"))
        await client.send(request("/a") + request("/b") + request("/a") + request("/c") + request("/a"))
        told = [(await client.answer()).cache_status for _ in range(5)]
        assert [b"hit" in status for status in told] == [True, False, True, False, True]
        assert requests(proxy) == {("all", "hit", "200"): 3, ("all", "miss", "200"): 3}


async def test_explain_names_redirects_stale_windows_and_the_shared_reasons() -> None:
    shop = Shop("Cache-Control: max-age=60, stale-while-revalidate=30")
    text = caching().replace("routes: [", "routes: [{name: old, match: {path: /old}, redirect: /new}, ")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        old = await proxy.plane.explain(b"http://shop.test/old?a", [])
        assert (old["outcome"], old["would"]) == ("redirect", "308 to /new?a")
        await proxy.get("/a")
        await proxy.advance(61)
        stale = await proxy.plane.explain(b"http://shop.test/a", [])
        assert (stale["outcome"], stale["reason"], stale["ttl"]) == ("stale", "stale-while-revalidate", -1)
        assert stale["section"] == "RFC 5861 §3"
        assert shop.count == 1
