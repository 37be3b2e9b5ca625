"""Collapsed forwarding that goes wrong, or is overtaken by a purge."""

import asyncio

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import (
    PIECE,
    Growing,
    Shop,
    StandingClock,
    begun,
    caching,
    crowd,
    requests,
)
from tests.plane import plane, request

FRESH = "Cache-Control: max-age=60"


# --- failing


async def test_a_failing_fetch_gives_every_follower_the_same_error() -> None:
    shop = Shop()
    async with origin(shop) as raw:
        text = caching().replace('["${o}"]', '["${o}"], retries: {attempts: 0}')
        async with plane(text, o=raw.url) as proxy:
            shop.gate.clear()
            tasks = await crowd(proxy, 20)
            await until(lambda: shop.waiting == 1)
            await raw.stop()
            answers = await asyncio.gather(*tasks)
            assert {(answer.status, answer.get("proxy-status")) for answer in answers} == {
                (502, b"edgeproxy; error=connection_terminated")
            }
            assert shop.count == 1
            assert requests(proxy) == {("all", "error", "502"): 20}


async def test_a_failing_validation_gives_every_follower_the_stale_response() -> None:
    shop = Shop(FRESH)
    text = caching().replace('["${o}"]', '["${o}"], retries: {attempts: 0}')
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        tasks = await crowd(proxy, 20)
        await until(lambda: shop.waiting == 1)
        await raw.stop()
        answers = await asyncio.gather(*tasks)
        assert {(answer.status, answer.body) for answer in answers} == {(200, b"hello")}
        assert shop.count == 2
        assert requests(proxy)[("all", "stale", "200")] == 20


async def test_a_follower_that_insists_on_validation_got_the_leader_s_stale_response() -> None:
    shop = Shop("Cache-Control: max-age=60, stale-if-error=600", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        shop.status, shop.lines = "503 Busy", ()
        tasks = await crowd(proxy, 2)
        tasks += await crowd(proxy, 1, fields={"Cache-Control": "no-cache"})
        shop.gate.set()
        assert [answer.status for answer in await asyncio.gather(*tasks)] == [200, 200, 503]


async def test_an_unasked_304_is_the_same_bad_answer_for_every_follower() -> None:
    shop = Shop()
    shop.raw = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 5)
        shop.gate.set()
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {502}
        assert shop.count == 1


async def test_a_body_that_breaks_cuts_every_reader_and_the_next_request_starts_anew() -> None:
    shop = Growing()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        tasks = await crowd(proxy, 3)
        await until(lambda: bool(proxy.plane._fetcher.fills))
        port = raw.port
        await until(lambda: all(fill.size for fill in proxy.plane._fetcher.fills))
        await raw.stop()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.IncompleteReadError | ConnectionError)
        await raw.start(port=port)
        shop.more.set()
        assert (await proxy.get("/a")).body == PIECE * 2
        assert shop.count == 2


# --- purges


@pytest.mark.parametrize("soft", [False, True])
async def test_a_purge_during_a_fetch_wins_and_later_requests_do_not_join(soft: bool) -> None:
    shop = Shop(FRESH, body=b"old")
    text = caching("collapse_timeout: 1h")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        shop.gate.clear()
        before = await crowd(proxy, 2)
        await until(lambda: shop.waiting == 1)
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a", soft))
        after = await crowd(proxy, 2)
        await until(lambda: shop.waiting == 2)
        shop.gate.set()
        await asyncio.gather(*before, *after)
        assert shop.count == 2
        shop.body = b"new"
        await proxy.get("/a")
        assert shop.count == 2  # what the second fetch brought is stored


async def test_what_was_fetched_before_a_purge_is_relayed_and_not_stored() -> None:
    shop = Shop(FRESH, "Surrogate-Key: a")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 2)
        await until(lambda: shop.waiting == 1)
        proxy.purges.apply(PurgeRule(PurgeKind.TAG, b"a"))
        shop.gate.set()
        assert [answer.body for answer in await asyncio.gather(*tasks)] == [b"hello"] * 2
        assert shop.count == 1
        assert proxy.plane.snapshot()["memory"]["responses"] == 0
        await proxy.get("/a")
        assert shop.count == 2


@pytest.mark.parametrize(
    ("rule", "fetches"),
    [
        (PurgeRule(PurgeKind.URL, b"shop.test/b"), 1),
        (PurgeRule(PurgeKind.PREFIX, b"shop.test/b"), 1),
        (PurgeRule(PurgeKind.HOST, b"other.test"), 1),
        (PurgeRule(PurgeKind.PREFIX, b"shop.test/"), 2),
        (PurgeRule(PurgeKind.TAG, b"other"), 2),  # until the head is there, any tag may be its
        (PurgeRule(PurgeKind.EVERYTHING), 2),
    ],
)
async def test_a_purge_of_something_else_keeps_nobody_from_joining(rule: PurgeRule, fetches: int) -> None:
    shop = Shop(FRESH, "Surrogate-Key: a")
    async with (
        origin(shop) as raw,
        plane(caching("collapse_timeout: 1h"), StandingClock(), o=raw.url) as proxy,
    ):
        shop.gate.clear()
        before = await crowd(proxy, 2)
        await until(lambda: shop.waiting == 1)
        proxy.purges.apply(rule)
        after = await crowd(proxy, 2)
        await until(lambda: len(proxy.plane._requests) == 4 and shop.waiting == fetches)
        shop.gate.set()
        await asyncio.gather(*before, *after)
        assert shop.count == fetches


@pytest.mark.parametrize(("tag", "fetches"), [(b"other", 1), (b"a", 2)])
async def test_once_its_tags_are_known_a_growing_answer_is_joined_unless_they_were_purged(
    tag: bytes, fetches: int
) -> None:
    shop = Growing(2, FRESH, "Surrogate-Key: a")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy, proxy.client() as leader:
        await leader.send(request("/a"))
        assert await begun(leader) == PIECE
        proxy.purges.apply(PurgeRule(PurgeKind.TAG, tag))
        async with proxy.client() as late:
            await late.send(request("/a"))
            assert await begun(late) == PIECE
            shop.more.set()
            assert await late.exactly(len(PIECE)) == PIECE
        assert shop.count == fetches
