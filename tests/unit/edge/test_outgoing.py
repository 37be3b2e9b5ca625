"""The request as an origin gets it: who asked, by which way, under which id."""

import re
from typing import Any

import pytest

from edgeproxy.config.model import Esi
from edgeproxy.edge.outgoing import (
    CONDITIONALS,
    Outgoing,
    forwarded_scheme,
    hops_left,
    identify,
    request_id,
    upgrade_of,
)
from edgeproxy.edge.ports import Client
from edgeproxy.edge.routing import Edits, Route
from edgeproxy.errors import LoopDetected
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import parse_request_head
from tests.unit.edge.rig import Rig, asks

OUTGOING = Outgoing("edge", "node 7")
PEER = Client(b"192.0.2.1", b"http")
TRUSTED = Client(b"192.0.2.1", b"http", trusted=True)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def head(*lines: str, method: str = "GET", target: str = "/a?b") -> RequestHead:
    return parse_request_head(asks(target, method, *lines), b"http", HeadLimits())


@pytest.fixture(scope="module")
def route() -> Route:
    with Rig() as rig:
        return rig.router.routes[0]


def sent(
    route: Route, *lines: str, client: Client = PEER, outgoing: Outgoing = OUTGOING, **more: Any
) -> OriginRequest:
    return outgoing.request(head(*lines), client, route, **more)


def values(request: OriginRequest, name: bytes) -> list[bytes]:
    return [value for have, value in request.fields if have.lower() == name]


def with_edits(route: Route, edits: Edits) -> Route:
    from dataclasses import replace

    return replace(route, request_edits=edits)


def test_it_names_target_authority_and_scheme(route: Route) -> None:
    request = sent(route)
    assert (request.method, request.target, request.authority, request.scheme) == (
        b"GET",
        b"/a?b",
        b"shop.test",
        b"http",
    )
    assert request.hash_key == b"shop.test/a?b"


def test_hop_by_hop_fields_host_and_framing_are_left_out(route: Route) -> None:
    request = sent(
        route,
        "Connection: close, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: 1",
        "TE: trailers",
        "Upgrade: x",
        "Expect: 100-continue",
        "Content-Length: 0",
        "Proxy-Authorization: x",
        "X-Kept: Yes",
    )
    names = {name.lower() for name, _ in request.fields}
    assert names == {
        b"x-kept", b"via", b"cdn-loop", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
        b"x-request-id", b"traceparent",
    }  # fmt: skip
    assert (b"X-Kept", b"Yes") in request.fields


def test_via_is_appended_with_the_version_that_was_received(route: Route) -> None:
    assert values(sent(route, "Via: 1.0 first"), b"via") == [b"1.0 first", b"1.1 edge"]
    old = RequestHead(b"GET", head().target, 0, head().fields)
    assert values(OUTGOING.request(old, PEER, route), b"via") == [b"1.0 edge"]


# --- loops


@pytest.mark.parametrize(
    ("value", "loops"),
    [
        ("node-7", True),
        ("other; a=b, node-7; c", True),
        ("other,node-7", True),
        ("node-77", False),
        ("xnode-7", False),
        ("edge", False),
    ],
)
def test_loops_are_found_by_the_node_s_own_id(value: str, loops: bool) -> None:
    asked = head(f"CDN-Loop: {value}")
    assert OUTGOING.loops(asked) is loops
    if loops:
        with pytest.raises(LoopDetected):
            OUTGOING.check_loop(asked)
    else:
        OUTGOING.check_loop(asked)


def test_the_node_s_id_is_added_to_the_loop_field(route: Route) -> None:
    assert values(sent(route, "CDN-Loop: other"), b"cdn-loop") == [b"other", b"node-7"]
    assert not OUTGOING.loops(head())


# --- who asked


def test_a_stranger_s_forwarding_fields_are_not_believed(route: Route) -> None:
    request = sent(
        route,
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "Forwarded: for=6.6.6.6",
        "X-Request-Id: evil",
        f"traceparent: {TRACE}",
        "tracestate: evil=1",
    )
    assert values(request, b"x-forwarded-for") == [b"192.0.2.1"]
    assert values(request, b"x-forwarded-proto") == [b"http"]
    assert values(request, b"x-forwarded-host") == [b"shop.test"]
    assert values(request, b"forwarded") == []
    (made,) = values(request, b"x-request-id")
    assert re.fullmatch(rb"[0-9a-f]{32}", made)
    assert request_id(request) == made
    (trace,) = values(request, b"traceparent")
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
    assert trace != TRACE.encode()
    assert values(request, b"tracestate") == []


def test_a_trusted_peer_s_chain_is_continued(route: Route) -> None:
    data = asks(
        "/", "GET", "X-Forwarded-For: 10.0.0.1", "x-forwarded-for:10.0.0.2", "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Host: public.test", "X-Request-Id: id-1", f"traceparent: {TRACE}", "tracestate: a=1",
    )  # fmt: skip
    client = identify(TRUSTED, data)
    assert client == Client(b"192.0.2.1", b"https", b"10.0.0.1, 10.0.0.2", b"public.test", trusted=True)
    request = OUTGOING.request(parse_request_head(data, b"http", HeadLimits()), client, route)
    assert values(request, b"x-forwarded-for") == [b"10.0.0.1, 10.0.0.2, 192.0.2.1"]
    assert values(request, b"x-forwarded-proto") == [b"https"]
    assert values(request, b"x-forwarded-host") == [b"public.test"]
    assert values(request, b"x-request-id") == [b"id-1"]
    assert request_id(request) == b"id-1"
    assert values(request, b"traceparent") == [TRACE.encode()]
    assert values(request, b"tracestate") == [b"a=1"]


def test_a_trusted_peer_without_forwarding_fields_speaks_for_itself() -> None:
    assert identify(TRUSTED, asks()) is TRUSTED


@pytest.mark.parametrize(
    "line",
    ["X-Forwarded-Proto: ftp", "X-Forwarded-Proto: http, https", "X-Forwarded-Host:", "X-Forwarded-For:"],
)
def test_what_a_trusted_peer_says_unclearly_is_left_out(line: str) -> None:
    client = identify(TRUSTED, asks("/", "GET", line))
    assert (client.scheme, client.forwarded_for, client.forwarded_host) == (b"http", None, None)


def test_two_hosts_from_a_trusted_peer_are_none() -> None:
    data = asks("/", "GET", "X-Forwarded-Host: a.test", "X-Forwarded-Host: b.test")
    assert identify(TRUSTED, data).forwarded_host is None


def test_the_scheme_of_a_trusted_peer_s_target() -> None:
    assert forwarded_scheme(asks("/", "GET", "X-Forwarded-Proto: https"), b"http") == b"https"
    assert forwarded_scheme(asks(), b"http") == b"http"


@pytest.mark.parametrize(
    ("address", "node"),
    [(b"192.0.2.1", b"192.0.2.1"), (b"2001:db8::1", b'"[2001:db8::1]"'), (b"unix", b"unknown")],
)
def test_forwarded_is_sent_when_switched_on(route: Route, address: bytes, node: bytes) -> None:
    outgoing = Outgoing("edge", "n", forwarded=True)
    request = sent(route, "Forwarded: for=6.6.6.6", client=Client(address, b"http"), outgoing=outgoing)
    assert values(request, b"forwarded") == [b'for=%s;proto=http;host="shop.test"' % node]


def test_a_trusted_peer_s_forwarded_is_continued(route: Route) -> None:
    outgoing = Outgoing("edge", "n", forwarded=True)
    request = sent(route, "Forwarded: for=10.0.0.1", client=TRUSTED, outgoing=outgoing)
    (value,) = values(request, b"forwarded")
    assert value.startswith(b"for=10.0.0.1, for=192.0.2.1;")


def test_a_request_without_a_host_names_none(route: Route) -> None:
    data = b"GET / HTTP/1.0\r\n\r\n"
    outgoing = Outgoing("edge", "n", forwarded=True)
    request = outgoing.request(parse_request_head(data, b"http", HeadLimits()), PEER, route)
    assert values(request, b"x-forwarded-host") == []
    assert values(request, b"forwarded") == [b"for=192.0.2.1;proto=http"]


@pytest.mark.parametrize(
    ("trace", "kept"),
    [
        (TRACE, True),
        (TRACE + "-more", False),
        ("01" + TRACE[2:] + "-more", True),
        ("ff" + TRACE[2:], False),
        ("00-" + "0" * 32 + TRACE[35:], False),
        (TRACE[:36] + "0" * 16 + "-01", False),
        (TRACE.upper(), False),
        ("nonsense", False),
    ],
)
def test_only_a_valid_trace_is_continued(route: Route, trace: str, kept: bool) -> None:
    request = sent(route, f"traceparent: {trace}", "tracestate: a=1", client=TRUSTED)
    (value,) = values(request, b"traceparent")
    assert (value == trace.encode()) is kept
    assert bool(values(request, b"tracestate")) is kept


# --- edits


def test_an_operator_s_edits_beside_our_own_fields_made_two_lines(route: Route) -> None:
    edits = Edits(
        frozenset((b"x-forwarded-proto", b"x-forwarded-for", b"x-request-id")),
        ((b"X-Forwarded-Proto", b"https"),),
    )
    request = sent(with_edits(route, edits))
    assert values(request, b"x-forwarded-proto") == [b"https"]
    assert values(request, b"x-forwarded-for") == []
    assert request_id(request) == b""


def test_the_caller_s_own_edits(route: Route) -> None:
    request = sent(
        route,
        'If-None-Match: "mine"',
        "Range: bytes=0-1",
        drop=CONDITIONALS,
        add=[(b"If-None-Match", b'"ours"')],
        method=b"GET",
        upgrade=b"websocket",
    )
    assert values(request, b"if-none-match") == [b'"ours"']
    assert values(request, b"range") == []
    assert request.upgrade == b"websocket"


def test_origins_are_told_of_surrogate_control_where_it_is_heeded(route: Route) -> None:
    from dataclasses import replace

    policy = replace(route.policy, targeted=(b"surrogate-control",))
    request = sent(replace(route, policy=policy))
    assert values(request, b"surrogate-capability") == [b'edge="Surrogate/1.0"']
    assert values(sent(route), b"surrogate-capability") == []
    assert values(sent(replace(route, esi=Esi())), b"surrogate-capability") == [
        b'edge="Surrogate/1.0 ESI/1.0"'
    ]


# --- how far


@pytest.mark.parametrize(
    ("method", "lines", "hops"),
    [
        ("OPTIONS", ["Max-Forwards: 3"], 3),
        ("TRACE", ["Max-Forwards: 0"], 0),
        ("GET", ["Max-Forwards: 0"], None),
        ("OPTIONS", [], None),
        ("OPTIONS", ["Max-Forwards: x"], None),
        ("OPTIONS", ["Max-Forwards: 3", "Max-Forwards: 4"], None),
    ],
)
def test_how_many_more_times_it_may_be_forwarded(method: str, lines: list[str], hops: int | None) -> None:
    asked = head(*lines, method=method)
    assert hops_left(asked) == hops


def test_max_forwards_is_counted_down(route: Route) -> None:
    request = OUTGOING.request(head("Max-Forwards: 3", method="OPTIONS"), PEER, route)
    assert values(request, b"max-forwards") == [b"2"]
    assert values(sent(route, "Max-Forwards: 3"), b"max-forwards") == [b"3"]


class Asked:
    body: object | None = None

    def __init__(self, head: RequestHead) -> None:
        self.head = head


@pytest.mark.parametrize(
    ("lines", "protocol"),
    [
        (["Connection: Upgrade", "Upgrade: websocket"], b"websocket"),
        (["Connection: keep-alive, upgrade", "Upgrade: websocket"], b"websocket"),
        (["Upgrade: websocket"], None),
        (["Connection: upgrade"], None),
        (["Connection: upgrade", "Upgrade: h2c"], None),
        (["Connection: upgrade", "Upgrade: websocket, h2c"], None),
    ],
)
def test_which_upgrade_is_asked_for(lines: list[str], protocol: bytes | None) -> None:
    assert upgrade_of(Asked(head(*lines))) == protocol  # type: ignore[arg-type]


def test_an_outgoing_shows_its_node() -> None:
    assert repr(OUTGOING) == "<Outgoing node=b'node-7'>"
