"""A page between its writer and its client."""

import asyncio
from typing import Any, cast

import pytest

from edgeproxy.edge.esi.assemble import Assembler, Page
from edgeproxy.edge.esi.parts import BOUND
from edgeproxy.errors import IncludeFailed, IncompleteResponse
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead
from tests.unit.edge.esi.rig import Answers, PageClient, asked, esi_route, turns
from tests.unit.edge.rig import StillClock

HTML = ((b"Content-Type", b"text/html"),)


def made(room: int = 1 << 40, method: bytes = b"GET") -> tuple[Page, PageClient, Answers]:
    client, answers = PageClient(asked("Accept-Encoding: x", "Range: y", method=method), room), Answers()
    assembler = Assembler(answers.inners, StillClock())
    assert repr(assembler) == "<Assembler <Inners 0>>"
    return assembler.page(cast("Any", client), esi_route()), client, answers


async def test_what_is_no_page_passes_with_all_it_has() -> None:
    page, client, _ = made(room=2)
    told: list[str] = []
    page.on_writable = lambda: told.append("writable")
    page.on_gone = lambda: told.append("gone")
    page.interim(ResponseHead(103, b"", 1, Fields()))
    page.start(206, b"", HTML, 4)
    page.start(500, b"", HTML, 4)
    assert (client.length, client.status, page.status, page.sent) == (4, 206, 206, 0)
    page.write(b"ab")
    assert not page.writable
    client.take(4)
    page.write(b"cd")
    page.end(Fields([(b"T", b"1")]))
    await page.finish()
    assert (client.data, client.interims, client.trailers) == (b"abcd", [103], Fields([(b"T", b"1")]))
    client.leave()
    assert (told, page.gone) == (["writable", "gone"], True)


async def test_what_is_no_page_is_cut_and_switches_as_it_would() -> None:
    page, client, _ = made()
    page.switch(ResponseHead(101, b"", 1, Fields()))
    assert page.take_over() == client.switched
    assert len(client.switched) == 1
    page.start(500, b"", (), None)
    page.abort()
    assert client.aborted


async def test_its_head_waits_for_its_body() -> None:
    page, client, _ = made()
    assert (page.head.fields, page.asked.fields) == (Fields([(b"Range", b"y")]), Fields())
    page.start(200, b"OK", HTML, 3)
    finishing = asyncio.ensure_future(page.finish())
    await turns()
    assert not client.started
    page.write(memoryview(b"abc"))
    await turns()
    assert (client.started, client.data, client.length) == (True, b"abc", None)
    page.end()
    await finishing
    assert client.ended
    assert repr(page).startswith("<Page <Parts")


async def test_an_empty_page_has_a_head() -> None:
    page, client, _ = made()
    page.start(200, b"OK", HTML, 0)
    page.end()
    await page.finish()
    assert (client.started, client.ended) == (True, True)


async def test_the_head_alone_is_answered_at_once() -> None:
    page, client, _ = made(method=b"HEAD")
    page.start(200, b"OK", (*HTML, (b"ETag", b"x")), 7)
    assert client.fields == [*HTML, (b"Cache-Control", b"private, no-cache")]


@pytest.mark.parametrize("how", ["abort", "too short"])
async def test_a_page_that_breaks_lets_its_writer_go(how: str) -> None:
    page, client, _ = made()
    told = []
    page.on_gone = lambda: told.append(1)
    page.start(200, b"OK", HTML, 3)
    page.write(b"a")
    page.abort() if how == "abort" else page.end()
    page.abort()
    assert (told, page.gone) == ([1], True)
    with pytest.raises(IncompleteResponse):
        await page.finish()
    await page.close()
    assert (client.data, client.ended) == (b"a", False)


async def test_one_that_nobody_finishes_is_closed() -> None:
    page, client, answers = made()
    await page.close()
    page.start(200, b"OK", HTML, None)
    page.write(b'<esi:include src="/f"/>')
    await turns()
    await page.close()
    await turns()
    assert ([fragment.gone for fragment in answers.fragments], len(answers.inners)) == ([True], 0)
    assert not client.started


async def test_its_writer_sees_it_go_on_before_it_is_through() -> None:
    page, client, _ = made()
    rooms = []
    page.on_writable = lambda: rooms.append(1)
    page.start(200, b"OK", HTML, None)
    page.write(b"x" * BOUND)
    assert not page.writable
    await turns()
    assert (page.writable, rooms, len(client.data)) == (True, [1], BOUND)
    page.end()
    await page.finish()


async def test_a_client_that_left_while_it_was_full_ends_it() -> None:
    page, client, answers = made(room=1)
    told = []
    page.on_gone = lambda: told.append(1)
    page.start(200, b"OK", HTML, None)
    page.write(b'abc<esi:include src="/f"/>')
    page.write(b"def")
    finishing = asyncio.ensure_future(page.finish())
    await turns()
    assert not finishing.done()
    client.leave()
    await finishing
    assert told == [1]
    page.start(500, b"", (), None)
    page.write(b"late")
    page.end()
    assert (client.data, client.ended) == (b"abc", False)
    assert [fragment.gone for fragment in answers.fragments] == [True]


async def test_a_client_that_left_within_a_fragment_ends_it() -> None:
    page, client, answers = made()
    page.start(200, b"OK", HTML, None)
    page.write(b'<esi:include src="/f" alt="/g" onerror="continue"/>')
    page.end()
    finishing = asyncio.ensure_future(page.finish())
    await turns()
    client.leave()
    await finishing
    await turns()
    assert answers.paths == [b"/f"]
    assert not len(answers.inners)


async def test_a_client_in_whose_place_nobody_reads_gets_no_more() -> None:
    page, client, answers = made()
    page.start(200, b"OK", HTML, None)
    page.write(b'<esi:include src="/f"/>')
    page.end()
    finishing = asyncio.ensure_future(page.finish())
    await turns()
    (fragment,) = answers.fragments
    fragment.start(200, b"OK", (), None)
    fragment.write(b"F")
    client.gone = True  # without a word
    await finishing
    assert not client.data


async def test_a_fragment_is_written_as_it_comes() -> None:
    page, client, answers = made(room=1)
    page.start(200, b"OK", HTML, None)
    page.write(b'a<esi:include src="/f"/>z')
    page.end()
    finishing = asyncio.ensure_future(page.finish())
    await turns()
    (fragment,) = answers.fragments
    fragment.start(200, b"OK", (), None)
    for piece in (b"b", b"c"):
        fragment.write(piece)
        await turns()
        client.take(1)
        await turns()
    assert client.data == b"abc"
    fragment.end()
    client.take(1)
    await finishing
    assert client.data == b"abcz"


@pytest.mark.parametrize("cancelled", [False, True])
async def test_one_that_ends_early_leaves_all_it_asked_for(cancelled: bool) -> None:
    page, client, answers = made()
    page.start(200, b"OK", HTML, None)
    page.write(b'<esi:include src="/f"/><esi:include src="/g"/>')
    finishing = asyncio.ensure_future(page.finish())
    await turns()
    if cancelled:
        finishing.cancel()
    else:
        answers.fragments[0].start(500, b"", (), None)
    with pytest.raises((IncludeFailed, asyncio.CancelledError)):
        await finishing
    await turns()
    assert (client.started, len(answers.inners), page.gone) == (False, 0, True)
