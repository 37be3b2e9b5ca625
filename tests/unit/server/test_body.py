"""A request's body between a socket that brings it and a consumer that takes it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import BadRequest, ClientGone
from edgeproxy.server.body import HIGH_WATER, RequestBodyReader
from edgeproxy.wire.fields import Fields


class Taker:
    """A BodyConsumer that keeps."""

    def __init__(self) -> None:
        self.data = b""
        self.pieces = 0
        self.ends: list[Fields | None] = []
        self.errors: list[Exception] = []

    def on_body(self, data: bytes) -> None:
        self.data += data
        self.pieces += 1

    def on_body_end(self, trailers: Fields | None) -> None:
        self.ends.append(trailers)

    def on_body_error(self, error: Exception) -> None:
        self.errors.append(error)


class Socket:
    """Counts what the reader asks of the connection."""

    def __init__(self, length: int | None, expects: bool = False) -> None:
        self.held = self.held_ever = self.asked = 0
        self.body = RequestBodyReader(length, self._hold, self._release, self._ask if expects else None)

    def _hold(self) -> None:
        self.held += 1
        self.held_ever += 1

    def _release(self) -> None:
        self.held -= 1

    def _ask(self) -> None:
        self.asked += 1


def attached(length: int | None) -> tuple[RequestBodyReader, Taker]:
    taker = Taker()
    body = Socket(length).body
    body.attach(taker)
    return body, taker


def test_a_counted_body_ends_at_its_length_and_hands_back_the_rest() -> None:
    body, taker = attached(5)
    assert body.feed(b"abc") == b""
    assert (body.left, taker.ends) == (2, [])
    assert body.feed(b"deNEXT") == b"NEXT"
    assert (taker.data, taker.ends, body.complete) == (b"abcde", [None], True)


def test_a_chunked_body_ends_with_its_trailers() -> None:
    body, taker = attached(None)
    assert body.left is None
    assert body.feed(b"3\r\nabc\r\n0\r\nX: y\r\n\r\nNEXT") == b"NEXT"
    assert taker.data == b"abc"
    (trailers,) = taker.ends
    assert trailers is not None
    assert trailers.get(b"x") == b"y"


@given(st.binary(max_size=200), st.data())
def test_any_split_gives_the_same_body(content: bytes, data: st.DataObject) -> None:
    wire = b"".join(b"%x\r\n%s\r\n" % (1, content[at : at + 1]) for at in range(len(content))) + b"0\r\n\r\n"
    body, taker = attached(None)

    def pieces(rest: bytes) -> Iterator[bytes]:
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            yield rest[:size]
            rest = rest[size:]

    for piece in pieces(wire):
        assert body.feed(piece) == b""
    assert (taker.data, taker.ends) == (content, [taker.ends[0]])


def test_tiny_chunks_of_one_segment_are_one_piece() -> None:
    body, taker = attached(None)
    body.feed(b"1\r\nx\r\n" * 1000)
    assert (taker.data, taker.pieces) == (b"x" * 1000, 1)


def test_what_nobody_takes_holds_the_socket_until_it_is_taken() -> None:
    socket, taker = Socket(HIGH_WATER * 2), Taker()
    socket.body.feed(b"x" * (HIGH_WATER - 1))
    assert socket.held == 0
    socket.body.feed(b"x")
    socket.body.feed(b"x")
    assert (socket.held, socket.held_ever) == (1, 1)
    socket.body.attach(taker)
    assert (socket.held, len(taker.data)) == (0, HIGH_WATER + 1)


def test_a_full_consumer_holds_the_socket() -> None:
    socket, taker = Socket(HIGH_WATER * 2), Taker()
    socket.body.attach(taker)
    socket.body.pause()
    socket.body.feed(b"x" * HIGH_WATER * 2)
    assert (socket.held, taker.data, taker.ends) == (1, b"", [])
    socket.body.resume()
    assert (socket.held, len(taker.data), taker.ends) == (0, HIGH_WATER * 2, [None])


def test_an_empty_body_ends_as_it_is_attached() -> None:
    body, taker = attached(0)
    assert (taker.ends, body.complete, body.consumed) == ([None], True, False)


def test_consumed_from_the_first_byte_on() -> None:
    body, taker = attached(2)
    assert not body.consumed
    body.feed(b"a")
    assert body.consumed
    body.attach(again := Taker())
    body.feed(b"b")
    assert (taker.data, again.data) == (b"a", b"b")


class TestExpect:
    def test_the_client_is_asked_once_as_somebody_attaches(self) -> None:
        socket = Socket(2, expects=True)
        assert socket.body.unasked
        socket.body.attach(Taker())
        socket.body.attach(Taker())
        assert (socket.asked, socket.body.unasked) == (1, False)

    def test_not_where_the_body_is_there_already(self) -> None:
        socket = Socket(2, expects=True)
        socket.body.feed(b"ab")
        socket.body.attach(taker := Taker())
        assert (socket.asked, taker.data, taker.ends) == (0, b"ab", [None])

    def test_nobody_who_only_reads_past_it_asks(self) -> None:
        socket = Socket(2, expects=True)
        socket.body.discard()
        assert socket.asked == 0


class TestErrors:
    def test_a_failure_comes_after_what_was_kept(self) -> None:
        body, taker = Socket(9).body, Taker()
        body.feed(b"abc")
        body.fail(ClientGone("gone"))
        body.fail(ClientGone("again"))
        body.attach(taker)
        assert (taker.data, [str(error) for error in taker.errors]) == (b"abc", ["gone"])

    def test_a_failure_reaches_who_is_attached_once(self) -> None:
        body, taker = attached(9)
        body.fail(ClientGone("gone"))
        body.detach()
        assert len(taker.errors) == 1

    def test_a_complete_body_fails_no_more(self) -> None:
        body, taker = attached(1)
        body.feed(b"a")
        body.fail(ClientGone("gone"))
        assert (taker.errors, body.error) == ([], None)

    def test_broken_chunks_are_a_bad_request(self) -> None:
        with pytest.raises(BadRequest) as caught:
            attached(None)[0].feed(b"zz\r\n")
        assert caught.value.status == 400


class TestLimits:
    @pytest.mark.parametrize("size", [0, 10])
    def test_up_to_the_limit_all_is_well(self, size: int) -> None:
        body, taker = attached(10)
        body.limit(size)
        body.feed(b"x" * 10)
        assert taker.ends == [None]

    def test_a_length_beyond_it_is_known_at_once(self) -> None:
        with pytest.raises(BadRequest) as caught:
            Socket(11).body.limit(10)
        assert caught.value.status == 413

    def test_chunks_are_counted_before_and_after_it_is_known(self) -> None:
        body = Socket(None).body
        body.feed(b"6\r\nxxxxxx\r\n")
        with pytest.raises(BadRequest):
            body.limit(5)
        body.limit(8)
        body.feed(b"2\r\nxx\r\n")
        with pytest.raises(BadRequest) as caught:
            body.feed(b"1\r\nx\r\n")
        assert caught.value.status == 413

    def test_what_is_read_past_an_answer_is_bounded(self) -> None:
        body = Socket(100).body
        body.feed(b"x" * 50)
        body.shorten(10)
        body.discard()
        body.feed(b"x" * 10)
        with pytest.raises(BadRequest):
            body.feed(b"x")


class TestAnswered:
    def test_a_body_nobody_takes_is_read_past_everyone(self) -> None:
        socket = Socket(HIGH_WATER * 4)
        socket.body.feed(b"x" * HIGH_WATER)
        assert socket.held == 1
        socket.body.answered()
        assert socket.held == 0
        socket.body.feed(b"x" * HIGH_WATER * 2)
        assert socket.held == 0

    def test_whoever_takes_it_goes_on_and_may_leave(self) -> None:
        socket, taker = Socket(HIGH_WATER * 4), Taker()
        socket.body.attach(taker)
        socket.body.answered()
        socket.body.feed(b"abc")
        assert taker.data == b"abc"
        socket.body.detach()
        socket.body.feed(b"x" * HIGH_WATER * 2)
        assert (taker.data, socket.held) == (b"abc", 0)
