"""The quick recognition is never more generous than the strict parser, and says the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.upstream.plain_head import match_plain
from edgeproxy.wire.framing import Framing, Length, keep_alive, response_framing
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.response_head import parse_response_head

LIMITS = HeadLimits(max_head=4096, max_fields=10)
OK = b"HTTP/1.1 200 OK\r\n"

PLAIN = [
    pytest.param(b"GET", OK + b"Content-Length: 5\r\n\r\n", Length(5), id="length"),
    pytest.param(b"GET", OK + b"Transfer-Encoding: chunked\r\n\r\n", Framing.CHUNKED, id="chunked"),
    pytest.param(b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", Framing.NONE, id="204"),
    pytest.param(b"GET", b"HTTP/1.1 304 NM\r\nContent-Length: 5\r\n\r\n", Framing.NONE, id="304"),
    pytest.param(b"HEAD", OK + b"Content-Length: 5\r\n\r\n", Framing.NONE, id="head"),
    pytest.param(
        b"GET", OK + b"Connection: keep-alive\r\nContent-Length: 1\r\n\r\n", Length(1), id="keep-alive"
    ),
]


@pytest.mark.parametrize(("method", "data", "framing"), PLAIN)
def test_plain_heads_are_recognised(method: bytes, data: bytes, framing: object) -> None:
    plain = match_plain(data, method, LIMITS)
    assert plain is not None
    assert plain[1] == framing
    assert plain[0] == parse_response_head(data, LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", id="http-1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="interim"),
        pytest.param(OK + b"\r\n", id="until-close"),
        pytest.param(OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n", id="close"),
        pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", id="repeated-length"),
        pytest.param(OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", id="both"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", id="other-coding"),
        pytest.param(OK + b"Content-Length: +1\r\n\r\n", id="signed-length"),
        pytest.param(OK + b"Content-Length: " + b"1" * 19 + b"\r\n\r\n", id="enormous-length"),
        pytest.param(OK + b"Content-Length: 1 \r\n\r\n", id="blank-after-value"),
        pytest.param(OK + b"Content-Length: 1\t\r\n\r\n", id="tab-after-value"),
        pytest.param(b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n", id="no-reason"),
        pytest.param(OK + b"A : b\r\nContent-Length: 1\r\n\r\n", id="blank-before-colon"),
        pytest.param(OK + b"A: b\r\n c\r\nContent-Length: 1\r\n\r\n", id="folded"),
        pytest.param(OK + b"A: b\rc\r\nContent-Length: 1\r\n\r\n", id="bare-cr"),
        pytest.param(OK + b"A: b\nc: d\r\nContent-Length: 1\r\n\r\n", id="bare-lf"),
        pytest.param(OK + b"A: b\r\n" * 11 + b"Content-Length: 1\r\n\r\n", id="many-fields"),
        pytest.param(OK + b"A: " + b"b" * 5000 + b"\r\nContent-Length: 1\r\n\r\n", id="large"),
    ],
)
def test_whatever_is_not_surely_plain_is_left_to_the_parser(data: bytes) -> None:
    assert match_plain(data, b"GET", LIMITS) is None


_NAMES = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Connection", b"Date", b"X-A", b"content-length", b"", b"A B"]
)
_VALUES = st.one_of(
    st.sampled_from([b"5", b"0", b"chunked", b"gzip", b"close", b"keep-alive", b"Keep-Alive", b"", b"1, 1"]),
    st.binary(max_size=6),
)
_LINES = st.lists(st.tuples(_NAMES, st.sampled_from([b": ", b":", b" : ", b":\t"]), _VALUES), max_size=5)
_STARTS = st.sampled_from([OK, b"HTTP/1.1 204 \r\n", b"HTTP/1.1 304 NM\r\n", b"HTTP/1.1 500 \xff\r\n"])


@given(_STARTS, _LINES, st.sampled_from([b"GET", b"HEAD"]))
def test_plain_and_strict_agree(start: bytes, lines: list[tuple[bytes, bytes, bytes]], method: bytes) -> None:
    data = start + b"".join(b"".join(line) + b"\r\n" for line in lines) + b"\r\n"
    if data.index(b"\r\n\r\n") + 4 != len(data):
        return  # the head ends earlier
    plain = match_plain(data, method, LIMITS)
    if plain is None:
        return
    head = parse_response_head(data, LIMITS)
    assert plain == (head, response_framing(head, method))
    assert keep_alive(head)
