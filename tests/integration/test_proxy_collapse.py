"""Collapsed forwarding through the whole proxy: one fetch for many clients, and nobody held up by it."""

import asyncio

import pytest

from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import (
    PIECE,
    Growing,
    Shop,
    StandingClock,
    begun,
    caching,
    crowd,
    field,
    requests,
)
from tests.plane import plane, request

FRESH = "Cache-Control: max-age=60"


# --- one for all


async def test_two_hundred_clients_on_a_cold_url_cause_one_origin_request() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 200)
        shop.gate.set()
        answers = await asyncio.gather(*tasks)
        assert {(answer.status, answer.body) for answer in answers} == {(200, b"hello")}
        assert shop.count == 1
        told = [answer.cache_status for answer in answers]
        assert told.count(b"edgeproxy; fwd=uri-miss; fwd-status=200; stored; collapsed") == 199
        assert requests(proxy) == {("all", "miss", "200"): 1, ("all", "collapsed", "200"): 199}


async def test_validation_is_collapsed_too() -> None:
    shop = Shop(FRESH, 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        tasks = await crowd(proxy, 10)
        part = asyncio.create_task(proxy.get("/a", {"Range": "bytes=0-1"}))
        await until(lambda: len(proxy.plane._requests) == 11)
        shop.gate.set()
        answers = await asyncio.gather(*tasks)
        assert {answer.body for answer in answers} == {b"hello"}
        assert ((await part).status, (await part).body) == (206, b"he")
        assert shop.count == 2
        assert requests(proxy)[("all", "validated", "200")] == 1


async def test_switched_off_each_client_fetches_for_itself() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching("collapse: false"), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 5)
        await until(lambda: shop.waiting == 5)
        shop.gate.set()
        await asyncio.gather(*tasks)


async def test_authorised_clients_neither_wait_nor_are_waited_for() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 3, fields={"Authorization": "x"})
        tasks += await crowd(proxy, 3)
        tasks += await crowd(proxy, 1, fields={"Authorization": "x"})
        await until(lambda: shop.waiting == 5)
        shop.gate.set()
        await asyncio.gather(*tasks)
        assert shop.count == 5


# --- at each one's pace


async def test_followers_get_what_has_come_while_the_rest_is_on_its_way() -> None:
    shop = Growing()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        async with proxy.client() as leader, proxy.client() as early:
            await leader.send(request("/a"))
            await early.send(request("/a"))
            assert await begun(leader) == PIECE
            async with proxy.client() as late:
                await late.send(request("/a"))
                for follower in (early, late):
                    assert await begun(follower) == PIECE
                shop.more.set()
                for client in (leader, early, late):
                    assert await client.exactly(len(PIECE)) == PIECE
        assert shop.count == 1


async def test_a_slow_client_holds_up_neither_the_fetch_nor_the_others() -> None:
    shop = Growing(pieces=512)  # 8 MiB: more than sockets and buffers of one client take
    shop.more.set()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        async with proxy.client(receive_buffer=4096, limit=1024) as slow:
            await slow.send(request("/a"))
            await until(lambda: shop.count == 1)
            fast = await proxy.get("/a")
            assert fast.body == PIECE * 512
            await until(lambda: proxy.plane.snapshot()["memory"]["responses"] == 1)
            assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; hit")
            answer = await slow.answer()
            assert answer.body == PIECE * 512
        assert shop.count == 1


async def test_a_leader_that_leaves_before_the_head_changes_nothing() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        shop.gate.clear()
        async with proxy.client() as leader:
            await leader.send(request("/a"))
            await until(lambda: shop.waiting == 1)
            tasks = await crowd(proxy, 3)
            leader.reset()
        await until(lambda: proxy.connections == 3)
        shop.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.body for answer in answers] == [b"hello"] * 3
        assert shop.count == 1


async def test_a_leader_that_leaves_in_the_middle_of_the_body_changes_nothing() -> None:
    shop = Growing()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        async with proxy.client() as leader:
            await leader.send(request("/a"))
            await begun(leader)
            tasks = await crowd(proxy, 2)
            leader.reset()
        await until(lambda: proxy.connections == 2)
        shop.more.set()
        assert [len(answer.body) for answer in await asyncio.gather(*tasks)] == [len(PIECE) * 2] * 2
        assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; hit")
        assert shop.count == 1


async def test_a_fetch_that_all_have_left_is_finished_when_it_will_be_stored() -> None:
    shop = Growing()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        async with proxy.client() as only:
            await only.send(request("/a"))
            await begun(only)
            only.reset()
        await until(lambda: proxy.connections == 0)
        shop.more.set()
        await proxy.quiet()
        assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; hit")


async def test_a_fetch_that_all_have_left_is_given_up_when_it_will_not_be_stored() -> None:
    shop = Growing(2, "Cache-Control: no-store")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        async with proxy.client() as only:
            await only.send(request("/a"))
            await begun(only)
            only.reset()
        await proxy.quiet()
        assert proxy.busy_origins == 0
        shop.more.set()


# --- variants


class Language(Shop):
    def answer(self, head: bytes) -> bytes:
        self.body = field(head, b"accept-language") or b"none"
        return super().answer(head)


async def test_followers_of_other_variants_regroup() -> None:
    shop = Language(FRESH, "Vary: Accept-Language")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = [(language, await crowd(proxy, 8, fields={"Accept-Language": language}))
                 for language in ("de", "en", "fr")]  # fmt: skip
        assert shop.waiting == 1
        shop.gate.set()
        for language, group in tasks:
            answers = await asyncio.gather(*group)
            assert {answer.body for answer in answers} == {language.encode()}
        assert shop.count == 3


# --- not to be shared


async def test_uncacheable_answers_release_all_at_once_and_are_remembered() -> None:
    shop = Shop("Cache-Control: private")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 10)
        assert shop.waiting == 1
        for wave in range(2):
            if not wave:
                shop.gate.set()
                await asyncio.gather(*tasks)
                assert shop.count == 10
                shop.gate.clear()
            else:
                tasks = await crowd(proxy, 10)
                await until(lambda: shop.waiting == 10)  # nobody waits for anybody
        shop.lines = (FRESH,)
        shop.gate.set()
        await asyncio.gather(*tasks)
        assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; hit")
        await proxy.advance(61)
        shop.gate.clear()
        tasks = await crowd(proxy, 10)
        shop.gate.set()
        await asyncio.gather(*tasks)
        assert shop.count == 21  # it could be shared: they wait for each other again


@pytest.mark.parametrize("fields", [{"Authorization": "x"}, {"Cache-Control": "no-store"}])
async def test_one_client_s_own_way_of_asking_kept_others_from_waiting_for_each_other(
    fields: dict[str, str],
) -> None:
    shop = Shop("Cache-Control: max-age=1")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(2)
        await proxy.get("/a", fields)
        seen = shop.count
        shop.gate.clear()
        tasks = await crowd(proxy, 5)
        shop.gate.set()
        await asyncio.gather(*tasks)
        assert shop.count == seen + 1


async def test_followers_got_a_response_that_its_validation_made_private() -> None:
    shop = Shop(FRESH, 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.gate.clear()
        shop.lines = ("Cache-Control: private", 'ETag: "v1"')
        tasks = await crowd(proxy, 3)
        shop.gate.set()
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}
        assert shop.count == 4
        assert b"uri-miss" in (await proxy.get("/a")).cache_status


async def test_a_follower_gives_up_waiting_and_fetches_for_itself() -> None:
    shop = Shop(FRESH)
    text = caching("collapse_timeout: 50ms")
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        shop.gate.clear()
        tasks = await crowd(proxy, 3)
        await until(lambda: shop.waiting == 3)
        shop.gate.set()
        await asyncio.gather(*tasks)
