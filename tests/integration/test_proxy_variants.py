"""Other variants of a key that spare the origin an answer (RFC 9111 §4.1, §4.3.1)."""

from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, StandingClock, caching, field
from tests.plane import plane

GERMAN = ("Cache-Control: max-age=60", "Vary: Accept-Language", "Content-Language: de", 'ETag: "de"')


async def test_the_tags_of_other_variants_are_offered_and_the_one_that_holds_is_used() -> None:
    book = Shop("Cache-Control: max-age=60", "Vary: Foo", 'ETag: "v1"', body=b"one")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Foo": "1"})
        book.lines, book.body = ("Cache-Control: max-age=60", "Vary: Foo", 'ETag: "v2"'), b"two"
        await proxy.get("/a", {"Foo": "2"})
        answer = await proxy.get("/a", {"Foo": "3"})
        offered = field(book.last, b"if-none-match") or b""
        assert set(offered.split(b", ")) == {b'"v1"', b'"v2"'}
        assert (answer.status, answer.body) == (200, b"two")
        assert answer.cache_status == b"edgeproxy; fwd=vary-miss; fwd-status=304; ttl=60; stored"
        assert (await proxy.get("/a", {"Foo": "3"})).cache_status == b"edgeproxy; hit; ttl=60"
        assert (await proxy.get("/a", {"Foo": "1"})).body == b"one"
        assert book.count == 3


async def test_a_304_that_names_none_of_them_is_asked_again_without_conditions() -> None:
    book = Shop("Cache-Control: max-age=60", "Vary: Foo", 'ETag: "v1"', body=b"one")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Foo": "1"})

        class Confused(Shop):
            def answer(self, head: bytes) -> bytes:
                if field(head, b"if-none-match"):
                    return b"HTTP/1.1 304 Not Modified\r\nVary: Foo\r\n\r\n"
                return super().answer(head)

        confused = Confused("Cache-Control: max-age=60", "Vary: Foo", body=b"three")
        book.answer = confused.answer  # type: ignore[method-assign]
        answer = await proxy.get("/a", {"Foo": "3"})
        assert (answer.status, answer.body) == (200, b"three")
        assert book.count == 3


async def test_an_error_in_place_of_an_offered_variant_does_not_serve_it_stale() -> None:
    book = Shop("Cache-Control: max-age=60, stale-if-error=60", "Vary: Foo", 'ETag: "v1"', body=b"one")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Foo": "1"})
        book.status, book.lines, book.body = "503 Service Unavailable", (), b"down"
        assert (await proxy.get("/a", {"Foo": "2"})).status == 503


async def test_a_language_that_is_wanted_most_is_served_whoever_it_was_made_for() -> None:
    book = Shop(*GERMAN, body=b"Hallo")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Accept-Language": "en, de"})
        answer = await proxy.get("/a", {"Accept-Language": "fr;q=0.5, de;q=1.0"})
        assert (answer.body, answer.cache_status) == (b"Hallo", b"edgeproxy; hit; ttl=60")
        for other in ("fr", "fr, de", "en", "de;q=0"):
            count = book.count
            await proxy.get("/a", {"Accept-Language": other})
            assert book.count == count + 1, other


async def test_vary_on_what_the_proxy_itself_writes_is_never_shared() -> None:
    book = Shop("Cache-Control: max-age=60", "Vary: X-Forwarded-For")
    async with origin(book) as raw, plane(caching(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.get("/a")
        assert book.count == 2


async def test_a_variant_that_lost_its_vary_is_not_asked_about_again() -> None:
    book = Shop("Cache-Control: max-age=60", "Vary: Foo", 'ETag: "v1"', body=b"one")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"Foo": "1"})
        await proxy.advance(61)
        book.lines, book.body = ("Cache-Control: max-age=60", 'ETag: "v2"'), b"two"
        assert (await proxy.get("/a", {"Foo": "1"})).body == b"two"
        assert (await proxy.get("/a", {"Foo": "1"})).cache_status == b"edgeproxy; hit; ttl=60"
        assert book.count == 2


async def test_validation_by_one_who_is_authorized_leaves_the_shared_one_to_the_others() -> None:
    book = Shop("Cache-Control: max-age=60", 'ETag: "v1"', body=b"shared")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(61)
        mine = await proxy.get("/a", {"Authorization": "Basic x"})
        assert (mine.status, mine.body) == (200, b"shared")
        book.raw = b'HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: "v1"\r\n\r\n'
        assert (await proxy.get("/a")).body == b"shared"
        assert field(book.last, b"if-none-match") == b'"v1"'
