"""What requests may ask of the cache, and what a route lets them (RFC 9111 §5.2.1)."""

import pytest

from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, StandingClock, caching
from tests.plane import plane

HIT = b"edgeproxy; hit; ttl=60"


@pytest.mark.parametrize("directive", ["no-cache", "max-age=0", "min-fresh=100"])
async def test_a_directive_that_the_route_does_not_honour_is_as_good_as_absent(directive: str) -> None:
    book = Shop("Cache-Control: max-age=60")
    text = caching("request_directives: [only-if-cached]")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert (await proxy.get("/a", {"Cache-Control": directive})).cache_status == HIT
        assert (await proxy.get("/b", {"Cache-Control": "only-if-cached"})).status == 504


async def test_pragma_is_switched_off_with_no_cache() -> None:
    book = Shop("Cache-Control: max-age=60")
    text = caching("request_directives: []")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert (await proxy.get("/a", {"Pragma": "no-cache"})).cache_status == HIT


async def test_no_store_that_is_not_honoured_stores() -> None:
    book = Shop("Cache-Control: max-age=60")
    text = caching("request_directives: [no-cache]")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Cache-Control": "no-store"})
        assert (await proxy.get("/a")).cache_status == HIT


async def test_forced_refreshes_beyond_the_rate_are_answered_from_the_store() -> None:
    book = Shop("Cache-Control: max-age=60")
    text = caching("forced_refreshes: 2/s")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        proxy.plane._cycle._clock.monotonic = lambda: 1000.0 + proxy.clock.ahead  # type: ignore
        await proxy.get("/a")
        for _ in range(5):
            answer = await proxy.get("/a", {"Cache-Control": "no-cache"})
        assert answer.cache_status == HIT
        assert book.count == 3
        await proxy.advance(1)
        await proxy.get("/a", {"Cache-Control": "no-cache"})
        assert book.count == 4


async def test_a_rate_of_nothing_lets_no_client_past_what_is_fresh() -> None:
    book = Shop("Cache-Control: max-age=60")
    text = caching("forced_refreshes: 0/s")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert (await proxy.get("/a", {"Cache-Control": "no-cache"})).cache_status == HIT
        await proxy.advance(61)
        await proxy.get("/a", {"Cache-Control": "no-cache"})
        assert book.count == 2
