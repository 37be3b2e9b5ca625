"""What one client asks for is not what others get: tricks with ranges, conditions, fields, purges."""

import asyncio
import gc

import pytest

from edgeproxy.edge.fill import Fill
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, field
from tests.integration.test_proxy_parts import Ranges
from tests.plane import plane

FRESH = "Cache-Control: max-age=60"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Range": "bytes=99-"}, "416 Range Not Satisfiable"),
        ({"Range": "bytes=0-1", "If-Match": '"zzz"'}, "412 Precondition Failed"),
        ({"Range": "bytes=0-1,3-4,6-7"}, "403 Forbidden"),
        ({"Range": "bytes=0-1"}, "503 Service Unavailable"),
    ],
)
@pytest.mark.parametrize("route", ["", "slice: 4KiB"])
async def test_what_ranges_and_conditions_are_refused_with_is_not_stored_for_all(
    route: str, fields: dict[str, str], status: str
) -> None:
    book = Shop(FRESH, body=b"no", status=status)
    async with origin(book) as raw, plane(caching(route=route), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", fields)
        book.status, book.body = "200 OK", b"the page"
        answer = await proxy.get("/a")
        assert (answer.status, answer.body) == (200, b"the page")


async def test_a_part_is_stored_by_what_the_origin_saw() -> None:
    class Tongues(Ranges):
        def answer(self, head: bytes) -> bytes:
            asked = field(head, b"accept-language") or b""
            self.body = b"en francais" if asked.startswith(b"fr") else b"in English."
            return super().answer(head)

    book = Tongues("Vary: Accept-Language")
    text = caching("vary: {normalize: {accept-language: [en, de]}}")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Range": "bytes=0-", "Accept-Language": "fr, en;q=0.1"})
        assert (await proxy.get("/a", {"Accept-Language": "en"})).body == b"in English."


@pytest.mark.parametrize("fields", [{"Authorization": "Basic x"}, {"Cache-Control": "no-store"}])
async def test_one_client_does_not_switch_slices_off_for_others(fields: dict[str, str]) -> None:
    book = Ranges(body=b"x" * 20_000)
    text = caching(route="slice: 4KiB")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Range": "bytes=0-9"})
        await proxy.get("/a", {"Range": "bytes=9000-9009", **fields})
        count = book.count
        assert (await proxy.get("/a", {"Range": "bytes=0-9"})).cache_status == b"edgeproxy; hit; ttl=60"
        assert book.count == count


@pytest.mark.parametrize("with_key", [True, False])
async def test_a_variant_made_for_one_client_is_not_offered_for_another(with_key: bool) -> None:
    class Records(Shop):
        def answer(self, head: bytes) -> bytes:
            self.body = b"account of " + (field(head, b"cookie") or b"nobody")
            return super().answer(head)

    lines = (FRESH, 'ETag: W/"v7"') if with_key else (FRESH, 'ETag: W/"v7"', "Vary: Cookie")
    book = Records(*lines)
    text = caching("key: {cookies: [user]}" if with_key else "")
    async with origin(book) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Cookie": "user=alice"})
        assert (await proxy.get("/a", {"Cookie": "user=bob"})).body == b"account of user=bob"


async def test_what_authorization_brought_goes_to_nobody_once_a_304_takes_the_permission_back() -> None:
    book = Shop("Cache-Control: max-age=60, public", 'ETag: "v1"', body=b"of alice")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Authorization": "Basic alice"})
        await proxy.advance(61)
        book.lines, book.body = ("Cache-Control: max-age=60", 'ETag: "v1"'), b"for all"
        assert (await proxy.get("/a")).body == b"for all"


@pytest.mark.parametrize("long", [True, False])
async def test_a_part_of_another_length_than_it_says_completes_nothing(long: bool) -> None:
    book = Ranges(body=b"0123456789")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Range": "bytes=0-4"})
        body = b"56789HTTP/1.1 200 OK" if long else b"56"
        told = b'HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\nETag: "v1"\r\nContent-Range: bytes 5-9/10\r\n'
        lie = told + b"Content-Length: %d\r\n\r\n" % len(body) + body
        honest = book.answer
        book.answer = lambda head: lie if field(head, b"range") else honest(head)  # type: ignore[method-assign]
        answer = await proxy.get("/a")
        assert (answer.status, answer.body) == (200, b"0123456789")


async def test_a_purge_while_a_validation_is_under_way_takes_what_it_is_about() -> None:
    book = Shop("Cache-Control: max-age=60, stale-if-error=600", 'ETag: "v1"', body=b"old")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for failing in (False, True):
            await proxy.get("/a")
            await proxy.advance(61)
            book.gate.clear()
            asking = [asyncio.create_task(proxy.get("/a")) for _ in range(3)]
            await until(lambda: book.waiting == 1 and proxy.plane.requests == 3)
            proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
            book.status = "503 Service Unavailable" if failing else "200 OK"
            book.body, book.validates = b"new", not failing
            book.gate.set()
            answers = await asyncio.gather(*asking)
            assert {answer.body for answer in answers} == {b"new"}
            book.status, book.body, book.validates = "200 OK", b"old", True
            proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING))


async def test_what_was_purged_is_not_served_for_an_origin_that_fails() -> None:
    book = Shop("Cache-Control: max-age=60, stale-if-error=600", 'ETag: "v1"', body=b"old")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        book.gate.clear()
        asking = asyncio.create_task(proxy.get("/a"))
        await until(lambda: book.waiting == 1)
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        book.raw = b"nonsense\r\n\r\n"
        book.gate.set()
        assert (await asking).status == 502


async def test_fills_are_gone_once_they_are_served() -> None:
    book = Shop(FRESH, body=b"x" * 100_000)
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/warm")
        await proxy.quiet()
        gc.collect()
        gc.disable()
        try:
            for number in range(10):
                await proxy.get(f"/{number}")
            await proxy.quiet()
            assert sum(isinstance(each, Fill) for each in gc.get_objects()) == 0
        finally:
            gc.enable()
