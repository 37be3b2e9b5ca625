"""Parts of representations (RFC 9111 §3.3, §3.4): stored, served, combined, completed."""

import re

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, StandingClock, caching, field
from tests.plane import Answer, Proxy, plane

WHOLE = b"0123456789"


class Ranges(Shop):
    """An origin that serves ranges of WHOLE; `tag` is its entity tag, None for none."""

    def __init__(self, *lines: str, tag: str | None = '"v1"', body: bytes = WHOLE) -> None:
        super().__init__("Cache-Control: max-age=60", *lines, body=body)
        self.tag = tag
        self.ranges = True

    def answer(self, head: bytes) -> bytes:
        wanted = field(head, b"range") if self.ranges else None
        condition = field(head, b"if-range")
        lines = [*self.lines, *([] if self.tag is None else [f"ETag: {self.tag}"])]
        asked = field(head, b"if-none-match")
        if self.tag is not None and asked is not None and self.tag.encode() in asked:
            return (
                "HTTP/1.1 304 Not Modified\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
            ).encode()
        body, status = self.body, "200 OK"
        if wanted is not None and (condition is None or condition == (self.tag or "").encode()):
            match = re.fullmatch(rb"bytes=(\d*)-(\d*)", wanted)
            assert match is not None
            size = len(self.body)
            start = int(match[1]) if match[1] else size - int(match[2])
            stop = min(int(match[2]) + 1, size) if match[1] and match[2] else size
            body, status = self.body[start:stop], "206 Partial Content"
            lines.append(f"Content-Range: bytes {start}-{stop - 1}/{size}")
        head_lines = "".join(f"{line}\r\n" for line in lines)
        return f"HTTP/1.1 {status}\r\n{head_lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def part(proxy: Proxy, wanted: str, **fields: str) -> Answer:
    return await proxy.get("/a", {"Range": f"bytes={wanted}", **fields})


async def test_a_stored_part_answers_ranges_within_it() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        first = await part(proxy, "4-9")
        assert (first.status, first.body) == (206, b"456789")
        assert first.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=206; stored"
        for wanted, status, body, content_range in (
            ("4-9", 206, b"456789", b"bytes 4-9/10"),
            ("6-7", 206, b"67", b"bytes 6-7/10"),
            ("5-", 206, b"56789", b"bytes 5-9/10"),
            ("-2", 206, b"89", b"bytes 8-9/10"),
            ("10-", 416, b"", b"bytes */10"),
        ):
            answer = await part(proxy, wanted)
            assert (answer.status, answer.body, answer.get("content-range")) == (status, body, content_range)
            assert answer.cache_status == b"edgeproxy; hit; ttl=60"
        assert book.count == 1


async def test_parts_that_meet_are_combined_and_a_whole_of_them_is_a_whole() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-3")
        await part(proxy, "2-5")
        assert (await part(proxy, "1-4")).cache_status == b"edgeproxy; hit; ttl=60"
        await part(proxy, "6-9")
        whole = await proxy.get("/a")
        assert (whole.status, whole.body, whole.get("content-range")) == (200, WHOLE, None)
        assert whole.get("content-length") == b"10"
        assert whole.cache_status == b"edgeproxy; hit; ttl=60"
        assert book.count == 3


async def test_the_fields_of_the_newer_part_count() -> None:
    book = Ranges("A: 1")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        book.lines = ("Cache-Control: max-age=60", "A: 2")
        await part(proxy, "5-9")
        assert (await proxy.get("/a")).get("a") == b"2"


@pytest.mark.parametrize("wanted", ["0-4", "5-9"])
async def test_a_part_is_completed_by_what_is_missing(wanted: str) -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, wanted)
        whole = await proxy.get("/a")
        assert (whole.status, whole.body) == (200, WHOLE)
        assert whole.get("content-range") is None
        assert whole.cache_status == b"edgeproxy; fwd=partial; fwd-status=206; stored"
        assert field(book.last, b"range") == (b"bytes=5-" if wanted == "0-4" else b"bytes=0-4")
        assert field(book.last, b"if-range") == b'"v1"'
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
        assert (await part(proxy, "3-6")).body == b"3456"
        assert book.count == 2


async def test_a_changed_representation_comes_whole_in_one_request() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        book.tag, book.body = '"v2"', b"abcdefghij"
        whole = await proxy.get("/a")
        assert (whole.status, whole.body) == (200, b"abcdefghij")
        assert book.count == 2
        assert (await part(proxy, "0-4")).body == b"abcde"


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
async def test_parts_without_a_strong_validator_are_never_put_together(tag: str | None) -> None:
    book = Ranges(tag=tag)
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        book.body = b"abcdefghij"
        whole = await proxy.get("/a")
        assert (whole.status, whole.body) == (200, b"abcdefghij")
        assert field(book.last, b"range") is None


async def test_a_206_that_the_origin_changes_in_between_is_not_combined() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        book.tag, book.body = '"v2"', b"abcdefghij"
        assert (await part(proxy, "5-9")).body == b"fghij"
        assert (await part(proxy, "0-4")).body == b"abcde"
        assert (await proxy.get("/a")).body == b"abcdefghij"


async def test_a_stale_part_is_validated_and_serves_on() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        await proxy.advance(61)
        answer = await part(proxy, "1-2")
        assert (answer.status, answer.body) == (206, b"12")
        assert answer.cache_status == b"edgeproxy; fwd=stale; fwd-status=304; ttl=60; stored"
        assert (await part(proxy, "1-2")).cache_status == b"edgeproxy; hit; ttl=60"


async def test_a_part_is_not_served_as_the_whole_when_the_origin_fails() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        await proxy.advance(61)
        book.answer = lambda head: b"nonsense\r\n\r\n"  # type: ignore[method-assign]
        assert (await proxy.get("/a")).status == 502


async def test_a_part_that_is_not_what_it_says_answers_its_own_range_only() -> None:
    book = Shop("Cache-Control: max-age=60", "Content-Range: bytes 4-9/10", body=b"01234")
    book.status = "206 Partial Content"
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        for count in (1, 1):
            answer = await part(proxy, "-5")
            assert (answer.status, answer.body) == (206, b"01234")
            assert answer.get("content-range") == b"bytes 4-9/10"
            assert book.count == count
        await part(proxy, "-5", **{"If-Range": '"v0"'})
        assert book.count == 2  # whether it holds, the origin says
        await part(proxy, "6-8")
        assert book.count == 3


@pytest.mark.parametrize(
    "lines",
    [
        ("Cache-Control: no-store", "Content-Range: bytes 0-4/10"),
        ("Cache-Control: max-age=60", "Content-Range: bytes 0-4/*"),
        ("Cache-Control: max-age=60", "Content-Range: lines 0-4/10"),
        ("Cache-Control: max-age=60", "Content-Type: multipart/byteranges; boundary=x"),
    ],
)
async def test_what_cannot_be_placed_is_passed_on_and_not_stored(lines: tuple[str, ...]) -> None:
    book = Shop(*lines, body=b"01234")
    book.status = "206 Partial Content"
    async with origin(book) as raw, plane(caching(), o=raw.url) as proxy:
        for count in (1, 2):
            answer = await part(proxy, "0-4")
            assert (answer.status, answer.body) == (206, b"01234")
            assert answer.cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=206"
            assert book.count == count


async def test_a_206_that_nobody_asked_for_is_not_stored() -> None:
    book = Shop("Cache-Control: max-age=60", "Content-Range: bytes 0-4/10", body=b"01234")
    book.status = "206 Partial Content"
    async with origin(book) as raw, plane(caching(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.get("/a")
        assert book.count == 2


async def test_an_origin_without_ranges_is_stored_whole() -> None:
    book = Ranges()
    book.ranges = False
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        assert (await part(proxy, "0-4")).status == 200
        assert (await part(proxy, "0-4")).body == b"01234"
        assert book.count == 1


async def test_a_purge_of_the_url_takes_its_parts() -> None:
    book = Ranges()
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        await part(proxy, "0-4")
        assert book.count == 2


async def test_vary_tells_parts_apart() -> None:
    book = Ranges("Vary: Accept-Language")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4", **{"Accept-Language": "de"})
        await part(proxy, "0-4", **{"Accept-Language": "en"})
        await part(proxy, "1-2", **{"Accept-Language": "de"})
        assert book.count == 2


async def test_a_part_that_is_all_of_it_is_a_whole() -> None:
    book = Ranges(tag=None)
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        assert (await part(proxy, "0-")).status == 206
        whole = await proxy.get("/a")
        assert (whole.status, whole.body, whole.get("content-range")) == (200, WHOLE, None)
        assert whole.cache_status == b"edgeproxy; hit; ttl=60"
        assert book.count == 1


async def test_an_origin_that_makes_nothing_of_a_part_is_asked_twice_once_only() -> None:
    book = Ranges(tag=None)
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4")
        await proxy.get("/a")
        assert book.count == 3
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        await part(proxy, "0-4")
        await proxy.get("/a")
        assert book.count == 5


async def test_a_purge_by_a_tag_that_only_one_of_the_parts_named_takes_what_they_became() -> None:
    book = Ranges("Surrogate-Key: book")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-3")
        book.lines = ("Cache-Control: max-age=60",)  # as a 206 may (RFC 9110 §15.3.7)
        await part(proxy, "2-5")
        assert (await part(proxy, "1-4")).cache_status == b"edgeproxy; hit; ttl=60"
        proxy.purges.apply(PurgeRule(PurgeKind.TAG, b"book"))
        assert (await part(proxy, "1-4")).body == WHOLE[1:5]
        assert book.count == 3


async def test_rfc9111_s3_5_a_whole_made_of_a_part_for_authorization_needs_its_permission() -> None:
    book = Ranges("Cache-Control: public")
    async with origin(book) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-4", Authorization="Basic Zm9v")
        assert (await proxy.get("/a")).body == WHOLE
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
        await proxy.advance(61)
        book.lines = ("Cache-Control: max-age=60",)  # the 304 takes the permission away
        count = book.count
        assert (await proxy.get("/a")).status == 200
        assert book.count == count + 2  # a 304, and then the whole for all
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
