"""What two readers could take differently is refused, on both sides (RFC 9112 §11, DESIGN §11.1)."""

import pytest

from tests.integration.raw_origins import Talk, origin, until
from tests.plane import PLAIN, UNCACHED, Seen, plane, request

HOST = b"Host: shop.test\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: shop.test\r\n\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n" + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


REQUESTS = {
    "length-and-coding": (post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"), 400),
    "coding-and-length": (post(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\nG"), 400),
    "two-lengths": (post(b"Content-Length: 0", b"Content-Length: 44", body=HIDDEN), 400),
    "two-equal-lengths": (post(b"Content-Length: 1", b"Content-Length: 1", body=b"a"), 400),
    "list-of-lengths": (post(b"Content-Length: 1, 1", body=b"a"), 400),
    "signed-length": (post(b"Content-Length: +1", body=b"a"), 400),
    "negative-length": (post(b"Content-Length: -1", body=b"a"), 400),
    "hex-length": (post(b"Content-Length: 0x1", body=b"a"), 400),
    "length-with-blank": (post(b"Content-Length: 1 0", body=b"a"), 400),
    "length-with-underscore": (post(b"Content-Length: 1_0", body=b"a"), 400),
    "empty-length": (post(b"Content-Length: ", body=b"a"), 400),
    "huge-length": (post(b"Content-Length: " + b"9" * 30), 400),
    "overflowing-length": (post(b"Content-Length: 18446744073709551617", body=b"a"), 400),
    "space-before-colon": (post(b"Content-Length : 1", body=b"a"), 400),
    "tab-before-colon": (post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"), 400),
    "coding-twice": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "coding-list-twice": (post(b"Transfer-Encoding: chunked, chunked"), 400),
    "coding-not-last": (post(b"Transfer-Encoding: chunked, gzip"), 400),
    "coding-identity": (post(b"Transfer-Encoding: identity"), 400),
    "coding-unknown": (post(b"Transfer-Encoding: xchunked"), 400),
    "coding-quoted": (post(b'Transfer-Encoding: "chunked"'), 400),
    "coding-vertical-tab": (post(b"Transfer-Encoding: \x0bchunked"), 400),
    "coding-with-parameter": (post(b"Transfer-Encoding: chunked;q=1"), 400),
    "coding-empty-member": (post(b"Transfer-Encoding: , chunked"), 400),
    "coding-gzip-chunked": (post(b"Transfer-Encoding: gzip, chunked"), 501),
    "coding-in-http-1.0": (
        b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "bare-lf-in-head": (b"GET / HTTP/1.1\nHost: shop.test\n\n", 400),
    "bare-lf-in-one-line": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\nContent-Length: 44\r\n\r\n" + HIDDEN, 400),
    "bare-cr-in-value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rContent-Length: 44\r\n\r\n" + HIDDEN, 400),
    "nul-in-value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
    "folded-line": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "folded-first-line": (b"GET / HTTP/1.1\r\n Host: a\r\n" + HOST + b"\r\n", 400),
    "line-without-colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X\r\n\r\n", 400),
    "empty-name": (b"GET / HTTP/1.1\r\n" + HOST + b": a\r\n\r\n", 400),
    "odd-name": (b"GET / HTTP/1.1\r\n" + HOST + b"X\xffY: a\r\n\r\n", 400),
    "http-0.9": (b"GET /\r\n\r\n", 400),
    "http-1.2": (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    "http-2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "rtsp": (b"GET / RTSP/1.0\r\n" + HOST + b"\r\n", 400),
    "version-in-small": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
    "two-spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "tab-for-space": (b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method-in-small": (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two-hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "host-with-path": (b"GET / HTTP/1.1\r\nHost: shop.test/x\r\n\r\n", 400),
    "host-with-user": (b"GET / HTTP/1.1\r\nHost: a@shop.test\r\n\r\n", 400),
    "host-list": (b"GET / HTTP/1.1\r\nHost: shop.test, evil.test\r\n\r\n", 400),
    "host-bad-port": (b"GET / HTTP/1.1\r\nHost: shop.test:99999\r\n\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "bad-escape": (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "escaped-nul": (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "raw-bytes-in-target": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-without-slash": (b"GET a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "other-scheme": (b"GET ftp://shop.test/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "tls-hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
}


@pytest.mark.parametrize(("data", "status"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_a_doubtful_request_is_refused_unseen_by_any_origin(data: bytes, status: int) -> None:
    seen = Seen()
    async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        answer = await client.ask(data)
        assert (answer.status, answer.get("connection")) == (status, b"close")
        await client.send(HIDDEN)
        assert await client.closed()  # what followed is no request
        assert seen.heads == []


CHUNKS = {
    "size-with-sign": b"+1\r\na\r\n0\r\n\r\n",
    "size-with-prefix": b"0x1\r\na\r\n0\r\n\r\n",
    "size-with-blank-before": b" 1\r\na\r\n0\r\n\r\n",
    "size-overflow": b"ffffffffffffffff1\r\na\r\n0\r\n\r\n",
    "size-empty": b"\r\na\r\n0\r\n\r\n",
    "size-line-by-lf": b"1\na\r\n0\r\n\r\n",
    "data-by-lf": b"1\r\na\n0\r\n\r\n",
    "data-longer": b"1\r\nab\r\n0\r\n\r\n",
    "data-without-end": b"1\r\na0\r\n\r\n",
    "endless-extension": b"1;" + b"a" * 5000,
    "trailer-by-lf": b"0\r\nX: y\n\r\n",
    "trailer-without-colon": b"0\r\nXy\r\n\r\n",
    "trailer-folded": b"0\r\nX: y\r\n z\r\n\r\n",
    "trailers-too-many": b"0\r\n" + b"X: yyyyyyyy\r\n" * 2000 + b"\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS.keys())
@pytest.mark.parametrize("together", [True, False], ids=["at-once", "after-the-head"])
async def test_doubtful_chunks_are_refused_and_never_complete(body: bytes, together: bool) -> None:
    whole = 0

    async def script(talk: Talk) -> None:
        nonlocal whole
        await talk.head()
        rest = await talk.ended()
        whole += rest.endswith(b"0\r\n\r\n")

    async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        head = request("/", "POST", {"Transfer-Encoding": "chunked"})
        if together:
            await client.send(head + body)
        else:
            await client.send(head + b"1\r\na\r\n")
            await until(lambda: raw.connections == 1)
            await client.send(body)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (400, b"close")
        await client.send(HIDDEN)
        assert await client.closed()
        if together:
            assert raw.connections == 0
    assert whole == 0


async def test_a_request_in_a_body_stays_a_body() -> None:
    seen = Seen()
    async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        for data in (
            request("/", "POST", body=HIDDEN),
            request("/", "POST", {"Upgrade": "websocket", "Connection": "upgrade"}, body=HIDDEN),
            request("/", "GET", {"Upgrade": "websocket", "Connection": "upgrade"}, body=HIDDEN),
            request("/", "POST", {"Connection": "content-length, host, transfer-encoding"}, body=HIDDEN),
        ):
            assert (await client.ask(data)).status == 200
        assert seen.bodies == [HIDDEN] * 4
        assert seen.targets == [b"/"] * 4


async def test_what_follows_a_request_that_closes_is_no_request() -> None:
    seen = Seen()
    async with origin(seen) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request(fields={"Connection": "close"}) + HIDDEN)
        assert (await client.answer()).status == 200
        assert await client.closed()
        assert seen.targets == [b"/"]


OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

RESPONSES = {
    "two-lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "list-of-lengths": OK + b"Content-Length: 1, 2\r\n\r\nab",
    "bad-length": OK + b"Content-Length: x\r\n\r\nab",
    "signed-length": OK + b"Content-Length: +2\r\n\r\nab",
    "length-and-coding": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "coding-in-http-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "coding-not-asked-for": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nab",
    "space-before-colon": OK + b"Content-Length : 2\r\n\r\nab",
    "nul": OK + b"X: a\0\r\nContent-Length: 2\r\n\r\nab",
    "bare-cr": OK + b"X: a\rb\r\nContent-Length: 2\r\n\r\nab",
    "not-http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "http-2": b"HTTP/2.0 200 OK\r\n\r\n",
    "bad-status": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "unasked-101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "too-many-interims": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + OK + b"Content-Length: 0\r\n\r\n",
    "head-too-large": OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    "nothing": b"",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("data", RESPONSES.values(), ids=RESPONSES.keys())
async def test_a_doubtful_response_is_a_502_and_stored_nowhere(data: bytes) -> None:
    script = Seen(raw=data, close=True)
    async with origin(script) as raw, plane(PLAIN, o=raw.url) as proxy, proxy.client() as client:
        answer = await client.ask(request())
        assert answer.status == 502
        assert b"error=" in (answer.get("proxy-status") or b"")
        assert proxy.plane.snapshot()["memory"]["responses"] == 0
        assert (await client.ask(request())).status in (502, 503)  # the client's connection lives on
        assert proxy.busy_origins == 0


async def test_a_second_response_that_nobody_asked_for_answers_nobody() -> None:
    script = Seen(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + EVIL)
    async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        for _ in range(3):
            assert (await client.ask(request())).body == b"good"


async def test_an_unasked_response_on_an_idle_connection_answers_nobody() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        await talk.send(EVIL)
        await talk.ended()

    async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        for _ in range(3):
            assert (await client.ask(request())).body == b"good"


async def test_a_body_after_the_answer_to_a_head_answers_nobody() -> None:
    async def script(talk: Talk) -> None:
        while True:
            await talk.head()
            await talk.send(EVIL)

    async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        for _ in range(3):
            assert (await client.ask(request("/", "HEAD"))).get("content-length") == b"4"


async def test_a_body_after_a_204_answers_nobody() -> None:
    script = Seen(raw=b"HTTP/1.1 204 No Content\r\nContent-Length: 60\r\n\r\n" + EVIL)
    async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
        for _ in range(3):
            answer = await client.ask(request())
            assert (answer.status, answer.get("content-length")) == (204, None)
