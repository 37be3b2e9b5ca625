"""Fragments and pages that fail, and pages that ask for too much."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.esi_site import CONFIG, FRESH, HTML, PRIVATE, Site, include
from tests.integration.raw_origins import Talk, origin
from tests.integration.shop_origin import StandingClock
from tests.plane import Proxy, plane, request


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def proxy(site: Site) -> AsyncIterator[Proxy]:
    async with origin(site) as raw, plane(CONFIG, StandingClock(), o=raw.url) as running:
        yield running


# --- what fails


FAILING = {
    "status": "/raw/none",
    "redirect": "/moved",
    "no route": "http://unknown.test/",
    "no http": "ftp://shop.test/f",
    "no url": "http://:x/",
    "encoded": "/raw/encoded",
    "broken": "/raw/broken",
    "breaks before its body": "/raw/cut",
}


def failing(site: Site) -> None:
    async def broken(talk: Talk, _: bytes) -> None:
        talk.reset()

    async def cut(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        talk.close()
        await talk.ended()

    site.has("/raw/encoded", "x", "Content-Encoding: gzip", FRESH)
    site.does("/raw/broken", broken)
    site.does("/raw/cut", cut)
    site.has("/raw/f", "F")


@pytest.mark.parametrize("src", FAILING.values(), ids=FAILING.keys())
async def test_an_include_that_fails(site: Site, proxy: Proxy, src: str) -> None:
    failing(site)
    site.has("/alt", f"a{include(src, '/raw/f')}b")
    site.has("/continue", f"a{include(src, onerror='continue')}b")
    site.has("/both", f"a{include(src, '/raw/none', 'continue')}b")
    site.has("/first", f"{include(src)}b")
    site.has("/later", f"a{include(src)}b")
    assert (await proxy.get("/alt")).body == b"aFb"
    assert (await proxy.get("/continue")).body == b"ab"
    assert (await proxy.get("/both")).body == b"ab"
    first = await proxy.get("/first")
    assert (first.status, first.get("proxy-status")) == (502, b"edgeproxy; error=http_response_incomplete")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await proxy.get("/later")


async def test_an_alt_that_fails_fails_the_page(site: Site, proxy: Proxy) -> None:
    site.has("/", include("/raw/none", alt="/raw/none2"))
    assert (await proxy.get("/")).status == 502
    assert site.seen["/raw/none2"] == 1


async def test_a_fragment_that_breaks_within_cuts_the_client(site: Site, proxy: Proxy) -> None:
    async def half(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await written.wait()
        talk.close()
        await talk.ended()

    written = asyncio.Event()
    site.does("/raw/half", half)
    site.has("/raw/f", "F")
    site.has("/", f"a{include('/raw/half', alt='/raw/f', onerror='continue')}b")
    async with proxy.client() as client:
        await client.send(request("/"))
        await client.head()
        assert [await client.chunk(), await client.chunk()] == [b"a", b"half"]
        written.set()
        assert await client.rest() == b""


async def test_a_page_that_breaks_within_cuts_the_client(site: Site, proxy: Proxy) -> None:
    async def half(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nhalf")
        talk.close()
        await talk.ended()

    site.does("/", half)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await proxy.get("/")


async def test_a_page_that_breaks_before_its_text_is_an_error(site: Site, proxy: Proxy) -> None:
    async def nothing(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n")
        talk.close()
        await talk.ended()

    site.does("/", nothing)
    assert (await proxy.get("/")).status == 502


async def test_a_fragment_that_never_answers_is_given_up_in_time(site: Site, proxy: Proxy) -> None:
    site.gate("/raw/slow")
    site.has("/", f"a{include('/raw/slow', onerror='continue')}b")
    assert (await proxy.get("/")).body == b"ab"


# --- limits


async def test_fragments_within_fragments(site: Site, proxy: Proxy) -> None:
    site.has("/", f"0{include('/one')}0")
    site.has("/one", f"1{include('/two')}{include('/two')}1")
    site.has("/two", f"2{include('/raw/f')}2")
    site.has("/raw/f", f"F{include('/no')}")
    leaf = b'2F<esi:include src="/no"/>2'
    assert (await proxy.get("/")).body == b"01" + leaf + leaf + b"10"


async def test_an_endless_page_ends_at_its_depth(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/', onerror='continue')}b")
    assert (await proxy.get("/")).body == b"aaaabbbb"
    site.has("/x", include("/x"), HTML, PRIVATE)
    assert (await proxy.get("/x")).status == 502
    assert site.seen == {"/": 1, "/x": 4}


async def test_a_page_asks_for_so_many_fragments_and_no_more(site: Site, proxy: Proxy) -> None:
    site.has("/", "".join(include(f"/raw/{number}", onerror="continue") for number in range(12)))
    for number in range(12):
        site.has(f"/raw/{number}", f"{number},")
    assert (await proxy.get("/")).body == b"0,1,2,3,4,5,6,7,"
    site.has("/nested", include("/", onerror="continue"))
    assert (await proxy.get("/nested")).body == b"0,1,2,3,4,5,6,"
