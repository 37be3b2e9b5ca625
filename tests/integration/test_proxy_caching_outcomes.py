"""What a request comes to: hit, miss, stale, validated, bypass, error; told by Cache-Status and counted."""

import re

import pytest

from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, StandingClock, caching, count, field, requests
from tests.plane import plane, request


async def test_a_miss_is_stored_and_then_hit() -> None:
    shop = Shop("Cache-Control: max-age=60", "X-Own: a, b", "X-Own:c")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        miss = await proxy.get("/a")
        assert miss.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200; stored"
        assert miss.get("age") is None
        assert miss.get("via") == b"1.1 edgeproxy"
        await proxy.advance(10.5)
        hit = await proxy.get("/a")
        assert hit.cache_status == b"edgeproxy; hit; ttl=49"
        assert hit.get("age") == b"10"
        assert hit.get("via") == b"1.1 edgeproxy"
        assert hit.body == miss.body == b"hello"
        assert [line for line in hit.fields if line[0] == b"X-Own"] == [(b"X-Own", b"a, b"), (b"X-Own", b"c")]
        assert shop.count == 1
        assert requests(proxy) == {("all", "miss", "200"): 1, ("all", "hit", "200"): 1}
        assert count(proxy, "edgeproxy_response_bytes_total", "all", "origin") == 5
        assert count(proxy, "edgeproxy_response_bytes_total", "all", "cache") == 5


async def test_the_slow_way_answers_a_hit_with_the_same_bytes_as_the_fast_path() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        fast = await proxy.get("/a")
        slow = await proxy.get("/a", {"Max-Forwards": "7"})
        assert (fast.fields, fast.body) == (slow.fields, slow.body)
        assert requests(proxy)[("all", "hit", "200")] == 2
        assert count(proxy, "edgeproxy_tier_requests_total", "memory", "hit") == 2


async def test_age_counts_what_earlier_caches_and_the_way_here_took() -> None:
    shop = Shop("Cache-Control: max-age=60", "Age: 20", "Cache-Status: inner; hit")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        miss = await proxy.get("/a")
        assert miss.get("age") == b"20"
        assert miss.cache_status == b"inner; hit, edgeproxy; fwd=uri-miss; fwd-status=200; stored"
        await proxy.advance(7)
        hit = await proxy.get("/a")
        assert hit.get("age") == b"27"
        assert hit.cache_status == b"inner; hit, edgeproxy; hit; ttl=33"


async def test_a_stale_response_is_validated_by_its_entity_tag_and_freshened() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"', "X-Turn: 1")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(60)
        shop.lines = ("Cache-Control: max-age=30", 'ETag: "v1"', "X-Turn: 2")
        validated = await proxy.get("/a")
        assert field(shop.last, b"if-none-match") == b'"v1"'
        assert validated.cache_status == b"edgeproxy; fwd=stale; fwd-status=304; ttl=30; stored"
        assert (validated.status, validated.body, validated.get("age")) == (200, b"hello", b"0")
        assert validated.get("x-turn") == b"2"
        hit = await proxy.get("/a")
        assert hit.cache_status == b"edgeproxy; hit; ttl=30"
        assert requests(proxy)[("all", "validated", "200")] == 1
        assert count(proxy, "edgeproxy_response_bytes_total", "all", "cache") == 10


async def test_a_stale_response_that_changed_is_replaced() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.lines, shop.body = ("Cache-Control: max-age=60", 'ETag: "v2"'), b"new"
        answer = await proxy.get("/a")
        assert (answer.body, answer.cache_status) == (
            b"new",
            b"edgeproxy; fwd=stale; fwd-status=200; stored",
        )
        assert (await proxy.get("/a")).body == b"new"
        assert shop.count == 2


async def test_a_stale_response_without_validators_is_fetched_anew() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        answer = await proxy.get("/a")
        assert b"fwd=stale; fwd-status=200" in answer.cache_status
        assert field(shop.last, b"if-none-match") is None


async def test_a_client_that_wants_no_cache_makes_it_validate() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        answer = await proxy.get("/a", {"Cache-Control": "no-cache"})
        assert answer.cache_status == b"edgeproxy; fwd=request; fwd-status=304; ttl=60; stored"
        assert shop.count == 2


async def test_a_request_s_no_store_keeps_it_out_of_the_store() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        answer = await proxy.get("/a", {"Cache-Control": "no-store"})
        assert answer.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200"
        await proxy.get("/a")
        assert shop.count == 2


async def test_only_if_cached_gets_504_or_what_is_stored() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        missing = await proxy.get("/a", {"Cache-Control": "only-if-cached"})
        assert (missing.status, missing.get("cache-status")) == (504, None)
        assert missing.get("proxy-status") == b"edgeproxy; error=http_request_denied"
        assert shop.count == 0
        await proxy.get("/a")
        stored = await proxy.get("/a", {"Cache-Control": "only-if-cached"})
        assert (stored.status, stored.cache_status) == (200, b"edgeproxy; hit; ttl=60")
        assert requests(proxy)[("all", "error", "504")] == 1


async def test_a_route_without_a_cache_bypasses() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching("enabled: false"), o=raw.url) as proxy:
        for _ in range(2):
            answer = await proxy.get("/a")
            assert answer.cache_status == b"edgeproxy; fwd=bypass; fwd-status=200"
        assert shop.count == 2
        assert requests(proxy) == {("all", "bypass", "200"): 2}


async def test_a_get_with_a_body_is_neither_stored_nor_answered_from_a_store() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        await proxy.get("/search")
        answer = await proxy.ask(request("/search", body=b"query"))
        assert answer.cache_status == b"edgeproxy; fwd=bypass; fwd-status=200"
        assert shop.bodies == [b"", b"query"]
        assert (await proxy.get("/search")).cache_status.startswith(b"edgeproxy; hit")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Cache-Control: no-store", "no-store"),
        ("Cache-Control: private", "private"),
        ("Cache-Control: max-age=60\r\nSet-Cookie: a=b", "set-cookie"),
        ("Cache-Control: max-age=60\r\nVary: *", "vary-star"),
        ("Cache-Control: max-age=0", "nothing-to-reuse"),
    ],
)
async def test_what_may_not_be_stored_is_a_miss_each_time(line: str, why: str) -> None:
    shop = Shop(line)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        for _ in range(3):
            answer = await proxy.get("/a")
            assert answer.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200"
        assert shop.count == 3
        assert requests(proxy) == {("all", "miss", "200"): 3}


async def test_key_and_detail_are_shown_when_switched_on() -> None:
    text = caching(server="cache_status: {key: true, detail: true}, name: edge")
    async with (
        origin(Shop("Cache-Control: max-age=60")) as raw,
        plane(text, StandingClock(), o=raw.url) as proxy,
    ):
        miss = await proxy.get("/a?b")
        assert miss.cache_status == (
            b'edge; fwd=uri-miss; fwd-status=200; stored; key="http://shop.test/a?b"; detail=nothing-stored'
        )
        hit = await proxy.get("/a?b")
        assert hit.cache_status == b'edge; hit; ttl=60; key="http://shop.test/a?b"; detail=fresh'


async def test_errors_made_here_have_proxy_status_and_no_cache_status() -> None:
    text = caching(route="match: {host: shop.test}")
    shop = Shop()
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        nowhere = await proxy.get("/", {"Host": "other.test"})
        assert (nowhere.status, nowhere.get("cache-status")) == (404, None)
        assert nowhere.get("proxy-status") == b"edgeproxy; error=http_request_error"
        assert nowhere.get("date") is not None
        await raw.stop()
        refused = await proxy.get("/")
        assert (refused.status, refused.get("proxy-status")) == (502, b"edgeproxy; error=connection_refused")
        assert shop.count == 0
        assert requests(proxy) == {("-", "error", "404"): 1, ("all", "error", "502"): 1}
        for source in ("origin", "cache"):
            assert count(proxy, "edgeproxy_response_bytes_total", "all", source) == 0


async def test_an_unasked_304_is_a_bad_answer() -> None:
    shop = Shop()
    shop.raw = b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n"
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        answer = await proxy.get("/a")
        assert (answer.status, answer.get("proxy-status")) == (502, b"edgeproxy; error=http_protocol_error")


async def test_a_head_request_misses_alone_and_hits_what_a_get_stored() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            answer = await proxy.get("/a", method="HEAD")
            assert answer.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200"
            assert answer.get("content-length") == b"5"
        await proxy.get("/a")
        hit = await proxy.get("/a", method="HEAD")
        assert (hit.cache_status, hit.get("content-length")) == (b"edgeproxy; hit; ttl=60", b"5")
        assert shop.count == 3


async def test_a_head_request_validates_what_is_stale() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        answer = await proxy.get("/a", method="HEAD")
        assert b"fwd=stale; fwd-status=304" in answer.cache_status
        assert shop.last.startswith(b"HEAD ")
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"


async def test_heuristic_freshness_where_the_origin_says_nothing() -> None:
    shop = Shop("Date: Mon, 24 Nov 2025 16:00:00 GMT", "Last-Modified: Mon, 24 Nov 2025 06:00:00 GMT")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert re.fullmatch(rb"edgeproxy; hit; ttl=3600", (await proxy.get("/a")).cache_status)


async def test_conditions_that_the_origin_saw_are_not_judged_again_here() -> None:
    """An unsafe request that the origin carried out must not look refused (RFC 9110 §13.2.1)."""
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v2"', body=b"done")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for tag in ('"v1"', '"v2"'):
            answer = await proxy.ask(request("/a", "POST", {"If-Match": tag}, b"body"))
            assert (answer.status, answer.body) == (200, b"done")
