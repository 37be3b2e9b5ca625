"""The writer against a transport that keeps what it is given."""

import asyncio

import pytest

from edgeproxy.upstream.request_writer import GATHER, RequestWriter
from edgeproxy.wire.fields import Fields
from tests.unit.upstream.helpers import GivenBody


class Kept(asyncio.Transport):
    """Keeps writes; `waiting` is what the peer has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.waiting = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.waiting


def begin(body: GivenBody) -> tuple[RequestWriter, Kept, list[Exception]]:
    transport, failures = Kept(), list[Exception]()
    writer = RequestWriter(transport, body, failures.append, lambda: 7.0)
    writer.start(b"HEAD\r\n\r\n")
    return writer, transport, failures


def test_head_and_what_there_is_of_a_body_leave_in_one_write() -> None:
    writer, transport, _ = begin(GivenBody([b"he", b"llo"], 5))
    assert transport.writes == [b"HEAD\r\n\r\nhello"]
    assert (writer.done_at, writer.flushed) == (7.0, True)
    transport.waiting = 1
    assert not writer.flushed
    assert repr(writer) == "<RequestWriter 0 done>"


def test_a_large_body_is_not_gathered() -> None:
    _, transport, _ = begin(GivenBody([b"x" * GATHER, b"y", b"z"], GATHER + 2))
    assert [write[:8] for write in transport.writes] == [b"HEAD\r\n\r\n", b"y", b"z"]


def test_chunks_and_trailers() -> None:
    body = GivenBody([b"ab", b"c" * (GATHER + 1)])
    body.trailers = Fields([(b"X", b"1")])
    writer, transport, _ = begin(body)
    sent = b"".join(transport.writes)
    assert sent == b"HEAD\r\n\r\n2\r\nab\r\n%x\r\n%s\r\n0\r\nX: 1\r\n\r\n" % (GATHER + 1, b"c" * (GATHER + 1))
    assert writer.done


def test_backpressure_reaches_the_body_and_ends_with_it() -> None:
    body = GivenBody(length=4, complete=False)
    writer, transport, _ = begin(body)
    writer.block()
    writer.block()
    assert (body.pauses, writer.blocked_at) == (1, 7.0)
    assert repr(writer) == "<RequestWriter 4 blocked>"
    body.push(b"ab")
    assert transport.writes == [b"HEAD\r\n\r\n"]
    writer.unblock()
    writer.unblock()
    assert transport.writes[-1] == b"ab"
    writer.block()
    writer.stop()
    writer.unblock()
    assert body.paused
    assert body.detached


def test_after_stop_nothing_is_written() -> None:
    body = GivenBody(length=4, complete=False)
    writer, transport, failures = begin(body)
    writer.stop()
    writer.on_body(b"ab")
    writer.on_body_end(None)
    writer.on_body_error(ValueError("late"))
    writer.block()
    assert (transport.writes, failures, writer.done, body.pauses) == ([b"HEAD\r\n\r\n"], [], False, 0)
    assert repr(writer) == "<RequestWriter 4 stopped>"


def test_a_done_writer_neither_blocks_nor_detaches() -> None:
    body = GivenBody([], 0)
    writer, _, _ = begin(body)
    writer.block()
    writer.stop()
    assert (body.pauses, body.detached) == (0, False)


@pytest.mark.parametrize("pieces", [[b"abcde"], [b"abc"]], ids=["longer", "shorter"])
def test_a_body_unlike_its_length_fails_before_anything_is_written(pieces: list[bytes]) -> None:
    _, transport, failures = begin(GivenBody(pieces, 4))
    assert transport.writes == []
    assert "than its length" in str(failures[0])


def test_a_body_that_breaks_off_fails() -> None:
    body = GivenBody(length=4, complete=False)
    _, _, failures = begin(body)
    assert body.consumer is not None
    body.consumer.on_body_error(ConnectionError("gone"))
    assert isinstance(failures[0], ConnectionError)
    assert body.detached
