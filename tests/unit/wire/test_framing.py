from collections.abc import Callable

import pytest

from edgeproxy.errors import BadRequest, BadResponse
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.framing import (
    BodyFraming,
    Framing,
    Length,
    connection_options,
    keep_alive,
    request_framing,
    response_framing,
)
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.target import Target

TARGET = Target(b"http", b"a", b"/")


def request(*lines: RawField, minor: int = 1) -> RequestHead:
    return RequestHead(b"POST", TARGET, minor, Fields(lines))


def response(*lines: RawField, status: int = 200, minor: int = 1) -> ResponseHead:
    return ResponseHead(status, b"", minor, Fields(lines))


LENGTH = (b"Content-Length", b"5")
CHUNKED = (b"Transfer-Encoding", b"chunked")

REQUESTS = {
    "s6.3-none": (request(), Framing.NONE),
    "length": (request(LENGTH), Length(5)),
    "length-zero": (request((b"content-length", b"0")), Length(0)),
    "length-with-leading-zeros": (request((b"content-length", b"0005")), Length(5)),
    "length-of-18-digits": (request((b"content-length", b"9" * 18)), Length(10**18 - 1)),
    "length-in-1.0": (request(LENGTH, minor=0), Length(5)),
    "chunked": (request(CHUNKED), Framing.CHUNKED),
    "chunked-in-capitals": (request((b"TRANSFER-ENCODING", b"Chunked")), Framing.CHUNKED),
}


@pytest.mark.parametrize(("head", "framing"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_requests_body_ends(head: RequestHead, framing: BodyFraming) -> None:
    assert request_framing(head) == framing


BAD_REQUESTS = {
    "length-and-coding": (request(LENGTH, CHUNKED), 400),
    "1.0-with-transfer-encoding": (request(CHUNKED, minor=0), 400),
    "two-lengths": (request(LENGTH, LENGTH), 400),
    "malformed-length": (request((b"Content-Length", b"5 ")), 400),
    "length-in-other-digits": (request((b"Content-Length", "５".encode())), 400),
    "chunked-twice": (request(CHUNKED, CHUNKED), 400),
    "chunked-not-last": (request((b"Transfer-Encoding", b"chunked, gzip")), 400),
    "empty-member": (request((b"Transfer-Encoding", b"gzip, , chunked")), 400),
    "gzip-chunked": (request((b"Transfer-Encoding", b"gzip, chunked")), 501),
}


@pytest.mark.parametrize(("head", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_an_ambiguous_request_is_refused(head: RequestHead, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        request_framing(head)
    assert caught.value.status == status


RESPONSES = {
    "s6.3-until-close": (response(), b"GET", Framing.UNTIL_CLOSE),
    "length": (response(LENGTH), b"GET", Length(5)),
    "length-in-1.0": (response(LENGTH, minor=0), b"GET", Length(5)),
    "length-zero": (response((b"Content-Length", b"0")), b"GET", Length(0)),
    "s6.3-equal-lengths": (response(LENGTH, LENGTH), b"GET", Length(5)),
    "chunked": (response(CHUNKED), b"GET", Framing.CHUNKED),
    "chunked-in-capitals": (response((b"Transfer-Encoding", b" CHUNKED")), b"GET", Framing.CHUNKED),
    "s6.3-unknown-coding": (response((b"Transfer-Encoding", b"foo")), b"GET", Framing.UNTIL_CLOSE),
    "s6.3-chunked-not-last": (
        response((b"Transfer-Encoding", b"chunked, foo")),
        b"GET",
        Framing.UNTIL_CLOSE,
    ),
    "empty-coding": (response((b"Transfer-Encoding", b"")), b"GET", Framing.UNTIL_CLOSE),
    "s6.3-head": (response(LENGTH), b"HEAD", Framing.NONE),
    "s6.3-head-chunked": (response(CHUNKED), b"HEAD", Framing.NONE),
    "s6.3-interim": (response(status=103), b"GET", Framing.NONE),
    "s6.3-switching": (response(status=101), b"GET", Framing.NONE),
    "s6.3-no-content": (response(status=204), b"GET", Framing.NONE),
    "s6.3-not-modified": (response(LENGTH, status=304), b"GET", Framing.NONE),
    "reset-content-has-a-body": (response(LENGTH, status=205), b"GET", Length(5)),
    "odd-status": (response(LENGTH, status=999), b"GET", Length(5)),
}


@pytest.mark.parametrize(("head", "method", "framing"), RESPONSES.values(), ids=RESPONSES.keys())
def test_a_responses_body_ends(head: ResponseHead, method: bytes, framing: BodyFraming) -> None:
    assert response_framing(head, method) == framing


BAD_RESPONSES = {
    "1.0-with-transfer-encoding": response(CHUNKED, minor=0),
    "length-and-coding": response(LENGTH, CHUNKED),
    "length-and-unknown-coding": response(LENGTH, (b"Transfer-Encoding", b"foo")),
    "length-and-coding-in-no-content": response(LENGTH, CHUNKED, status=204),
    "differing-lengths": response(LENGTH, (b"Content-Length", b"6")),
    "differing-spelling-of-a-length": response(LENGTH, (b"Content-Length", b"05")),
    "length-list": response((b"Content-Length", b"5, 5")),
    "length-negative": response((b"Content-Length", b"-5")),
    "length-empty": response((b"Content-Length", b"")),
    "length-malformed-in-not-modified": response((b"Content-Length", b"x"), status=304),
    "length-of-19-digits": response((b"Content-Length", b"1" * 19)),
    "length-in-other-digits": response((b"Content-Length", "５".encode())),
    "gzip-chunked": response((b"Transfer-Encoding", b"gzip, chunked")),
    "chunked-twice": response(CHUNKED, CHUNKED),
}


@pytest.mark.parametrize("head", BAD_RESPONSES.values(), ids=BAD_RESPONSES.keys())
def test_an_ambiguous_response_is_refused(head: ResponseHead) -> None:
    with pytest.raises(BadResponse):
        response_framing(head, b"GET")


def test_a_legacy_origin_may_send_length_and_coding() -> None:
    lenient = frozenset({"length_with_coding"})
    assert response_framing(response(LENGTH, CHUNKED), b"GET", lenient) is Framing.CHUNKED


def test_framing_is_pleasant_to_match() -> None:
    def describe(framing: BodyFraming) -> str:
        match framing:
            case Length(n):
                return f"{n} bytes"
            case Framing.NONE | Framing.CHUNKED | Framing.UNTIL_CLOSE:
                return framing.value

    assert [describe(framing) for framing in (Length(5), *Framing)] == [
        "5 bytes",
        "none",
        "chunked",
        "until-close",
    ]


CONNECTION = {
    "none": ([], set()),
    "one": ([b"close"], {b"close"}),
    "list": ([b"Keep-Alive,\tX-A , Upgrade"], {b"keep-alive", b"x-a", b"upgrade"}),
    "lines": ([b"close", b"x"], {b"close", b"x"}),
    "empty-members": ([b", ,close,"], {b"close"}),
    "empty": ([b""], set()),
}


@pytest.mark.parametrize(("values", "options"), CONNECTION.values(), ids=CONNECTION.keys())
def test_connection_options_are_lower_case_words(values: list[bytes], options: set[bytes]) -> None:
    assert connection_options(Fields((b"Connection", value) for value in values)) == options


@pytest.mark.parametrize("make", [request, response])
@pytest.mark.parametrize(
    ("minor", "value", "alive"),
    [
        pytest.param(1, None, True, id="s9.3-1.1"),
        pytest.param(1, b"close", False, id="s9.3-1.1-close"),
        pytest.param(1, b"Close, x", False, id="s9.3-close-among-others"),
        pytest.param(1, b"keep-alive, close", False, id="s9.3-close-wins"),
        pytest.param(0, None, False, id="s9.3-1.0"),
        pytest.param(0, b"Keep-Alive", True, id="s9.3-1.0-keep-alive"),
        pytest.param(0, b"x", False, id="1.0-other"),
    ],
)
def test_a_connection_lives_on(
    make: Callable[..., RequestHead | ResponseHead], minor: int, value: bytes | None, alive: bool
) -> None:
    lines = [] if value is None else [(b"Connection", value)]
    assert keep_alive(make(*lines, minor=minor)) is alive
