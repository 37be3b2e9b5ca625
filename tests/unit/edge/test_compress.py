"""Making coded copies: once, in order, bounded, and never of what is gone meanwhile."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from edgeproxy.caching.compression import as_kept, coded, coded_variant, negotiated
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.edge import compress
from edgeproxy.edge.compress import Compression
from edgeproxy.edge.lookup import Found, Lookup
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.store.layers import layers
from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.tier import VariantOf
from tests.codings import decoded
from tests.integration.raw_origins import until
from tests.unit.caching.values import T0, get, stored
from tests.unit.edge.rig import StillClock

CODINGS = (b"zstd", b"br", b"gzip")
ON = CachePolicy(
    vary_normalize=negotiated((), CODINGS), compress=CODINGS, compress_types=(b"text/*",), compress_min_size=1
)
BR = get("Accept-Encoding: br")
BODY = b"<p>shirt</p>" * 500


def page(body: bytes = BODY, *lines: str, url: bytes = b"http://shop.test/a") -> StoredResponse:
    request = get(url=url)
    head = ("Content-Type: text/html", 'ETag: "v1"', *lines)
    return as_kept(stored("max-age=60", *head, request=request, policy=ON, body=body), request, ON)


class Shared:
    """Holds stored responses by key and variant."""

    def __init__(self) -> None:
        self.held: dict[tuple[bytes, bytes], StoredResponse] = {}
        self.asked = 0

    async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
        self.asked += 1
        return self.held.get((key, variant_of((b"accept-encoding",))))

    def put(self, response: StoredResponse, ttl: float) -> None:
        assert ttl > 0
        self.held[response.key, response.variant] = response

    def discard(self, key: bytes, variant: bytes) -> None:
        self.held.pop((key, variant), None)

    async def remove(self, key: bytes) -> list[bytes]:
        return []


class Bench:
    """One Compression over memory; `gate` holds its thread while it is cleared."""

    def __init__(self, budget: int = 4 << 20, shared: Shared | None = None) -> None:
        self.counted: Counter[str] = Counter()
        self.purges = PurgeTable.create()
        self.memory = MemoryTier(budget)
        self.lookup = Lookup(self.memory, layers(("redis", shared)), self.purges, self)
        self.made = Compression(self.lookup, self.purges, StillClock(T0), self)
        self.gate = threading.Event()

    def compressed(self, result: str) -> None:
        self.counted[str(result)] += 1

    def looked_up(self, tier: str, hit: bool) -> None:
        pass

    def hold(self) -> None:
        """Let the thread do nothing until the gate opens."""
        self.made._thread = ThreadPoolExecutor(1)
        self.made._thread.submit(self.gate.wait)

    def page(self, body: bytes = BODY, *lines: str) -> StoredResponse:
        return replace(page(body, *lines), stamp=self.purges.stamp())

    def keep(self, *responses: StoredResponse) -> None:
        for response in responses:
            self.lookup.keep(response, ON)

    def copy(self, plain: StoredResponse, coding: bytes = b"br") -> StoredResponse | None:
        primary = self.memory.get(plain.key)
        node = primary.find(coded_variant(plain, coding)) if primary is not None else None
        return None if node is None else node.stored

    async def settled(self) -> None:
        self.gate.set()
        await until(lambda: not len(self.made))


@contextlib.asynccontextmanager
async def bench(budget: int = 4 << 20, shared: Shared | None = None) -> AsyncIterator[Bench]:
    made = Bench(budget, shared)
    try:
        yield made
    finally:
        made.gate.set()
        await made.made.close()
        assert not made.memory.reserved
        made.purges.close()


async def test_a_copy_is_made_once_however_often_it_is_wanted() -> None:
    async with bench() as b:
        plain = b.page()
        b.keep(plain)
        for _ in range(5):
            assert b.made.presented(BR, plain, ON) is plain
        assert repr(b.made) == "<Compression 1 jobs>"
        await b.settled()
        assert b.counted == {"coded": 1}
        copy = b.made.presented(BR, plain, ON)
        assert copy.coded_here
        assert decoded("br", b"".join(copy.body)) == BODY
        assert b.made.presented(get(), plain, ON) is plain
        await b.settled()
        assert b.counted == {"coded": 1}


async def test_wishes_are_met_in_their_order_and_beyond_a_bound_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compress, "MOST_WAITING", 2)
    async with bench() as b:
        plain = b.page()
        b.keep(plain)
        b.hold()
        for coding in CODINGS:
            b.made.want(plain, coding, ON)
        assert b.counted == {"dropped": 1}
        await b.settled()
        assert b.counted == {"dropped": 1, "coded": 2}
        assert b.copy(plain, b"gzip") is None


def gone(b: Bench, plain: StoredResponse) -> None:
    b.memory.remove(plain.key)


def purged(b: Bench, plain: StoredResponse) -> None:
    b.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))


def replaced(b: Bench, plain: StoredResponse) -> None:
    b.keep(replace(b.page(BODY.upper()), response_time=T0 + 1))


def forbidden(b: Bench, plain: StoredResponse) -> None:
    b.keep(replace(plain, fields=plain.fields.plus((b"Cache-Control", b"no-transform"))))


@pytest.mark.parametrize("meanwhile", [gone, purged, replaced, forbidden])
async def test_nothing_is_kept_of_what_is_outdated_meanwhile(
    meanwhile: Callable[[Bench, StoredResponse], None],
) -> None:
    async with bench() as b:
        plain = b.page()
        b.keep(plain)
        b.hold()
        b.made.want(plain, b"br", ON)
        await until(lambda: b.memory.reserved > 0)
        meanwhile(b, plain)
        await b.settled()
        assert b.counted == {"outdated": 1}
        assert b.copy(plain) is None


async def test_what_was_made_fresh_meanwhile_gets_a_copy_as_fresh() -> None:
    async with bench() as b:
        plain = b.page()
        b.keep(plain)
        b.hold()
        b.made.want(plain, b"br", ON)
        await until(lambda: b.memory.reserved > 0)
        b.keep(replace(plain, response_time=T0 + 30, request_time=T0 + 30))
        await b.settled()
        copy = b.copy(plain)
        assert copy is not None
        assert copy.response_time == T0 + 30


async def test_what_is_gone_before_its_turn_is_not_begun() -> None:
    async with bench() as b:
        b.made.want(page(), b"br", ON)
        await b.settled()
        assert b.counted == {"outdated": 1}


async def test_what_does_not_fit_beside_the_fills_in_flight_is_dropped() -> None:
    async with bench(budget=1 << 16) as b:
        plain = b.page()
        b.keep(plain)
        assert b.memory.reserve(30_000)
        b.made.want(plain, b"br", ON)
        await b.settled()
        b.memory.release(30_000)
        assert b.counted == {"dropped": 1}


async def test_a_failure_is_logged_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    policy = replace(ON, compress=(b"rot13",), vary_normalize=negotiated((), (b"rot13",)))
    async with bench() as b:
        plain = b.page()
        b.lookup.keep(plain, policy)
        asks = get("Accept-Encoding: rot13")
        for _ in range(2):
            sent = b.made.presented(asks, plain, policy)
            assert sent.body == plain.body
            await b.settled()
        assert b.counted == {"failed": 1}
        assert "rot13" in caplog.text


async def test_the_end_gives_up_what_waits_and_takes_no_more() -> None:
    async with bench() as b:
        plain = b.page()
        b.keep(plain)
        b.hold()
        for coding in CODINGS:
            b.made.want(plain, coding, ON)
        await until(lambda: b.memory.reserved > 0)
        b.gate.set()
        await b.made.close()
        assert not len(b.made)
        b.made.want(plain, b"br", ON)
        assert b.counted["dropped"] == 1
        assert not len(b.made)


async def test_the_copy_of_another_response_is_not_presented() -> None:
    async with bench() as b:
        plain = b.page()
        b.keep(plain, replace(coded(plain, b"br", (b"newer",)), response_time=T0 + 5))
        assert b.made.presented(BR, plain, ON) is plain
        await b.settled()


async def test_what_the_origin_coded_before_goes_when_it_sends_the_page_plain() -> None:
    async with bench() as b:
        request = get("Accept-Encoding: br", url=b"http://shop.test/a")
        head = ("Content-Type: text/html", "Vary: Accept-Encoding")
        fetched = stored("max-age=60", *head, request=request, policy=ON, body=BODY)
        before = replace(fetched, response_time=T0 - 30, stamp=b.purges.stamp())
        kept = replace(as_kept(fetched, request, ON), stamp=b.purges.stamp())
        b.keep(before, kept)
        b.made.completed(request, fetched, kept, ON, None)
        assert [node.stored for node in b.memory.nodes()] == [kept]
        await b.settled()
        assert b.counted == {"coded": 1}
        b.made.completed(request, fetched, kept, CachePolicy(), None)
        assert not len(b.made)


# --- deciding on the page


async def test_one_decides_on_the_page_where_its_copy_was_found() -> None:
    async with bench() as b:
        plain = b.page()
        copy = coded(plain, b"br", (b"x",))
        b.keep(plain, copy)
        found = b.made.basis(BR, Found(copy, "memory", False, copy.variant, True))
        assert (found.stored, found.variant, found.soft_purged) == (plain, plain.variant, False)
        assert b.made.basis(BR, found) is found
        b.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a", soft=True))
        assert b.made.basis(BR, Found(copy)).soft_purged
        b.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        assert b.made.basis(BR, Found(copy)).stored is copy


async def test_a_copy_newer_than_the_page_stands_for_itself_unless_it_is_refused() -> None:
    async with bench() as b:
        plain = b.page()
        copy = replace(coded(plain, b"br", (b"x",)), response_time=T0 + 5)
        b.keep(plain, copy)
        assert b.made.basis(BR, Found(copy)).stored is copy
        refusing = get("Accept-Encoding: br", "Cache-Control: no-transform")
        assert b.made.basis(refusing, Found(copy)).stored == plain
        b.memory.remove_variant(plain.key, plain.variant)
        assert b.made.basis(BR, Found(copy)).stored is copy


# --- the shared tier


async def test_a_copy_that_others_made_is_taken_over() -> None:
    shared = Shared()
    async with bench(shared=shared) as b:
        plain = b.page()
        shared.put(coded(plain, b"br", (b"theirs",)), 60)
        b.keep(plain)
        b.made.want(plain, b"br", ON)
        b.made.want(plain, b"gzip", ON)
        await b.settled()
        assert b.counted == {"shared": 1, "coded": 1}
        copy = b.copy(plain)
        assert copy is not None
        assert copy.body == (b"theirs",)
        assert shared.held[plain.key, coded_variant(plain, b"gzip")].coded_here


@pytest.mark.parametrize(
    "theirs",
    [
        replace(coded(page(), b"br", (b"old",)), response_time=T0 - 1),
        replace(coded(page(), b"br", (b"theirs",)), coded_here=False),
        replace(coded(page(), b"br", (b"purged",)), tags=(b"gone",)),
    ],
    ids=["of another response", "the origin's own", "purged"],
)
async def test_what_others_have_that_is_no_copy_of_this_is_left(theirs: StoredResponse) -> None:
    shared = Shared()
    async with bench(shared=shared) as b:
        plain = b.page()
        shared.put(replace(theirs, stamp=plain.stamp), 60)
        b.purges.apply(PurgeRule(PurgeKind.TAG, b"gone"))
        b.keep(plain)
        b.made.want(plain, b"br", ON)
        await b.settled()
        assert b.counted == {"coded": 1}


async def test_what_does_not_pay_is_remembered_here_alone() -> None:
    shared = Shared()
    async with bench(shared=shared) as b:
        plain = b.page(b"x")
        b.keep(plain)
        b.made.want(plain, b"br", ON)
        await b.settled()
        assert b.counted == {"not_worth": 1}
        assert not shared.held
        copy = b.copy(plain)
        assert copy is not None
        assert (copy.body, copy.coded_here) == ((b"x",), True)


async def test_a_page_removed_while_the_shared_tier_was_asked_gets_no_copy() -> None:
    class Slow(Shared):
        async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
            await asyncio.sleep(0)
            b.memory.remove(key)
            return await super().get(key, variant_of)

    shared = Slow()
    async with bench(shared=shared) as b:
        plain = b.page()
        shared.put(coded(plain, b"br", (b"theirs",)), 60)
        b.keep(plain)
        b.made.want(plain, b"br", ON)
        await b.settled()
        assert b.copy(plain) is None
