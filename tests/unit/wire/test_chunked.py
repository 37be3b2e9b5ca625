from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.wire.chunked import (
    LAST_CHUNK,
    ChunkedDecoder,
    FramingError,
    chunk_prefix,
    encode_chunk,
    encode_last,
)
from edgeproxy.wire.fields import Fields


def decode(pieces: Iterable[bytes], max_trailer: int = 8192) -> tuple[bytes, bool, bytes, Fields]:
    """Content, whether it is complete, what came after it, trailers."""
    decoder = ChunkedDecoder(max_trailer)
    content = b""
    rest = b""
    for piece in pieces:
        parts, done, after = decoder.feed(piece)
        assert done is decoder.done
        assert b"" not in parts
        content += b"".join(parts)
        rest += after
    return content, decoder.done, rest, decoder.trailers


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


ACCEPTED = {
    "empty": (b"0\r\n\r\n", b""),
    "one-chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two-chunks": (b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    "upper-case-hex": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "lower-case-hex": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "leading-zeros": (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "line-ends-in-the-content": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "looks-like-an-end": (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    "s7.1.1-extension": (b"5;a\r\nhello\r\n0;b\r\n\r\n", b"hello"),
    "s7.1.1-extension-with-value": (b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n", b"hello"),
    "s7.1.1-extension-with-string": (b'5;a="\\"; \\\\"\r\nhello\r\n0\r\n\r\n', b"hello"),
    "s7.1.1-blanks-in-extensions": (b"5 ; a = b\t;c\r\nhello\r\n0\r\n\r\n", b"hello"),
}


@pytest.mark.parametrize(("data", "content"), ACCEPTED.values(), ids=ACCEPTED.keys())
class TestContent:
    def test_whole(self, data: bytes, content: bytes) -> None:
        assert decode([data]) == (content, True, b"", Fields())

    def test_byte_by_byte(self, data: bytes, content: bytes) -> None:
        assert decode(one_by_one(data)) == (content, True, b"", Fields())

    def test_with_trailing_data(self, data: bytes, content: bytes) -> None:
        after = b"GET / HTTP/1.1\r\n"
        assert decode([data + after]) == (content, True, after, Fields())
        assert decode([*one_by_one(data), after]) == (content, True, after, Fields())

    def test_cut_short(self, data: bytes, content: bytes) -> None:
        for end in range(len(data)):
            got, done, rest, _ = decode([data[:end]])
            assert (done, rest) == (False, b"")
            assert content.startswith(got)


HOSTILE = {
    "no-size": b"\r\nhello\r\n",
    "not-hex": b"g\r\n",
    "prefix": b"0x5\r\nhello\r\n",
    "underscore": b"1_0\r\n",
    "plus": b"+5\r\nhello\r\n",
    "minus": b"-5\r\nhello\r\n",
    "leading-blank": b" 5\r\nhello\r\n",
    "trailing-blank": b"5 \r\nhello\r\n",
    "trailing-tab": b"5\t\r\nhello\r\n",
    "null": b"5\0\r\nhello\r\n",
    "size-overflows-64-bits": b"10000000000000005\r\nhello\r\n",
    "size-of-16-digits": b"fffffffffffffffe\r\nhello\r\n",
    "many-leading-zeros": b"0" * 16 + b"5\r\nhello\r\n",
    "bare-lf-after-the-size": b"5\nhello\r\n0\r\n\r\n",
    "bare-lf-in-an-extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare-cr-in-an-extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "bare-cr-after-the-size": b"5\rhello\r\n0\r\n\r\n",
    "bare-lf-after-the-content": b"5\r\nhello\n0\r\n\r\n",
    "bare-cr-after-the-content": b"5\r\nhello\r0\r\n\r\n",
    "content-longer-than-its-size": b"5\r\nhello!\r\n0\r\n\r\n",
    "content-shorter-than-its-size": b"6\r\nhello\r\n0\r\n\r\n",
    "no-line-end-after-the-content": b"5\r\nhello0\r\n\r\n",
    "extension-without-name": b"5;\r\nhello\r\n",
    "extension-without-value": b"5;a=\r\nhello\r\n",
    "extension-with-an-open-string": b'5;a="b\r\nhello\r\n',
    "extension-with-a-null": b"5;a=\0\r\nhello\r\n",
    "extension-without-semicolon": b"5 a\r\nhello\r\n",
    "size-line-without-end": b"5;a=" + b"b" * 300,
    "size-line-too-long": b"5;a=" + b"b" * 300 + b"\r\nhello\r\n0\r\n\r\n",
    "bare-lf-at-the-end": b"0\n\n",
    "bare-lf-for-the-blank-line": b"0\r\n\n",
    "trailer-without-colon": b"0\r\nX\r\n\r\n",
    "trailer-without-name": b"0\r\n: x\r\n\r\n",
    "trailer-with-blank-before-the-colon": b"0\r\nX : y\r\n\r\n",
    "trailer-with-a-null": b"0\r\nX: \0\r\n\r\n",
    "trailer-with-a-bare-cr": b"0\r\nX: a\rb\r\n\r\n",
    "trailer-with-a-bare-lf": b"0\r\nX: a\nY: b\r\n\r\n",
    "trailer-folded": b"0\r\nX: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_refused_however_it_is_cut(data: bytes) -> None:
    with pytest.raises(FramingError):
        decode([data])
    with pytest.raises(FramingError):
        decode(one_by_one(data))


def test_bare_lf_is_refused_without_waiting_for_more() -> None:
    with pytest.raises(FramingError, match="bare LF"):
        decode([b"5\n"])


def test_extensions_are_bounded_over_the_whole_body() -> None:
    chunk = b"1;a=" + b"b" * 200 + b"\r\nx\r\n"
    assert decode([chunk * 80])[0] == b"x" * 80
    with pytest.raises(FramingError, match="too many chunk extensions"):
        decode([chunk * 81])


class TestTrailers:
    def test_are_kept_in_order(self) -> None:
        data = b"0\r\nX-Sum: 1 \r\nx-sum:\t2\r\nEmpty:\r\n\r\nrest"
        fields = Fields([(b"X-Sum", b"1"), (b"x-sum", b"2"), (b"Empty", b"")])
        assert decode([data]) == (b"", True, b"rest", fields)
        assert decode(one_by_one(data)) == (b"", True, b"rest", fields)

    @pytest.mark.parametrize(
        "name", [b"Content-Length", b"Transfer-Encoding", b"Host", b"Connection", b"Cache-Control", b"Vary"]
    )
    def test_s6_5_1_what_comes_too_late_is_dropped(self, name: bytes) -> None:
        assert decode([b"0\r\n" + name + b": 1\r\nX: y\r\n\r\n"])[3] == Fields([(b"X", b"y")])

    def test_may_fill_their_room(self) -> None:
        assert decode([b"0\r\nA: 1\r\nB: 2\r\n\r\n"], max_trailer=12)[1]

    @pytest.mark.parametrize("room", [11, 6, 5, 0])
    def test_are_refused_beyond_their_room(self, room: int) -> None:
        data = b"0\r\nA: 1\r\nB: 2\r\n\r\n"
        for pieces in ([data], one_by_one(data)):
            with pytest.raises(FramingError, match="trailer section too large"):
                decode(pieces, max_trailer=room)

    def test_without_an_end_are_refused(self) -> None:
        with pytest.raises(FramingError, match="trailer section too large"):
            decode([b"0\r\nX: ", b"y" * 5000, b"y" * 5000])


def test_a_large_chunk_passes_without_being_held() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"100000\r\n")
    piece = b"x" * 65536
    content, done, rest = decoder.feed(piece)
    assert content[0] is piece
    assert (done, rest) == (False, b"")


def test_repr_says_where_it_stands() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"5\r\nhel")
    assert repr(decoder) == "<ChunkedDecoder data left=2 held=b''>"


class TestEncoding:
    def test_a_chunk(self) -> None:
        assert encode_chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
        assert chunk_prefix(255) == b"ff\r\n"

    def test_no_data_makes_no_chunk(self) -> None:
        assert encode_chunk(b"") == b""

    def test_the_end(self) -> None:
        assert encode_last() == encode_last(Fields()) == LAST_CHUNK == b"0\r\n\r\n"
        assert encode_last(Fields([(b"X", b"y")])) == b"0\r\nX: y\r\n\r\n"

    def test_a_trailer_cannot_break_out(self) -> None:
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            encode_last(Fields([(b"X", b"y\r\n\r\nHTTP/1.1 200 OK")]))


@given(
    st.lists(st.binary(max_size=40), max_size=8),
    st.lists(st.integers(1, 30), max_size=60),
    st.lists(
        st.tuples(st.sampled_from([b"X-A", b"Server-Timing"]), st.sampled_from([b"", b"v"])), max_size=3
    ),
    st.binary(max_size=20),
)
def test_what_is_encoded_is_decoded_under_any_split(
    chunks: list[bytes], cuts: list[int], trailers: list[tuple[bytes, bytes]], after: bytes
) -> None:
    data = b"".join(map(encode_chunk, chunks)) + encode_last(Fields(trailers)) + after
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    assert decode([*pieces, data]) == (b"".join(chunks), True, after, Fields(trailers))


@given(st.binary(max_size=60), st.lists(st.integers(1, 8), max_size=20))
def test_any_bytes_are_taken_alike_under_any_split(data: bytes, cuts: list[int]) -> None:
    data = b"3\r\nabc" + data
    pieces = []
    left = data
    for cut in cuts:
        pieces.append(left[:cut])
        left = left[cut:]
    outcomes = []
    for feed in ([data], [*pieces, left], one_by_one(data)):
        try:
            outcomes.append(decode(feed))
        except FramingError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1] == outcomes[2]
