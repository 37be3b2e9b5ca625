"""Pages with Edge Side Includes: each part by its own policy, put together for each client."""

import logging
from collections.abc import AsyncIterator

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.esi_site import CONFIG, FRESH, HTML, PRIVATE, Site, include
from tests.integration.raw_origins import Talk, origin, until
from tests.integration.shop_origin import StandingClock, requests
from tests.plane import Proxy, plane, request


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def proxy(site: Site) -> AsyncIterator[Proxy]:
    async with origin(site) as raw, plane(CONFIG, StandingClock(), o=raw.url) as running:
        yield running


# --- what a page is made of


async def test_a_page_is_stored_and_its_private_corner_is_each_clients_own(site: Site, proxy: Proxy) -> None:
    async def basket(talk: Talk, head: bytes) -> None:
        who = head.partition(b"Cookie: ")[2].partition(b"\r\n")[0]
        await talk.send(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nSet-Cookie: a=1\r\nContent-Length: %d\r\n\r\n"
            % len(who)
            + who
        )

    site.has("/", f"<p>Hello {include('/raw/basket')}{include('/raw/news')}!</p>", HTML, FRESH, 'ETag: "v1"')
    site.has("/raw/news", "news", FRESH)
    site.does("/raw/basket", basket)
    for who in ("ann", "bob"):
        answer = await proxy.get("/", {"Cookie": who})
        assert (answer.status, answer.body) == (200, f"<p>Hello {who}news!</p>".encode())
        assert answer.get("set-cookie") is None
    assert answer.cache_status == b"edgeproxy; hit; ttl=60"
    assert site.seen == {"/": 1, "/raw/news": 1, "/raw/basket": 2}


async def test_the_assembled_answer_is_not_to_be_reused(site: Site, proxy: Proxy) -> None:
    site.has(
        "/",
        "x",
        "Content-Type: Text/HTML; charset=utf-8",
        FRESH,
        'ETag: "v1"',
        "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT",
        "Expires: Mon, 01 Jan 2035 00:00:00 GMT",
        'Surrogate-Control: content="ESI/1.0"',
        "CDN-Cache-Control: max-age=70",
        "Cloudflare-CDN-Cache-Control: max-age=70",
        "X-Accel-Expires: 70",
        "Accept-Ranges: bytes",
        "Content-MD5: x",
        "Digest: x",
        "X-Kept: yes",
    )
    for _ in range(2):
        answer = await proxy.get("/")
        assert answer.get("transfer-encoding") == b"chunked"
        assert answer.get("cache-control") == b"private, no-cache"
        assert (answer.get("x-kept"), answer.get("via")) == (b"yes", b"1.1 edgeproxy")
        for name in (
            "etag", "last-modified", "expires", "surrogate-control", "cdn-cache-control", "accept-ranges",
            "content-md5", "digest", "content-length", "cloudflare-cdn-cache-control", "x-accel-expires",
        ):  # fmt: skip
            assert answer.get(name) is None, name
    assert (answer.get("age"), answer.cache_status) == (b"0", b"edgeproxy; hit; ttl=70")


async def test_what_a_page_says_of_storing_and_the_operators_word_stay(site: Site, proxy: Proxy) -> None:
    site.has("/", "x", HTML, "Cache-Control: no-store, no-transform, max-age=9")
    assert (await proxy.get("/")).get("cache-control") == b"private, no-cache, no-store, no-transform"
    text = CONFIG.replace("esi: {", "response_headers: {set: {Cache-Control: max-age=1}}, esi: {")
    async with origin(site) as raw, plane(text, o=raw.url) as other:
        assert (await other.get("/")).get("cache-control") == b"max-age=1"


async def test_removed_parts_comments_and_tags_of_others(site: Site, proxy: Proxy) -> None:
    site.has(
        "/",
        'a<esi:remove>no ESI here</esi:remove>b<esi:comment text="x"/>c<!--esi '
        + include("/raw/f")
        + "-->d<esi:vars>$(X)</esi:vars><esi:include/>e<!-- "
        + include("/raw/no")
        + " -->",
    )
    site.has("/raw/f", "F")
    whole = b'abc Fd<esi:vars>$(X)</esi:vars><esi:include/>e<!-- <esi:include src="/raw/no"/> -->'
    assert (await proxy.get("/")).body == whole
    assert site.seen["/raw/no"] == 0


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Type: text/plain", FRESH),
        (FRESH,),
        (HTML, FRESH, "Content-Encoding: gzip"),
    ],
    ids=["plain", "untyped", "encoded"],
)
async def test_what_is_no_page_passes_as_it_is(
    site: Site, proxy: Proxy, lines: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    body = include("/raw/f")
    site.has("/", body, *lines, 'ETag: "v1"')
    with caplog.at_level(logging.WARNING, "edgeproxy.edge"):
        for _ in range(3):
            answer = await proxy.get("/", {"Accept-Encoding": "gzip"})
            assert (answer.body, answer.get("etag")) == (body.encode(), b'"v1"')
            assert answer.get("content-length") == b"%d" % len(body)
    assert len(caplog.records) == ("Content-Encoding: gzip" in lines)
    assert b"accept-encoding" not in site.head("/")
    part = await proxy.get("/", {"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, body[:4].encode())
    assert (await proxy.get("/", {"If-None-Match": '"v1"'})).status == 304
    assert site.seen == {"/": 1}


async def test_only_a_200_is_a_page(site: Site, proxy: Proxy) -> None:
    site.has("/", include("/raw/f"), HTML, FRESH, status="404 Not Found")
    answer = await proxy.get("/")
    assert (answer.status, answer.body) == (404, include("/raw/f").encode())
    assert answer.get("cache-control") == b"max-age=60"


async def test_an_answer_to_post_is_a_page_too(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/raw/f')}")
    site.has("/raw/f", "F")
    answer = await proxy.ask(request("/", "POST", {"If-Match": '"x"', "Content-Type": "a/b"}, b"body"))
    assert answer.body == b"aF"
    assert b'if-match: "x"' in site.head("/")
    fragment = site.head("/raw/f")
    assert fragment.startswith(b"get ")
    assert b"content-" not in fragment
    assert b"if-match" not in fragment


async def test_the_head_of_a_page_asks_for_no_fragment(site: Site, proxy: Proxy) -> None:
    site.has("/", include("/raw/f"), HTML, FRESH, 'ETag: "v1"')
    for _ in range(2):
        answer = await proxy.get("/", method="HEAD")
        assert (answer.status, answer.get("etag"), answer.get("content-length")) == (200, None, None)
        assert answer.get("cache-control") == b"private, no-cache"
        await proxy.ask(request("/", "HEAD"))
    assert site.seen["/raw/f"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"Range": "bytes=0-1"},
        {"Range": "bytes=0-1", "If-Range": '"v1"'},
        {"If-None-Match": '"v1"'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Mon, 01 Jan 2034 00:00:00 GMT"},
        {"If-Match": '"other"'},
    ],
    ids=str,
)
async def test_a_page_is_always_whole(site: Site, proxy: Proxy, fields: dict[str, str]) -> None:
    site.has("/", f"a{include('/raw/f')}", HTML, FRESH, 'ETag: "v1"')
    site.has("/raw/f", "F", FRESH, 'ETag: "v1"')
    for _ in range(2):
        answer = await proxy.get("/", fields)
        assert (answer.status, answer.body) == (200, b"aF")
    assert not [name for name in fields if name.lower().encode() in b"".join(site.heads).lower()]
    assert site.seen == {"/": 1, "/raw/f": 1}


async def test_a_page_of_each_client_alone(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/raw/f')}", HTML, PRIVATE)
    site.has("/raw/f", "F")
    for _ in range(3):
        assert (await proxy.get("/", {"If-None-Match": '"x"', "Range": "bytes=0-0"})).body == b"aF"
    assert site.seen == {"/": 3, "/raw/f": 1}


async def test_a_client_of_http_1_0_gets_it_until_the_close(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/raw/f')}")
    site.has("/raw/f", "F")
    async with proxy.client() as client:
        await client.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n\r\naF")


async def test_the_fast_path_leaves_pages_alone(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/raw/f')}")
    site.has("/raw/f", "F")
    async with proxy.client() as client:
        for _ in range(4):
            assert (await client.ask(request("/"))).body == b"aF"
    assert site.seen == {"/": 1, "/raw/f": 1}


async def test_only_what_clients_ask_is_counted(site: Site, proxy: Proxy) -> None:
    site.has("/", include("/raw/f") * 3)
    site.has("/raw/f", "F")
    for _ in range(2):
        await proxy.get("/")
    counted = {key: count for key, count in requests(proxy).items() if count}
    assert counted == {("pages", "miss", "200"): 1, ("pages", "hit", "200"): 1}


# --- what is asked


async def test_origins_are_told_of_esi_where_it_is_done(site: Site, proxy: Proxy) -> None:
    site.has("/", include("/raw/f"))
    await proxy.get("/")
    assert b'surrogate-capability: edgeproxy="surrogate/1.0 esi/1.0"\r\n' in site.head("/")
    assert b"esi" not in site.head("/raw/f")


async def test_a_fragment_is_asked_for_in_the_clients_name(site: Site, proxy: Proxy) -> None:
    site.has("/dir/page", include("../raw/f?a=1&amp;b=2") + include("http://cdn.test/raw/g"))
    site.has("/raw/f?a=1&b=2", "F")
    site.has("/raw/g", "G")
    fields = {
        "Cookie": "c=1",
        "Authorization": "Basic x",
        "Accept-Language": "de",
        "User-Agent": "ua",
        "TE": "trailers",
        "Accept-Encoding": "gzip",
        "Range": "bytes=0-0",
        "Connection": "x-hop",
        "X-Hop": "1",
    }
    assert (await proxy.get("/dir/page", fields)).body == b"FG"
    own, other = site.head("/raw/f?a=1&b=2"), site.head("/raw/g")
    for line in (b"accept-language: de", b"user-agent: ua", b"x-forwarded-for: 127.0.0.1"):
        assert line in own
        assert line in other
    for line in (b"accept-encoding:", b"range:", b"x-hop", b"\r\nte:"):
        assert line not in own + other
    assert b"cookie: c=1" in own
    assert b"authorization: basic x" in own
    assert b"host: cdn.test\r\n" in other
    assert b"x-forwarded-host: cdn.test\r\n" in other
    assert b"cookie" not in other
    assert b"authorization" not in other


async def test_a_fragment_by_another_scheme_is_asked_for_by_that_scheme(site: Site, proxy: Proxy) -> None:
    site.has("/", include("https://shop.test/raw/f"))
    site.has("/raw/f", "F")
    assert (await proxy.get("/")).body == b"F"
    assert b"x-forwarded-proto: https" in site.head("/raw/f")


# --- each by its own policy


async def test_each_part_lives_as_long_as_its_own_route_says(site: Site, proxy: Proxy) -> None:
    site.has("/", f"v1{include('/short/f')}{include('/raw/g')}")
    site.has("/short/f", "F1")
    site.has("/raw/g", "G1")
    assert (await proxy.get("/")).body == b"v1F1G1"
    for path in ("/short/f", "/raw/g"):
        site.has(path, f"{path[-1].upper()}2")
    await proxy.advance(6)
    answer = await proxy.get("/")
    assert (answer.body, answer.cache_status) == (b"v1F2G1", b"edgeproxy; hit; ttl=54")


async def test_a_stale_page_is_put_together_too(site: Site, proxy: Proxy) -> None:
    stale = "Cache-Control: max-age=5, stale-while-revalidate=60"
    site.has("/", f"v1{include('/raw/f')}", HTML, stale)
    site.has("/raw/f", "F")
    await proxy.get("/")
    await proxy.advance(6)
    site.has("/", f"v2{include('/raw/f')}", HTML, stale)
    answer = await proxy.get("/")
    assert (answer.body, answer.cache_status) == (b"v1F", b"edgeproxy; hit; ttl=-1")
    await until(lambda: not proxy.plane._fetcher.fills)
    assert (await proxy.get("/")).body == b"v2F"


async def test_a_page_that_was_validated_is_put_together(site: Site, proxy: Proxy) -> None:
    async def page(talk: Talk, head: bytes) -> None:
        lines = b'Content-Type: text/html\r\nCache-Control: max-age=5\r\nETag: "v1"\r\n'
        body = b"a" + include("/raw/f").encode()
        if b"If-None-Match" in head:
            await talk.send(b"HTTP/1.1 304 Not Modified\r\n" + lines + b"\r\n")
        else:
            await talk.send(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (lines, len(body), body))

    site.does("/", page)
    site.has("/raw/f", "F")
    await proxy.get("/")
    await proxy.advance(6)
    answer = await proxy.get("/", {"If-None-Match": '"v1"'})
    assert (answer.status, answer.body) == (200, b"aF")
    assert b"fwd-status=304" in answer.cache_status


async def test_a_fragment_can_be_purged_alone(site: Site, proxy: Proxy) -> None:
    site.has("/", f"v1{include('/raw/f')}{include('/raw/g')}")
    for path in ("/raw/f", "/raw/g"):
        site.has(path, path[-1])
    assert (await proxy.get("/")).body == b"v1fg"
    for path in ("/", "/raw/f", "/raw/g"):
        site.has(path, "new")
    proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/raw/f"))
    assert (await proxy.get("/")).body == b"v1newg"


async def test_explain_finds_the_page_that_is_used(site: Site, proxy: Proxy) -> None:
    site.has("/", "x", HTML, FRESH, "Vary: Accept-Encoding")
    await proxy.get("/", {"Accept-Encoding": "gzip"})
    told = await proxy.plane.explain(b"http://shop.test/", [(b"Accept-Encoding", b"br")])
    assert (told["stored"], told["outcome"]) == (True, "hit")


# --- what is no page by its request


async def test_an_upgrade_that_is_declined_brings_a_page_too(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/raw/f')}")
    site.has("/raw/f", "F")
    answer = await proxy.get("/", {"Connection": "Upgrade", "Upgrade": "websocket"})
    assert (answer.status, answer.body) == (200, b"aF")
    assert b"upgrade" not in site.head("/raw/f")


async def test_a_route_with_esi_has_tunnels_as_others_do(site: Site, proxy: Proxy) -> None:
    async def switch(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        await talk.send(await talk.reader.readexactly(5))

    site.does("/", switch)
    async with proxy.client() as client:
        await client.send(request("/", fields={"Connection": "Upgrade", "Upgrade": "echo"}))
        assert (await client.head()).status == 101
        await client.send(b"<esi:")
        assert await client.exactly(5) == b"<esi:"


async def test_an_early_hint_passes(site: Site, proxy: Proxy) -> None:
    async def hints(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + page)

    site.has("/", "a")
    page = site.answers["/"]
    assert isinstance(page, bytes)
    site.does("/", hints)
    answer = await proxy.get("/")
    assert ([interim.status for interim in answer.interim], answer.body) == ([103], b"a")


async def test_a_fragment_that_says_nothing_is_an_empty_place(site: Site, proxy: Proxy) -> None:
    site.has("/", f"a{include('/raw/none')}{include('/raw/empty')}b")
    site.answers["/raw/none"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    site.has("/raw/empty", "")
    assert (await proxy.get("/")).body == b"ab"


async def test_a_page_of_a_route_that_compresses_is_not_compressed(site: Site) -> None:
    text = CONFIG.replace("esi: {", "compress: [gzip], compress_min_size: 1B, esi: {")
    site.has("/", f"a{include('/raw/f')}")
    site.has("/raw/f", "F")
    async with origin(site) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        for _ in range(3):
            answer = await proxy.get("/", {"Accept-Encoding": "gzip"})
            assert (answer.body, answer.get("content-encoding")) == (b"aF", None)
    assert site.seen == {"/": 1, "/raw/f": 1}
