"""Large representations in aligned slices: fetched, stored, put together."""

import asyncio

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import StandingClock, caching, count, field
from tests.integration.test_proxy_parts import Ranges
from tests.plane import Answer, Proxy, plane, request

SIZE = 4096
BODY = bytes(range(251)) * 80  # 20,080 bytes: four slices and a rest
SLICED = caching(route="slice: 4KiB")


def book_of(*lines: str, tag: str | None = '"v1"', body: bytes = BODY) -> Ranges:
    return Ranges(*lines, tag=tag, body=body)


async def part(proxy: Proxy, wanted: str, **fields: str) -> Answer:
    return await proxy.get("/a", {"Range": f"bytes={wanted}", **fields})


def asked(book: Ranges) -> list[bytes | None]:
    return [field(head, b"range") for head in book.heads]


async def test_a_range_fetches_and_stores_the_slices_that_it_touches_only() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "5000-9000")
        assert (answer.status, answer.body) == (206, BODY[5000:9001])
        assert answer.get("content-range") == b"bytes 5000-9000/20080"
        assert answer.get("content-length") == b"4001"
        assert answer.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=206; stored"
        assert asked(book) == [b"bytes=4096-8191", b"bytes=8192-12287"]
        again = await part(proxy, "4096-8191")
        assert (again.body, again.cache_status) == (BODY[4096:8192], b"edgeproxy; hit; ttl=60")
        assert book.count == 2


async def test_a_whole_response_is_put_together_of_slices() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "4096-4099")
        for _ in range(2):
            whole = await proxy.get("/a")
            assert (whole.status, whole.body, whole.get("content-range")) == (200, BODY, None)
            assert whole.get("content-length") == b"20080"
            assert book.count == 5
        assert whole.get("age") == b"0"
        assert whole.get("etag") == b'"v1"'


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("0-0", 206, BODY[:1], b"bytes 0-0/20080"),
        ("-10", 206, BODY[-10:], b"bytes 20070-20079/20080"),
        ("16384-", 206, BODY[16384:], b"bytes 16384-20079/20080"),
        ("20079-30000", 206, BODY[-1:], b"bytes 20079-20079/20080"),
        ("4095-4096", 206, BODY[4095:4097], b"bytes 4095-4096/20080"),
    ],
)
async def test_ranges_of_every_kind(wanted: str, status: int, body: bytes, content_range: bytes) -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            answer = await part(proxy, wanted)
            assert (answer.status, answer.body, answer.get("content-range")) == (status, body, content_range)


async def test_several_ranges_come_as_multipart() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "0-3,9000-9003")
        assert answer.status == 206
        assert b"Content-Range: bytes 0-3/20080\r\n\r\n" + BODY[:4] in answer.body
        assert b"Content-Range: bytes 9000-9003/20080\r\n\r\n" + BODY[9000:9004] in answer.body
        assert int(answer.get("content-length") or b"0") == len(answer.body)
        assert book.count == 2


async def test_preconditions_are_answered_from_the_first_slice() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        assert (await proxy.get("/a", {"If-None-Match": '"v1"'})).status == 304
        assert (await part(proxy, "0-9", **{"If-Range": '"v1"'})).status == 206
        whole = await part(proxy, "0-9", **{"If-Range": '"v0"'})
        assert (whole.status, whole.body) == (200, BODY)


async def test_a_small_response_is_one_slice() -> None:
    book = book_of(body=b"small")
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            answer = await proxy.get("/a")
            assert (answer.status, answer.body) == (200, b"small")
        assert book.count == 1


async def test_many_clients_of_one_cold_slice_cost_one_request() -> None:
    book = book_of()
    book.gate.clear()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        asking = [asyncio.create_task(part(proxy, f"{at}-{at + 9}")) for at in range(0, 200, 10)]
        await until(lambda: book.waiting == 1 and len(proxy.plane._requests) == 20)
        book.gate.set()
        answers = await asyncio.gather(*asking)
        assert [answer.body for answer in answers] == [BODY[at : at + 10] for at in range(0, 200, 10)]
        assert book.count == 1


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
async def test_without_a_strong_validator_there_are_no_slices(tag: str | None) -> None:
    book = book_of(tag=tag)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            answer = await proxy.get("/a")
            assert (answer.status, answer.body) == (200, BODY)
        assert book.count == 2  # the slice that told, and the whole
        assert (await part(proxy, "1-2")).body == BODY[1:3]


async def test_an_origin_without_ranges_is_stored_whole() -> None:
    book = book_of()
    book.ranges = False
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        assert (await part(proxy, "4096-4099")).status == 200
        answer = await part(proxy, "4096-4099")
        assert (answer.status, answer.body) == (206, BODY[4096:4100])
        assert (await proxy.get("/a")).body == BODY
        assert book.count == 1


async def test_a_purge_of_the_url_takes_every_slice() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert len(await proxy.plane.remove([b"http://shop.test/a"])) == 5
        await proxy.get("/a")
        assert book.count == 10
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        await part(proxy, "0-1")
        await part(proxy, "20000-20001")
        assert book.count == 12


async def test_a_representation_that_changed_is_never_mixed_with_the_old() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "4096-8191")
        book.tag, book.body = '"v2"', BODY[::-1]
        whole = await proxy.get("/a")
        assert (whole.status, whole.body) == (200, BODY[::-1])
        assert (await part(proxy, "4096-8191")).body == BODY[::-1][4096:8192]


async def test_a_client_gets_no_mixture_when_the_first_slice_is_the_old_one() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-1")
        book.tag, book.body = '"v2"', BODY[::-1]
        async with proxy.client() as client:
            await client.send(request("/a"))
            head = await client.head()
            assert (head.status, head.get("etag")) == (200, b'"v1"')
            rest = await client.rest()
            assert BODY.startswith(rest)
            assert len(rest) < len(BODY)
        whole = await proxy.get("/a")
        assert (whole.status, whole.body) == (200, BODY[::-1])


async def test_stale_slices_are_validated() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-9000")
        await proxy.advance(61)
        answer = await part(proxy, "0-9000")
        assert (answer.status, answer.body) == (206, BODY[:9001])
        assert b"fwd=stale; fwd-status=304" in answer.cache_status
        assert [field(head, b"if-none-match") for head in book.heads[3:]] == [b'"v1"'] * 3


async def test_an_origin_that_fails_under_way_cuts_the_answer() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-1")
        book.answer = lambda head: b"nonsense\r\n\r\n"  # type: ignore[method-assign]
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200
            assert await client.rest() == BODY[:SIZE]
        assert (await part(proxy, "0-1")).body == BODY[:2]


async def test_errors_are_passed_on() -> None:
    book = book_of()
    book.answer = lambda head: b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"  # type: ignore
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "0-1")
        assert (answer.status, answer.body) == (404, b"no")


async def test_a_client_that_leaves_ends_what_was_asked_for_it() -> None:
    book = book_of()
    book.gate.clear()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            await until(lambda: book.waiting == 1)
        book.gate.set()
        await proxy.quiet()
        assert not len(proxy.plane._cycle._slices.inners)


async def test_requests_are_counted_once_and_not_by_slice() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        ledger = proxy.plane._ledger
        assert sum(proxy.counters.ints[slot] for slot in ledger._requests.values()) == 1


async def test_what_may_not_be_stored_is_fetched_whole_and_not_slice_by_slice() -> None:
    book = book_of()
    book.lines = ("Cache-Control: no-store",)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            whole = await proxy.get("/a")
            assert (whole.status, whole.body) == (200, BODY)
        assert book.count == 3  # the slice that told, and the wholes


async def test_it_is_as_old_as_its_oldest_slice_and_says_what_was_here() -> None:
    book = book_of()
    book.lines = ("Cache-Control: max-age=600",)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "8192-8193")
        await proxy.advance(90)
        partial = await proxy.get("/a")
        assert (partial.body, partial.get("age")) == (BODY, b"90")
        assert partial.cache_status == b"edgeproxy; fwd=partial; stored"
        whole = await proxy.get("/a")
        assert (whole.get("age"), whole.cache_status) == (b"90", b"edgeproxy; hit; ttl=600")


async def test_what_is_not_sliced_is_looked_up_once() -> None:
    book = book_of(tag=None)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        before = count(proxy, "edgeproxy_tier_requests_total", "memory", "hit")
        await part(proxy, "0-1")
        assert count(proxy, "edgeproxy_tier_requests_total", "memory", "hit") == before + 1


async def test_a_mixture_is_not_said_to_be_stored_where_its_first_slice_was_a_hit() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-1")
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; fwd=partial"


async def test_the_slices_of_other_variants_are_still_counted_when_one_goes() -> None:
    book = book_of("Vary: Accept-Language")
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for language in ("de", "en"):
            await part(proxy, "0-1", **{"Accept-Language": language})
        memory = proxy.plane._memory
        primary = memory.get(b"http://shop.test/a\n0/4096")
        assert primary is not None
        memory.remove_variant(primary.key, next(iter(primary.variants)))
        assert len(await proxy.plane.remove([b"http://shop.test/a"])) == 1
