import pytest

from edgeproxy.upstream.location import parse_location
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.upstream.request_head import HeadMaker
from tests.unit.upstream.helpers import GivenBody

PLAIN = parse_location("http://o.test:81")
PREFIXED = parse_location("http://o.test/base")


def request(**changes: object) -> OriginRequest:
    given: dict[str, object] = {
        "method": b"GET", "target": b"/a", "authority": b"shop.example", "scheme": b"http", "fields": ()
    }  # fmt: skip
    return OriginRequest(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host_header", "authority", "host"),
    [
        ("preserve", b"shop.example:8080", b"shop.example:8080"),
        ("preserve", b"", b"o.test:81"),
        ("origin", b"shop.example", b"o.test:81"),
        ("inner.test", b"shop.example", b"inner.test"),
    ],
)
def test_the_host_that_is_sent(host_header: str, authority: bytes, host: bytes) -> None:
    head = HeadMaker(host_header).make(request(authority=authority), PLAIN)
    assert head == b"GET /a HTTP/1.1\r\nHost: %s\r\n\r\n" % host


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        pytest.param({"body": GivenBody([], 7)}, b"Content-Length: 7\r\n", id="length"),
        pytest.param({"body": GivenBody([], 0)}, b"Content-Length: 0\r\n", id="length-0"),
        pytest.param({"body": GivenBody([])}, b"Transfer-Encoding: chunked\r\n", id="chunked"),
        pytest.param({"method": b"POST"}, b"Content-Length: 0\r\n", id="s8.6-post-without-content"),
        pytest.param({"method": b"DELETE"}, b"", id="delete-without-content"),
        pytest.param({"upgrade": b"h2c"}, b"Connection: upgrade\r\nUpgrade: h2c\r\n", id="upgrade"),
    ],
)
def test_framing_and_upgrade(changes: dict[str, object], lines: bytes) -> None:
    head = HeadMaker("preserve").make(request(**changes), PLAIN)
    assert head.endswith(b" /a HTTP/1.1\r\nHost: shop.example\r\n" + lines + b"\r\n")


@pytest.mark.parametrize(("target", "sent"), [(b"/a?b", b"/base/a?b"), (b"/", b"/base/"), (b"*", b"/base")])
def test_the_prefix_of_an_origin_comes_first(target: bytes, sent: bytes) -> None:
    head = HeadMaker("preserve").make(request(target=target), PREFIXED)
    assert head.startswith(b"GET " + sent + b" HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "changes",
    [{"fields": ((b"A", b"b\r\nC: d"),)}, {"target": b"/a b"}, {"authority": b"a\r\nb"}, {"method": b"G T"}],
)
def test_what_would_break_a_line_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not a|CR, LF"):
        HeadMaker("preserve").make(request(**changes), PLAIN)
