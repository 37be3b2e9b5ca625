"""Slices where nothing goes by the book: empty, shrunk, changing, cut and unhurried."""

from collections.abc import Callable

import pytest

from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import StandingClock, field
from tests.integration.test_proxy_parts import Ranges
from tests.integration.test_proxy_slices import BODY, SIZE, SLICED, asked, book_of, part
from tests.plane import plane, request

MODIFIED = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"


class Satisfied(Ranges):
    """An origin that answers 416 where a range begins beyond its end."""

    def answer(self, head: bytes) -> bytes:
        wanted = field(head, b"range")
        if self.ranges and wanted is not None and int(wanted[6:].partition(b"-")[0]) >= len(self.body):
            size = len(self.body)
            return (
                b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n"
                b"Content-Range: bytes */%d\r\n\r\n" % size
            )
        return super().answer(head)


async def test_what_is_empty_is_an_empty_200_and_no_416() -> None:
    book = Satisfied(body=b"")
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            answer = await proxy.get("/a")
            assert (answer.status, answer.body) == (200, b"")
        assert asked(book) == [b"bytes=0-4095", None]


async def test_a_range_beyond_the_end_is_a_416_with_the_size() -> None:
    book = Satisfied(body=BODY)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "30000-")
        assert (answer.status, answer.get("content-range")) == (416, b"bytes */20080")
        assert asked(book) == [b"bytes=28672-32767", b"bytes=0-4095"]


@pytest.mark.parametrize("condition", ['"v0"', "Sun, 06 Nov 1994 08:49:37 GMT"])
async def test_rfc9110_s13_1_5_a_download_that_goes_on_of_what_shrank_begins_anew(condition: str) -> None:
    book = Satisfied(body=BODY)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "30000-", **{"If-Range": condition})
        assert (answer.status, answer.body) == (200, BODY)


async def test_rfc9110_s14_2_a_range_that_makes_no_sense_is_as_good_as_absent() -> None:
    book = Satisfied(body=BODY)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "30000-5")
        assert (answer.status, answer.body) == (200, BODY)


async def test_a_range_beyond_the_end_of_the_known_is_a_416_without_the_origin() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "20000-")
        answer = await part(proxy, "20080-")  # in the last slice, and beyond its end
        assert (answer.status, answer.get("content-range")) == (416, b"bytes */20080")
        assert book.count == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If-Match": '"v1"'}, 200),
        ({"If-Match": '"v2"'}, 412),
        ({"If-None-Match": '"v2"'}, 200),
        ({"If-None-Match": "*"}, 304),
        ({"If-Modified-Since": MODIFIED.partition(": ")[2]}, 304),
        ({"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412),
    ],
)
async def test_rfc9110_s13_preconditions_of_every_kind(fields: dict[str, str], status: int) -> None:
    book = book_of(MODIFIED)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await proxy.get("/a", fields)
        assert answer.status == status
        assert answer.body == (BODY if status == 200 else answer.body)


async def test_slices_of_what_has_a_date_for_validator() -> None:
    book = book_of(MODIFIED, tag=None)
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        for _ in range(2):
            assert (await proxy.get("/a")).body == BODY
        assert book.count == 5


async def test_ranges_in_any_order_and_of_the_same_slice() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        answer = await part(proxy, "9000-9003,0-3,200-203")
        assert answer.status == 206
        for content_range, body in (
            (b"9000-9003", BODY[9000:9004]),
            (b"0-3", BODY[:4]),
            (b"200-203", BODY[200:204]),
        ):
            assert b"Content-Range: bytes " + content_range + b"/20080\r\n\r\n" + body in answer.body
        assert int(answer.get("content-length") or b"0") == len(answer.body)


def cut(book: Ranges, after: int) -> Callable[[bytes], bytes]:
    """The origin's answers, broken off after so many bytes."""
    whole = book.answer
    return lambda head: whole(head)[:after]


async def test_a_slice_that_is_cut_cuts_the_answer() -> None:
    book = book_of()
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        await part(proxy, "0-1")
        book.answer, book.close = cut(book, 1000), True  # type: ignore[method-assign]
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200
            rest = await client.rest()
        assert BODY.startswith(rest)
        assert SIZE <= len(rest) < 2 * SIZE
        await until(lambda: not len(proxy.plane._cycle._slices.inners))


async def test_a_whole_that_is_no_slice_and_is_cut_cuts_the_answer() -> None:
    book = book_of()
    book.ranges = False
    book.answer, book.close = cut(book, 9000), True  # type: ignore[method-assign]
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200
            rest = await client.rest()
        assert BODY.startswith(rest)
        assert len(rest) < len(BODY)


async def test_a_whole_of_unknown_length_that_is_cut_has_no_end() -> None:
    book = book_of()
    book.raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    book.answer, book.close = lambda head: book.raw, True  # type: ignore
    async with (
        origin(book) as raw,
        plane(SLICED, StandingClock(), o=raw.url) as proxy,
        proxy.client() as client,
    ):
        await client.send(request("/a"))
        assert (await client.head()).status == 200
        rest = await client.rest()
        assert b"hello" in rest
        assert not rest.endswith(b"0\r\n\r\n")


async def test_an_origin_that_changes_with_every_slice_gives_no_mixture() -> None:
    book = book_of()
    plain = book.answer

    def changing(head: bytes) -> bytes:
        book.tag = f'"v{book.count}"'
        return plain(head)

    book.answer = changing  # type: ignore[method-assign]
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200
            assert await client.rest() == BODY[:SIZE]
        del book.answer
        book.tag = '"last"'
        whole = await proxy.get("/a")
        assert (whole.status, whole.body, whole.get("etag")) == (200, BODY, b'"last"')


async def test_a_client_that_leaves_under_way_ends_the_slices() -> None:
    book = book_of(body=BODY * 400)  # 8 MB: more than all buffers on the way take
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200
        await proxy.quiet()
        await until(lambda: not len(proxy.plane._cycle._slices.inners))
        assert book.count < 1900


async def test_a_client_that_leaves_a_passed_on_whole_ends_it() -> None:
    book = book_of(body=BODY * 400)
    book.ranges = False
    async with origin(book) as raw, plane(SLICED, StandingClock(), o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).status == 200
        await proxy.quiet()
        await until(lambda: not len(proxy.plane._cycle._slices.inners))


async def test_a_client_at_its_own_pace_gets_every_byte() -> None:
    book = book_of(body=BODY * 100)
    async with (
        origin(book) as raw,
        plane(SLICED, StandingClock(), o=raw.url) as proxy,
        proxy.client() as client,
    ):
        await client.send(request("/a"))
        head = await client.head()
        assert head.get("content-length") == b"2008000"
        assert await client.exactly(2008000) == BODY * 100
