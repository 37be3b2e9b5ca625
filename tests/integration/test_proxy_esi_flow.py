"""Pages put together while they flow: what comes goes on, what waits is bounded, what is left ends."""

import asyncio

import pytest

from edgeproxy.edge.esi import assemble, fragments
from edgeproxy.edge.esi.parts import BOUND
from tests.integration.esi_site import CONFIG, FRESH, HTML, PRIVATE, Site, include
from tests.integration.raw_origins import Talk, origin, until
from tests.plane import Proxy, RawClient, plane, request

PIECE = b"x" * 16384


async def text(client: RawClient, expected: bytes) -> None:
    """Read that text, in however many chunks."""
    got = b""
    while len(got) < len(expected):
        got += await client.chunk() or b"(the end)"
    assert got == expected


async def test_text_before_a_slow_fragment_is_sent_at_once() -> None:
    site = Site()
    site.has("/", f"before{include('/raw/slow')}after")
    site.has("/raw/slow", "slow")
    gate = site.gate("/raw/slow")
    async with origin(site) as raw, plane(CONFIG, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/"))
        assert (await client.head()).status == 200
        await text(client, b"before")
        gate.set()
        await text(client, b"slowafter")
        assert await client.chunk() is None


async def test_a_page_and_a_fragment_that_come_in_pieces_go_on_in_pieces() -> None:
    steps = [asyncio.Event() for _ in range(3)]

    async def page(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        tag = include("/raw/f").encode()
        await talk.send(b"%x\r\none%s\r\n" % (len(tag[:9]) + 3, tag[:9]))
        await steps[0].wait()
        await talk.send(b"%x\r\n%s\r\n" % (len(tag[9:]), tag[9:]))
        await steps[2].wait()
        await talk.send(b"3\r\nend\r\n0\r\nX-Trailer: 1\r\n\r\n")

    async def fragment(talk: Talk, _: bytes) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n")
        await steps[1].wait()
        await talk.send(b"5\r\nthree\r\n0\r\n\r\n")

    site = Site()
    site.does("/", page)
    site.does("/raw/f", fragment)
    async with origin(site) as raw, plane(CONFIG, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/"))
        await client.head()
        for step, part in zip([*steps, None], (b"one", b"two", b"three", b"end"), strict=True):
            await text(client, part)
            if step is not None:
                step.set()
        assert await client.chunk() is None
        await client.send(b"")


async def test_fragments_are_fetched_ahead_and_written_in_order() -> None:
    site = Site()
    names = [f"/raw/{number}" for number in range(fragments.AHEAD + 2)]
    site.has("/", "".join(map(include, names)))
    gates = [site.gate(name) for name in names]
    for name in names:
        site.has(name, name)
    async with origin(site) as raw, plane(CONFIG, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/"))
        await until(lambda: len(site.seen) == 1 + fragments.AHEAD)
        for gate in gates[1:]:
            gate.set()
        await until(lambda: len(proxy.plane._cycle.inners) == 1)
        assert len(site.seen) == 1 + fragments.AHEAD
        gates[0].set()
        assert (await client.answer()).body == "".join(names).encode()


async def test_fragments_of_fragments_come_one_at_a_time() -> None:
    site = Site()
    site.has("/", include("/in"))
    site.has("/in", include("/raw/0") + include("/raw/1"))
    for number in range(2):
        site.has(f"/raw/{number}", str(number))
    gate = site.gate("/raw/0")
    async with origin(site) as raw, plane(CONFIG, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/"))
        await until(lambda: site.seen["/raw/0"] == 1)
        gate.set()
        assert (await client.answer()).body == b"01"


class Large:
    """A fragment, or a page, too large for any buffer; counts what was taken of it."""

    def __init__(self, size: int, media: bytes = b"text/plain") -> None:
        self.size = size
        self.media = media
        self.taken = 0

    async def __call__(self, talk: Talk, _: bytes) -> None:
        talk.writer.transport.set_write_buffer_limits(0)
        await talk.send(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            % (self.media, self.size)
        )
        while self.taken < self.size:
            await talk.send(PIECE)
            self.taken += len(PIECE)


def stalled(proxy: Proxy) -> bool:
    """Whether a client takes nothing."""
    return any(listening.stalled for listening in proxy.plane._listenings.values())


def held(page: assemble.Page) -> int:
    """Bytes that wait in a page and its fragments."""
    return page.parts.size + sum(fragment._buffer._held for fragment in page.fragments._running)


@pytest.mark.parametrize("what", ["fragments", "page"])
async def test_a_client_that_takes_nothing_holds_fragments_and_page_back(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[assemble.Page] = []
    plain = assemble.Assembler.page

    def noted(self: assemble.Assembler, out: object, route: object) -> assemble.Page:
        pages.append(plain(self, out, route))  # type: ignore[arg-type]
        return pages[-1]

    monkeypatch.setattr(assemble.Assembler, "page", noted)
    size = 32 << 20
    site = Site()
    parts = [Large(size, b"text/html")] if what == "page" else [Large(size) for _ in range(3)]
    if what == "page":
        site.does("/", parts[0])
    else:
        site.has("/", "".join(include(f"/raw/{number}") for number in range(3)))
        for number, part in enumerate(parts):
            site.does(f"/raw/{number}", part)
    async with (
        origin(site) as raw,
        plane(CONFIG, o=raw.url) as proxy,
        proxy.client(receive_buffer=4096, limit=4096) as client,
    ):
        await client.send(request("/"))
        await until(lambda: stalled(proxy))
        await until(lambda: all(fill._paused for fill in proxy.plane._fetcher.fills))
        assert len(proxy.plane._fetcher.fills) == len(parts)
        assert held(pages[0]) <= BOUND + 3 * fragments.BOUND + (1 << 20)
        assert all(part.taken < size for part in parts)
        read = 0
        await client.head()
        while (piece := await client.chunk()) is not None:
            read += len(piece)
        assert read == size * len(parts)


@pytest.mark.parametrize("when", ["before the head", "within a fragment", "while it takes nothing"])
async def test_a_client_that_leaves_ends_all_that_was_asked(when: str) -> None:
    site = Site()
    site.has("/", f"{'' if when == 'before the head' else 'text'}{include('/raw/a')}{include('/in')}")
    site.has("/in", include("/raw/b"), HTML, PRIVATE)
    parts = {name: Large(64 << 20) for name in ("/raw/a", "/raw/b")}
    for name, part in parts.items():
        site.does(name, part)
        if when != "while it takes nothing":
            site.gate(name)
    async with (
        origin(site) as raw,
        plane(CONFIG, o=raw.url) as proxy,
        proxy.client(receive_buffer=4096, limit=4096) as client,
    ):
        await client.send(request("/"))
        await until(lambda: site.seen["/raw/a"] + site.seen["/raw/b"] == 2)
        if when == "within a fragment":
            await client.head()
            await text(client, b"text")
        elif when == "while it takes nothing":
            await until(lambda: stalled(proxy))
        assert proxy.leftovers
        client.reset()
        await until(lambda: not proxy.plane._requests)
        for gate in site.gates.values():  # what might be stored is fetched as far as its head, for others
            gate.set()
        await proxy.quiet()
        assert not proxy.busy_origins
        assert all(part.taken < part.size for part in parts.values())


async def test_a_fragment_that_is_to_be_stored_is_fetched_though_its_client_left() -> None:
    site = Site()
    site.has("/", f"text{include('/raw/f')}")
    site.has("/raw/f", "F", FRESH)
    gate = site.gate("/raw/f")
    async with origin(site) as raw, plane(CONFIG, o=raw.url) as proxy:
        async with proxy.client() as client:
            await client.send(request("/"))
            await until(lambda: site.seen["/raw/f"] == 1)
            client.reset()
        await until(lambda: not proxy.plane._requests)
        gate.set()
        await proxy.quiet()
        assert (await proxy.get("/")).body == b"textF"
        assert site.seen["/raw/f"] == 1


async def test_clients_of_one_page_share_the_fetches_of_its_fragments() -> None:
    site = Site()
    site.has("/", f"a{include('/raw/f')}")
    site.has("/raw/f", "F", FRESH)
    gate = site.gate("/raw/f")
    async with origin(site) as raw, plane(CONFIG, o=raw.url) as proxy:
        asked = [asyncio.create_task(proxy.get("/")) for _ in range(5)]
        await until(lambda: len(proxy.plane._cycle.inners) == 5)
        gate.set()
        assert {answer.body for answer in await asyncio.gather(*asked)} == {b"aF"}
        assert site.seen == {"/": 1, "/raw/f": 1}


async def test_a_drain_ends_a_page_that_never_would() -> None:
    site = Site()
    site.has("/", f"a{include('/raw/f')}")
    site.gate("/raw/f")
    text = CONFIG.replace("2s", "60s")
    async with origin(site) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
        await client.send(request("/"))
        await until(lambda: site.seen["/raw/f"] == 1)
        await proxy.plane.drain(0.05)
        assert not proxy.leftovers


async def test_a_page_that_is_put_together_of_slices_flows_too() -> None:
    page = (b"x" * 700_000) + include("/raw/f").encode() + b"y" * 700_000

    async def sliced(talk: Talk, head: bytes) -> None:
        first, _, last = head.lower().partition(b"range: bytes=")[2].partition(b"\r\n")[0].partition(b"-")
        piece = page[int(first) : int(last) + 1]
        lines = b'Content-Type: text/html\r\nCache-Control: max-age=60\r\nETag: "v1"\r\n'
        lines += b"Content-Range: bytes %s-%d/%d\r\n" % (first, int(first) + len(piece) - 1, len(page))
        await talk.send(b"HTTP/1.1 206 P\r\n%sContent-Length: %d\r\n\r\n%s" % (lines, len(piece), piece))

    site = Site()
    site.does("/", sliced)
    site.has("/raw/f", "F")
    text = CONFIG.replace("esi: {", "slice: 128KiB, esi: {")
    async with origin(site) as raw, plane(text, o=raw.url) as proxy:
        for fields in ({}, {"Range": "bytes=0-1", "If-None-Match": '"v1"'}):
            answer = await proxy.get("/", fields)
            assert (answer.status, answer.get("etag"), answer.get("accept-ranges")) == (200, None, None)
            assert answer.body == b"x" * 700_000 + b"F" + b"y" * 700_000
    assert site.seen == {"/": 11, "/raw/f": 1}
