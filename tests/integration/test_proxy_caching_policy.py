"""A route's settings at work: lifetimes, sizes, edits, redirects, rewriting, tags."""

import pytest

from edgeproxy.caching.policy import CachePolicy
from tests.integration.raw_origins import Talk, origin
from tests.integration.shop_origin import Shop, StandingClock, caching, count, field, requests
from tests.plane import plane, request


@pytest.mark.parametrize(
    ("settings", "lines", "status", "ttl"),
    [
        ("override_ttl: 5m", ("Cache-Control: max-age=60",), "200 OK", 300),
        ("override_ttl: 5m", (), "200 OK", 300),
        ("override_ttl: 5m", ("Cache-Control: no-store",), "200 OK", None),
        ("override_ttl: 5m", ("Cache-Control: private",), "200 OK", None),
        ("override_ttl: 5m", ("Set-Cookie: a=b",), "200 OK", None),
        ("override_ttl: 5m", (), "404 Not Found", None),
        ("default_ttl: 30s", (), "200 OK", 30),
        ("default_ttl: 30s", ("Cache-Control: max-age=60",), "200 OK", 60),
        ("default_ttl: 30s", (), "404 Not Found", None),
        ("negative_ttl: 4s", (), "404 Not Found", 4),
        ("negative_ttl: 4s", (), "500 Oops", 4),
        ("negative_ttl: 4s", (), "403 Forbidden", None),
        ("negative_ttl: 4s", ("Cache-Control: max-age=60",), "404 Not Found", 60),
        ("", ("Cache-Control: s-maxage=10, max-age=60",), "200 OK", 10),
        ("", ("Cache-Control: no-store", "CDN-Cache-Control: max-age=7"), "200 OK", 7),
        (
            "targeted: [X-Cache-Control]",
            ("Cache-Control: no-store", "X-Cache-Control: max-age=7"),
            "200 OK",
            7,
        ),
        ("max_object_size: 4B", ("Cache-Control: max-age=60",), "200 OK", None),
    ],
)
async def test_how_long_a_response_is_fresh(
    settings: str, lines: tuple[str, ...], status: str, ttl: int | None
) -> None:
    shop = Shop(*lines, status=status)
    async with origin(shop) as raw, plane(caching(settings), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        again = await proxy.get("/a")
        expected = b"hit; ttl=%d" % ttl if ttl else b"fwd=uri-miss; fwd-status=" + status[:3].encode()
        assert again.cache_status == b"edgeproxy; " + expected


async def test_what_outgrows_max_object_size_on_the_way_passes_whole_and_is_not_stored() -> None:
    pieces = [bytes([65 + number % 26]) * 10_000 for number in range(20)]

    async def long(talk: Talk) -> None:
        while True:
            await talk.head()
            await talk.send(
                b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for piece in pieces:
                await talk.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await talk.send(b"0\r\n\r\n")

    async with origin(long) as raw, plane(caching("max_object_size: 64KiB"), o=raw.url) as proxy:
        for _ in range(2):
            assert (await proxy.get("/a")).body == b"".join(pieces)
        assert requests(proxy) == {("all", "miss", "200"): 2}
        assert proxy.plane.snapshot()["memory"]["responses"] == 0
        assert proxy.plane._memory.reserved == 0


async def test_the_budget_holds_and_evictions_are_counted() -> None:
    shop = Shop("Cache-Control: max-age=60", body=b"x" * 20_000)
    text = caching(tiers="memory: {max_size: 1MiB}")
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
        for number in range(80):
            await client.ask(request(f"/{number}"))
        memory = proxy.plane.snapshot()["memory"]
        assert memory["bytes"] <= memory["budget"] == 1 << 20
        assert count(proxy, "edgeproxy_cache_evictions_total", "memory") >= 30
        assert 10 < memory["responses"] < 60


async def test_header_edits_reach_origin_and_client_on_every_way() -> None:
    shop = Shop("Cache-Control: max-age=60", "Server: old", "X-Debug: 1", 'ETag: "v1"')
    route = (
        "request_headers: {set: {X-Key: secret, X-Forwarded-Proto: https}, remove: [X-Drop]}, "
        "response_headers: {set: {Server: edge, X-Frame-Options: DENY}, remove: [X-Debug]}"
    )
    async with origin(shop) as raw, plane(caching(route=route), StandingClock(), o=raw.url) as proxy:
        answers = [await proxy.get("/a", {"X-Key": "client", "X-Drop": "1"})]
        assert field(shop.last, b"x-key") == b"secret"
        assert field(shop.last, b"x-drop") is None
        assert field(shop.last, b"x-forwarded-proto") == b"https"
        answers += [await proxy.get("/a"), await proxy.get("/a", {"If-None-Match": '"v1"'})]
        await proxy.advance(61)
        answers += [await proxy.get("/a")]
        assert [answer.status for answer in answers] == [200, 200, 304, 200]
        for answer in answers:
            assert answer.get("server") == b"edge"
            assert answer.get("x-frame-options") == b"DENY"
            assert answer.get("x-debug") is None


async def test_tag_headers_are_stripped_towards_clients_but_cache_groups() -> None:
    shop = Shop(
        "Cache-Control: max-age=60", "Surrogate-Key: a", "Cache-Tag: b", 'Cache-Groups: "c"', "X-Tags: d"
    )
    async with origin(shop) as raw:
        async with plane(caching(), o=raw.url) as proxy:
            for _ in range(2):
                answer = await proxy.get("/a")
                assert (answer.get("surrogate-key"), answer.get("cache-tag")) == (None, None)
                assert (answer.get("cache-groups"), answer.get("x-tags")) == (b'"c"', b"d")
        text = caching("tag_headers: [Cache-Groups, Surrogate-Key, X-Tags]")
        async with plane(text, o=raw.url) as proxy:
            answer = await proxy.get("/a")
            assert (answer.get("surrogate-key"), answer.get("x-tags")) == (None, None)
            assert (answer.get("cache-groups"), answer.get("cache-tag")) == (b'"c"', b"b")


ROUTES = """
server: {listen: "127.0.0.1:0"}
upstreams: {o: {origins: ["${o}"]}}
routes:
  - {name: old, match: {path: /old/*}, redirect: "https://www.shop.test/new/*"}
  - {name: gone, match: {path: /moved}, redirect: {to: "/here?x=1", status: 302}}
  - {name: api, match: {path: /api/*}, upstream: o, strip_prefix: /api}
  - {name: files, match: {path: /files/*}, upstream: o, rewrite: /static/v2/*}
  - {name: wild, match: {host: "*.shop.test"}, upstream: o, rewrite: /wild}
  - {name: coded, match: {path: "/caf%c3%a9/%7euser/*"}, upstream: o}
"""


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        ("/old/a/b?c=d", 308, b"https://www.shop.test/new/a/b?c=d"),
        ("/old", 308, b"https://www.shop.test/new/"),
        ("/moved?y=2", 302, b"/here?x=1&y=2"),
        ("/moved/on", 404, None),
        ("/older", 404, None),
    ],
)
async def test_redirects(target: str, status: int, location: bytes | None) -> None:
    shop = Shop()
    async with origin(shop) as raw, plane(ROUTES, o=raw.url) as proxy:
        answer = await proxy.get(target)
        assert (answer.status, answer.get("location")) == (status, location)
        assert answer.get("cache-status") is None
        assert answer.get("date") is not None
        assert shop.count == 0
        if status < 400:
            name = "old" if status == 308 else "gone"
            assert requests(proxy) == {(name, "bypass", str(status)): 1}
            assert count(proxy, "edgeproxy_response_bytes_total", name, "origin") == 0


@pytest.mark.parametrize(
    ("target", "host", "at_origin"),
    [
        ("/api/x?y", "shop.test", b"/x?y"),
        ("/api", "shop.test", b"/"),
        ("/files/a/b.css?v", "shop.test", b"/static/v2/a/b.css?v"),
        ("/anything?q", "a.b.shop.test", b"/wild?q"),
        ("/caf%C3%A9/~user/x", "shop.test", b"/caf%C3%A9/~user/x"),
    ],
)
async def test_the_target_that_the_origin_sees(target: str, host: str, at_origin: bytes) -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(ROUTES, o=raw.url) as proxy:
        answer = await proxy.get(target, {"Host": host})
        assert answer.status == 200
        assert shop.last.split(b" ")[1] == at_origin
        assert field(shop.last, b"host") == host.encode()


async def test_options_with_no_hops_left_goes_no_further() -> None:
    shop = Shop()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        answer = await proxy.get("/a", {"Max-Forwards": "0"}, "OPTIONS")
        assert (answer.status, answer.body) == (200, b"")
        assert b"GET" in (answer.get("allow") or b"")
        assert (await proxy.get("/a", {"Max-Forwards": "0"}, "TRACE")).status == 405
        assert shop.count == 0
        await proxy.get("/a", {"Max-Forwards": "3"}, "OPTIONS")
        assert field(shop.last, b"max-forwards") == b"2"


async def test_a_request_that_this_node_sent_before_is_not_sent_again() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), node="node-7", o=raw.url) as proxy:
        await proxy.get("/a")
        assert field(shop.last, b"cdn-loop") == b"node-7"
        looped = await proxy.get("/b", {"CDN-Loop": "other, node-7; x=1"})
        assert (looped.status, looped.get("proxy-status")) == (508, b"edgeproxy; error=proxy_loop_detected")
        assert (await proxy.get("/a", {"CDN-Loop": "node-7"})).status == 200
        assert (await proxy.get("/c", {"CDN-Loop": "node-77"})).status == 200


def test_the_default_limit_is_that_of_the_policy() -> None:
    assert CachePolicy().max_object_size == 16 << 20
