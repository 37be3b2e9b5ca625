import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import BadRequest
from edgeproxy.wire.framing import request_framing
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import (
    METHODS,
    find_head_end,
    looks_hopeless,
    parse_request_head,
)
from edgeproxy.wire.target import Target

LIMITS = HeadLimits()
BROWSER = (
    b"GET /products/12?ref=%C3%BC HTTP/1.1\r\nHost: Shop.example:80\r\nConnection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: http://shop.example/\r\nCookie: session=0123456789abcdef; theme=dark\r\n"
    b"Sec-Fetch-Dest: script\r\nSec-Fetch-Mode: no-cors\r\n\r\n"
)


def parse(data: bytes, limits: HeadLimits = LIMITS) -> RequestHead:
    return parse_request_head(data, b"http", limits)


def head(line: bytes = b"GET / HTTP/1.1", *lines: bytes, host: bytes | None = b"a") -> bytes:
    first = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([line, *first, *lines, b"", b""])


def refusal(data: bytes, limits: HeadLimits = LIMITS) -> BadRequest:
    """As a connection would: the head is parsed, then the body's framing is decided."""
    with pytest.raises(BadRequest) as caught:
        request_framing(parse(data, limits))
    return caught.value


class TestAccepted:
    def test_a_browsers_request(self) -> None:
        request = parse(BROWSER)
        assert request.method == b"GET"
        assert request.target == Target(b"http", b"shop.example", b"/products/12", b"ref=%C3%BC")
        assert request.raw_target == b"/products/12?ref=%C3%BC"
        assert request.minor == 1
        assert len(request.fields) == 10
        assert request.fields.raw[3] == (b"Accept", b"*/*")

    @pytest.mark.parametrize("method", sorted(METHODS))
    def test_every_known_method(self, method: bytes) -> None:
        assert parse(head(method + b" / HTTP/1.1")).method == method

    def test_http_1_0_may_lack_host(self) -> None:
        request = parse(head(b"GET / HTTP/1.0", host=None))
        assert (request.minor, request.target.authority) == (0, b"")

    @pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n"])
    def test_s2_2_empty_lines_before_the_request_line(self, empty: bytes) -> None:
        assert parse(empty + head()).method == b"GET"

    def test_order_case_and_duplicates_of_fields_are_kept(self) -> None:
        raw = parse(head(b"GET / HTTP/1.1", b"aB: 1", b"Ab: 2", b"X:", b"Y:\t z \t")).fields.raw
        assert raw == ((b"Host", b"a"), (b"aB", b"1"), (b"Ab", b"2"), (b"X", b""), (b"Y", b"z"))

    def test_values_may_hold_tabs_and_bytes_beyond_ascii(self) -> None:
        assert parse(head(b"GET / HTTP/1.1", b"X: a\tb\xff\x80")).fields.get(b"x") == b"a\tb\xff\x80"

    def test_the_head_of_an_upgrade(self) -> None:
        request = parse(head(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket"))
        assert request.fields.get(b"upgrade") == b"websocket"

    def test_the_head_of_an_upgrade_with_a_body(self) -> None:
        lines = (b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5")
        assert parse(head(b"POST / HTTP/1.1", *lines)).fields.get(b"content-length") == b"5"

    def test_connection_close_is_no_error(self) -> None:
        assert parse(head(b"GET / HTTP/1.1", b"Connection: close")).method == b"GET"

    def test_options_for_the_whole_server(self) -> None:
        assert parse(head(b"OPTIONS * HTTP/1.1")).target.path == b"*"

    def test_absolute_form(self) -> None:
        assert parse(head(b"GET http://B:80/x HTTP/1.1")).target.uri == b"http://b/x"


LLHTTP_LETS_THROUGH = {
    "1.0-with-transfer-encoding": (head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked"), 400),
    "http-0.9": (head(b"GET / HTTP/0.9"), 505),
    "http-2.0": (head(b"GET / HTTP/2.0"), 505),
    "rtsp": (head(b"DESCRIBE / RTSP/1.0"), 400),
    "rtsp-with-a-method-of-http": (head(b"OPTIONS / RTSP/1.0"), 400),
    "rtsp-method-in-http": (head(b"DESCRIBE / HTTP/1.1"), 501),
    "icecast": (head(b"SOURCE / ICE/1.0"), 400),
    "icecast-method-in-http": (head(b"SOURCE / HTTP/1.1"), 501),
    "no-version": (head(b"GET /"), 400),
    "no-version-but-a-blank": (head(b"GET / "), 400),
    "no-host": (head(host=None), 400),
    "two-hosts": (head(b"GET / HTTP/1.1", b"Host: b"), 400),
    "two-equal-hosts": (head(b"GET / HTTP/1.1", b"host: a"), 400),
    "two-hosts-in-1.0": (head(b"GET / HTTP/1.0", b"Host: b"), 400),
    "empty-host": (head(host=b""), 400),
    "empty-host-in-1.0": (head(b"GET / HTTP/1.0", host=b""), 400),
    "malformed-host": (head(host=b"a b"), 400),
    "host-with-path": (head(host=b"a/b"), 400),
    "host-with-userinfo": (head(host=b"user@a"), 400),
    "host-list": (head(host=b"a, b"), 400),
    "fragment": (head(b"GET /#x HTTP/1.1"), 400),
    "bad-escape": (head(b"GET /%zz HTTP/1.1"), 400),
    "gzip-chunked": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: gzip, chunked"), 501),
    "target-beyond-ascii": (head(b"GET /\xc3\xbc HTTP/1.1"), 400),
    "many-empty-lines": (b"\r\n" * 3 + head(), 400),
    "connect": (head(b"CONNECT a:443 HTTP/1.1"), 405),
}

HOSTILE = {
    "empty": (b"\r\n\r\n", 400),
    "nothing": (b"", 400),
    "two-heads": (head() + head(), 400),
    "head-and-body": (head(b"POST / HTTP/1.1", b"Content-Length: 5") + b"hello", 400),
    "head-without-end": (head()[:-2], 400),
    "unknown-method": (head(b"BREW / HTTP/1.1"), 501),
    "lower-case-method": (head(b"get / HTTP/1.1"), 501),
    "method-with-a-bad-byte": (head(b"GE(T / HTTP/1.1"), 400),
    "blank-before-the-method": (head(b" GET / HTTP/1.1"), 400),
    "two-blanks": (head(b"GET  / HTTP/1.1"), 400),
    "two-blanks-before-the-version": (head(b"GET /  HTTP/1.1"), 400),
    "tab": (head(b"GET\t/ HTTP/1.1"), 400),
    "blank-after-the-version": (head(b"GET / HTTP/1.1 "), 400),
    "blank-in-the-target": (head(b"GET /a b HTTP/1.1"), 400),
    "null-in-the-target": (head(b"GET /\0 HTTP/1.1"), 400),
    "lower-case-version": (head(b"GET / http/1.1"), 400),
    "version-without-minor": (head(b"GET / HTTP/1"), 400),
    "version-of-two-digits": (head(b"GET / HTTP/1.10"), 400),
    "http-1.2": (head(b"GET / HTTP/1.2"), 505),
    "http-3.0": (head(b"GET / HTTP/3.0"), 505),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\n", 505),
    "pri-in-http-1.1": (head(b"PRI * HTTP/1.1"), 501),
    "asterisk-for-get": (head(b"GET * HTTP/1.1"), 400),
    "bare-lf-after-the-request-line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare-lf-after-a-field": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "bare-cr-in-a-value": (head(b"GET / HTTP/1.1", b"X: a\rb"), 400),
    "bare-cr-ends-a-field": (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
    "null-in-a-value": (head(b"GET / HTTP/1.1", b"X: a\0b"), 400),
    "control-in-a-value": (head(b"GET / HTTP/1.1", b"X: a\x01b"), 400),
    "delete-in-a-value": (head(b"GET / HTTP/1.1", b"X: a\x7fb"), 400),
    "blank-before-the-colon": (head(b"GET / HTTP/1.1", b"X : y"), 400),
    "tab-before-the-colon": (head(b"GET / HTTP/1.1", b"Content-Length\t: 5"), 400),
    "no-colon": (head(b"GET / HTTP/1.1", b"X"), 400),
    "no-name": (head(b"GET / HTTP/1.1", b": x"), 400),
    "blank-in-a-name": (head(b"GET / HTTP/1.1", b"X Y: z"), 400),
    "name-beyond-ascii": (head(b"GET / HTTP/1.1", b"\xfc: x"), 400),
    "null-in-a-name": (head(b"GET / HTTP/1.1", b"X\0: x"), 400),
    "s5.2-obs-fold": (head(b"GET / HTTP/1.1", b"X: a", b" b"), 400),
    "s5.2-obs-fold-by-tab": (head(b"GET / HTTP/1.1", b"X: a", b"\tb"), 400),
    "s5.2-obs-fold-of-an-empty-value": (head(b"GET / HTTP/1.1", b"X:", b" b"), 400),
    "s2.2-blank-first-in-the-fields": (b"GET / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n", 400),
    "folded-host": (b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", 400),
    "length-and-coding": (head(b"POST / HTTP/1.1", b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "coding-and-length": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "two-lengths": (head(b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 6"), 400),
    "two-equal-lengths": (head(b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 5"), 400),
    "length-list": (head(b"POST / HTTP/1.1", b"Content-Length: 5, 5"), 400),
    "length-signed": (head(b"POST / HTTP/1.1", b"Content-Length: +5"), 400),
    "length-negative": (head(b"POST / HTTP/1.1", b"Content-Length: -5"), 400),
    "length-hex": (head(b"POST / HTTP/1.1", b"Content-Length: 0x5"), 400),
    "length-of-two-words": (head(b"POST / HTTP/1.1", b"Content-Length: 5 5"), 400),
    "length-empty": (head(b"POST / HTTP/1.1", b"Content-Length:"), 400),
    "length-overflows-64-bits": (head(b"POST / HTTP/1.1", b"Content-Length: 18446744073709551621"), 400),
    "length-of-19-digits": (head(b"POST / HTTP/1.1", b"Content-Length: 1000000000000000000"), 400),
    "coding-gzip": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: gzip"), 400),
    "coding-identity": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: identity"), 400),
    "coding-empty": (head(b"POST / HTTP/1.1", b"Transfer-Encoding:"), 400),
    "coding-chunked-twice": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked, chunked"), 400),
    "coding-chunked-not-last": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked, gzip"), 400),
    "coding-chunked-in-two-lines": (
        head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        400,
    ),
    "coding-identity-in-a-second-line": (
        head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        400,
    ),
    "coding-with-parameter": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked;a=b"), 400),
    "coding-with-comma": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: ,chunked"), 400),
    "coding-xchunked": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: xchunked"), 400),
    "coding-with-a-vertical-tab": (head(b"POST / HTTP/1.1", b"Transfer-Encoding: \x0bchunked"), 400),
}


@pytest.mark.parametrize(("data", "status"), LLHTTP_LETS_THROUGH.values(), ids=LLHTTP_LETS_THROUGH.keys())
def test_what_llhttp_lets_through_is_refused(data: bytes, status: int) -> None:
    assert refusal(data).status == status


@pytest.mark.parametrize(("data", "status"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_head_is_refused(data: bytes, status: int) -> None:
    assert refusal(data).status == status


class TestLimits:
    def test_a_target_as_long_as_allowed(self) -> None:
        limits = HeadLimits(max_target=100)
        assert parse(head(b"GET /" + b"a" * 99 + b" HTTP/1.1"), limits).method == b"GET"
        assert refusal(head(b"GET /" + b"a" * 100 + b" HTTP/1.1"), limits).status == 414

    def test_a_malformed_line_beyond_the_targets_limit(self) -> None:
        limits = HeadLimits(max_target=100)
        assert refusal(head(b"GET /" + b"a b" * 100 + b" HTTP/1.1"), limits).status == 414

    def test_a_head_as_large_as_allowed(self) -> None:
        data = head(b"GET / HTTP/1.1", b"X: y")
        assert parse(data, HeadLimits(max_head=len(data))).method == b"GET"
        assert refusal(data, HeadLimits(max_head=len(data) - 1)).status == 431

    def test_as_many_fields_as_allowed(self) -> None:
        data = head(b"GET / HTTP/1.1", b"X: y", b"X: z")
        assert len(parse(data, HeadLimits(max_fields=3)).fields) == 3
        assert refusal(data, HeadLimits(max_fields=2)).status == 431


class TestEnd:
    def test_is_found_behind_the_blank_line(self) -> None:
        assert find_head_end(BROWSER + b"GET /") == len(BROWSER)
        assert find_head_end(bytearray(BROWSER + BROWSER), len(BROWSER)) == 2 * len(BROWSER)

    @pytest.mark.parametrize("empty", [b"", b"\r\n", b"\r\n\r\n"])
    def test_is_found_byte_by_byte(self, empty: bytes) -> None:
        data = empty + BROWSER
        buffer = bytearray()
        for byte in data[:-1]:
            scanned = len(buffer)
            buffer.append(byte)
            assert find_head_end(buffer, 0, scanned) == find_head_end(buffer) == -1
            assert not looks_hopeless(buffer)
        assert find_head_end(data, 0, len(buffer)) == len(data)
        assert parse(data) == parse(BROWSER)

    def test_three_empty_lines_are_a_head_to_refuse(self) -> None:
        assert find_head_end(b"\r\n" * 4) == 8
        assert refusal(b"\r\n" * 4).status == 400

    def test_a_second_request_begins_where_the_first_ends(self) -> None:
        data = b"xyz" + BROWSER + head()
        end = find_head_end(data, 3)
        assert data[3:end] == BROWSER
        assert data[end : find_head_end(data, end)] == head()


HOPELESS = {
    "tls-hello": b"\x16\x03\x01\x02\x00\x01",
    "blank-first": b" GET",
    "three-empty-lines": b"\r\n\r\n\r\n",
    "bare-lf-first": b"\nGET",
    "bare-cr-first": b"\rGET",
    "bare-lf": b"GET / HTTP/1.1\n",
    "bare-lf-later": b"GET / HTTP/1.1\r\nHost: a\n",
    "bare-cr-later": b"GET / HTTP/1.1\r\nHost: a\rX",
    "null-later": b"GET / HTTP/1.1\r\nHost: \0",
    "control-in-the-target": b"GET /\x01",
    "non-ascii-in-the-target": b"GET /\xc3",
    "no-target": b"GET\r\n",
    "colon-in-the-method": b"Host: a\r\n",
    "proxy-protocol-2": b"\r\n\r\n\0\r\nQUIT\n",
}

HOPEFUL = {
    "nothing": b"",
    "cr": b"\r",
    "empty-line": b"\r\n",
    "empty-line-and-cr": b"\r\n\r",
    "half-a-method": b"GE",
    "method-and-blank": b"GET ",
    "half-a-target": b"GET /a%4",
    "half-a-version": b"GET / HTT",
    "cr-after-the-version": b"GET / HTTP/1.1\r",
    "half-a-field": b"GET / HTTP/1.1\r\nHo",
    "cr-after-a-field": b"GET / HTTP/1.1\r\nHost: a\r",
    "cr-of-the-blank-line": b"GET / HTTP/1.1\r\nHost: a\r\n\r",
}


@pytest.mark.parametrize("buffer", HOPELESS.values(), ids=HOPELESS.keys())
def test_junk_is_refused_without_waiting_for_more(buffer: bytes) -> None:
    assert looks_hopeless(buffer)
    assert looks_hopeless(bytearray(b"ok" + buffer), 2)


@pytest.mark.parametrize("buffer", HOPEFUL.values(), ids=HOPEFUL.keys())
def test_the_start_of_a_request_is_waited_for(buffer: bytes) -> None:
    assert not looks_hopeless(b"\n" + buffer, 1)
    assert not looks_hopeless(b"\r" + buffer, 1)
    assert not looks_hopeless(buffer)


@given(st.binary(max_size=60), st.integers(0, len(BROWSER)))
def test_any_bytes_are_a_request_or_refused(junk: bytes, cut: int) -> None:
    data = BROWSER[:cut] + junk + BROWSER[cut:]
    data = data[: find_head_end(data)]
    try:
        request = parse(data)
        request_framing(request)
    except BadRequest:
        return
    assert request.method in METHODS
    assert len(request.fields.get_all(b"host")) == 1
    assert not any(set(b"\r\n\0") & set(name + value) for name, value in request.fields)


@given(st.integers(0, len(BROWSER) - 1), st.integers(0, 255))
def test_whatever_looks_hopeless_early_is_refused_in_the_end(at: int, byte: int) -> None:
    data = BROWSER[:at] + bytes((byte,)) + BROWSER[at + 1 :]
    if any(looks_hopeless(data[:size]) for size in range(at, min(at + 3, len(data)))):
        end = find_head_end(data)
        assert end < 0 or refusal(data[:end])
