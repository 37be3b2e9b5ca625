"""Which stored response a request gets, and which part of it: Vary, keys, conditions, ranges; no leaks."""

import pytest

from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, StandingClock, caching, field
from tests.plane import plane, request

HIT = b"edgeproxy; hit; ttl=60"


class Echo(Shop):
    """Answers with the value of one request field."""

    def __init__(self, name: bytes, *lines: str) -> None:
        super().__init__(*lines)
        self.name = name

    def answer(self, head: bytes) -> bytes:
        self.body = field(head, self.name) or b"none"
        return super().answer(head)


# --- variants and keys


async def test_variants_are_told_apart_by_vary() -> None:
    shop = Echo(b"accept-language", "Cache-Control: max-age=60", "Vary: Accept-Language")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for turn in range(2):
            for language in ("de", "en"):
                answer = await proxy.get("/a", {"Accept-Language": language})
                assert answer.body == language.encode()
                if turn:
                    assert answer.cache_status == HIT
        assert shop.count == 2
        third = await proxy.get("/a", {"Accept-Language": "fr"})
        assert third.cache_status == b"edgeproxy; fwd=vary-miss; fwd-status=200; stored"


async def test_normalised_fields_share_variants_and_the_origin_sees_what_they_stand_for() -> None:
    shop = Echo(b"accept-encoding", "Cache-Control: max-age=60", "Vary: Accept-Encoding")
    text = caching("vary: {normalize: {accept-encoding: [br, gzip]}}")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        first = await proxy.get("/a", {"Accept-Encoding": "gzip, deflate, br"})
        assert first.body == b"br"
        second = await proxy.get("/a", {"Accept-Encoding": "br, zstd"})
        assert (second.body, second.cache_status) == (b"br", HIT)


async def test_the_query_policy_makes_one_response_of_many_targets() -> None:
    shop = Shop("Cache-Control: max-age=60")
    text = caching('key: {query: {ignore: ["utm_*", fbclid], sort: true}}')
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a?b=1&a=2&utm_source=x")
        assert shop.last.startswith(b"GET /a?b=1&a=2&utm_source=x ")
        for target in ("/a?a=2&b=1", "/a?a=2&fbclid=1&b=1"):
            assert (await proxy.get(target)).cache_status == HIT
        assert b"uri-miss" in (await proxy.get("/a?a=2")).cache_status


async def test_only_the_named_parameters_count() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching("key: {query: {only: [id]}}"), o=raw.url) as proxy:
        await proxy.get("/a?id=1&x=1")
        assert b"hit" in (await proxy.get("/a?id=1&x=2")).cache_status
        assert b"uri-miss" in (await proxy.get("/a?id=2")).cache_status


async def test_key_headers_and_cookies_tell_variants_apart_without_vary() -> None:
    shop = Echo(b"x-tenant", "Cache-Control: max-age=60")
    async with origin(shop) as raw:
        text = caching("key: {headers: [X-Tenant], cookies: [lang]}")
        async with plane(text, StandingClock(), o=raw.url) as proxy:
            for tenant in ("t1", "t2"):
                await proxy.get("/a", {"X-Tenant": tenant, "Cookie": "lang=de; session=1"})
            assert shop.count == 2
            again = await proxy.get("/a", {"X-Tenant": "t1", "Cookie": "session=2; lang=de"})
            assert (again.body, again.cache_status) == (b"t1", HIT)
            other = await proxy.get("/a", {"X-Tenant": "t1", "Cookie": "lang=en"})
            assert b"vary-miss" in other.cache_status


async def test_equivalent_targets_are_one_and_hosts_are_kept_apart() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a/~x", {"Host": "shop.test"})
        for target in ("/a/%7Ex", "/a/b/../%7ex", "//a//~x"):
            assert (await proxy.get(target, {"Host": "SHOP.test:80"})).cache_status == HIT
        assert b"uri-miss" in (await proxy.get("/a/~x", {"Host": "other.test"})).cache_status
        assert b"uri-miss" in (await proxy.get("/a/~x?")).cache_status


# --- conditions and ranges


@pytest.fixture
def book() -> Shop:
    return Shop(
        "Cache-Control: max-age=60",
        'ETag: "v1"',
        "Last-Modified: Mon, 24 Nov 2025 06:00:00 GMT",
        "Date: Mon, 24 Nov 2025 16:00:00 GMT",
        "Content-Type: text/plain",
        body=bytes(range(48, 58)) * 100,
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If-None-Match": '"v1"'}, 304),
        ({"If-None-Match": 'W/"v1"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"v0"'}, 200),
        ({"If-None-Match": '"v0"', "If-Modified-Since": "Mon, 24 Nov 2025 06:00:00 GMT"}, 200),
        ({"If-Modified-Since": "Mon, 24 Nov 2025 06:00:00 GMT"}, 304),
        ({"If-Modified-Since": "Mon, 24 Nov 2025 05:59:59 GMT"}, 200),
        ({"If-Match": '"v1"'}, 200),
        ({"If-Unmodified-Since": "Mon, 24 Nov 2025 06:00:00 GMT"}, 200),
    ],
)
async def test_conditions_are_answered_from_the_store(
    book: Shop, fields: dict[str, str], status: int
) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        cold = await proxy.get("/a", fields)
        assert (cold.status, b"uri-miss" in cold.cache_status) == (status, True)
        assert field(book.last, b"if-none-match") is None
        warm = await proxy.get("/a", fields)
        assert (warm.status, warm.cache_status) == (status, HIT)
        assert book.count == 1
        if status == 304:
            assert warm.get("etag") == b'"v1"'
            assert warm.get("content-type") is None


async def test_a_failed_if_match_on_what_was_just_fetched_has_date_and_cache_status(book: Shop) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        failed = await proxy.get("/a", {"If-Match": '"v0"'})
        assert failed.status == 412
        assert failed.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200; stored"
        assert failed.get("date") == b"Mon, 24 Nov 2025 16:00:00 GMT"
        assert failed.get("etag") is None


async def test_a_failed_if_match_on_what_is_stored_asks_the_origin(book: Shop) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        book.status, book.body = "412 Precondition Failed", b""
        failed = await proxy.get("/a", {"If-Match": '"v0"'})
        assert (failed.status, failed.cache_status) == (412, b"edgeproxy; fwd=request; fwd-status=412")
        assert field(book.last, b"if-match") == b'"v0"'


@pytest.mark.parametrize(
    ("fields", "status", "content_range", "body"),
    [
        ({"Range": "bytes=0-4"}, 206, b"bytes 0-4/1000", b"01234"),
        ({"Range": "bytes=995-"}, 206, b"bytes 995-999/1000", b"56789"),
        ({"Range": "bytes=-2"}, 206, b"bytes 998-999/1000", b"89"),
        ({"Range": "bytes=0-4", "If-Range": '"v1"'}, 206, b"bytes 0-4/1000", b"01234"),
        ({"Range": "bytes=1000-"}, 416, b"bytes */1000", b""),
    ],
)
async def test_a_range_is_cut_from_the_stored_whole(
    book: Shop, fields: dict[str, str], status: int, content_range: bytes, body: bytes
) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        answer = await proxy.get("/a", fields)
        assert (answer.status, answer.get("content-range"), answer.body) == (status, content_range, body)
        assert (answer.cache_status, answer.get("age")) == (HIT, b"0")
        assert answer.get("date") is not None
        assert answer.get("via") == b"1.1 edgeproxy"
        assert book.count == 1


async def test_several_ranges_come_as_multipart(book: Shop) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        answer = await proxy.get("/a", {"Range": "bytes=0-1,500-501"})
        assert answer.status == 206
        kind, _, boundary = (answer.get("content-type") or b"").partition(b"; boundary=")
        assert kind == b"multipart/byteranges"
        assert answer.body.count(b"--" + boundary) == 3
        assert b"Content-Range: bytes 500-501/1000\r\n\r\n01\r\n" in answer.body


@pytest.mark.parametrize(
    "fields",
    [
        {"Range": "bytes=0-4", "If-Range": '"v0"'},
        {"Range": "bytes=4-0"},
        {"Range": "lines=0-4"},
        {"Range": "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 1000, 100))},
    ],
)
async def test_a_range_that_does_not_hold_gets_the_whole(book: Shop, fields: dict[str, str]) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        answer = await proxy.get("/a", fields)
        assert (answer.status, len(answer.body), answer.cache_status) == (200, 1000, HIT)


async def test_a_range_of_what_is_stale_is_cut_after_validation(book: Shop) -> None:
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        answer = await proxy.get("/a", {"Range": "bytes=0-4"})
        assert (answer.status, answer.body) == (206, b"01234")
        assert b"fwd=stale; fwd-status=304" in answer.cache_status
        assert field(book.last, b"range") is None


async def test_conditions_on_what_cannot_be_stored_cost_a_whole_answer_each_time(book: Shop) -> None:
    book.lines = ("Cache-Control: private", 'ETag: "v1"')
    async with origin(book) as raw, plane(caching(), o=raw.url) as proxy:
        await proxy.get("/a")
        for _ in range(2):
            answer = await proxy.get("/a", {"If-None-Match": '"v1"'})
            assert field(book.last, b"if-none-match") == b'"v1"'
            assert (answer.status, answer.cache_status) == (304, b"edgeproxy; fwd=uri-miss; fwd-status=304")
        assert raw.connections == 1


# --- nothing leaks


async def test_what_one_authorised_client_got_is_not_another_s() -> None:
    shop = Echo(b"authorization", "Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        for who in ("one", "two"):
            answer = await proxy.get("/a", {"Authorization": who})
            assert answer.body == who.encode()
            assert b"stored" not in answer.cache_status
        assert (await proxy.get("/a")).body == b"none"
        assert (await proxy.get("/a", {"Authorization": "three"})).body == b"none"


async def test_an_authorised_answer_that_says_public_is_everybody_s() -> None:
    shop = Shop("Cache-Control: public, max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Authorization": "one"})
        assert (await proxy.get("/a")).cache_status == HIT


async def test_set_cookie_is_stored_only_where_the_operator_says_so() -> None:
    shop = Shop("Cache-Control: max-age=60", "Set-Cookie: basket=1")
    async with origin(shop) as raw:
        async with plane(caching(), StandingClock(), o=raw.url) as proxy:
            for _ in range(2):
                answer = await proxy.get("/a")
                assert (answer.get("set-cookie"), b"uri-miss" in answer.cache_status) == (b"basket=1", True)
        async with plane(caching("allow_set_cookie: true"), StandingClock(), o=raw.url) as proxy:
            await proxy.get("/a")
            answer = await proxy.get("/a")
            assert (answer.get("set-cookie"), answer.cache_status) == (b"basket=1", HIT)


async def test_a_cookie_that_a_304_sets_reaches_its_client_alone() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        shop.lines = (*shop.lines, "Set-Cookie: me=1")
        assert (await proxy.get("/a")).get("set-cookie") == b"me=1"
        hit = await proxy.get("/a")
        assert (hit.get("set-cookie"), hit.cache_status) == (None, HIT)


async def test_fields_that_private_names_reach_the_asking_client_alone() -> None:
    shop = Shop('Cache-Control: max-age=60, private="X-Me"', "X-Me: 1", "X-All: 2")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        miss, hit = await proxy.get("/a"), await proxy.get("/a")
        assert (miss.get("x-me"), miss.get("x-all")) == (b"1", b"2")
        assert (hit.get("x-me"), hit.get("x-all"), hit.cache_status) == (None, b"2", HIT)


# --- unsafe methods


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "STRANGE"])
async def test_an_unsafe_method_invalidates_what_it_names(method: str) -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for target in ("/a", "/b", "/c"):
            await proxy.get(target)
        shop.lines = ("Location: /b", "Content-Location: http://other.test/c")
        answer = await proxy.ask(request("/a", method, body=b"x"))
        if answer.status == 501:
            return
        assert answer.cache_status == b"edgeproxy; fwd=method; fwd-status=200"
        shop.lines = ("Cache-Control: max-age=60",)
        statuses = [(await proxy.get(target)).cache_status for target in ("/a", "/b", "/c")]
        assert [b"hit" in status for status in statuses] == [False, False, True]


async def test_an_unsafe_method_that_fails_invalidates_nothing() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        shop.status = "403 Forbidden"
        await proxy.ask(request("/a", "POST", body=b"x"))
        assert (await proxy.get("/a")).cache_status == HIT


async def test_what_changed_is_purged_on_the_node_before_the_client_hears_of_it() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        told: list[tuple[list[bytes], list[bytes]]] = []

        async def node(keys: list[bytes], tags: list[bytes], answer: object) -> None:
            told.append((keys, tags))

        proxy.plane._fetcher._invalidate = node
        shop.lines = ('Cache-Group-Invalidation: "g"', "Location: /b")
        await proxy.ask(request("/a?x", "POST", body=b"x"))
        ((keys, tags),) = told
        assert keys == [b"http://shop.test/a?x", b"http://shop.test/b"]
        assert len(tags) == 1
        await proxy.ask(request("/a", "OPTIONS"))
        assert len(told) == 1
