"""What the proxy learns of an origin: lifetimes, queries that mean the same, links to tell ahead."""

import asyncio

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching
from tests.plane import Proxy, plane, request

ADAPTIVE = caching("adaptive: {min: 10s, max: 1m}")


async def ttl(proxy: Proxy) -> int:
    status = (await proxy.get("/a")).cache_status
    return int(status.rpartition(b"ttl=")[2].partition(b";")[0])


async def test_a_lifetime_grows_while_validation_finds_nothing_changed() -> None:
    book = Shop('ETag: "v1"')
    async with origin(book) as raw, plane(ADAPTIVE, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert await ttl(proxy) == 10
        for lifetime in (20, 40, 60, 60):
            await proxy.advance(61)
            assert await ttl(proxy) == lifetime


async def test_a_lifetime_shrinks_when_the_response_changed() -> None:
    book = Shop('ETag: "v1"')
    async with origin(book) as raw, plane(ADAPTIVE, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        for _ in range(2):
            await proxy.advance(61)
            await proxy.get("/a")
        assert await ttl(proxy) == 40
        book.lines, book.body = ('ETag: "v2"',), b"another"
        await proxy.advance(61)
        await proxy.get("/a")
        assert await ttl(proxy) == 20


async def test_without_validators_the_content_tells_whether_it_changed() -> None:
    book = Shop()
    async with origin(book) as raw, plane(ADAPTIVE, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(11)
        await proxy.get("/a")
        assert await ttl(proxy) == 20
        book.body = b"another"
        await proxy.advance(21)
        await proxy.get("/a")
        assert await ttl(proxy) == 10


async def test_what_the_origin_says_is_not_learnt() -> None:
    book = Shop("Cache-Control: max-age=5")
    async with origin(book) as raw, plane(ADAPTIVE, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert await ttl(proxy) == 5


async def test_without_opting_in_nothing_is_reused_that_has_no_lifetime() -> None:
    book = Shop()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.get("/a")
        assert book.count == 2


# --- No-Vary-Search


@pytest.mark.parametrize(
    ("rule", "stored", "asked", "hits"),
    [
        ('params=("utm")', "/a?x=1&utm=2", "/a?x=1&utm=3", True),
        ('params=("utm")', "/a?x=1&utm=2", "/a?x=1", True),
        ('params=("utm")', "/a?x=1", "/a?x=2", False),
        ('params=("utm")', "/a?x=1", "/b?x=1", False),
        ("params", "/a?x=1", "/a", True),
        ('params, except=("x")', "/a?x=1&y=1", "/a?y=2&x=1", True),
        ('params, except=("x")', "/a?x=1", "/a?x=2", False),
        ("key-order", "/a?x=1&y=2", "/a?y=2&x=1", True),
        ("key-order", "/a?x=1&x=2", "/a?x=2&x=1", False),
        ("params=(", "/a?x=1", "/a?x=2", False),
        ("key-order=?0", "/a?x=1&y=2", "/a?y=2&x=1", False),
    ],
)
async def test_queries_that_the_origin_calls_equal_share_a_response(
    rule: str, stored: str, asked: str, hits: bool
) -> None:
    book = Shop("Cache-Control: max-age=60", f"No-Vary-Search: {rule}")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get(stored)
        answer = await proxy.get(asked)
        assert answer.cache_status.startswith(b"edgeproxy; hit") is hits
        assert book.count == (1 if hits else 2)


async def test_no_vary_search_can_be_switched_off() -> None:
    book = Shop("Cache-Control: max-age=60", "No-Vary-Search: params")
    text = caching("no_vary_search: false")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a?x=1")
        await proxy.get("/a?x=2")
        assert book.count == 2


async def test_a_reload_that_switches_it_off_holds_for_what_was_learnt() -> None:
    book = Shop("Cache-Control: max-age=60", "No-Vary-Search: params")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a?x=1")
        config = load_text(caching("no_vary_search: false"), {"o": raw.url})
        proxy.plane.switch(proxy.plane.prepare(config))
        await proxy.get("/a?x=2")
        assert book.count == 2


@pytest.mark.parametrize("purged", [b"shop.test/a?x=1", b"shop.test/a?x=2"])
async def test_a_purge_of_either_url_takes_what_they_share(purged: bytes) -> None:
    book = Shop("Cache-Control: max-age=60", "No-Vary-Search: params")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a?x=1")
        proxy.purges.apply(PurgeRule(PurgeKind.URL, purged))
        await proxy.get("/a?x=2")
        assert book.count == 2


async def test_an_origin_that_takes_its_word_back_is_believed() -> None:
    book = Shop("Cache-Control: max-age=60", "No-Vary-Search: params")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a?x=1")
        book.lines = ("Cache-Control: max-age=60",)
        await proxy.advance(61)
        await proxy.get("/a?x=1")
        await proxy.get("/a?x=2")
        assert book.count == 3


# --- early hints

LINKS = (
    "Cache-Control: max-age=60",
    'ETag: "v1"',
    "Link: </s.css>; rel=preload; as=style",
    "Link: </n>; rel=next",
)


async def test_stored_links_are_told_ahead_while_the_origin_is_asked() -> None:
    book = Shop(*LINKS)
    text = caching(route="early_hints: true")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        book.gate.clear()
        async with proxy.client() as client:
            await client.send(request("/a"))
            hints = await client.head()
            assert (hints.status, hints.get("link")) == (103, b"</s.css>; rel=preload; as=style")
            book.gate.set()
            assert (await client.head()).status == 200


@pytest.mark.parametrize("route", ["", "early_hints: false"])
async def test_no_hints_without_being_switched_on(route: str) -> None:
    book = Shop(*LINKS)
    async with origin(book) as raw, plane(caching(route=route), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200


async def test_http_1_0_clients_get_no_hints() -> None:
    book = Shop(*LINKS)
    text = caching(route="early_hints: true")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        async with proxy.client() as client:
            await client.send(b"GET /a HTTP/1.0\r\nHost: shop.test\r\n\r\n")
            assert (await client.head()).status == 200


async def test_many_validate_together_and_each_gets_its_hints() -> None:
    book = Shop(*LINKS)
    text = caching(route="early_hints: true")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        book.gate.clear()
        async with proxy.client() as one, proxy.client() as two:
            await one.send(request("/a"))
            await two.send(request("/a"))
            hints = await asyncio.gather(one.head(), two.head())
            assert [hint.status for hint in hints] == [103, 103]
            await until(lambda: book.waiting == 1)
            book.gate.set()
            await asyncio.gather(one.head(), two.head())
        assert book.count == 2
