"""A page taken apart as it comes."""

import asyncio

import pytest

from edgeproxy.edge.esi.fragments import Budget, Fragments, Scope, Slot
from edgeproxy.edge.esi.parts import BOUND, Part, Parts
from edgeproxy.errors import ClientGone, IncompleteResponse
from tests.unit.edge.esi.rig import CLIENT, Answers, asked, turns


def made() -> Parts:
    return Parts(Fragments(asked(), CLIENT, Scope(0, 2, Budget(0)), Answers().inners))


async def rest(parts: Parts) -> list[Part]:
    found = []
    while (part := await parts.next()) is not None:
        found.append(part)
    return found


async def test_text_and_places_in_order() -> None:
    parts = made()
    reading = asyncio.ensure_future(rest(parts))
    for piece in (b"a<esi:incl", b'ude src="/f"/>b', b"<"):
        parts.put(piece)
        await turns(1)
    parts.end()
    parts.end()
    parts.put(b"late")
    one, slot, *others = await reading
    assert (one, others) == (b"a", [b"b", b"<"])
    assert isinstance(slot, Slot)
    assert (parts.size, parts.ended) == (0, True)


async def test_its_writer_waits_while_it_is_full() -> None:
    parts = made()
    rooms = []
    parts.on_room = lambda: rooms.append(parts.size)
    parts.put(b"x" * (BOUND // 2))
    assert not parts.full
    parts.put(b'<esi:include src="/f"/>' + b"x" * (BOUND // 2))
    assert parts.full
    await parts.next()
    assert not rooms
    await parts.next()
    assert rooms == [BOUND // 2]
    await parts.next()
    assert len(rooms) == 1


async def test_one_that_broke_gives_what_came_before() -> None:
    parts = made()
    parts.put(b"a")
    parts.end(IncompleteResponse("broke"))
    assert await parts.next() == b"a"
    with pytest.raises(IncompleteResponse):
        await parts.next()


async def test_one_that_is_dropped_gives_nothing_more() -> None:
    parts = made()
    parts.put(b"a")
    parts.drop(ClientGone("left"))
    with pytest.raises(ClientGone):
        await parts.next()
    assert repr(parts) == "<Parts 0 size=0 end=ClientGone('left')>"


async def test_thousands_of_fragments_that_are_too_many_take_no_places() -> None:
    parts = made()  # no fragment is left to this page
    parts.put(b'<esi:include src="/f" onerror="continue"/>' * 5000)
    assert parts.size == 0
    parts.put(b'<esi:include src="/f"/>')  # this one fails the page, where it stands
    parts.end()
    assert [type(part) for part in await rest(parts)] == [Slot]
