"""Bodies that break off at one origin and go on at another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.integration.raw_origins import Talk, origin, until
from tests.plane import Proxy, plane, request

BODY = bytes(range(256)) * 400
HALF = 30_000
TAG = '"v1"'

BOTH = """
server: {listen: "127.0.0.1:0"}
upstreams: {o: {origins: ["${a}", "${b}"], balance: round_robin, timeouts: {between_bytes: 300ms}}}
routes: [{name: all, upstream: o}]
"""
UNCACHED = BOTH.replace("upstream: o}]", "upstream: o, cache: {enabled: false}}]")

Break = Callable[[Talk], object]


def head_of(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


class Pair:
    """Two origins of one mind: whichever is asked first breaks off, the other one is well."""

    def __init__(self, broken: Break, *, ranges: bool = True, tag: str = TAG, chunked: bool = False) -> None:
        self.heads: list[bytes] = []
        self.broken = broken
        self.ranges = ranges
        self.first = ["Cache-Control: max-age=60", f"ETag: {tag}"]
        self.second = list(self.first)
        self.body = BODY
        self.chunked = chunked

    async def __call__(self, talk: Talk) -> None:
        while True:
            head = await talk.head()
            self.heads.append(head)
            if len(self.heads) == 1:
                framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(BODY)}"
                await talk.send(head_of(*self.first, framing))
                part = BODY[:HALF]
                await talk.send(b"%x\r\n%s\r\n" % (len(part), part) if self.chunked else part)
                self.broken(talk)
                await talk.ended()
                return
            if self.ranges and b"range: bytes=" in head.lower():
                at = int(head.lower().split(b"range: bytes=")[1].split(b"-")[0])
                said = f"Content-Range: bytes {at}-{len(self.body) - 1}/{len(self.body)}"
                rest = self.body[at:]
                lines = (*self.second, said, f"Content-Length: {len(rest)}")
                await talk.send(head_of(*lines, status="206 Partial Content") + rest)
            else:
                await talk.send(head_of(*self.second, f"Content-Length: {len(self.body)}") + self.body)


@asynccontextmanager
async def serving(pair: Pair, text: str = BOTH) -> AsyncIterator[Proxy]:
    async with origin(pair) as a, origin(pair) as b, plane(text, a=a.url, b=b.url) as proxy:
        yield proxy


def nothing(talk: Talk) -> None:
    """Hang."""


async def test_one_that_breaks_off_in_the_moment_it_leaves_the_express_lane_goes_on_too() -> None:
    asked = 0
    broken = asyncio.Event()

    async def script(talk: Talk) -> None:
        nonlocal asked
        while True:
            head = await talk.head()
            asked += 1
            whole = head_of(f"ETag: {TAG}", "Cache-Control: no-store", f"Content-Length: {len(BODY)}")
            if b"GET /broken" in head and not broken.is_set():
                broken.set()
                talk.writer.write(whole + BODY[:10])
                talk.reset()  # comes with the same turn of the loop
                return
            await talk.send(whole + BODY)

    async with origin(script) as a, origin(script) as b, plane(BOTH, a=a.url, b=b.url) as proxy:
        for _ in range(4):  # both have an idle connection
            await proxy.get("/warm")
        taken = proxy.plane.snapshot()["express"]["taken"]
        answer = await proxy.get("/broken")
        assert proxy.plane.snapshot()["express"]["taken"] == taken + 1
        assert answer.body == BODY


BREAKS: list[Break] = [Talk.close, Talk.reset, nothing]


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("ranges", [True, False])
async def test_a_body_that_breaks_off_goes_on_at_the_other_origin_and_is_stored(
    broken: Break, ranges: bool
) -> None:
    pair = Pair(broken, ranges=ranges)
    async with serving(pair) as proxy:
        answer = await proxy.get("/a")
        assert (answer.status, answer.body) == (200, BODY)
        assert len(pair.heads) == 2
        assert b"\r\nRange: bytes=30000-\r\n" in pair.heads[1]
        assert b'\r\nIf-Range: "v1"\r\n' in pair.heads[1]
        again = await proxy.get("/a")
        assert (again.body, len(pair.heads)) == (BODY, 2)
        assert b"; hit" in (again.get("cache-status") or b"")
        assert not proxy.plane._fetcher.resumptions


async def test_a_chunked_body_goes_on_too() -> None:
    pair = Pair(Talk.close, chunked=True)
    async with serving(pair) as proxy:
        assert (await proxy.get("/a")).body == BODY


async def test_a_malformed_chunk_is_as_good_as_an_end() -> None:
    pair = Pair(lambda talk: talk.writer.write(b"zz\r\n"), chunked=True)
    async with serving(pair) as proxy:
        assert (await proxy.get("/a")).body == BODY


async def test_all_who_wait_for_it_get_it_whole() -> None:
    pair = Pair(Talk.reset)
    async with serving(pair) as proxy:
        answers = await asyncio.gather(*(proxy.get("/a") for _ in range(20)))
        assert {answer.body for answer in answers} == {BODY}
        assert len(pair.heads) == 2


async def test_what_is_not_cached_goes_on_as_well_without_the_client_s_conditions() -> None:
    pair = Pair(Talk.close)
    async with serving(pair, UNCACHED) as proxy:
        answer = await proxy.get("/a", {"If-None-Match": '"old"'})
        assert (answer.status, answer.body) == (200, BODY)
        assert b'"old"' in pair.heads[0]
        assert b'"old"' not in pair.heads[1]


def weak(pair: Pair) -> None:
    pair.first[1] = pair.second[1] = 'ETag: W/"v1"'


def without(pair: Pair) -> None:
    del pair.first[1], pair.second[1]


def another(pair: Pair) -> None:
    pair.second[1] = 'ETag: "v2"'


def longer(pair: Pair) -> None:
    pair.body = BODY + b"more"


def coded(pair: Pair) -> None:
    pair.second.append("Content-Encoding: gzip")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("differs", [weak, without, another, longer, coded])
async def test_what_may_be_another_representation_is_cut_and_not_stored(
    differs: Callable[[Pair], None], ranges: bool
) -> None:
    pair = Pair(Talk.close, ranges=ranges)
    differs(pair)
    async with serving(pair) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            cut = await client.rest()
        assert cut.endswith(BODY[:HALF])
        assert b"; hit" not in ((await proxy.get("/a")).get("cache-status") or b"")


async def test_a_part_that_breaks_off_goes_on_to_its_own_end() -> None:
    heads: list[bytes] = []

    async def script(talk: Talk) -> None:
        while True:
            heads.append(await talk.head())
            first = int(heads[-1].lower().split(b"range: bytes=")[1].split(b"-")[0])
            part = BODY[first:50_000]
            said = f"Content-Range: bytes {first}-49999/{len(BODY)}"
            lines = (f"ETag: {TAG}", said, f"Content-Length: {len(part)}")
            await talk.send(head_of(*lines, status="206 Partial Content"))
            if len(heads) == 1:
                await talk.send(part[:1000])
                talk.close()
                return
            await talk.send(part)

    async with origin(script) as a, origin(script) as b, plane(UNCACHED, a=a.url, b=b.url) as proxy:
        answer = await proxy.get("/a", {"Range": "bytes=20000-49999"})
        assert (answer.status, answer.body) == (206, BODY[20_000:50_000])
        assert b"\r\nRange: bytes=21000-49999\r\n" in heads[1]


@pytest.mark.parametrize("stored", ["0-9999", "92400-102399"])
async def test_what_completes_a_stored_part_goes_on_to_the_end(stored: str) -> None:
    heads: list[bytes] = []

    async def script(talk: Talk) -> None:
        while True:
            heads.append(await talk.head())
            wanted = heads[-1].lower().split(b"range: bytes=")[1].split(b"\r\n")[0]
            first, _, last = wanted.partition(b"-")
            part = BODY[int(first) : int(last) + 1 if last else len(BODY)]
            said = f"Content-Range: bytes {int(first)}-{int(first) + len(part) - 1}/{len(BODY)}"
            lines = ("Cache-Control: max-age=60", f"ETag: {TAG}", said, f"Content-Length: {len(part)}")
            await talk.send(head_of(*lines, status="206 Partial Content"))
            if len(heads) == 2:
                await talk.send(part[:1000])
                talk.close()
                return
            await talk.send(part)

    async with origin(script) as a, origin(script) as b, plane(BOTH, a=a.url, b=b.url) as proxy:
        assert (await proxy.get("/a", {"Range": f"bytes={stored}"})).status == 206
        answer = await proxy.get("/a")
        assert (answer.status, answer.body) == (200, BODY)
        assert len(heads) == 3
        assert (await proxy.get("/a")).body == BODY
        assert len(heads) == 3


async def test_one_that_breaks_off_again_is_asked_no_more_than_retries_allow() -> None:
    heads: list[bytes] = []

    async def always_broken(talk: Talk) -> None:
        heads.append(await talk.head())
        lines = ("Cache-Control: max-age=60", f"ETag: {TAG}", f"Content-Length: {len(BODY)}")
        await talk.send(head_of(*lines) + BODY[: HALF + len(heads) * 10])
        talk.close()

    async with (
        origin(always_broken) as a,
        origin(always_broken) as b,
        plane(BOTH, a=a.url, b=b.url) as proxy,
    ):
        async with proxy.client() as client:
            await client.send(request("/a"))
            cut = await client.rest()
        assert BODY[: HALF + 10] in cut
        assert 2 <= len(heads) <= 3


async def test_without_retries_a_broken_body_stays_broken() -> None:
    pair = Pair(Talk.close)
    text = BOTH.replace("balance:", "retries: {attempts: 0}, balance:")
    async with serving(pair, text) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            assert (await client.rest()).endswith(BODY[:HALF])
        assert len(pair.heads) == 1


async def test_a_purge_before_the_rest_came_keeps_the_whole_out_of_the_store() -> None:
    gate = asyncio.Event()
    pair = Pair(Talk.close)

    async def waits(talk: Talk) -> None:
        if pair.heads:
            await gate.wait()
        await pair(talk)

    async with origin(waits) as a, origin(waits) as b, plane(BOTH, a=a.url, b=b.url) as proxy:
        getting = asyncio.create_task(proxy.get("/a"))
        await until(lambda: len(proxy.plane._fetcher.resumptions) == 1)
        proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING))
        gate.set()
        assert (await getting).body == BODY
        assert b"; hit" not in ((await proxy.get("/a")).get("cache-status") or b"")


async def test_a_client_that_leaves_meanwhile_leaves_nothing_behind() -> None:
    pair = Pair(Talk.close)
    hold = asyncio.Event()

    async def waits(talk: Talk) -> None:
        if pair.heads:
            await hold.wait()
        await pair(talk)

    async with origin(waits) as a, origin(waits) as b, plane(UNCACHED, a=a.url, b=b.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/a"))
            await until(lambda: len(proxy.plane._fetcher.resumptions) == 1)
        await until(lambda: not proxy.plane._fetcher.fills)
        hold.set()
        await until(lambda: not proxy.plane._fetcher.resumptions)
        await proxy.quiet()
