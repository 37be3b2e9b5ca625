from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config.upstreams import Lenient
from edgeproxy.errors import BadResponse
from edgeproxy.wire.heads import ResponseHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.response_head import LENIENCIES, find_response_head_end, parse_response_head

LIMITS = HeadLimits()
PAGE = (
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    b'Content-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\nETag: "abc"\r\n'
    b"Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nCache-Control: max-age=60\r\n"
    b"Vary: Accept-Encoding\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
)


def head(line: bytes = b"HTTP/1.1 200 OK", *lines: bytes) -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


def parse(data: bytes, *lenient: str) -> ResponseHead:
    return parse_response_head(data, LIMITS, frozenset(lenient))


def test_an_origins_page() -> None:
    response = parse(PAGE)
    assert (response.status, response.reason, response.minor) == (200, b"OK", 1)
    assert len(response.fields) == 10
    assert response.fields.get_all(b"set-cookie") == [b"a=b", b"c=d"]


STATUS_LINES = {
    "interim": (b"HTTP/1.1 103 Early Hints", 103, b"Early Hints", 1),
    "http-1.0": (b"HTTP/1.0 404 Not Found", 404, b"Not Found", 0),
    "odd-status": (b"HTTP/1.1 999 Whatever", 999, b"Whatever", 1),
    "empty-reason": (b"HTTP/1.1 200 ", 200, b"", 1),
    "no-reason": (b"HTTP/1.1 200", 200, b"", 1),
    "reason-beyond-ascii": (b"HTTP/1.1 200 \xc3\xbc\tx", 200, b"\xc3\xbc\tx", 1),
    "two-blanks": (b"HTTP/1.1 200  OK", 200, b" OK", 1),
    "not-modified": (b"HTTP/1.1 304 Not Modified", 304, b"Not Modified", 1),
}


@pytest.mark.parametrize(
    ("line", "status", "reason", "minor"), STATUS_LINES.values(), ids=STATUS_LINES.keys()
)
def test_a_status_line_is_read(line: bytes, status: int, reason: bytes, minor: int) -> None:
    response = parse(head(line, b"X: y"))
    assert (response.status, response.reason, response.minor) == (status, reason, minor)
    assert response.fields.raw == ((b"X", b"y"),)


ACCEPTED = {
    "no-fields": (head(), ()),
    "blanks-around-a-value": (head(b"HTTP/1.1 200 OK", b"X: \ty \t"), ((b"X", b"y"),)),
    "empty-value": (head(b"HTTP/1.1 200 OK", b"X:"), ((b"X", b""),)),
    "beyond-ascii": (head(b"HTTP/1.1 200 OK", b"X: \xe9"), ((b"X", b"\xe9"),)),
    "close": (
        head(b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: 0"),
        ((b"Connection", b"close"), (b"Content-Length", b"0")),
    ),
    "upgrade": (
        head(b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"),
        ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")),
    ),
    "unknown-coding": (
        head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: foo"),
        ((b"Transfer-Encoding", b"foo"),),
    ),
    "s8.6-equal-lengths-are-made-one": (
        head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: y", b"content-length:5 ", b"Content-Length: 5"),
        ((b"Content-Length", b"5"), (b"X", b"y")),
    ),
}


@pytest.mark.parametrize(("data", "raw"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_response_is_accepted(data: bytes, raw: tuple[tuple[bytes, bytes], ...]) -> None:
    assert parse(data).fields.raw == raw


HOSTILE = {
    "nothing": b"",
    "blank-line": b"\r\n\r\n",
    "switching-to-nothing": head(b"HTTP/1.1 101 Switching Protocols"),
    "two-heads": head() + head(),
    "head-and-body": head(b"HTTP/1.1 200 OK", b"Content-Length: 0") + head(),
    "empty-line-first": b"\r\n" + head(),
    "no-version": head(b"200 OK"),
    "http-0.9": head(b"HTTP/0.9 200 OK"),
    "http-2.0": head(b"HTTP/2.0 200 OK"),
    "http-1.2": head(b"HTTP/1.2 200 OK"),
    "rtsp": head(b"RTSP/1.0 200 OK"),
    "icecast": head(b"ICY 200 OK"),
    "lower-case": head(b"http/1.1 200 OK"),
    "no-status": head(b"HTTP/1.1 OK"),
    "two-digits": head(b"HTTP/1.1 20 OK"),
    "four-digits": head(b"HTTP/1.1 2000 OK"),
    "below-100": head(b"HTTP/1.1 099 OK"),
    "signed": head(b"HTTP/1.1 -20 OK"),
    "two-blanks-before-the-status": head(b"HTTP/1.1  200 OK"),
    "tab-before-the-status": head(b"HTTP/1.1\t200 OK"),
    "control-in-the-reason": head(b"HTTP/1.1 200 O\x01K"),
    "null-in-the-reason": head(b"HTTP/1.1 200 O\0K"),
    "bare-cr-in-the-reason": head(b"HTTP/1.1 200 O\rK"),
    "bare-lf-after-the-status-line": b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
    "bare-lf-after-a-field": b"HTTP/1.1 200 OK\r\nX: y\nZ: a\r\n\r\n",
    "bare-cr-in-a-value": head(b"HTTP/1.1 200 OK", b"X: a\rb"),
    "null-in-a-value": head(b"HTTP/1.1 200 OK", b"X: a\0b"),
    "control-in-a-value": head(b"HTTP/1.1 200 OK", b"X: a\x07b"),
    "blank-before-the-colon": head(b"HTTP/1.1 200 OK", b"X : y"),
    "no-colon": head(b"HTTP/1.1 200 OK", b"X"),
    "no-name": head(b"HTTP/1.1 200 OK", b": y"),
    "blank-in-a-name": head(b"HTTP/1.1 200 OK", b"X Y: z"),
    "s5.2-obs-fold": head(b"HTTP/1.1 200 OK", b"X: a", b" b"),
    "s5.2-fold-of-the-status-line": head(b"HTTP/1.1 200 OK", b" X: a"),
    "length-and-coding": head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "differing-lengths": head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 6"),
    "length-list": head(b"HTTP/1.1 200 OK", b"Content-Length: 5, 5"),
    "equal-malformed-lengths": head(b"HTTP/1.1 200 OK", b"Content-Length: x", b"Content-Length: x"),
    "length-signed": head(b"HTTP/1.1 200 OK", b"Content-Length: +5"),
    "length-overflows": head(b"HTTP/1.1 200 OK", b"Content-Length: 18446744073709551621"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_response_is_refused(data: bytes) -> None:
    with pytest.raises(BadResponse):
        parse(data)


FORGIVEN = {
    "bare_lf": (b"HTTP/1.1 200 OK\nX: y\n\n", ((b"X", b"y"),)),
    "obs_fold": (head(b"HTTP/1.1 200 OK", b"X: a ", b"\t b", b"Y: c"), ((b"X", b"a b"), (b"Y", b"c"))),
    "space_before_colon": (head(b"HTTP/1.1 200 OK", b"X \t: y : z"), ((b"X", b"y : z"),)),
    "control_characters": (head(b"HTTP/1.1 200 OK", b"X: a\0b\x01c\x7f"), ((b"X", b"a b c"),)),
    "length_with_coding": (
        head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"),
        ((b"Transfer-Encoding", b"chunked"), (b"X", b"y")),
    ),
}


class TestLenient:
    def test_is_what_the_config_offers(self) -> None:
        assert set(get_args(Lenient)) == LENIENCIES

    def test_a_run_of_blanks_costs_no_more_than_its_length(self) -> None:
        # Both repairs were once quadratic in it.
        lines = (b"Content-Length: 5" + b" " * 16000 + b"x", b"X: y" + b" " * 16000 + b"\0")
        with pytest.raises(BadResponse):
            parse(head(b"HTTP/1.1 200 OK", *lines), "obs_fold", "length_with_coding")

    def test_each_leniency_has_a_case(self) -> None:
        assert set(FORGIVEN) == LENIENCIES

    @pytest.mark.parametrize("name", sorted(FORGIVEN))
    def test_forgives_what_is_listed(self, name: str) -> None:
        data, raw = FORGIVEN[name]
        assert parse(data, name).fields.raw == raw

    @pytest.mark.parametrize("name", sorted(FORGIVEN))
    def test_forgives_nothing_else(self, name: str) -> None:
        with pytest.raises(BadResponse):
            parse(FORGIVEN[name][0], *(LENIENCIES - {name}))

    def test_leaves_a_lone_length_in_place(self) -> None:
        data = head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X : y")
        assert parse(data, *LENIENCIES).fields.get(b"content-length") == b"5"

    def test_a_bare_cr_is_never_forgiven(self) -> None:
        with pytest.raises(BadResponse):
            parse(head(b"HTTP/1.1 200 OK", b"X: a\rb"), *LENIENCIES)


class TestLimits:
    def test_a_head_as_large_as_allowed(self) -> None:
        assert parse_response_head(PAGE, HeadLimits(max_head=len(PAGE))).status == 200
        with pytest.raises(BadResponse):
            parse_response_head(PAGE, HeadLimits(max_head=len(PAGE) - 1))

    def test_as_many_fields_as_allowed(self) -> None:
        assert parse_response_head(PAGE, HeadLimits(max_fields=10)).status == 200
        with pytest.raises(BadResponse):
            parse_response_head(PAGE, HeadLimits(max_fields=9))


class TestEnd:
    def test_is_found_byte_by_byte(self) -> None:
        buffer = bytearray()
        for byte in PAGE[:-1]:
            scanned = len(buffer)
            buffer.append(byte)
            assert find_response_head_end(buffer, 0, scanned) == -1
            assert find_response_head_end(buffer, 0, scanned, bare_lf=True) == -1
        assert find_response_head_end(PAGE, 0, len(buffer)) == len(PAGE)
        assert find_response_head_end(PAGE, 0, len(buffer), bare_lf=True) == len(PAGE)

    @pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r\n"])
    def test_a_legacy_origin_may_end_lines_by_lf_alone(self, end: bytes) -> None:
        data = b"HTTP/1.1 200 OK" + end
        assert find_response_head_end(data + b"body", bare_lf=True) == len(data)
        assert find_response_head_end(b"1234" + data, 4, bare_lf=True) == 4 + len(data)

    def test_an_interim_response_ends_where_the_next_begins(self) -> None:
        interim = head(b"HTTP/1.1 103 Early Hints", b"Link: </a>; rel=preload")
        data = interim + PAGE
        assert find_response_head_end(data) == len(interim)
        assert find_response_head_end(data, len(interim)) == len(data)


@given(st.binary(max_size=40), st.integers(0, len(PAGE)), st.sets(st.sampled_from(sorted(LENIENCIES))))
def test_any_bytes_are_a_response_or_refused(junk: bytes, cut: int, lenient: set[str]) -> None:
    data = PAGE[:cut] + junk + PAGE[cut:]
    data = data[: find_response_head_end(data)]
    try:
        response = parse(data, *lenient)
    except BadResponse:
        return
    assert 100 <= response.status <= 999
    assert not any(set(b"\r\n\0") & set(name + value) for name, value in response.fields)
    assert not set(b"\r\n\0") & set(response.reason)
