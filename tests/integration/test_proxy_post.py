"""Answers to POST that later GETs may have (RFC 9110 §9.3.3)."""

import asyncio

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import PIECE, Growing, Shop, StandingClock, caching
from tests.plane import plane, request

SAYS_SO = ("Cache-Control: max-age=60", "Content-Location: /a")


def post(target: str = "/a") -> bytes:
    return request(target, "POST", {"Content-Length": "3"}) + b"x=1"


async def test_an_answer_to_post_that_says_so_answers_later_gets() -> None:
    book = Shop(*SAYS_SO, body=b"posted")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        first = await proxy.ask(post())
        assert first.cache_status == b"edgeproxy; fwd=method; fwd-status=200; stored"
        again = await proxy.get("/a")
        assert (again.body, again.cache_status) == (b"posted", b"edgeproxy; hit; ttl=60")
        await proxy.ask(post())
        assert book.count == 2  # a POST is never answered from a store


async def test_it_takes_the_place_of_what_the_post_made_outdated() -> None:
    book = Shop("Cache-Control: max-age=60", body=b"old")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        book.lines, book.body = SAYS_SO, b"new"
        await proxy.ask(post())
        assert (await proxy.get("/a")).body == b"new"
        assert book.count == 2


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ("200 OK", ("Cache-Control: max-age=60",)),
        ("200 OK", ("Cache-Control: max-age=60", "Content-Location: /b")),
        ("200 OK", ("Content-Location: /a", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT")),
        ("200 OK", ("Cache-Control: no-store", "Content-Location: /a")),
        ("200 OK", ("Cache-Control: max-age=60", "Content-Location: http://other.test/a")),
        ("404 Not Found", SAYS_SO),
    ],
)
async def test_any_other_answer_to_post_is_not_stored(status: str, lines: tuple[str, ...]) -> None:
    book = Shop(*lines, status=status)
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.ask(post())
        await proxy.get("/a")
        assert book.count == 2


async def test_a_purge_while_it_came_beats_it() -> None:
    book = Growing(2, *SAYS_SO)
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(post())
            await client.head()
            await client.exactly(len(PIECE))
            proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
            book.more.set()
            await client.exactly(len(PIECE))
        await proxy.quiet()
        await proxy.get("/a")
        assert book.count == 2


async def test_a_purge_before_its_head_came_keeps_it_out_of_the_store() -> None:
    book = Shop(*SAYS_SO)
    book.gate.clear()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        asking = asyncio.create_task(proxy.ask(post()))
        await until(lambda: book.waiting == 1)
        proxy.purges.apply(PurgeRule(PurgeKind.TAG, b"another"))
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        book.gate.set()
        assert (await asking).status == 200
        await proxy.get("/a")
        assert book.count == 2
