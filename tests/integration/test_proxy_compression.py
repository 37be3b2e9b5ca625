"""Coded copies of what an origin sends plain: made once, told apart, kept in step with what they are of."""

import asyncio
import gzip
import threading
from random import Random

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.codings import CODINGS, decoded
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import (
    Growing,
    Shop,
    StandingClock,
    caching,
    count,
    crowd,
    field,
)
from tests.plane import Answer, Proxy, plane, request

PAGE = b"<p>All shirts of the shop, in every size.</p>\n" * 200
FRESH = "Cache-Control: max-age=60"
HTML = "Content-Type: text/html; charset=utf-8"
TAG = 'ETag: "v1"'
COMPRESS = "compress: [zstd, br, gzip]"
TEXT = caching(route=COMPRESS)
HIT = b"edgeproxy; hit; ttl=60"


def page(*lines: str, body: bytes = PAGE) -> Shop:
    return Shop(FRESH, HTML, TAG, *lines, body=body)


async def get(proxy: Proxy, accept: str | None, method: str = "GET", **fields: str) -> Answer:
    more = {} if accept is None else {"Accept-Encoding": accept}
    return await proxy.get(
        "/a", more | {name.replace("_", "-"): each for name, each in fields.items()}, method
    )


async def settled(proxy: Proxy) -> None:
    """Wait until nothing is to be compressed any more."""
    await until(lambda: not len(proxy.plane._fetcher.compression))


async def warm(proxy: Proxy, *codings: str) -> None:
    """Have the page in memory, with its copies in these codings."""
    await get(proxy, "identity")
    for coding in codings:
        await get(proxy, coding)
    await settled(proxy)


def results(proxy: Proxy, result: str) -> int:
    return count(proxy, "edgeproxy_compressions_total", result)


def variants(proxy: Proxy) -> int:
    return proxy.plane._memory.responses


# --- made once, told apart


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_miss_is_plain_and_the_next_hit_is_in_the_clients_coding(coding: str) -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        first = await get(proxy, coding)
        assert (first.body, first.get("content-encoding"), first.get("vary")) == (PAGE, None, None)
        assert first.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200; stored"
        await settled(proxy)
        for _ in range(3):  # the slow way, the fast path, what it remembers
            hit = await get(proxy, coding)
            assert (hit.status, hit.cache_status, hit.get("age")) == (200, HIT, b"0")
            assert hit.get("content-encoding") == coding.encode()
            assert len(hit.body) < len(PAGE) / 10
            assert decoded(coding, hit.body) == PAGE
            assert (hit.get("vary"), hit.get("etag")) == (b"Accept-Encoding", b'W/"v1"')
            assert hit.get("content-length") == b"%d" % len(hit.body)
        assert shop.count == 1
        assert results(proxy, "coded") == 1


async def test_every_coding_comes_of_one_fetch_and_the_routes_preference_decides() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        wishes = {
            "gzip, deflate, br, zstd": "zstd",
            "gzip, br": "br",
            "br;q=0.5, gzip": "gzip",
            "gzip, zstd;q=0": "gzip",
            "*": "zstd",
            "x-gzip": None,
        }
        for accept, coding in wishes.items():
            hit = await get(proxy, accept)
            assert hit.get("content-encoding") == (coding and coding.encode()), accept
            assert decoded(coding, hit.body) == PAGE
        assert shop.count == 1
        assert results(proxy, "coded") == 3


@pytest.mark.parametrize("accept", [None, "", "identity", "gzip;q=0", "*;q=0", "identity, gzip;q=0.5"])
async def test_who_takes_no_coding_gets_the_page_as_it_came(accept: str | None) -> None:
    shop = page("Accept-Ranges: bytes")
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        for _ in range(2):
            hit = await get(proxy, accept)
            assert (hit.body, hit.get("content-encoding"), hit.cache_status) == (PAGE, None, HIT)
            assert (hit.get("etag"), hit.get("accept-ranges")) == (b'"v1"', b"bytes")
            assert hit.get("vary") == b"Accept-Encoding"
        assert shop.count == 1


async def test_the_fast_path_leaves_a_page_to_the_slow_one_until_its_copy_is_there() -> None:
    async with origin(page()) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy)
        fast = proxy.plane._paths[(b"http", False)]
        fast.now = proxy.clock.wall()
        plain, wants = (request("/a", fields={"Accept-Encoding": each}) for each in ("identity", "br"))
        assert fast.answer(plain) is not None
        assert fast.answer(wants) is None
        await get(proxy, "br")
        await settled(proxy)
        assert b"Content-Encoding: br\r\n" in b"".join([fast.answer(wants) or b""])


async def test_many_clients_at_once_have_it_fetched_and_compressed_once() -> None:
    shop = page("Vary: Accept-Encoding", body=PAGE * 50)
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        shop.gate.clear()
        tasks = []
        for coding in ("br", "gzip", "identity"):
            tasks += await crowd(proxy, 10, fields={"Accept-Encoding": coding})
        shop.gate.set()
        assert {answer.body for answer in await asyncio.gather(*tasks)} == {PAGE * 50}
        assert shop.count == 1
        tasks = [asyncio.create_task(get(proxy, coding)) for coding in ("br", "gzip") * 10]
        for answer in await asyncio.gather(*tasks):
            coding = answer.get("content-encoding")
            assert decoded(coding, answer.body) == PAGE * 50
        await settled(proxy)
        assert results(proxy, "coded") == 2
        assert shop.count == 1


async def test_a_page_that_grows_reaches_its_clients_as_it_grows() -> None:
    shop = Growing(2, FRESH, HTML)
    async with (
        origin(shop) as raw,
        plane(TEXT, StandingClock(), o=raw.url) as proxy,
        proxy.client() as client,
    ):
        await client.send(request("/a", fields={"Accept-Encoding": "br"}))
        head = await client.head()
        await client.exactly(1000)
        shop.more.set()
        await client.exactly(int(head.get("content-length") or 0) - 1000)
        await until(lambda: not proxy.plane._fetcher.fills)
        await settled(proxy)
        assert (await get(proxy, "br")).get("content-encoding") == b"br"


async def test_what_hardly_shrinks_is_tried_once_and_sent_as_it_is() -> None:
    shop = page(body=Random(1).randbytes(5000))
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        for _ in range(3):
            answer = await get(proxy, "gzip")
            assert (answer.body, answer.get("content-encoding")) == (shop.body, None)
            assert answer.get("etag") == b'"v1"'
            await settled(proxy)
        assert results(proxy, "not_worth") == 1
        fast = proxy.plane._paths[(b"http", False)]
        assert fast.answer(request("/a", fields={"Accept-Encoding": "gzip"})) is not None


# --- what is left alone


UNTOUCHED = [
    ("no-transform", ["Content-Type: text/html", "Cache-Control: no-transform"], PAGE),
    ("an image", ["Content-Type: image/png"], PAGE),
    ("of no type", [], PAGE),
    ("small", ["Content-Type: text/html"], PAGE[:1023]),
]


@pytest.mark.parametrize(
    ("lines", "body"), [case[1:] for case in UNTOUCHED], ids=[case[0] for case in UNTOUCHED]
)
async def test_what_is_not_to_be_compressed_is_as_on_any_route(lines: list[str], body: bytes) -> None:
    shop = Shop(FRESH, TAG, *lines, body=body)
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        for accept in ("br", "gzip", None):
            answer = await get(proxy, accept)
            assert (answer.body, answer.get("etag"), answer.get("vary")) == (body, b'"v1"', None)
        assert (shop.count, variants(proxy)) == (1, 1)
        assert not results(proxy, "coded")


async def test_an_error_page_is_not_compressed() -> None:
    shop = Shop(FRESH, HTML, body=PAGE, status="404 Not Found")
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            answer = await get(proxy, "br")
            assert (answer.status, answer.body) == (404, PAGE)
        assert not len(proxy.plane._fetcher.compression)


class Negotiating(Shop):
    """Compresses by itself where it is asked for gzip; says so in Vary unless it `forgets`."""

    forgets = False
    once = b""

    def answer(self, head: bytes) -> bytes:
        self.lines = (FRESH, HTML) if self.forgets else (FRESH, HTML, "Vary: Accept-Encoding")
        self.body = PAGE
        if b"gzip" in (field(head, b"accept-encoding") or b""):
            self.lines += ("Content-Encoding: gzip", 'ETag: "v1-gzip"')
            self.once = self.once or gzip.compress(PAGE)
            self.body = self.once
        return super().answer(head)


@pytest.mark.parametrize("forgets", [False, True])
async def test_the_origins_own_coding_is_kept_byte_for_byte(forgets: bool) -> None:
    shop = Negotiating()
    shop.forgets = forgets
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        for _ in range(3):
            answer = await get(proxy, "gzip")
            assert (answer.body, answer.get("content-encoding")) == (shop.once, b"gzip")
            assert answer.get("etag") == b'"v1-gzip"'
            await settled(proxy)
        assert shop.count == 1
        plain = await get(proxy, None)
        assert (plain.body, plain.get("content-encoding")) == (PAGE, None)
        assert b"fwd=vary-miss" in plain.cache_status
        await get(proxy, "br")  # has it made of the plain one
        await settled(proxy)
        assert decoded("br", (await get(proxy, "br")).body) == PAGE
        assert (await get(proxy, "gzip")).body == shop.once
        assert shop.count == 2


class Translated(Shop):
    """Has one page for all languages, and says that it might not."""

    def answer(self, head: bytes) -> bytes:
        self.lines = (FRESH, HTML, TAG, "Vary: Accept-Language")
        self.body = PAGE
        return super().answer(head)


async def test_a_page_offered_for_another_language_is_compressed_for_that_too() -> None:
    shop = Translated()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        other = await get(proxy, "br", Accept_Language="de")
        assert b"fwd=vary-miss; fwd-status=304" in other.cache_status
        assert field(shop.last, b"if-none-match") == b'"v1"'
        await settled(proxy)
        for language in ("de", None):
            hit = await get(proxy, "br", **({"Accept_Language": language} if language else {}))
            assert (hit.cache_status, hit.get("content-encoding")) == (HIT, b"br")
            assert hit.get("vary") == b"Accept-Language, Accept-Encoding"
            assert decoded("br", hit.body) == PAGE
        assert shop.count == 2


class WeaklyTagged(Negotiating):
    """Knows its forms apart by a weak tag only, and says 304 to either."""

    def answer(self, head: bytes) -> bytes:
        whole = super().answer(head)
        if b'"v1"' not in (field(head, b"if-none-match") or b""):
            return whole.replace(b'"v1-gzip"', b'W/"v1"').replace(b"Vary:", b'ETag: W/"v1"\r\nVary:')
        return b'HTTP/1.1 304 Not Modified\r\nETag: W/"v1"\r\n\r\n'


@pytest.mark.parametrize("text", [TEXT, caching()], ids=["compressing", "not"])
async def test_nobody_gets_a_coding_because_the_origin_knows_it_by_the_same_tag(text: str) -> None:
    shop = WeaklyTagged()
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        assert (await get(proxy, "gzip")).get("content-encoding") == b"gzip"
        for accept in (None, "identity", "br"):
            answer = await get(proxy, accept)
            assert (answer.body, answer.get("content-encoding")) == (PAGE, None), accept


async def test_a_route_that_does_not_compress_is_as_it_was() -> None:
    async with origin(page()) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for cache_status in (b"edgeproxy; fwd=uri-miss; fwd-status=200; stored", HIT, HIT):
            answer = await get(proxy, "br, gzip")
            assert (answer.body, answer.cache_status) == (PAGE, cache_status)
            assert [name for name, _ in answer.fields][:3] == [b"Cache-Control", b"Content-Type", b"ETag"]
            assert answer.get("vary") is None
        assert variants(proxy) == 1


# --- conditions, parts, HEAD


@pytest.mark.parametrize("tag", ['W/"v1"', '"v1"', '"v0", W/"v1"', "*"])
@pytest.mark.parametrize("accept", ["br", "identity"])
async def test_either_tag_is_answered_by_a_304_in_either_form(accept: str, tag: str) -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        for _ in range(2):
            answer = await get(proxy, accept, If_None_Match=tag)
            assert (answer.status, answer.cache_status, answer.body) == (304, HIT, b"")
            assert answer.get("etag") == (b'W/"v1"' if accept == "br" else b'"v1"')
            assert answer.get("vary") == b"Accept-Encoding"
        assert (await get(proxy, accept, If_None_Match='"v2"')).status == 200
        assert shop.count == 1


async def test_head_describes_what_get_would_send() -> None:
    async with origin(page()) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        for accept in ("br", "identity"):
            whole = await get(proxy, accept)
            for _ in range(2):
                head = await get(proxy, accept, "HEAD")
                assert head.body == b""
                assert head.fields == whole.fields


async def test_a_coded_copy_has_no_parts_and_the_plain_one_has() -> None:
    async with origin(page("Accept-Ranges: bytes")) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        whole = await get(proxy, "br", Range="bytes=0-9")
        assert (whole.status, whole.get("accept-ranges"), decoded("br", whole.body)) == (200, None, PAGE)
        part = await get(proxy, None, Range="bytes=0-9", If_Range='"v1"')
        assert (part.status, part.body) == (206, PAGE[:10])


async def test_a_client_that_wants_nothing_transformed_gets_it_plain() -> None:
    async with origin(page()) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        answer = await get(proxy, "br", Cache_Control="no-transform")
        assert (answer.body, answer.get("content-encoding")) == (PAGE, None)
        assert answer.cache_status == HIT


async def test_digests_of_the_plain_bytes_do_not_go_with_the_coded_ones() -> None:
    digests = (
        "Content-MD5: x",
        "Content-Digest: sha-256=:eA==:",
        "Repr-Digest: sha-256=:eA==:",
        "Digest: x=x",
    )
    async with origin(page(*digests)) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "gzip")
        for name in (line.partition(":")[0] for line in digests):
            assert (await get(proxy, "gzip")).get(name) is None
            assert (await get(proxy, "identity")).get(name) is not None


# --- in step with what they were made of


async def test_a_validation_keeps_all_copies_and_makes_them_fresh() -> None:
    shop = page("X-Time: 1")
    clock = StandingClock()
    async with origin(shop) as raw, plane(TEXT, clock, o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.advance(61)
        shop.lines = (FRESH, HTML, TAG, "X-Time: 2")
        stale = await get(proxy, "br")
        assert stale.cache_status == b"edgeproxy; fwd=stale; fwd-status=304; ttl=60; stored"
        assert (stale.get("content-encoding"), decoded("br", stale.body)) == (b"br", PAGE)
        assert field(shop.last, b"if-none-match") == b'"v1"'
        for accept in (*CODINGS, "identity"):
            hit = await get(proxy, accept)
            assert (hit.cache_status, hit.get("x-time")) == (HIT, b"2")
            assert hit.get("etag") == (b'"v1"' if accept == "identity" else b'W/"v1"')
            assert hit.get("vary") == b"Accept-Encoding"
            assert decoded(hit.get("content-encoding"), hit.body) == PAGE
        assert (shop.count, results(proxy, "coded"), variants(proxy)) == (2, 3, 4)


async def test_clients_of_all_codings_share_a_validation() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.advance(61)
        shop.gate.clear()
        tasks = []
        for coding in (*CODINGS, "identity"):
            tasks += await crowd(proxy, 3, fields={"Accept-Encoding": coding})
        shop.gate.set()
        answers = await asyncio.gather(*tasks)
        codings = [answer.get("content-encoding") for answer in answers]
        assert codings == [b"zstd"] * 3 + [b"br"] * 3 + [b"gzip"] * 3 + [None] * 3
        assert shop.count == 2


async def test_another_representation_drops_the_copies_of_the_old_one() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.advance(61)
        shop.lines, shop.body = (FRESH, HTML, 'ETag: "v2"'), PAGE.upper()
        assert (await get(proxy, "br")).body == PAGE.upper()
        await settled(proxy)
        assert variants(proxy) == 2  # the plain one, and br
        for accept in (*CODINGS, None):
            hit = await get(proxy, accept)
            assert hit.cache_status == HIT
            assert decoded(hit.get("content-encoding"), hit.body) == PAGE.upper()
        assert shop.count == 2


async def test_a_representation_replaced_by_force_is_replaced_for_all() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.advance(1)
        shop.lines, shop.body = (FRESH, HTML, 'ETag: "v2"'), PAGE.upper()
        assert (await get(proxy, "gzip", Cache_Control="no-cache")).body == PAGE.upper()
        for accept in (*CODINGS, None):
            hit = await get(proxy, accept)
            assert decoded(hit.get("content-encoding"), hit.body) == PAGE.upper()
        assert shop.count == 2


async def test_a_304_that_forbids_transformation_takes_the_copies_away() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.advance(61)
        shop.lines = (f"{FRESH}, no-transform", HTML, TAG)
        for _ in range(2):
            for accept in (*CODINGS, None):
                answer = await get(proxy, accept)
                assert (answer.body, answer.get("content-encoding")) == (PAGE, None)


async def test_a_response_that_turned_small_is_sent_plain_to_all() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.advance(61)
        shop.lines, shop.body = (FRESH, HTML, 'ETag: "v2"'), b"gone fishing"
        for _ in range(2):
            for accept in (*CODINGS, None):
                answer = await get(proxy, accept)
                assert (answer.body, answer.get("content-encoding")) == (b"gone fishing", None)
        assert shop.count == 2


async def test_stale_copies_are_served_while_the_page_is_validated_and_when_the_origin_is_gone() -> None:
    shop = page()
    text = caching("stale_while_revalidate: 30s, stale_if_error: 1h", route=COMPRESS)
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        await proxy.advance(70)
        stale = await get(proxy, "br")
        assert (stale.cache_status, stale.get("content-encoding")) == (b"edgeproxy; hit; ttl=-10", b"br")
        await until(lambda: not len(proxy.plane._revalidations))
        assert field(shop.last, b"if-none-match") == b'"v1"'
        assert (await get(proxy, "br")).cache_status == HIT
        await proxy.advance(100)
        await raw.stop()
        stale = await get(proxy, "br")
        assert b"fwd=stale" in stale.cache_status
        assert (stale.get("content-encoding"), decoded("br", stale.body)) == (b"br", PAGE)


async def test_a_copy_whose_page_was_evicted_is_served_and_validated_by_itself() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, "br")
        memory = proxy.plane._memory
        (plain,) = [node for node in memory.nodes() if not node.stored.coded_here]
        memory.remove_variant(plain.primary.key, plain.variant)
        assert (await get(proxy, "br")).cache_status == HIT
        await proxy.advance(61)
        answer = await get(proxy, "br")
        assert answer.cache_status == b"edgeproxy; fwd=stale; fwd-status=304; ttl=60; stored"
        assert (answer.get("etag"), answer.get("content-encoding")) == (b'W/"v1"', b"br")
        assert (await get(proxy, "br")).cache_status == HIT
        plain_again = await get(proxy, None)
        assert (plain_again.body, plain_again.get("content-encoding")) == (PAGE, None)


# --- purges, memory, the end


@pytest.mark.parametrize(
    "rule",
    [
        PurgeRule(PurgeKind.URL, b"shop.test/a"),
        PurgeRule(PurgeKind.TAG, b"shirts"),
        PurgeRule(PurgeKind.PREFIX, b"shop.test/"),
    ],
    ids=str,
)
async def test_a_purge_takes_the_page_and_all_its_copies(rule: PurgeRule) -> None:
    shop = page("Surrogate-Key: shirts")
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        for accept in CODINGS:
            assert (await get(proxy, accept)).cache_status == HIT
        proxy.purges.apply(rule)
        shop.lines, shop.body = (FRESH, HTML, 'ETag: "v2"'), PAGE.upper()
        for accept in (*CODINGS, None):
            answer = await get(proxy, accept)
            assert decoded(answer.get("content-encoding"), answer.body) == PAGE.upper()


async def test_removing_a_url_names_every_copy() -> None:
    async with origin(page()) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        removed = await proxy.plane.remove([proxy.plane._memory.nodes()[0].primary.key])
        assert (len(removed), variants(proxy)) == (4, 0)


async def test_an_unsafe_method_takes_the_copies_too() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        await proxy.ask(request("/a", "POST", body=b"x"))
        assert variants(proxy) == 0


async def test_a_soft_purge_has_the_page_validated_once() -> None:
    shop = page()
    async with origin(shop) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a", soft=True))
        answer = await get(proxy, "br")
        assert b"fwd-status=304" in answer.cache_status
        assert answer.get("content-encoding") == b"br"
        assert (await get(proxy, "gzip")).cache_status == HIT
        assert shop.count == 2


async def test_memory_is_counted_to_the_byte() -> None:
    async with origin(page()) as raw, plane(TEXT, StandingClock(), o=raw.url) as proxy:
        await warm(proxy, *CODINGS)
        for accept in (*CODINGS, None):
            await get(proxy, accept)
        memory = proxy.plane._memory
        assert memory.bytes == sum(node.cost for node in memory.nodes())
        await proxy.advance(61)
        await get(proxy, "br")
        assert memory.bytes == sum(node.cost for node in memory.nodes())
        memory.clear()
        assert memory.bytes == 0


async def test_the_end_does_not_wait_for_what_is_being_compressed() -> None:
    shop = page(body=Random(1).randbytes(4 << 20).hex().encode())
    async with origin(shop) as raw, plane(TEXT, o=raw.url) as proxy:
        await asyncio.gather(*(get(proxy, coding) for coding in CODINGS))
        await asyncio.gather(*(get(proxy, coding) for coding in CODINGS))
        compression = proxy.plane._fetcher.compression
        assert len(compression)
    assert not len(compression)
    assert not any(thread.name.startswith("compression") for thread in threading.enumerate())
    assert not proxy.plane._memory.reserved
