from http import HTTPStatus

import pytest

from edgeproxy.wire.fields import Fields
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import parse_request_head
from edgeproxy.wire.response_head import parse_response_head
from edgeproxy.wire.serialise import field_lines, request_head_bytes, response_head_bytes

LINES = ((b"Host", b"a"), (b"x-B", b"\xff c"), (b"Empty", b""))


def test_a_request_head_is_read_back() -> None:
    data = request_head_bytes(b"GET", b"/a?b", LINES)
    assert data == b"GET /a?b HTTP/1.1\r\nHost: a\r\nx-B: \xff c\r\nEmpty: \r\n\r\n"
    head = parse_request_head(data, b"http", HeadLimits())
    assert (head.method, head.raw_target, head.fields.raw) == (b"GET", b"/a?b", LINES)


@pytest.mark.parametrize("status", [*HTTPStatus, 299, 999])
@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("reason", [b"OK", b"", b"\xc3\xbc \t"])
def test_a_status_line_is_written(status: int, minor: int, reason: bytes) -> None:
    assert response_head_bytes(status, reason, (), minor) == (
        b"HTTP/1.%d %d %s\r\n\r\n" % (minor, status, reason)
    )


def test_a_response_head_is_read_back() -> None:
    data = response_head_bytes(200, b"OK", Fields(LINES))
    head = parse_response_head(data, HeadLimits())
    assert (head.status, head.reason, head.fields.raw) == (200, b"OK", LINES)


def test_no_fields_are_no_lines() -> None:
    assert field_lines([]) == b""
    assert request_head_bytes(b"GET", b"/", []) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("method", [b"", b"GET ", b"G\r\nT", b"G\0T", b"GET:"])
def test_a_method_that_breaks_its_line_is_refused(method: bytes) -> None:
    with pytest.raises(ValueError, match="not a method"):
        request_head_bytes(method, b"/", [])


@pytest.mark.parametrize("target", [b"", b"/a b", b"/\r\nX: y", b"/\n", b"/\0", b"/\xff"])
def test_a_target_that_breaks_its_line_is_refused(target: bytes) -> None:
    with pytest.raises(ValueError, match="not a request target"):
        request_head_bytes(b"GET", target, [])


@pytest.mark.parametrize(
    ("status", "reason", "minor"),
    [(99, b"", 1), (1000, b"", 1), (200, b"", 2), (200, b"a\rb", 1), (200, b"a\nb", 1), (200, b"\0", 0)],
)
def test_a_status_line_that_breaks_is_refused(status: int, reason: bytes, minor: int) -> None:
    with pytest.raises(ValueError, match="not a status line"):
        response_head_bytes(status, reason, [], minor)


@pytest.mark.parametrize("bad", [b"a\r\nb", b"a\rb", b"a\nb", b"a\0b", b"a\r", b"\n"])
@pytest.mark.parametrize("where", [0, 1])
def test_a_field_that_breaks_its_line_is_refused(bad: bytes, where: int) -> None:
    line = (bad, b"x") if where == 0 else (b"X", bad)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        field_lines([(b"Host", b"a"), line])
