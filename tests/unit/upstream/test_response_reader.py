"""The reader is tried whole, byte by byte, and with trailing data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import BadResponse, ConnectionLost, IncompleteResponse, UpstreamError
from edgeproxy.upstream.response_reader import MAX_INTERIMS, ResponseReader
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead
from edgeproxy.wire.limits import HeadLimits
from tests.unit.upstream.helpers import KeepingSink, make_origin

OK = b"HTTP/1.1 200 OK\r\n"
LIMITS = HeadLimits(max_head=2048, max_fields=20)


class Receiver:
    """Passes heads to a sink; may stop the reader at a head."""

    def __init__(self, sink: KeepingSink) -> None:
        self.sink = sink
        self.reader: ResponseReader | None = None
        self.stop_at = 0

    def interim(self, head: ResponseHead) -> None:
        self.sink.on_interim(head)
        self._maybe_stop(head)

    def head(self, head: ResponseHead) -> None:
        self.sink.on_head(head, make_origin())
        self._maybe_stop(head)

    def _maybe_stop(self, head: ResponseHead) -> None:
        if head.status == self.stop_at and self.reader is not None:
            self.reader.stop()


def begin(
    method: bytes = b"GET", *, upgrade: bool = False, lenient: frozenset[str] = frozenset(), stop_at: int = 0
) -> tuple[ResponseReader, KeepingSink]:
    sink = KeepingSink()
    receiver = Receiver(sink)
    reader = ResponseReader(LIMITS, lenient)
    receiver.reader, receiver.stop_at = reader, stop_at
    reader.begin(method, receiver, sink, upgrade)
    return reader, sink


def feed(reader: ResponseReader, data: bytes, step: int) -> bool:
    done = False
    for start in range(0, len(data), step):
        done = reader.feed(data[start : start + step])
        if done:
            reader.surplus = reader.surplus or start + step < len(data)
            break
    return done


COMPLETE = [
    pytest.param(b"GET", OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True, id="s6.3-content-length"),
    pytest.param(b"GET", OK + b"content-length:0\r\n\r\n", b"", True, id="s6.3-length-of-zero"),
    pytest.param(
        b"GET",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"hello",
        True,
        id="s7.1-chunked",
    ),
    pytest.param(b"HEAD", OK + b"Content-Length: 5\r\n\r\n", b"", True, id="s6.3-head-has-no-body"),
    pytest.param(b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"", True, id="s6.3-head-chunked"),
    pytest.param(b"HEAD", OK + b"\r\n", b"", True, id="s6.3-head-without-any-length"),
    pytest.param(b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True, id="s6.3-204"),
    pytest.param(b"GET", b"HTTP/1.1 304 NM\r\nContent-Length: 9\r\n\r\n", b"", True, id="s6.3-304"),
    pytest.param(
        b"GET", OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", False, id="s9.3-close"
    ),
    pytest.param(
        b"GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False, id="s9.3-http-1.0-ends"
    ),
    pytest.param(
        b"GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        True,
        id="s9.3-http-1.0-kept-alive",
    ),
    pytest.param(
        b"GET", b"HTTP/1.1 200 \r\nContent-Length: 2 \r\n\r\nok", b"ok", True, id="s4-no-reason-blanks-after"
    ),
]


@pytest.mark.parametrize("step", [1, 3, 10_000])
@pytest.mark.parametrize(("method", "data", "body", "persistent"), COMPLETE)
def test_complete_responses_end_where_they_say(
    method: bytes, data: bytes, body: bytes, persistent: bool, step: int
) -> None:
    reader, sink = begin(method)
    assert feed(reader, data, step)
    assert sink.body == body
    assert sink.head is not None
    assert (reader.persistent, reader.surplus) == (persistent, False)


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(("method", "data", "body", "persistent"), COMPLETE)
def test_bytes_beyond_the_end_are_not_the_bodys(
    method: bytes, data: bytes, body: bytes, persistent: bool, step: int
) -> None:
    reader, sink = begin(method)
    assert feed(reader, data + b"HTTP/1.1 200 OK\r\n\r\n", step)
    assert sink.body == body
    assert reader.surplus


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_body_until_close_ends_with_the_connection(step: int) -> None:
    reader, sink = begin()
    assert not feed(reader, OK + b"\r\nhello", step)
    assert reader.feed_eof()
    assert sink.body == b"hello"
    assert not reader.persistent


def test_an_unknown_coding_ends_with_the_connection() -> None:
    reader, sink = begin()
    assert not reader.feed(OK + b"Transfer-Encoding: frob\r\n\r\nhello")
    assert reader.feed_eof()
    assert sink.body == b"hello"


def test_trailers_come_with_the_end() -> None:
    reader, _ = begin()
    assert reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: abc\r\n\r\n")
    assert reader.trailers == Fields([(b"Digest", b"abc")])


def test_without_trailers_there_are_none() -> None:
    reader, _ = begin()
    assert reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    assert reader.trailers is None


def test_one_reader_reads_one_response_after_another() -> None:
    reader, first = begin()
    assert reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n")
    reader.stop()
    second = KeepingSink()
    reader.begin(b"GET", Receiver(second), second)
    assert not reader.started
    assert reader.feed(OK + b"Content-Length: 1\r\n\r\ny")
    assert (first.body, second.body, reader.trailers) == (b"x", b"y", None)


# --- interim responses and upgrades


@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_interim_responses_come_before_the_final_head(step: int) -> None:
    reader, sink = begin()
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    assert feed(reader, data + OK + b"Content-Length: 1\r\n\r\nx", step)
    assert sink.log == ["interim 100", "interim 103", "head 200", "data"]


def test_a_flood_of_interim_responses_is_refused() -> None:
    reader, sink = begin()
    with pytest.raises(BadResponse, match="interim"):
        reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIMS + 1))
    assert len(sink.interims) == MAX_INTERIMS


def test_a_101_that_was_asked_for_makes_a_tunnel() -> None:
    reader, sink = begin(upgrade=True)
    assert not reader.feed(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nab")
    assert not reader.feed(b"cd")
    assert reader.in_tunnel
    assert (sink.status, reader.tunnelled) == (101, b"abcd")
    assert not reader.feed_eof()


def test_a_101_nobody_asked_for_is_refused() -> None:
    reader, _ = begin()
    with pytest.raises(BadResponse, match="101"):
        reader.feed(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")


# --- hostile answers

HOSTILE = [
    pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="another-protocol"),
    pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="http-2-in-text"),
    pytest.param(b"HTTP/0.9 200 OK\r\n\r\n", id="http-0.9"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="s2.2-bare-lf"),
    pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", id="s6.3-differing-lengths"),
    pytest.param(
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", id="s6.3-length-and-coding"
    ),
    pytest.param(OK + b"Content-Length: -1\r\n\r\n", id="s6.3-negative-length"),
    pytest.param(OK + b"Content-Length: 0x10\r\n\r\n", id="s6.3-hexadecimal-length"),
    pytest.param(OK + b"A : b\r\n\r\n", id="s5.1-blank-before-colon"),
    pytest.param(OK + b"A: b\r\n c\r\n\r\n", id="s5.2-folded-line"),
    pytest.param(OK + b"A: \x00\r\n\r\n", id="s5.5-nul"),
    pytest.param(OK + b"A: " + b"a" * 3000, id="head-too-large-unended"),
    pytest.param(OK + b"A: " + b"a" * 3000 + b"\r\n\r\n", id="head-too-large"),
    pytest.param(OK + b"A: a\r\n" * 30 + b"\r\n", id="too-many-fields"),
    pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="four-digit-status"),
    pytest.param(b"HTTP/1.1 099 No\r\n\r\n", id="status-below-100"),
]


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_heads_are_refused_before_any_head_is_told(data: bytes, step: int) -> None:
    reader, sink = begin()
    with pytest.raises(BadResponse):
        feed(reader, data, step)
    assert sink.head is None


@pytest.mark.parametrize("step", [1, 10_000])
def test_a_malformed_chunk_is_an_incomplete_response(step: int) -> None:
    reader, sink = begin()
    with pytest.raises(IncompleteResponse, match="chunk"):
        feed(reader, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokzz\r\n", step)
    assert sink.head is not None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", ConnectionLost, id="nothing"),
        pytest.param(b"HTTP/1.1 20", ConnectionLost, id="in-the-head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", ConnectionLost, id="after-an-interim-head"),
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhel", IncompleteResponse, id="in-a-counted-body"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", IncompleteResponse, id="in-a-chunk"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", IncompleteResponse, id="before-last-chunk"
        ),
    ],
)
def test_an_end_too_early_is_told(data: bytes, error: type[UpstreamError]) -> None:
    reader, _ = begin()
    if data:
        assert not reader.feed(data)
    assert reader.started == bool(data)
    with pytest.raises(error):
        reader.feed_eof()


def test_leniency_lets_a_legacy_origin_end_lines_by_lf() -> None:
    reader, sink = begin(lenient=frozenset({"bare_lf"}))
    assert reader.feed(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
    assert sink.body == b"ok"


# --- stopping from within


def test_stopped_at_an_interim_head_nothing_more_is_told() -> None:
    reader, sink = begin(stop_at=103)
    assert not reader.feed(b"HTTP/1.1 103 Early\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx")
    assert sink.log == ["interim 103"]


def test_stopped_at_the_head_no_body_is_told() -> None:
    reader, sink = begin(stop_at=200)
    assert not reader.feed(OK + b"Content-Length: 1\r\n\r\nx")
    assert sink.log == ["head 200"]


def test_small_chunks_of_one_segment_are_told_as_one_piece() -> None:
    reader, sink = begin()
    assert reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert (sink.body, sink.log) == (b"ab", ["head 200", "data"])


def test_bytes_when_nothing_was_asked_are_surplus() -> None:
    reader = ResponseReader(LIMITS)
    assert not reader.feed(b"hello")
    assert reader.surplus
    assert not reader.feed_eof()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 60), st.booleans())
def test_however_it_is_cut_the_body_is_the_same(pieces: list[bytes], step: int, chunked: bool) -> None:
    body = b"".join(pieces)
    if chunked:
        framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        data = OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed
    else:
        data = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
    reader, sink = begin()
    assert feed(reader, data, step)
    assert sink.body == body
    assert not reader.surplus
