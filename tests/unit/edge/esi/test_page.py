"""Which responses are pages, and what each side says."""

import pytest

from edgeproxy.edge.esi.page import (
    asked_of,
    assembled_fields,
    fragment_client,
    fragment_head,
    is_encoded,
    is_page,
    unencoded,
    whole,
)
from edgeproxy.edge.ports import Client
from edgeproxy.edge.routing import Edits
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.target import parse_uri
from tests.unit.edge.esi.rig import CLIENT, asked, esi_route


def fields(*lines: str) -> Fields:
    return asked(*lines).fields


@pytest.mark.parametrize(
    ("status", "lines", "page"),
    [
        (200, ["Content-Type: text/html"], True),
        (200, ["Content-Type: Text/XML ;charset=utf-8"], True),
        (200, ["Content-Type: application/xml"], True),
        (200, ["Content-Type: application/xhtml+xml"], True),
        (200, ["Content-Type: text/html", "Content-Encoding: identity"], True),
        (200, ["Content-Type: text/html", "Content-Encoding: br"], False),
        (200, ["Content-Type: text/htmlx"], False),
        (200, ["Content-Type: application/json"], False),
        (200, [], False),
        (201, ["Content-Type: text/html"], False),
        (404, ["Content-Type: text/html"], False),
    ],
)
def test_what_a_page_is(status: int, lines: list[str], page: bool) -> None:
    assert is_page(status, fields(*lines)) is page


def test_two_codings_encode_too() -> None:
    assert is_encoded(fields("Content-Encoding: identity, gzip"))


def test_requests_are_for_what_can_be_read() -> None:
    head = asked("Accept-Encoding: gzip", "X: y", "Range: bytes=0-1", "If-None-Match: *")
    assert unencoded(head).fields == fields("X: y", "Range: bytes=0-1", "If-None-Match: *")
    assert whole(unencoded(head)).fields == fields("X: y")
    plain = asked("X: y")
    assert unencoded(plain) is plain
    assert whole(plain) is plain
    unsafe = asked("If-Match: *", method=b"PUT")
    assert whole(unsafe) is unsafe


def test_conditions_hold_for_what_is_no_page() -> None:
    head = asked("If-None-Match: *")
    html = fields("Content-Type: text/html")
    assert asked_of(head, esi_route(), 200, html).fields == Fields()
    assert asked_of(head, esi_route(), 404, html) is head


def test_the_assembled_answer_keeps_what_still_holds() -> None:
    lines = fields(
        "Date: d", "ETag: x", "Cache-Control: public", "Expires: e", "Pragma: p", "Vary: a", "X: y"
    )
    told = Fields(assembled_fields(lines, esi_route()))
    assert told == fields("Date: d", "Vary: a", "X: y", "Cache-Control: private, no-cache")


def test_the_operators_lifetimes_stay() -> None:
    route = esi_route(response_edits=Edits(frozenset((b"cache-control", b"expires"))))
    lines = fields("Cache-Control: max-age=1", "Expires: e", "ETag: x", "Pragma: p")
    assert Fields(assembled_fields(lines, route)) == fields("Cache-Control: max-age=1", "Expires: e")


def test_a_fragment_of_the_same_authority_is_asked_for_with_the_clients_credentials() -> None:
    kept = ("Cookie: a", "Authorization: b", "Accept: c", "Cache-Control: no-cache", "X-Request-Id: 1")
    gone = (
        "Host: shop.test", "Range: x", "If-None-Match: x", "If-Range: x", "Content-Type: x",
        "Content-Length: 1", "Expect: x", "Upgrade: x", "TE: x", "Accept-Encoding: x",
    )  # fmt: skip
    head = fragment_head(asked(*kept, *gone, method=b"POST"), parse_uri(b"http://shop.test/f?x"))
    assert head.fields == fields(*kept, "Host: shop.test")
    assert (head.method, head.raw_target, head.minor) == (b"GET", b"/f?x", 1)


@pytest.mark.parametrize("uri", [b"http://other.test/f", b"http://shop.test:81/f"])
def test_another_authority_gets_no_credentials(uri: bytes) -> None:
    head = fragment_head(asked("Cookie: a", "Authorization: b", "Accept: c"), parse_uri(uri))
    assert head.fields.raw[0] == (b"Accept", b"c")
    assert head.fields.get(b"host") == head.target.authority
    assert len(head.fields) == 2


def test_the_client_of_a_fragment_speaks_as_the_page_says() -> None:
    page = parse_uri(b"http://shop.test/")
    assert fragment_client(CLIENT, page, parse_uri(b"http://shop.test/f")) is CLIENT
    assert fragment_client(CLIENT, page, parse_uri(b"https://shop.test/f")) == Client(
        b"192.0.2.1", b"https", forwarded_host=b"shop.test"
    )
    assert fragment_client(CLIENT, page, parse_uri(b"http://other.test/f")) == Client(b"192.0.2.1", b"http")
