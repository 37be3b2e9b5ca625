"""Writing at the client's pace."""

import asyncio

import pytest

from edgeproxy.edge.outlet import Outlet
from edgeproxy.edge.ports import nothing
from edgeproxy.errors import ClientGone
from tests.unit.edge.doubles import Out


async def begun(outlet: Outlet, data: bytes) -> "asyncio.Task[None]":
    """A write that has come as far as it can."""
    task = asyncio.create_task(outlet.write(data))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_a_client_that_takes_more_gets_it_at_once() -> None:
    out = Out()
    outlet = Outlet(out)
    await outlet.write(b"one")
    await outlet.write(memoryview(b"two"))
    assert (bytes(out.data), out.sizes) == (b"onetwo", [3, 3])
    assert not out.ended


async def test_a_client_that_is_full_is_waited_for() -> None:
    out = Out(room=3)
    outlet = Outlet(out)
    await outlet.write(b"one")
    task = await begun(outlet, b"two")
    assert (task.done(), bytes(out.data)) == (False, b"one")
    out.take(3)
    await task
    assert bytes(out.data) == b"onetwo"


async def test_a_call_without_room_is_not_room() -> None:
    out = Out(room=0)
    outlet = Outlet(out)
    task = await begun(outlet, b"one")
    for _ in range(2):
        out.on_writable()
        out.on_writable()
        for _ in range(3):
            await asyncio.sleep(0)
        assert (task.done(), bytes(out.data)) == (False, b"")
    out.take(1)
    await task
    assert bytes(out.data) == b"one"


async def test_a_client_that_leaves_while_it_is_waited_for_ends_the_writing() -> None:
    out = Out(room=0)
    outlet = Outlet(out)
    task = await begun(outlet, b"one")
    out.leave()
    with pytest.raises(ClientGone):
        await task
    assert bytes(out.data) == b""


@pytest.mark.parametrize("room", [0, 100])
async def test_a_client_that_left_gets_nothing(room: int) -> None:
    out = Out(room=room)
    outlet = Outlet(out)
    out.leave()
    with pytest.raises(ClientGone):
        await outlet.write(b"one")
    assert bytes(out.data) == b""


async def test_a_writer_that_is_cancelled_while_it_waits_is_forgotten() -> None:
    out = Out(room=0)
    outlet = Outlet(out)
    task = await begun(outlet, b"one")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    out.take(9)
    assert bytes(out.data) == b""
    await outlet.write(b"two")
    assert bytes(out.data) == b"two"


async def test_calls_before_any_writing_mean_nothing() -> None:
    out = Out()
    Outlet(out)
    out.on_writable()
    out.on_gone()
    assert bytes(out.data) == b""


async def test_an_outlet_that_is_closed_wants_no_more_calls() -> None:
    out = Out()
    outlet = Outlet(out)
    assert out.on_writable is not nothing
    assert out.on_gone is not nothing
    outlet.close()
    assert out.on_writable is nothing
    assert out.on_gone is nothing
