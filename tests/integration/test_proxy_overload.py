"""Overload and hedging as clients see them: stale or 503 at once, and the express lane shut meanwhile."""

import asyncio

import pytest

from tests.integration.raw_origins import origin, until
from tests.integration.test_upstream_watched import Held
from tests.plane import PLAIN, HandClock, Proxy, plane

KEPT = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 5\r\n\r\nhello"
LIMITED = PLAIN.replace('["${o}"]', '["${o}"], max_connections: 1, concurrency: {adaptive: true, min: 1}')


async def overload(proxy: Proxy, held: Held) -> "asyncio.Task[object]":
    """One request under way, which is all that the origin is given."""
    held.go.clear()
    asking = asyncio.create_task(proxy.get("/slow"))
    await until(lambda: held.now == 1)
    return asking


async def test_an_overload_is_told_at_once_with_when_to_come_back() -> None:
    held = Held()
    async with origin(held) as raw, plane(LIMITED, o=raw.url) as proxy:
        asking = await overload(proxy, held)
        for number in range(5):
            answer = await proxy.get(f"/{number}")
            assert answer.status == 503
            assert answer.get("retry-after") == b"1"
            assert b"connection_limit_reached" in (answer.get("proxy-status") or b"")
        held.go.set()
        await asking
        assert held.most == 1
        assert held.count == 1
        assert proxy.plane.snapshot()["upstreams"]["o"][0]["limit"] == 1


@pytest.mark.parametrize(
    ("control", "status"),
    [("max-age=1", 200), ("max-age=1, must-revalidate", 503), ("s-maxage=1", 503), ("no-cache", 503)],
)
async def test_what_is_stored_is_preferred_where_it_may_be_used_stale(control: str, status: int) -> None:
    clock = HandClock()
    held = Held(KEPT % f"Cache-Control: {control}".encode())
    async with origin(held) as raw, plane(LIMITED, clock, o=raw.url) as proxy:
        held.go.set()
        await proxy.get("/page")
        await proxy.advance(10)
        asking = await overload(proxy, held)
        answer = await proxy.get("/page")
        assert answer.status == status
        if status == 200:
            assert b"fwd=stale" in answer.cache_status
        held.go.set()
        await asking


@pytest.mark.parametrize(
    "keys",
    [
        "hedge: {after: 5s}",
        "retries: {status: 503}",
        "retries: {total_timeout: 9s}",
        "retries: {per_try_timeout: 9s}",
        "concurrency: {adaptive: true}",
    ],
)
async def test_the_express_lane_is_shut_where_requests_are_watched(keys: str) -> None:
    held = Held(KEPT % b"Cache-Control: no-store")
    held.go.set()
    async with (
        origin(held) as raw,
        plane(PLAIN.replace('["${o}"]', f'["${{o}}"], {keys}'), o=raw.url) as proxy,
    ):
        async with proxy.client() as client:
            for _ in range(3):
                answer = await client.ask(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n")
                assert answer.status == 200
        assert proxy.plane._express.taken == 0
        assert raw.connections == 1


async def test_a_second_copy_answers_a_client_and_is_counted() -> None:
    slow, quick = Held(), Held()
    quick.go.set()
    text = PLAIN.replace('["${o}"]', '["${o}", "${p}"], hedge: {after: 100ms}')
    async with origin(slow) as one, origin(quick) as two, plane(text, o=one.url, p=two.url) as proxy:
        for number in range(4):
            assert (await proxy.get(f"/{number}")).body == b"hello"
        counters = proxy.counters
        assert counters.ints[counters.counter("edgeproxy_upstream_hedges_total", "o", "won")] >= 2
        assert quick.count == 4
