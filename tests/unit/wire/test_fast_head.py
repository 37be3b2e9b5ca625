import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.errors import BadRequest
from edgeproxy.wire.fast_head import (
    MAX_LINES_BEFORE_HOST,
    NOT_PLAIN,
    compile_plain,
    match_plain,
)
from edgeproxy.wire.framing import Framing, keep_alive, request_framing
from edgeproxy.wire.hop_by_hop import HOP_BY_HOP
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import parse_request_head
from tests.unit.wire.test_authority import ACCEPTED as AUTHORITIES
from tests.unit.wire.test_authority import REFUSED as BAD_AUTHORITIES
from tests.unit.wire.test_request_head import BROWSER, HOSTILE, LLHTTP_LETS_THROUGH
from tests.unit.wire.test_target import HOSTILE as HOSTILE_TARGETS
from tests.unit.wire.test_target import PATHS, QUERIES

LIMITS = HeadLimits()
PLAIN = BROWSER.replace(b"Shop.example:80", b"shop.example")


def head(target: bytes = b"/", host: bytes = b"a", *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: " + host, *lines, b"", b""])


def agrees(data: bytes) -> bool:
    """Whether the head is plain; asserts that the slow way accepts it too, and sees the same."""
    plain = match_plain(data)
    if plain is None:
        return False
    method, target, host = plain
    for scheme in (b"http", b"https"):
        request = parse_request_head(data, scheme, LIMITS)
        assert (request.method, request.raw_target) == (method, target)
        assert (request.target.authority, request.target.origin_form) == (host, target)
        assert request_framing(request) is Framing.NONE
        assert keep_alive(request)
        assert not {*request.fields.index} & (NOT_PLAIN - {b"host"})
    return True


def test_a_browsers_request_is_plain() -> None:
    assert match_plain(PLAIN) == (b"GET", b"/products/12?ref=%C3%BC", b"shop.example")
    assert agrees(PLAIN)


ALIKE = {
    "curl": head(b"/", b"127.0.0.1:8080", b"User-Agent: curl/8.5.0", b"Accept: */*"),
    "wrk": head(b"/", b"localhost:8080"),
    "head": head(method=b"HEAD"),
    "http-header-case": head().replace(b"Host", b"host"),
    "host-last": b"GET / HTTP/1.1\r\nUser-Agent: x\r\nAccept: */*\r\nHost: a\r\n\r\n",
    "keep-alive-in-capitals": head(b"/", b"a", b"Connection: Keep-Alive"),
    "names-that-begin-alike": head(
        b"/", b"a", b"Upgrade-Insecure-Requests: 1", b"Via-X: y", b"TE-X: y", b"Range-X: y", b"Ifx: y"
    ),
    "empty-value": head(b"/", b"a", b"X:"),
    "beyond-ascii": head(b"/", b"a", b"X: \xff"),
    "escapes": head(b"/%20%C3%BC?%2F%5C%26"),
    "upper-case-host": head(b"/", b"Shop.EXAMPLE"),
}


@pytest.mark.parametrize("data", ALIKE.values(), ids=ALIKE.keys())
def test_a_plain_head_is_recognised(data: bytes) -> None:
    assert agrees(data)


@pytest.mark.parametrize("name", sorted(NOT_PLAIN))
@pytest.mark.parametrize("place", ["before-host", "after-host"])
def test_a_field_that_wants_thought_goes_the_slow_way(name: bytes, place: str) -> None:
    for spelling in (name, name.title(), name.upper()):
        line = spelling + b": 1\r\n"
        at = PLAIN.index(b"Host" if place == "before-host" else b"Accept:")
        assert match_plain(PLAIN[:at] + line + PLAIN[at:]) is None


OTHERWISE = {
    "post": head(method=b"POST"),
    "lower-case-method": head(method=b"get"),
    "http-1.0": head().replace(b"1.1", b"1.0"),
    "absolute-form": head(b"http://a/"),
    "close": head(b"/", b"a", b"Connection: close"),
    "close-beside-keep-alive": head(b"/", b"a", b"Connection: keep-alive, close"),
    "close-after-keep-alive": head(b"/", b"a", b"Connection: keep-alive", b"Connection: close"),
    "default-port": head(b"/", b"a:80"),
    "default-port-of-https": head(b"/", b"a:443"),
    "second-host": head(b"/", b"a", b"X: y", b"HOST: b"),
    "empty-line-first": b"\r\n" + head(),
    "more-behind": head() + head(),
    "no-end": head()[:-1],
    "nothing": b"",
}


@pytest.mark.parametrize("data", OTHERWISE.values(), ids=OTHERWISE.keys())
def test_what_is_not_plain_goes_the_slow_way(data: bytes) -> None:
    assert match_plain(data) is None


HOSTILE_HEADS = [data for data, _ in (LLHTTP_LETS_THROUGH | HOSTILE).values()]


@pytest.mark.parametrize("data", HOSTILE_HEADS, ids=(LLHTTP_LETS_THROUGH | HOSTILE).keys())
def test_a_hostile_head_is_not_plain(data: bytes) -> None:
    assert match_plain(data) is None
    assert match_plain(data.replace(b"POST", b"GET")) is None


@pytest.mark.parametrize("target", HOSTILE_TARGETS.values(), ids=HOSTILE_TARGETS.keys())
def test_a_hostile_target_is_not_plain(target: bytes) -> None:
    assert match_plain(head(target)) is None


@pytest.mark.parametrize("host", BAD_AUTHORITIES.values(), ids=BAD_AUTHORITIES.keys())
def test_a_malformed_host_is_not_plain(host: bytes) -> None:
    assert match_plain(head(b"/", host)) is None


@pytest.mark.parametrize("host", [row[0] for row in AUTHORITIES.values()], ids=AUTHORITIES.keys())
def test_a_host_is_seen_as_the_slow_way_sees_it(host: bytes) -> None:
    agrees(head(b"/", host))


TARGETS = [raw for raw, _ in [*PATHS.values(), *QUERIES.values()]]


@pytest.mark.parametrize("target", TARGETS, ids=[*PATHS, *(f"query-{name}" for name in QUERIES)])
def test_a_target_is_plain_only_as_it_is_normalised(target: bytes) -> None:
    agrees(head(target))


@pytest.mark.parametrize("code", range(256))
def test_an_escape_is_plain_only_as_it_is_normalised(code: int) -> None:
    for spelling in (b"%%%02X" % code, b"%%%02x" % code):
        agrees(head(b"/a" + spelling))
        agrees(head(b"/" + spelling + b"/b"))
        agrees(head(b"/a?" + spelling))


class TestLimits:
    def test_a_long_head_goes_the_slow_way(self) -> None:
        match = compile_plain(HeadLimits(max_target=len(PLAIN)))
        assert match(PLAIN) is not None
        assert match(PLAIN[:-2] + b"X: y\r\n\r\n") is None
        assert compile_plain(HeadLimits(max_head=len(PLAIN) - 1))(PLAIN) is None

    @pytest.mark.parametrize("most", [1, 2, MAX_LINES_BEFORE_HOST, 100])
    @pytest.mark.parametrize("before", [0, 1, MAX_LINES_BEFORE_HOST])
    def test_it_takes_no_more_fields_than_the_slow_way(self, most: int, before: int) -> None:
        limits = HeadLimits(max_fields=most)
        match = compile_plain(limits)
        for count in range(before + 1, 103):
            lines = [b"X: y"] * (count - 1)
            lines.insert(before, b"Host: a")
            data = b"\r\n".join([b"GET / HTTP/1.1", *lines, b"", b""])
            if match(data):
                assert len(parse_request_head(data, b"http", limits).fields) == count <= most
        assert match(head()) is not None


LINES = st.lists(
    st.sampled_from(
        [
            *(name + b": 1" for name in sorted(NOT_PLAIN)),
            b"Host: a",
            b"Host: b.example:8080",
            b"Connection: keep-alive",
            b"Connection: close",
            b"Accept: */*",
            b"Cookie: a=b ",
            b"Cookie : a",
            b"X",
            b" folded",
            b": y",
            b"X: a\rb",
            b"X: a\nb",
            b"X:\t\xff",
        ]
    ),
    max_size=6,
)
TARGET_PIECES = st.lists(
    st.sampled_from(
        [b"/", b".", b"a", b"Z", b"?", b"%20", b"%2F", b"%2f", b"%41", b"%", b";", b"#", b"\\", b" "]
    ),
    max_size=8,
)


@settings(max_examples=300)
@given(st.sampled_from([b"GET", b"HEAD", b"POST"]), TARGET_PIECES, LINES)
def test_the_fast_way_never_differs_from_the_slow_way(
    method: bytes, target: list[bytes], lines: list[bytes]
) -> None:
    agrees(b"\r\n".join([method + b" /" + b"".join(target) + b" HTTP/1.1", *lines, b"", b""]))


@settings(max_examples=300)
@given(st.integers(0, len(PLAIN)), st.integers(0, 3), st.binary(max_size=3))
def test_a_damaged_head_is_never_plain_where_it_is_refused(at: int, cut: int, junk: bytes) -> None:
    data = PLAIN[:at] + junk + PLAIN[at + cut :]
    plain = match_plain(data)
    try:
        parse_request_head(data, b"http", LIMITS)
    except BadRequest:
        assert plain is None
    else:
        agrees(data)


def test_what_is_of_one_connection_only_is_never_plain() -> None:
    """What is forwarded by the bytes of a plain head is not searched for these again."""
    assert HOP_BY_HOP - {b"connection"} <= NOT_PLAIN
