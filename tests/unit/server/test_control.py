import asyncio
import socket

import pytest

from edgeproxy.errors import BadRequest
from edgeproxy.server import control
from edgeproxy.server.control import Channel, ChannelClosed, ControlError


class Ends:
    """Both ends of a channel; what `there` can be asked is in `handlers`."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
        self.never = asyncio.Event()
        self.hanging = asyncio.Semaphore(0)
        self.handlers = {
            "add": lambda a, b: a + b,
            "slow_add": self.slow_add,
            "hang": self.hang,
            "refuse": self.refuse,
            "crash": lambda: 1 / 0,
            "tell": lambda *args: self.heard.put_nowait(args),
            "big": lambda size: b"x" * size,
            "unsendable": lambda: object(),
        }

    async def open(self) -> None:
        a, b = socket.socketpair()
        self.here = await Channel.open(a, {})
        self.there = await Channel.open(b, self.handlers)

    async def hang(self):
        self.hanging.release()
        await self.never.wait()

    async def slow_add(self, a, b):
        await asyncio.sleep(0)
        return a + b

    async def refuse(self):
        raise BadRequest("not today")


@pytest.fixture
async def ends():
    ends = Ends()
    await ends.open()
    yield ends
    ends.here.close()
    ends.there.close()
    await asyncio.gather(ends.here.closed, ends.there.closed)


async def test_a_call_is_answered_by_plain_and_by_async_handlers(ends):
    assert await ends.here.call("add", 1, 2, timeout=5) == 3
    assert await ends.here.call("slow_add", b"a", b"b", timeout=5) == b"ab"


async def test_many_calls_at_once_get_their_own_answers(ends):
    answers = await asyncio.gather(*(ends.here.call("slow_add", n, 1, timeout=5) for n in range(100)))
    assert answers == list(range(1, 101))


async def test_frames_larger_than_the_socket_buffer_arrive_whole(ends):
    assert len(await ends.here.call("big", 5_000_000, timeout=10)) == 5_000_000


async def test_a_note_arrives_and_has_no_answer(ends):
    ends.here.notify("tell", "a", 1)
    async with asyncio.timeout(5):
        assert await ends.heard.get() == ("a", 1)


async def test_a_refusal_carries_its_reason(ends):
    with pytest.raises(ControlError, match="not today"):
        await ends.here.call("refuse", timeout=5)


async def test_a_crash_in_a_handler_is_answered_and_logged(ends, caplog):
    with pytest.raises(ControlError, match="ZeroDivisionError"):
        await ends.here.call("crash", timeout=5)
    assert "crash failed" in caplog.text


async def test_a_call_that_nobody_handles_is_answered(ends):
    with pytest.raises(ControlError, match="KeyError"):
        await ends.here.call("unheard_of", timeout=5)


async def test_an_answer_that_cannot_be_sent_leaves_the_caller_its_timeout(ends):
    with pytest.raises(ControlError, match="no answer to unsendable"):
        await ends.here.call("unsendable", timeout=0.05)


async def test_a_late_answer_is_an_error_and_does_not_confuse_the_next_call(ends):
    with pytest.raises(ControlError, match=r"no answer to hang within 0\.01 s"):
        await ends.here.call("hang", timeout=0.01)
    ends.never.set()
    assert await ends.here.call("add", 1, 2, timeout=5) == 3


async def test_a_peer_that_goes_fails_what_is_pending_and_what_comes(ends):
    pending = asyncio.ensure_future(ends.here.call("hang", timeout=5))
    await ends.here.call("add", 1, 2, timeout=5)
    ends.there.close()
    with pytest.raises(ChannelClosed):
        await pending
    await ends.here.closed
    with pytest.raises(ChannelClosed):
        await ends.here.call("add", 1, 2, timeout=5)
    ends.here.notify("tell", "nobody")
    assert "closed" in repr(ends.here)


async def test_more_calls_at_once_than_the_bound_are_refused(ends, monkeypatch):
    monkeypatch.setattr(control, "MAX_AT_WORK", 3)
    held = [asyncio.ensure_future(ends.here.call("hang", timeout=5)) for _ in range(3)]
    for _ in range(3):
        await ends.hanging.acquire()
    with pytest.raises(ControlError, match="too many calls"):
        await ends.here.call("add", 1, 2, timeout=5)
    ends.never.set()
    await asyncio.gather(*held)


async def test_nonsense_closes_the_channel(caplog):
    a, b = socket.socketpair()
    channel = await Channel.open(a, {})
    b.sendall(b"\xff" * 8)
    await channel.closed
    b.close()
    assert "nonsense" in caplog.text


async def test_a_message_beyond_the_bounds_is_refused(ends, monkeypatch):
    monkeypatch.setattr(control, "MAX_FRAME", 1000)
    with pytest.raises(ControlError, match="too long"):
        await ends.here.call("add", b"x" * 2000, b"", timeout=5)
    monkeypatch.setattr(control, "MAX_UNSENT", -1)
    with pytest.raises(ControlError, match="takes no messages"):
        await ends.here.call("add", b"", b"", timeout=5)
