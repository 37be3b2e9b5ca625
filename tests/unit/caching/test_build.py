"""A stored response made of an exchange (RFC 9111 §3.1)."""

import pytest

from edgeproxy.caching.build import make_stored, stored_fields
from edgeproxy.caching.stored import Stamp
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

from .values import PLAIN, T0, at, cc, get, lines

DATE = (b"Date", at(0))


def fields_of(*pairs: str) -> Fields:
    return stored_fields(lines(*pairs, DATE), PLAIN, T0)


def test_everything_of_the_exchange_is_there() -> None:
    request = get("Foo: 1", "Authorization: Basic Zm9v")
    head = cc("max-age=60, public", "Vary: Foo", "Surrogate-Key: a b", status=404)
    made = make_stored(
        request, head, (b"ab", b"", b"c"), T0 - 1, T0, PLAIN, Stamp(position=3), b"key", origin_seconds=0.25
    )
    assert (made.key, made.method, made.status, made.reason) == (b"key", b"GET", 404, b"Reason")
    assert (made.body, made.size) == ((b"ab", b"c"), 3)
    assert (made.request_time, made.response_time, made.origin_seconds) == (T0 - 1, T0, 0.25)
    assert made.selecting == ((b"foo", b"1"),)
    assert len(made.variant) == 16
    assert made.tags == (b"a", b"b")
    assert made.stamp.position == 3
    assert made.request_authorized


def test_a_body_may_come_as_one() -> None:
    made = make_stored(get(), cc("max-age=60"), b"", T0, T0, PLAIN, Stamp(), b"key")
    assert (made.body, made.size, made.variant, made.request_authorized) == ((), 0, b"", False)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ],
)
def test_s3_1_fields_of_the_connection_are_not_stored(name: str) -> None:
    assert fields_of(f"{name}: x", "A: 1") == lines("A: 1", DATE)


def test_s3_1_fields_that_connection_names_are_not_stored() -> None:
    assert fields_of("Connection: a, b", "a: 1", "b: 2", "c: 3") == lines("c: 3", DATE)


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "Content-Encoding",
        "Content-Range",
        "Content-MD5",
        "Set-Cookie",
        "Clear-Site-Data",
        "X-A",
    ],
)
def test_s3_1_all_other_fields_are_stored(name: str) -> None:
    assert fields_of(f"{name}: x") == lines(f"{name}: x", DATE)


@pytest.mark.parametrize("directive", ["no-cache", "private"])
def test_fields_for_one_client_are_not_stored(directive: str) -> None:
    control = f'Cache-Control: {directive}="a, B"'
    assert fields_of(control, "A: 1", "b: 2", "c: 3") == lines(control, "c: 3", DATE)


def test_order_case_and_lines_are_kept() -> None:
    pairs = ("X-b: 2", "x-B: 1", "a: , ,", "X-b: 3")
    assert fields_of(*pairs) == lines(*pairs, DATE)


def test_rfc9110_s6_6_1_a_missing_date_is_added() -> None:
    head = ResponseHead(200, b"OK", 1, lines("A: 1"))
    assert stored_fields(head.fields, PLAIN, T0 + 0.7) == lines("A: 1", DATE)
