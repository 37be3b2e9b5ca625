"""What a shared cache may store (RFC 9111 §3, §3.5) and of what use it must be."""

import pytest

from edgeproxy.caching.directives import parse
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.storability import authorized_reuse_allowed, storable, withheld_fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .values import ETAG, PLAIN, T0, URL, answer, at, cc, get, lines

MODIFIED = (b"Last-Modified", at(-1000))
AUTH = get("Authorization: Basic Zm9v")
COOKIES = CachePolicy(allow_set_cookie=True)
NEGATIVE = CachePolicy(negative_ttl=5.0)


@pytest.mark.parametrize(
    ("request_head", "head", "policy", "reason"),
    [
        # §3: method
        pytest.param(get(), cc("max-age=60"), PLAIN, None, id="s3-get"),
        pytest.param(get(method=b"HEAD"), cc("max-age=60"), PLAIN, Reason.METHOD, id="s3-head"),
        pytest.param(get(method=b"PUT"), cc("max-age=60"), PLAIN, Reason.METHOD, id="s3-put"),
        pytest.param(get(), cc("max-age=60"), CachePolicy(enabled=False), Reason.DISABLED, id="switched-off"),
        # §3: status
        pytest.param(get(), cc("max-age=60", status=101), PLAIN, Reason.STATUS, id="s3-not-final"),
        pytest.param(get(), cc("max-age=60", status=206), PLAIN, Reason.PARTIAL, id="s3.3-partial"),
        pytest.param(get(), cc("max-age=60", status=304), PLAIN, Reason.STATUS, id="s3-not-modified"),
        pytest.param(get(), cc("max-age=60", status=999), PLAIN, Reason.STATUS, id="rfc9110-s15-invalid"),
        pytest.param(get(), cc("max-age=60", status=299), PLAIN, None, id="s3-unknown-status-explicit"),
        pytest.param(get(), cc("max-age=60", status=599), PLAIN, None, id="s3-unknown-error-explicit"),
        pytest.param(get(), cc("max-age=60", status=302), PLAIN, None, id="s3-302-explicit"),
        pytest.param(get(), answer(ETAG, status=302), PLAIN, Reason.STATUS, id="s3-302-silent"),
        pytest.param(get(), answer(MODIFIED, status=599), PLAIN, Reason.STATUS, id="s3-599-silent"),
        pytest.param(get(), cc("public", MODIFIED, status=599), PLAIN, None, id="s3-599-public"),
        pytest.param(get(), answer(ETAG, status=404), PLAIN, None, id="s3-404-to-be-validated"),
        # §5.2.2.3
        pytest.param(
            get(),
            cc("max-age=60, must-understand", status=599),
            PLAIN,
            Reason.NOT_UNDERSTOOD,
            id="s5.2.2.3-unknown-status",
        ),
        pytest.param(
            get(), cc("max-age=60, must-understand, no-store"), PLAIN, None, id="s5.2.2.3-hides-no-store"
        ),
        # directives
        pytest.param(
            get("Cache-Control: no-store"), cc("max-age=60"), PLAIN, Reason.REQUEST_NO_STORE, id="s5.2.1.5"
        ),
        pytest.param(get(), cc("no-store"), PLAIN, Reason.NO_STORE, id="s5.2.2.5"),
        pytest.param(get(), cc("No-StOrE, max-age=60"), PLAIN, Reason.NO_STORE, id="s5.2.2.5-with-lifetime"),
        pytest.param(
            get(),
            cc("no-store"),
            CachePolicy(override_ttl=60.0),
            Reason.NO_STORE,
            id="s5.2.2.5-override-does-not-lift",
        ),
        pytest.param(get(), cc("private, max-age=60"), PLAIN, Reason.PRIVATE, id="s5.2.2.7"),
        pytest.param(
            get(),
            cc("private"),
            CachePolicy(override_ttl=60.0),
            Reason.PRIVATE,
            id="s5.2.2.7-override-does-not-lift",
        ),
        pytest.param(get(), cc('private="a", max-age=60'), PLAIN, None, id="s5.2.2.7-qualified"),
        pytest.param(
            get(), cc("no-store", "CDN-Cache-Control: max-age=60"), PLAIN, None, id="rfc9213-hides-no-store"
        ),
        pytest.param(
            get(),
            cc("max-age=60", "CDN-Cache-Control: no-store"),
            PLAIN,
            Reason.NO_STORE,
            id="rfc9213-no-store",
        ),
        pytest.param(
            get(), cc("max-age=60", "CDN-Cache-Control: private"), PLAIN, Reason.PRIVATE, id="rfc9213-private"
        ),
        # §3.5
        pytest.param(AUTH, cc("max-age=60"), PLAIN, Reason.AUTHORIZATION, id="s3.5-max-age"),
        pytest.param(AUTH, answer((b"Expires", at(60))), PLAIN, Reason.AUTHORIZATION, id="s3.5-expires"),
        pytest.param(AUTH, cc("max-age=60, public"), PLAIN, None, id="s3.5-public"),
        pytest.param(AUTH, cc("max-age=60, must-revalidate"), PLAIN, None, id="s3.5-must-revalidate"),
        pytest.param(AUTH, cc("s-maxage=60"), PLAIN, None, id="s3.5-s-maxage"),
        pytest.param(
            AUTH,
            cc("max-age=60, public", "CDN-Cache-Control: max-age=60"),
            PLAIN,
            Reason.AUTHORIZATION,
            id="s3.5-hidden-public",
        ),
        pytest.param(
            AUTH,
            answer(),
            CachePolicy(override_ttl=60.0),
            Reason.AUTHORIZATION,
            id="s3.5-override-does-not-lift",
        ),
        # §4.1
        pytest.param(get(), cc("max-age=60", "Vary: *"), PLAIN, Reason.VARY_STAR, id="s4.1-star"),
        pytest.param(
            get(), cc("max-age=60", "Vary: Foo, *"), PLAIN, Reason.VARY_STAR, id="s4.1-star-in-list"
        ),
        pytest.param(get(), cc("max-age=60", "Vary: Foo"), PLAIN, None, id="s4.1-vary"),
        # §7.3
        pytest.param(
            get(), cc("max-age=60", "Set-Cookie: a=b"), PLAIN, Reason.SET_COOKIE, id="s7.3-set-cookie"
        ),
        pytest.param(get(), cc("max-age=60", "Set-Cookie: a=b"), COOKIES, None, id="s7.3-allowed"),
        pytest.param(
            get(),
            cc('max-age=60, no-cache="Set-Cookie"', "Set-Cookie: a=b"),
            PLAIN,
            None,
            id="s5.2.2.4-cookie-left-out-by-the-origin",
        ),
        # of use
        pytest.param(get(), answer(), PLAIN, Reason.NOTHING_TO_REUSE, id="s3-silent-and-no-validator"),
        pytest.param(get(), answer(ETAG), PLAIN, None, id="s4.3-etag"),
        pytest.param(get(), answer(MODIFIED), CachePolicy(heuristic=False), None, id="s4.3-last-modified"),
        pytest.param(get(), cc("max-age=0"), PLAIN, Reason.NOTHING_TO_REUSE, id="stale-at-once"),
        pytest.param(get(), cc("max-age=0", ETAG), PLAIN, None, id="stale-at-once-to-be-validated"),
        pytest.param(get(), cc("max-age=0, stale-if-error=60"), PLAIN, None, id="stale-at-once-for-errors"),
        pytest.param(
            get(), cc("max-age=0, stale-if-error=0"), PLAIN, Reason.NOTHING_TO_REUSE, id="empty-window"
        ),
        pytest.param(get(), cc("no-cache"), PLAIN, Reason.NOTHING_TO_REUSE, id="s5.2.2.4-no-validator"),
        pytest.param(get(), cc("no-cache", ETAG), PLAIN, None, id="s5.2.2.4-to-be-validated"),
        pytest.param(get(), cc("max-age=60", "Age: 7200"), PLAIN, None, id="old-on-arrival-for-max-stale"),
        pytest.param(get(), answer(status=404), NEGATIVE, None, id="negative-ttl"),
        pytest.param(get(), answer(status=500), NEGATIVE, None, id="negative-ttl-500"),
        pytest.param(get(), answer(status=403), NEGATIVE, Reason.STATUS, id="negative-ttl-not-403"),
        pytest.param(
            get(),
            cc("max-age=0", ETAG, status=500),
            PLAIN,
            Reason.NOTHING_TO_REUSE,
            id="5xx-is-not-validated",
        ),
        pytest.param(
            get(),
            cc("max-age=0, stale-if-error=60", status=500),
            PLAIN,
            Reason.NOTHING_TO_REUSE,
            id="5xx-is-not-served-stale",
        ),
        pytest.param(get(), answer(), CachePolicy(default_ttl=5.0), None, id="default-ttl"),
        pytest.param(
            get(),
            answer(),
            CachePolicy(default_ttl=0.0),
            Reason.NOTHING_TO_REUSE,
            id="default-ttl-of-nothing",
        ),
        pytest.param(
            get(),
            cc("max-age=60", "Content-Type: Text/Event-Stream; charset=utf-8"),
            PLAIN,
            Reason.EVENT_STREAM,
            id="event-stream",
        ),
        pytest.param(
            get(),
            cc("max-age=60", "Content-Length: 11"),
            CachePolicy(max_object_size=10),
            Reason.TOO_LARGE,
            id="one-byte-too-large",
        ),
        pytest.param(
            get(),
            cc("max-age=60", "Content-Length: 10"),
            CachePolicy(max_object_size=10),
            None,
            id="just-fits",
        ),
        pytest.param(
            get(), cc("max-age=60", "Content-Length: x"), PLAIN, None, id="length-is-the-wire-s-business"
        ),
    ],
)
def test_storable(
    request_head: RequestHead, head: ResponseHead, policy: CachePolicy, reason: Reason | None
) -> None:
    assert storable(request_head, head, policy, T0) is reason


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        pytest.param(cc("max-age=60", (b"Content-Location", URL)), None, id="rfc9110-s9.3.3"),
        pytest.param(cc("max-age=60", "Content-Location: /page"), None, id="relative"),
        pytest.param(cc("max-age=60", "Content-Location:"), None, id="empty-reference"),
        pytest.param(answer((b"Content-Location", URL), (b"Expires", at(60))), None, id="expires"),
        pytest.param(answer((b"Content-Location", URL), MODIFIED), Reason.METHOD, id="no-explicit-freshness"),
        pytest.param(cc("max-age=60"), Reason.METHOD, id="no-content-location"),
        pytest.param(cc("max-age=60", "Content-Location: /other"), Reason.METHOD, id="other-target"),
        pytest.param(cc("max-age=60", "Content-Location: mailto:a@b"), Reason.METHOD, id="no-http-uri"),
        pytest.param(cc("max-age=60", (b"Content-Location", URL), status=404), Reason.METHOD, id="error"),
    ],
)
def test_post(head: ResponseHead, reason: Reason | None) -> None:
    assert storable(get(method=b"POST"), head, PLAIN, T0) is reason


PART = "Content-Range: bytes 0-9/20"
ASKED = get("Range: bytes=0-9")


@pytest.mark.parametrize(
    ("request_head", "head", "policy", "reason"),
    [
        pytest.param(ASKED, cc("max-age=60", PART, status=206), PLAIN, None, id="s3.3-explicit"),
        pytest.param(ASKED, answer(MODIFIED, PART, status=206), PLAIN, None, id="s4.2.2-heuristic"),
        pytest.param(ASKED, answer(ETAG, PART, status=206), PLAIN, None, id="s3-to-be-validated"),
        pytest.param(ASKED, answer(PART, status=206), PLAIN, Reason.NOTHING_TO_REUSE, id="s3-silent"),
        pytest.param(get(), cc("max-age=60", PART, status=206), PLAIN, Reason.PARTIAL, id="not-asked-for"),
        pytest.param(ASKED, cc("max-age=60", status=206), PLAIN, Reason.PARTIAL, id="no-content-range"),
        pytest.param(
            ASKED,
            cc("max-age=60", "Content-Range: bytes 0-9/*", status=206),
            PLAIN,
            Reason.PARTIAL,
            id="rfc9110-s14.4-unknown-size",
        ),
        pytest.param(
            ASKED,
            cc("max-age=60", "Content-Type: multipart/byteranges; boundary=x", status=206),
            PLAIN,
            Reason.PARTIAL,
            id="rfc9110-s15.3.7.2-multipart",
        ),
        pytest.param(ASKED, cc("no-store", PART, status=206), PLAIN, Reason.NO_STORE, id="s5.2.2.5"),
        pytest.param(
            ASKED, cc("must-understand, max-age=60", PART, status=206), PLAIN, None, id="s5.2.2.3-understood"
        ),
        pytest.param(
            ASKED,
            cc("max-age=60", PART, "Content-Length: 10", status=206),
            CachePolicy(max_object_size=9),
            Reason.TOO_LARGE,
            id="too-large",
        ),
        pytest.param(ASKED, cc("max-age=60", PART), PLAIN, None, id="s3-a-200-to-a-range-is-a-whole"),
    ],
)
def test_parts(
    request_head: RequestHead, head: ResponseHead, policy: CachePolicy, reason: Reason | None
) -> None:
    assert storable(request_head, head, policy, T0) is reason


def test_what_is_learnt_is_reason_enough_to_store() -> None:
    learning = CachePolicy(adaptive=(10.0, 100.0))
    assert storable(get(), answer(), PLAIN, T0) is Reason.NOTHING_TO_REUSE
    assert storable(get(), answer(), learning, T0) is None
    assert storable(get(), answer(status=302), learning, T0) is Reason.STATUS


def test_s5_2_1_5_no_store_counts_where_the_route_honours_it() -> None:
    request = get("Cache-Control: no-store")
    assert storable(request, cc("max-age=60"), PLAIN, T0) is Reason.REQUEST_NO_STORE
    assert storable(request, cc("max-age=60"), CachePolicy(request_directives=frozenset()), T0) is None


def test_without_a_response_time_expires_still_counts() -> None:
    assert storable(get(), ResponseHead(200, b"OK", 1, lines((b"Expires", at(1)))), PLAIN) is None


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("public", True),
        ("s-maxage=0", True),
        ("must-revalidate", True),
        ("max-age=60, proxy-revalidate", False),
    ],
)
def test_s3_5_directives_that_allow_reuse(value: str, allowed: bool) -> None:
    assert authorized_reuse_allowed(parse(value.encode())) is allowed


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param('private="A", no-cache="b, c"', {b"a", b"b", b"c"}, id="s5.2.2.4-and-s5.2.2.7"),
        pytest.param("private, no-cache", set(), id="unqualified"),
        pytest.param(
            'no-cache="vary, date, cdn-cache-control, cache-control, x"', {b"x"}, id="essentials-stay"
        ),
    ],
)
def test_withheld_fields(value: str, names: set[bytes]) -> None:
    assert withheld_fields(lines("Cache-Control: " + value), PLAIN) == names
