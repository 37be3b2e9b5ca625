"""The express lane: plain requests past the cycle, with the same answers as through it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import pytest

import edgeproxy
from edgeproxy.config.load import load_text
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.telemetry.access_log import AccessLog
from tests.integration.raw_origins import Talk, origin, until
from tests.integration.shop_origin import (
    PIECE,
    Growing,
    Shop,
    StandingClock,
    caching,
    count,
    crowd,
    requests,
)
from tests.plane import PLAIN, UNCACHED, Proxy, plane, read_request, request

DATE = "Date: Mon, 24 Nov 2025 16:00:00 GMT"
FRESH = (DATE, "Cache-Control: max-age=60")
OURS = os.path.dirname(edgeproxy.__file__)
_DRAWN = re.compile(rb"(X-Request-Id|traceparent): (?:00-)?[0-9a-f]{32}[^\r]*")


@asynccontextmanager
async def warm(shop: Shop, text: str = PLAIN, **kwargs: object) -> AsyncIterator[Proxy]:
    """A proxy that has an idle connection to the origin."""
    async with (
        origin(shop) as raw,
        plane(text, StandingClock(), o=raw.url, **kwargs) as proxy,  # type: ignore[arg-type]
    ):
        lines, shop.lines = shop.lines, ("Cache-Control: no-store",)
        await proxy.get("/warm")
        shop.lines = lines
        yield proxy


def express(proxy: Proxy) -> tuple[int, int]:
    """How many requests were taken, and how many of these handed on."""
    return proxy.plane._express.taken, proxy.plane._express.handed_on


class Raw(Shop):
    """Answers with these very bytes."""

    def __init__(self, head: str, body: bytes = b"hello") -> None:
        super().__init__()
        self.ends = False
        self.written = head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body

    def answer(self, head: bytes) -> bytes:
        if b"/warm" in head:
            return super().answer(head)
        self.close = self.ends
        return self.written


ANSWERS = {
    "stored": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nContent-Length: 5",
    "private": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: private\nContent-Length: 5",
    "no-store": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: no-store, max-age=9\nContent-Length: 5",
    "private-field": f'HTTP/1.1 200 OK\n{DATE}\nCache-Control: private="x", max-age=60\nX: 1\n'
    "Content-Length: 5",
    "must-understand": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: no-store, must-understand, max-age=60\n"
    "Content-Length: 5",
    "two-cache-controls": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nCache-Control: private\n"
    "Content-Length: 5",
    "targeted": f"HTTP/1.1 200 OK\n{DATE}\nCDN-Cache-Control: max-age=60\nCache-Control: private\n"
    "Content-Length: 5",
    "silent": f"HTTP/1.1 200 OK\n{DATE}\nContent-Length: 5",
    "no-date": "HTTP/1.1 200 OK\nCache-Control: no-store\nContent-Length: 5",
    "varies": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nVary: Accept\nContent-Length: 5",
    "vary-star": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nVary: *\nContent-Length: 5",
    "cookie": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nSet-Cookie: a=b\nContent-Length: 5",
    "tags": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nSurrogate-Key: a b\nContent-Length: 5",
    "tags-no-store": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: no-store\nSurrogate-Key: a b\n"
    "Content-Length: 5",
    "keep-alive": f"HTTP/1.1 200 OK\n{DATE}\nConnection: keep-alive\nKeep-Alive: timeout=5\n"
    "Cache-Control: no-store\nContent-Length: 5",
    "nominates": f"HTTP/1.1 200 OK\n{DATE}\nConnection: close, X\nX: 1\nCache-Control: no-store\n"
    "Content-Length: 5",
    "odd-reason": f"HTTP/1.1 200 Fine, thanks\n{DATE}\nCache-Control: no-store\nContent-Length: 5",
    "odd-blanks": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control:no-store\nX:  1 \nContent-Length: 5",
    "not-found": f"HTTP/1.1 404 Not Found\n{DATE}\nCache-Control: max-age=60\nContent-Length: 5",
    "error": f"HTTP/1.1 503 Service Unavailable\n{DATE}\nRetry-After: 9\nContent-Length: 5",
    "moved": f"HTTP/1.1 301 Moved Permanently\n{DATE}\nLocation: /b\nContent-Length: 5",
    "no-content": f"HTTP/1.1 204 No Content\n{DATE}\nCache-Control: max-age=60",
    "empty": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nContent-Length: 0",
    "chunked": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nTransfer-Encoding: chunked",
    "unasked-304": f"HTTP/1.1 304 Not Modified\n{DATE}",
    "too-long": f"HTTP/1.1 200 OK\n{DATE}\nCache-Control: max-age=60\nContent-Length: 3",
    "its-own-cache": f"HTTP/1.1 200 OK\n{DATE}\nAge: 5\nVia: 1.1 x\nCache-Status: x; hit\n"
    "Cache-Control: max-age=60\nContent-Length: 5",
}
BODIES = {"no-content": b"", "empty": b"", "unasked-304": b"", "chunked": b"5\r\nhello\r\n0\r\n\r\n"}
REQUESTS = (
    "GET /a?b=c HTTP/1.1\r\nHost: Shop.test\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: shop.test:81\r\nUser-Agent: x\r\nAccept: */*\r\nCookie: a=b\r\n"
    "Connection: keep-alive\r\nX-Other: 1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: shop.test\r\nX_Real_Ip: 1.2.3.4\r\ntraceparent: 00-1-1-01\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: shop.test\r\nCDN-Loop: other\r\n\r\n",
)
SHOWN = PLAIN.replace('0"}', '0", cache_status: {key: true, detail: true}}')


async def both_ways(shop: Shop, text: str, asked: bytes, taken: bool = True) -> list[tuple[object, ...]]:
    """What client and origin see the first and the second time, and what is counted: without and with.

    `taken`: whether it is for the express lane at all.
    """
    seen = []
    for closed in (True, False):
        shop.heads.clear()
        shop.close = False
        async with warm(shop, text) as proxy:
            proxy.plane._express.closed = closed
            async with proxy.client() as client:
                first = await client.ask(asked)
            second = await proxy.ask(asked)
            heads = [_DRAWN.sub(rb"\1", head) for head in shop.heads[1:]]
            # The two writers differ in blanks only, and not in what they say.
            heads = [re.sub(rb":[ \t]*", b": ", re.sub(rb"[ \t]+\r", b"\r", head)) for head in heads]
            answers = [(one.status, one.reason, one.fields, one.body) for one in (first, second)]
            tiers = [
                count(proxy, "edgeproxy_tier_requests_total", "memory", result) for result in ("hit", "miss")
            ]
            seen.append((answers, heads, requests(proxy), tiers))
            assert bool(express(proxy)[0]) is (taken and not closed)
    return seen


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("text", [PLAIN, UNCACHED, SHOWN], ids=["cached", "uncached", "shown"])
async def test_answers_are_those_of_the_way_that_knows_everything(name: str, text: str) -> None:
    shop = Raw(ANSWERS[name], BODIES.get(name, b"hello"))
    shop.ends = name in ("too-long", "nominates")
    slow, fast = await both_ways(shop, text, REQUESTS[0].encode())
    assert fast == slow


@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
async def test_origins_see_the_same_request(asked: str, text: str) -> None:
    taken = asked in REQUESTS[:2]
    slow, fast = await both_ways(Shop(DATE, "Cache-Control: private"), text, asked.encode(), taken)
    assert fast == slow


TRUSTED = PLAIN.replace('0"}', '0", trusted_proxies: ["127.0.0.0/8"]}')


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ("", True),
        ("X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https\r\n", True),
        ("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Host: a.test\r\n", True),
        ("x-request-id:  abc\r\nForwarded: for=x\r\nX-Real-IP: 1.2.3.4\r\nX_A: b\r\n", True),
        (f"traceparent: 00-{'a' * 32}-{'b' * 16}-01\r\n", False),
        ("X-Request-Id: a\r\nX-Request-Id: b\t \r\n", True),
        ("CDN-Loop: other\r\n", False),
    ],
)
async def test_origins_see_the_same_of_whom_a_trusted_peer_speaks_for(fields: str, taken: bool) -> None:
    asked = f"GET /a HTTP/1.1\r\nHost: shop.test\r\n{fields}Accept: x\r\n\r\n".encode()
    slow, fast = await both_ways(Shop(DATE, "Cache-Control: private"), TRUSTED, asked, taken)
    assert fast == slow


async def test_what_is_stored_is_a_hit_and_selected_by_what_it_varies_on() -> None:
    shop = Shop(*FRESH, "Vary: Accept-Language")
    async with warm(shop) as proxy:
        await proxy.get("/a", {"Accept-Language": "de"})
        assert express(proxy) == (1, 0)
        assert (await proxy.get("/a", {"Accept-Language": "de"})).cache_status == b"edgeproxy; hit; ttl=60"
        assert (await proxy.get("/a", {"Accept-Language": "en"})).cache_status.startswith(
            b"edgeproxy; fwd=vary-miss"
        )


async def test_a_large_answer_in_pieces_is_handed_on_and_its_head_does_not_wait() -> None:
    shop = Growing(2)
    shop.more.set()
    async with warm(shop) as proxy:
        shop.more.clear()
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.head()).cache_status == b"edgeproxy; fwd=uri-miss; fwd-status=200; stored"
            assert await client.exactly(len(PIECE)) == PIECE
            shop.more.set()
            assert await client.exactly(len(PIECE)) == PIECE
        assert express(proxy) == (1, 1)
        assert (await proxy.get("/a")).body == 2 * PIECE


async def test_followers_wait_for_a_trip_and_share_its_answer() -> None:
    shop = Shop(*FRESH)
    async with warm(shop) as proxy:
        before = shop.count
        shop.gate.clear()
        tasks = await crowd(proxy, 10)
        shop.gate.set()
        answers = await asyncio.gather(*tasks)
        assert {answer.body for answer in answers} == {b"hello"}
        assert shop.count == before + 1
        assert express(proxy)[1] == 1


@pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
async def test_an_origin_that_ends_its_idle_connection_is_asked_again(text: str) -> None:
    talks = []

    async def script(talk: Talk) -> None:
        talks.append(talk)
        for number in range(2):
            await read_request(talk)
            if talk.number == 1 and number:
                talk.reset()  # as the next request comes
                return
            await talk.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")

    async with origin(script) as raw, plane(text, o=raw.url) as proxy:
        await proxy.get("/warm")
        assert (await proxy.get("/a")).body == b"ok"
        assert express(proxy) == (1, 1)


@pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
async def test_an_origin_that_does_not_answer_is_a_504(text: str) -> None:
    shop = Shop(*FRESH)
    slow = text.replace(
        'origins: ["${o}"]', 'origins: ["${o}"], timeouts: {first_byte: 1s}, retries: {attempts: 0}'
    )
    async with warm(shop, slow) as proxy:
        shop.gate.clear()
        asked = asyncio.create_task(proxy.get("/a"))
        await until(lambda: shop.waiting == 1)
        await proxy.advance(2)
        assert (await asked).status == 504
        assert express(proxy) == (1, 1)
        shop.gate.set()


async def test_a_stale_one_is_no_longer_there_to_help_so_garbage_is_a_502() -> None:
    async with warm(Raw("HTTP/1.1 200 OK\nContent-Length: x")) as proxy:
        assert (await proxy.get("/a")).status == 502
        assert express(proxy) == (1, 1)


async def test_interim_answers_are_passed_on() -> None:
    head = f"HTTP/1.1 103 Early Hints\nLink: </a.css>\n\nHTTP/1.1 200 OK\n{DATE}\nContent-Length: 5"
    async with warm(Raw(head)) as proxy:
        answer = await proxy.get("/a")
        assert [one.status for one in answer.interim] == [103]
        assert answer.body == b"hello"


async def test_a_purge_while_it_is_under_way_wins() -> None:
    shop = Shop(*FRESH)
    async with warm(shop) as proxy:
        shop.gate.clear()
        asked = asyncio.create_task(proxy.get("/a"))
        await until(lambda: shop.waiting == 1)
        proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING))
        shop.gate.set()
        await asked
        assert express(proxy) == (1, 0)
        assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; fwd=uri-miss")


async def test_what_others_may_get_is_fetched_though_the_client_left() -> None:
    shop = Shop(*FRESH)
    async with warm(shop) as proxy:
        shop.gate.clear()
        async with proxy.client() as client:
            await client.send(request("/a"))
            await until(lambda: shop.waiting == 1)
            client.reset()
            await until(lambda: proxy.connections == 0)
        shop.gate.set()
        await until(lambda: not proxy.plane.requests)
        assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; hit")
        assert requests(proxy)[("all", "miss", "499")] == 1


async def test_what_is_one_clients_own_is_given_up_when_it_leaves() -> None:
    shop = Shop(*FRESH)
    async with warm(shop, UNCACHED) as proxy:
        shop.gate.clear()
        async with proxy.client() as client:
            await client.send(request("/a"))
            await until(lambda: shop.waiting == 1)
            assert proxy.busy_origins == 1
            client.reset()
            await until(lambda: proxy.busy_origins == 0)
        assert requests(proxy)[("all", "bypass", "499")] == 1
        shop.gate.set()


async def test_pipelined_requests_are_answered_in_order() -> None:
    shop = Shop(DATE, "Cache-Control: no-store")
    async with warm(shop) as proxy, proxy.client() as client:
        await client.send(request("/a") + request("/b") + request("/c"))
        for _ in range(3):
            assert (await client.answer()).body == b"hello"
        assert [head.split(b" ")[1] for head in shop.heads[-3:]] == [b"/a", b"/b", b"/c"]


async def test_a_connection_that_drains_says_so_and_ends() -> None:
    shop = Shop(DATE, "Cache-Control: no-store")
    async with warm(shop) as proxy, proxy.client() as client:
        shop.gate.clear()
        await client.send(request("/a"))
        await until(lambda: shop.waiting == 1)
        for listening in proxy.plane._listenings.values():
            listening.drain()
        shop.gate.set()
        assert (await client.answer()).get("connection") == b"close"
        assert await client.reader.read() == b""


async def test_a_trip_under_way_at_the_end_leaves_nothing_behind() -> None:
    shop = Shop(*FRESH)
    async with origin(shop) as raw:
        async with plane(PLAIN, o=raw.url) as proxy:
            await proxy.get("/warm")
            shop.gate.clear()
            async with proxy.client() as client:
                await client.send(request("/a"))
                await until(lambda: shop.waiting == 1)
                assert express(proxy) == (1, 0)
                await proxy.plane.drain(0.1)
                assert await client.closed()
            assert not proxy.plane.requests
        shop.gate.set()


async def test_it_is_logged_as_any_other(tmp_path) -> None:  # type: ignore[no-untyped-def]
    shop = Shop(DATE, "Cache-Control: no-store")
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    async with warm(shop, access_log=log) as proxy:
        asked = request("/a", "GET", {"User-Agent": "me", "Referer": "there"})
        proxy.plane._express.closed = True
        await proxy.ask(asked)
        proxy.plane._express.closed = False
        await proxy.ask(asked)
        assert express(proxy) == (1, 0)
    log.close()
    _, slow, fast = path.read_text().splitlines()
    drop = re.compile(r"\[[^]]*\]|\d+\.\d+|\d{4}-\d\d-\d\dT[^ \"]*|[0-9a-f]{32}")
    assert drop.sub("-", fast) == drop.sub("-", slow)


@pytest.mark.parametrize(
    ("cache", "route"),
    [
        ("", "request_headers: {set: {X-A: b}}"),
        ("", "compress: [gzip]"),
        ("", "slice: 1MiB"),
        ("", "esi: {}"),
        ("vary: {normalize: {accept-encoding: [gzip]}}", ""),
        ("targeted: [Surrogate-Control]", ""),
    ],
)
async def test_routes_that_change_something_on_the_way_are_not_for_it(cache: str, route: str) -> None:
    async with warm(Shop(*FRESH), caching(cache, route)) as proxy:
        assert (await proxy.get("/a")).status == 200
        assert express(proxy) == (0, 0)


@pytest.mark.parametrize(
    ("lines", "most"),
    [((DATE, "Cache-Control: no-store"), 110), (FRESH, 205)],
    ids=["passes", "stored"],
)
async def test_the_work_of_one_request_stays_within_its_bounds(lines: tuple[str, ...], most: int) -> None:
    """Python calls of this package, which do not depend on the machine: raise a bound only with a reason."""
    calls = 0

    def count_calls(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(OURS)

    async with warm(Shop(*lines)) as proxy, proxy.client() as client:
        for number in range(10):
            await client.ask(request(f"/a{number}"))
        before = express(proxy)
        sys.setprofile(count_calls)
        try:
            for number in range(20):
                await client.ask(request(f"/b{number}"))
        finally:
            sys.setprofile(None)
        assert express(proxy) == (before[0] + 20, before[1])
    assert calls / 20 <= most


async def test_a_worker_alone_makes_no_call_for_leases() -> None:
    """Nobody else could fetch: neither the long way, nor the lane, nor a hit asks."""
    called: list[str] = []

    def note_calls(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.append(os.path.basename(frame.f_code.co_filename))

    async with (
        origin(Shop(*FRESH)) as raw,
        plane(PLAIN, o=raw.url) as proxy,
        proxy.client() as client,
    ):
        assert proxy.plane._fetcher.collapse.leases is None
        sys.setprofile(note_calls)
        try:
            for path, taken in (("/long", 0), ("/lane", 1), ("/lane", 1)):
                await client.ask(request(path))
                assert express(proxy) == (taken, 0)
        finally:
            sys.setprofile(None)
    assert {"cycle.py", "express.py", "fastpath.py"} < set(called)
    assert not {"asking.py", "leases.py", "lease_turns.py", "node_lease.py", "fleet_lease.py"} & set(called)


DRAINED = (
    "GET /mine HTTP/1.1\r\nHost: b.test\r\nCookie: b\r\n\r\n",
    "POST /mine HTTP/1.1\r\nHost: b.test\r\nContent-Length: 3\r\n\r\nabc",
    "DELETE /mine HTTP/1.1\r\nHost: b.test\r\nAuthorization: Bearer b\r\n\r\n",
)


@pytest.mark.parametrize("asked", DRAINED)
async def test_who_asks_while_connections_drain_was_answered_with_what_another_had_asked(asked: str) -> None:
    shop = Shop(*FRESH)
    async with warm(shop) as proxy, proxy.client() as mine:
        await until(lambda: proxy.connections == 1)
        await proxy.ask(b"GET /others HTTP/1.1\r\nHost: a.test\r\n\r\n")
        for listening in proxy.plane._listenings.values():
            listening.drain()
        before = express(proxy)
        assert (await mine.ask(asked.encode())).status == 200
        assert express(proxy) == before
        assert shop.last.startswith(asked.partition(" HTTP")[0].encode())
        assert b"Host: b.test\r\n" in shop.last
        assert shop.bodies[-1] == asked.partition("\r\n\r\n")[2].encode()


async def test_pipelined_requests_behind_a_trip_that_drains_are_their_own() -> None:
    shop = Shop(*FRESH)
    async with warm(shop) as proxy, proxy.client() as client:
        shop.gate.clear()
        await client.send(request("/a"))
        await until(lambda: shop.waiting == 1)
        await client.send(request("/b", "DELETE"))
        for listening in proxy.plane._listenings.values():
            listening.drain()
        shop.gate.set()
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
        assert [head.split(b" ")[:2] for head in shop.heads[-2:]] == [[b"GET", b"/a"], [b"DELETE", b"/b"]]


async def test_smaller_limits_by_a_reload_do_not_strand_what_is_under_way() -> None:
    shop = Growing(2, *FRESH)
    shop.more.set()
    async with warm(shop) as proxy:
        shop.more.clear()
        fields = {f"X-{number}": "x" for number in range(30)}
        async with proxy.client() as client:
            shop.gate.clear()
            await client.send(request("/a", "GET", fields))
            await until(lambda: shop.waiting == 1)
            small = PLAIN.replace('0"}', '0", limits: {max_fields: 16}}')
            config = load_text(small, {"o": proxy.config.upstreams["o"].origins[0].url})
            proxy.plane.switch(proxy.plane.prepare(config))
            follower = asyncio.create_task(proxy.get("/a"))
            await until(lambda: express(proxy)[1] == 1)
            shop.gate.set()
            shop.more.set()
            assert (await client.answer()).body == 2 * PIECE
            assert (await follower).body == 2 * PIECE


async def test_the_name_in_cache_status_is_that_of_the_configuration_in_force() -> None:
    shop = Shop(DATE, "Cache-Control: no-store")
    async with warm(shop) as proxy:
        assert (await proxy.get("/a")).cache_status.startswith(b"edgeproxy; ")
        renamed = PLAIN.replace('0"}', '0", name: other}')
        config = load_text(renamed, {"o": proxy.config.upstreams["o"].origins[0].url})
        proxy.plane.switch(proxy.plane.prepare(config))
        assert (await proxy.get("/a")).cache_status.startswith(b"other; ")
        assert express(proxy) == (2, 0)
