"""The fields that clients see: relayed, from a store, or made here."""

from dataclasses import replace

import pytest

from edgeproxy.edge.heads import Heads, reason_of
from edgeproxy.edge.routing import Edits, Route
from edgeproxy.errors import BadRequest, EdgeProxyError, FirstByteTimeout, NoHealthyOrigin
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead
from tests.unit.edge.rig import T0, Rig, asks, says

HEADS = Heads("edge")
STATUS = b"edge; fwd=uri-miss"


@pytest.fixture(scope="module")
def route() -> Route:
    with Rig() as rig:
        return rig.router.routes[0]


def relayed(route: Route, head: ResponseHead, withheld: frozenset[bytes] = frozenset()) -> list[RawField]:
    return HEADS.relayed(head, route, STATUS, T0, withheld)


def test_what_is_relayed_stays_byte_for_byte_but_for_the_connection_s_own(route: Route) -> None:
    head = says(
        "X-oDD:  two  ", "Set-Cookie: a", "Set-Cookie: b", "Connection: x-hop", "X-Hop: 1", "Date: today"
    )
    assert relayed(route, head) == [
        (b"X-oDD", b" two  "),
        (b"Set-Cookie", b"a"),
        (b"Set-Cookie", b"b"),
        (b"Date", b"today"),
        (b"Via", b"1.1 edge"),
        (b"Cache-Status", STATUS),
    ]


def test_a_missing_date_is_added_and_via_names_the_version(route: Route) -> None:
    lines = relayed(route, ResponseHead(200, b"OK", 0, says().fields))
    assert lines == [
        (b"Date", b"Tue, 14 Nov 2023 22:13:20 GMT"),
        (b"Via", b"1.0 edge"),
        (b"Cache-Status", STATUS),
    ]


def test_withheld_fields_and_a_204_s_length_are_left_out(route: Route) -> None:
    head = says("X-Me: 1", "X-All: 2", "Content-Length: 0", "Date: today", status=204)
    names = [name for name, _ in relayed(route, head, frozenset((b"x-me",)))]
    assert names == [b"X-All", b"Date", b"Via", b"Cache-Status"]


def test_edits_come_after_the_origin_s_fields(route: Route) -> None:
    edited = replace(route, response_edits=Edits(frozenset((b"server",)), ((b"Server", b"edge"),)))
    lines = relayed(edited, says("Server: old", "Date: today"))
    assert lines[:2] == [(b"Date", b"today"), (b"Server", b"edge")]


@pytest.mark.parametrize(("status", "length"), [(200, b"5"), (204, None)])
def test_a_stored_response_has_one_length_and_no_age_of_its_own(status: int, length: bytes | None) -> None:
    with Rig() as rig:
        head = says(
            "Cache-Control: max-age=60", "Age: 3", "Content-Length: 7", "Content-Length: 7", status=status
        )
        node = rig.store(asks(), head, b"hello" if status == 200 else b"")
        assert node is not None
        fields = HEADS.stored(node.stored, rig.router.routes[0])
        assert fields.get(b"content-length") == length
        assert b"age" not in fields
        assert fields.raw[-1] == (b"Via", b"1.1 edge")


@pytest.mark.parametrize(
    ("error", "status", "extra"),
    [
        (BadRequest("a detail"), 400, None),
        (BadRequest("slow down", 429), 429, (b"Retry-After", b"1")),
        (NoHealthyOrigin("none"), 503, (b"Retry-After", b"1")),
        (BadRequest("no", 405), 405, (b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")),
        (BadRequest("no", 426), 426, (b"Upgrade", b"HTTP/1.1")),
        (FirstByteTimeout(""), 504, None),
    ],
)
def test_errors_are_short_uncacheable_and_have_proxy_status(
    error: EdgeProxyError, status: int, extra: RawField | None
) -> None:
    lines, body = HEADS.error(error, T0)
    assert error.status == status
    assert body.startswith(b"%d %s: " % (status, reason_of(status)))
    fields = dict(lines)
    assert fields[b"Content-Length"] == b"%d" % len(body)
    assert fields[b"Cache-Control"] == b"no-store"
    assert fields[b"Proxy-Status"] == b"edge; error=" + error.proxy_error.encode()
    assert extra is None or extra in lines


def test_what_went_wrong_within_is_told_to_nobody() -> None:
    _, body = HEADS.error(EdgeProxyError("a secret"), T0)
    assert body == b"500 Internal Server Error: internal error\n"


def test_an_unknown_status_has_no_reason() -> None:
    assert (reason_of(200), reason_of(799)) == (b"OK", b"")
