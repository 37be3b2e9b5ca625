"""Requests of this process's own: read at the reader's pace, cut where they break, ended where it leaves."""

import asyncio
from typing import Any

import pytest

from edgeproxy.edge.inner import BOUND, Buffer, Inner, Inners
from edgeproxy.edge.ledger import Note, Outcome
from edgeproxy.edge.ports import Client, Downstream
from edgeproxy.edge.reader import pour
from edgeproxy.errors import BadResponse, ClientGone, IncompleteResponse
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.target import parse_uri
from tests.unit.edge.doubles import Owner as FillOwner
from tests.unit.edge.doubles import fill
from tests.unit.edge.rig import Rig, StillClock, asks, says

CLIENT = Client(b"192.0.2.1", b"http")


def inner(method: bytes = b"GET", bound: int = BOUND) -> Inner:
    head = RequestHead(method, parse_uri(b"http://shop.test/f"), 1, Fields())
    return Inner(head, CLIENT, asyncio.get_running_loop(), bound=bound)


async def whole(one: Inner) -> bytes:
    return b"".join([bytes(piece) async for piece in one])


async def test_the_head_then_the_body_can_be_read() -> None:
    one = inner()
    reading = asyncio.ensure_future(one.answer())
    await asyncio.sleep(0)
    assert not reading.done()
    one.start(200, b"OK", [(b"X", b"y")], 4)
    one.start(500, b"", [], None)
    one.write(b"ab")
    one.write(memoryview(b"cd"))
    one.end(Fields([(b"T", b"1")]))
    one.end()
    assert await reading == ResponseHead(200, b"OK", 1, Fields([(b"X", b"y")]))
    assert await one.answer() == await reading
    assert (await whole(one), one.sent, one.status, one.done.done()) == (b"abcd", 4, 200, True)
    assert one.trailers == Fields([(b"T", b"1")])
    assert await one.read() == b""


async def test_the_writer_waits_while_its_reader_is_behind() -> None:
    one = inner(bound=4)
    one.start(200, b"OK", [], None)
    pour([b"ab", b"cd", b"ef", b"gh"], one)
    assert (one.writable, one.sent, one.done.done()) == (False, 4, False)
    assert await one.read() == b"ab"
    assert one.sent == 6
    assert await whole(one) == b"cdefgh"
    assert one.done.done()


async def test_a_reader_in_time_never_stops_the_writer() -> None:
    one = inner(bound=4)
    rooms = []
    one.on_writable = lambda: rooms.append(1)
    one.start(200, b"OK", [], None)
    for _ in range(3):
        one.write(b"abc")
        assert one.writable
        await one.read()
    assert not rooms


async def test_a_reader_that_waits_is_woken_by_data_and_end() -> None:
    one = inner()
    one.start(200, b"OK", [], None)
    reading = asyncio.ensure_future(whole(one))
    for piece in (b"a", b"b"):
        await asyncio.sleep(0)
        one.write(piece)
    await asyncio.sleep(0)
    one.end()
    assert await reading == b"ab"


async def test_a_cut_body_raises_after_what_came() -> None:
    one = inner()
    told = []
    one.on_gone = lambda: told.append(1)
    one.start(200, b"OK", [], None)
    one.write(b"ab")
    one.abort()
    one.abort()
    one.write(b"more")
    assert await one.read() == b"ab"
    with pytest.raises(IncompleteResponse):
        await one.read()
    assert (told, one.done.done(), one.gone) == ([1], True, True)
    assert (await one.answer()).status == 200


async def test_one_cut_before_its_head_has_no_answer() -> None:
    one = inner()
    waiting = asyncio.ensure_future(one.answer())
    await asyncio.sleep(0)
    one.abort()
    with pytest.raises(IncompleteResponse):
        await waiting
    one.start(200, b"OK", [], None)
    assert not one.started


async def test_less_than_what_was_announced_is_cut() -> None:
    one = inner()
    one.start(200, b"OK", [], 3)
    one.write(b"ab")
    one.end()
    with pytest.raises(IncompleteResponse):
        await whole(one)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 304), (b"GET", 204)])
async def test_what_has_no_body_ends_without_one(method: bytes, status: int) -> None:
    one = inner(method)
    one.start(status, b"", [], 7)
    one.write(b"never")
    one.end()
    assert (await whole(one), one.sent) == (b"", 0)


async def test_who_leaves_tells_the_one_who_writes() -> None:
    one = inner(bound=1)
    told = []
    one.on_gone = lambda: told.append(1)
    one.start(200, b"OK", [], None)
    one.write(b"ab")
    one.leave()
    one.leave()
    assert (one.gone, told, one.done.done(), one.writable) == (True, [1], True, True)
    one.write(b"cd")
    one.end()
    one.abort()
    with pytest.raises(ClientGone):
        await one.read()


async def test_who_leaves_before_the_head_gets_none() -> None:
    one = inner()
    one.leave()
    one.start(200, b"OK", [], None)
    assert not one.started
    with pytest.raises(ClientGone):
        await one.answer()


async def test_a_finished_one_that_is_left_tells_nobody() -> None:
    one = inner()
    one.start(200, b"OK", [], None)
    one.end()
    one.on_gone = lambda: pytest.fail("it was over")
    one.leave()


async def test_a_wait_that_is_given_up_leaves_the_answer_to_others() -> None:
    one = inner()
    first = asyncio.ensure_future(one.answer())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    one.interim(ResponseHead(103, b"", 1, Fields()))
    one.start(200, b"OK", [], None)
    assert (await one.answer()).status == 200


async def test_it_never_becomes_a_tunnel() -> None:
    one = inner()
    with pytest.raises(BadResponse):
        one.switch(ResponseHead(101, b"", 1, Fields()))
    with pytest.raises(BadResponse):
        one.take_over()
    assert repr(one) == "<Inner b'GET' b'http://shop.test/f' - new>"


async def test_a_fill_reads_into_it() -> None:
    made, origin = fill(FillOwner(), asyncio.get_running_loop())
    one = inner(bound=4)
    one.start(200, b"OK", [], None)
    made.join(one)
    made.on_data(b"abcd")
    made.on_data(b"ef")
    made.on_end(None)
    assert not one.done.done()
    assert await whole(one) == b"abcdef"
    other, origin = fill(FillOwner(), asyncio.get_running_loop())
    two = inner()
    other.join(two)
    two.leave()
    assert origin.aborted


async def test_a_buffer_says_how_full_it_is() -> None:
    buffer = Buffer(asyncio.get_running_loop(), 2)
    buffer.put(b"")
    buffer.put(b"ab")
    assert repr(buffer) == "<Buffer 2/2 bytes, end=False>"


class Serving:
    """In a cycle's place."""

    def __init__(self, wait: bool = False) -> None:
        self.wait = wait
        self.received: list[float] = []

    async def __call__(self, out: Downstream, received: float) -> None:
        self.received.append(received)
        if self.wait:
            await out.done
            return
        out.start(200, b"OK", [], 2)
        out.write(b"ok")
        out.end()


async def test_an_inner_request_is_served_in_a_task() -> None:
    clock = StillClock()
    clock.now += 5
    serving = Serving()
    inners = Inners(serving, clock)
    one = inners.ask(inner().head, CLIENT)
    assert (repr(inners), len(inners)) == ("<Inners 1>", 1)
    assert (await one.answer()).status == 200
    assert await whole(one) == b"ok"
    await asyncio.sleep(0)
    assert (len(inners), serving.received) == (0, [5.0])


async def test_closing_ends_those_under_way_and_cuts_those_never_begun() -> None:
    inners = Inners(Serving(wait=True), StillClock())
    begun = inners.ask(inner().head, CLIENT)
    await asyncio.sleep(0)
    late = inners.ask(inner().head, CLIENT)
    waiting = [asyncio.ensure_future(one.answer()) for one in (begun, late)]
    await inners.close()
    for one in waiting:
        with pytest.raises(IncompleteResponse):
            await one
    assert not len(inners)


def test_it_goes_through_the_cache_and_counts_as_no_clients() -> None:
    with Rig() as rig:
        rig.store(asks("/f"), says("Cache-Control: max-age=60"), b"hello")

        async def ask() -> tuple[ResponseHead, bytes]:
            one = rig.cycle.inners.serve(Inner(rig.parse(asks("/f")), CLIENT, asyncio.get_running_loop()))
            return await one.answer(), await whole(one)

        head, body = rig.loop.run_until_complete(ask())
        assert (head.status, body) == (200, b"hello")
        assert b"hit" in (head.fields.get(b"cache-status") or b"")
        assert rig.count("edgeproxy_requests_total", "all", "hit", "200") == 0
        assert rig.counters.floats[rig.ledger.saved_slot("all")] == 0.25


def test_an_error_of_the_cycle_is_its_answer() -> None:
    with Rig() as rig:

        async def ask() -> int:
            one = rig.cycle.inners.ask(rig.parse(asks("/cold")), CLIENT)
            return (await one.answer()).status

        assert rig.loop.run_until_complete(ask()) == 500


def test_the_ledger_counts_what_clients_ask() -> None:
    with Rig() as rig:

        class Out:
            counted = True
            sent = 0

        out: Any = Out()
        rig.ledger.finished(out, 200, Note(0.0, "r", Outcome.HIT))
        out.counted = False
        rig.ledger.finished(out, 200, Note(0.0, "r", Outcome.HIT))
        assert rig.count("edgeproxy_requests_total", "r", "hit", "200") == 1
