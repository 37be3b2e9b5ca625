"""Header fields on their way through the whole proxy: what goes, what stays, what is added."""

import pytest

from tests.integration.raw_origins import origin
from tests.plane import PLAIN, UNCACHED, Seen, plane, request

TRUSTING = UNCACHED.replace("server: {", 'server: {trusted_proxies: ["127.0.0.0/8"], ')


def lines(head: bytes) -> list[tuple[bytes, bytes]]:
    split = (line.partition(b": ") for line in head.split(b"\r\n")[1:-2])
    return [(name, value) for name, _, value in split]


def values(head: bytes, name: bytes) -> list[bytes]:
    return [value for have, value in lines(head) if have.lower() == name]


HOP = {
    "Connection": "keep-alive, x-hop, host, cache-control, authorization",
    "X-Hop": "1",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "keep-alive",
    "Proxy-Authorization": "Basic YTpi",
    "TE": "trailers",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA",
}


class TestToOrigins:
    @pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
    async def test_hop_by_hop_fields_and_what_connection_names_stay_here(self, text: str) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(text, o=raw.url) as proxy:
            kept = {"Cache-Control": "no-cache", "Authorization": "Bearer x", "X-End": "2", "x-odd-CASE": "é"}
            await proxy.ask(request("/", fields=HOP | kept))
            (head,) = seen.heads
            for name in ("x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"):
                assert values(head, name.encode()) == []
            assert values(head, b"http2-settings") == []
            assert values(head, b"host") == [b"shop.test"]
            assert values(head, b"authorization") == [b"Bearer x"]
            assert values(head, b"x-end") == [b"2"]
            assert b"\r\nx-odd-CASE: \xe9\r\n" in head

    async def test_repeated_fields_keep_their_order(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nX: 3\r\nCookie: a=b\r\n\r\n")
            assert lines(seen.heads[0])[1:5] == [
                (b"X", b"1"),
                (b"Y", b"2"),
                (b"X", b"3"),
                (b"Cookie", b"a=b"),
            ]

    async def test_via_and_forwarding_fields_are_added(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(request("/", fields={"Via": "1.0 fred"}))
            (head,) = seen.heads
            assert values(head, b"via") == [b"1.0 fred", b"1.1 edgeproxy"]
            assert values(head, b"x-forwarded-for") == [b"127.0.0.1"]
            assert values(head, b"x-forwarded-proto") == [b"http"]
            assert values(head, b"x-forwarded-host") == [b"shop.test"]
            assert len(values(head, b"x-request-id")) == 1
            assert len(values(head, b"traceparent")) == 1
            assert values(head, b"forwarded") == []

    async def test_http_10_is_told_of_in_via(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            assert values(seen.heads[0], b"via") == [b"1.0 edgeproxy"]

    async def test_what_a_stranger_claims_is_dropped(self) -> None:
        seen = Seen()
        claims = {
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.test",
            "Forwarded": "for=6.6.6.6",
            "X-Request-Id": "mine",
        }
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(request("/", fields=claims))
            head = seen.heads[0]
            assert values(head, b"x-forwarded-for") == [b"127.0.0.1"]
            assert values(head, b"x-forwarded-proto") == [b"http"]
            assert values(head, b"x-forwarded-host") == [b"shop.test"]
            assert values(head, b"x-request-id") != [b"mine"]
            assert b"6.6.6.6" not in head

    async def test_what_a_trusted_proxy_claims_is_continued(self) -> None:
        seen = Seen()
        claims = {"X-Forwarded-For": "7.7.7.7", "X-Forwarded-Proto": "https", "X-Request-Id": "mine"}
        async with origin(seen) as raw, plane(TRUSTING, o=raw.url) as proxy:
            await proxy.ask(request("/", fields=claims))
            head = seen.heads[0]
            assert values(head, b"x-forwarded-for") == [b"7.7.7.7, 127.0.0.1"]
            assert values(head, b"x-forwarded-proto") == [b"https"]
            assert values(head, b"x-request-id") == [b"mine"]

    async def test_forwarded_where_it_is_switched_on(self) -> None:
        text = UNCACHED.replace("server: {", "server: {forwarded: true, ")
        seen = Seen()
        async with origin(seen) as raw, plane(text, o=raw.url) as proxy:
            await proxy.get()
            assert values(seen.heads[0], b"forwarded") == [b'for=127.0.0.1;proto=http;host="shop.test"']

    async def test_the_absolute_form_wins_over_host(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(b"GET http://real.test/a?b HTTP/1.1\r\nHost: other.test\r\n\r\n")
            assert seen.targets == [b"/a?b"]
            assert values(seen.heads[0], b"host") == [b"real.test"]

    async def test_targets_are_normalised_once_and_the_same_for_the_origin(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(request("/a/./b/../c//%7e%2f?x=%2F", fields={"Host": "SHOP.test.:80"}))
            assert seen.targets == [b"/a/c/~%2F?x=%2F"]
            assert values(seen.heads[0], b"host") == [b"shop.test"]

    async def test_options_of_the_server_itself(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy:
            await proxy.ask(b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            assert seen.targets == [b"*"]

    async def test_a_request_that_came_around_is_stopped(self) -> None:
        seen = Seen()
        async with origin(seen) as raw, plane(UNCACHED, node="node-7", o=raw.url) as proxy:
            await proxy.get()
            token = values(seen.heads[0], b"cdn-loop")[0].decode()
            answer = await proxy.ask(request("/", fields={"CDN-Loop": token}))
            assert answer.status == 508
            assert len(seen.heads) == 1


class TestToClients:
    @pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
    async def test_hop_by_hop_fields_stay_here_and_are_not_stored(self, text: str) -> None:
        seen = Seen(
            fields=(
                "Connection: x-hop, cache-control",
                "X-Hop: 1",
                "Keep-Alive: timeout=5",
                "Proxy-Authenticate: Basic",
                "Upgrade: h2c",
                "Cache-Control: max-age=100",
                "X-End: 2",
            )
        )
        async with origin(seen) as raw, plane(text, o=raw.url) as proxy:
            for _ in range(2):
                answer = await proxy.get()
                for name in ("connection", "x-hop", "keep-alive", "proxy-authenticate", "upgrade"):
                    assert answer.get(name) is None
                assert (answer.get("x-end"), answer.get("cache-control")) == (b"2", b"max-age=100")
                assert answer.get("via") == b"1.1 edgeproxy"

    async def test_fields_keep_case_order_repeats_and_bytes(self) -> None:
        data = (
            b"HTTP/1.1 200 Fine By Me\r\nSet-Cookie: a=1\r\nx-OddCase: \xe9\r\nSet-Cookie: b=2\r\n"
            b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: x\r\nContent-Length: 0\r\n\r\n"
        )
        async with origin(Seen(raw=data)) as raw, plane(UNCACHED, o=raw.url) as proxy:
            answer = await proxy.get()
            assert answer.reason == b"Fine By Me"
            assert answer.fields[:6] == [
                (b"Set-Cookie", b"a=1"),
                (b"x-OddCase", b"\xe9"),
                (b"Set-Cookie", b"b=2"),
                (b"Date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
                (b"Server", b"x"),
                (b"Content-Length", b"0"),
            ]
