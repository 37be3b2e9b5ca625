"""What is compressed and what a coded copy is (RFC 9110 §7.7, §8.8.1, §12.5.3)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.compression import (
    agreed_names,
    as_kept,
    coded,
    coded_variant,
    coding_of,
    compressible,
    identity_variant,
    made_of,
    may_be_offered,
    negotiated,
    recoded,
    same_but_coding,
    wanted,
)
from edgeproxy.caching.negotiation import ACCEPT_ENCODING, IDENTITY
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.ranges import Whole, select_ranges
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import freshen
from edgeproxy.caching.vary import matches, normalised_fields, selecting_names, variant_of

from .values import PLAIN, T0, answer, cc, get, stored

CODINGS = (b"zstd", b"br", b"gzip")
ON = CachePolicy(
    vary_normalize=negotiated((), CODINGS),
    compress=CODINGS,
    compress_types=(b"text/*", b"application/json"),
    compress_min_size=10,
)
HTML = "Content-Type: text/html"


def page(*more: str, control: str = "max-age=60", policy: CachePolicy = ON) -> StoredResponse:
    """A page as the route keeps it, fetched for a client that prefers zstd."""
    request = get("Accept-Encoding: gzip, zstd")
    kept = stored(control, HTML, 'ETag: "v1"', *more, request=request, policy=policy)
    return as_kept(kept, request, policy)


# --- which


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([HTML], True, id="text"),
        pytest.param(["Content-Type: TEXT/Plain ; charset=utf-8"], True, id="case-and-parameters"),
        pytest.param(["Content-Type: application/json"], True, id="named"),
        pytest.param(["Content-Type: application/pdf"], False, id="not-listed"),
        pytest.param(["Content-Type: textual/html"], False, id="begins-alike"),
        pytest.param(["Content-Type: text"], False, id="half-a-type"),
        pytest.param([], False, id="no-type"),
        pytest.param([HTML, "Content-Type: image/png"], False, id="two-types"),
        pytest.param([HTML, "Content-Encoding: gzip"], False, id="s8.4-coded-already"),
        pytest.param([HTML, "Content-Encoding: identity"], False, id="s8.4-says-identity"),
        pytest.param([HTML, "Content-Range: bytes 0-9/20"], False, id="s14.4-part"),
        pytest.param([HTML, "Vary: *"], False, id="s12.5.5-star"),
        pytest.param([HTML, "Vary: Accept-Encoding"], True, id="s12.5.5-varies"),
        pytest.param([HTML, "Cache-Control: max-age=60, No-Transform"], False, id="s7.7-no-transform"),
        pytest.param([HTML, "CDN-Cache-Control: max-age=60, no-transform"], False, id="s7.7-targeted"),
        pytest.param(
            [HTML, "Cache-Control: no-transform", "CDN-Cache-Control: max-age=60"], False, id="s7.7-either"
        ),
    ],
)
def test_compressible(lines: list[str], expected: bool) -> None:
    head = answer(*lines)
    assert compressible(head, ON) is expected
    assert compressible(stored(head), ON) is expected
    assert not compressible(head, PLAIN)


@pytest.mark.parametrize("status", [203, 204, 206, 301, 404, 500])
def test_only_a_200_is_compressed(status: int) -> None:
    assert not compressible(answer(HTML, status=status), ON)


def test_small_bodies_are_not_compressed_nor_empty_ones() -> None:
    head = answer(HTML)
    assert [compressible(head, ON, size) for size in (None, 0, 9, 10)] == [True, False, False, True]
    assert not compressible(head, replace(ON, compress_min_size=0), 0)
    assert not compressible(stored(head, body=b"123456789"), ON)


def test_pages_with_includes_and_coded_copies_are_not_compressed() -> None:
    assert not compressible(answer(HTML), replace(ON, esi=True))
    assert not compressible(coded(page(), b"br", (b"x",)), ON)


# --- kept as identity


def test_the_operators_own_normalisation_stands() -> None:
    own = ((b"accept-language", (b"de",)), (ACCEPT_ENCODING, (b"gzip",)))
    assert negotiated(own, CODINGS) == own
    assert negotiated(own[:1], CODINGS) == (own[0], (ACCEPT_ENCODING, CODINGS))
    assert negotiated(own[:1], ()) == own[:1]


def test_a_plain_page_is_kept_as_identity_whoever_asked_for_it() -> None:
    one, other = page(), as_kept(stored(cc("max-age=60", HTML), policy=ON), get(), ON)
    assert coding_of(one) == coding_of(other) == IDENTITY
    assert one.variant == other.variant == identity_variant(get(), [ACCEPT_ENCODING], ON)
    assert one.fields.get(b"vary") == b"Accept-Encoding"
    assert selecting_names(one.fields, ON) == (ACCEPT_ENCODING,)
    assert as_kept(one, get(), ON) == one


def test_other_selecting_fields_stay() -> None:
    kept = page("Vary: Accept-Language, accept-encoding")
    assert kept.fields.get_all(b"vary") == [b"Accept-Language, accept-encoding"]
    assert kept.selecting == ((ACCEPT_ENCODING, IDENTITY), (b"accept-language", None))
    assert matches(kept, get("Accept-Encoding: identity"), ON)
    assert not matches(kept, get("Accept-Encoding: br"), ON)
    assert not matches(kept, get("Accept-Language: de"), ON)


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        pytest.param(["Content-Encoding: gzip"], b"gzip", id="forgot-vary"),
        pytest.param(["Content-Encoding: gzip", "Vary: Cookie"], b"gzip", id="forgot-it-in-vary"),
        pytest.param(["Content-Encoding: gzip", "Vary: Accept-Encoding"], b"gzip", id="did-not-forget"),
        pytest.param(["Content-Encoding: gzip", "Vary: *"], None, id="star"),
        pytest.param(["Content-Type: image/png"], None, id="image"),
        pytest.param(["Content-Type: image/png", "Vary: Accept-Encoding"], b"gzip", id="image-that-varies"),
    ],
)
def test_what_is_not_compressed_is_selected_as_its_origin_says_or_forgot(
    lines: list[str], value: bytes | None
) -> None:
    request = get("Accept-Encoding: gzip")
    made = stored("max-age=60", *lines, request=request, policy=ON)
    kept = as_kept(made, request, ON)
    assert coding_of(kept) == value
    assert (kept.body, kept.variant) == (made.body, variant_of(request, selecting_names(kept.fields, ON), ON))
    assert as_kept(made, request, PLAIN) is made


def test_who_may_share_one_answer() -> None:
    assert agreed_names(answer(HTML, "Vary: Accept-Encoding, Cookie"), ON) == (b"cookie",)
    assert agreed_names(answer(HTML, "Vary: Accept-Encoding"), ON, 9) == (ACCEPT_ENCODING,)
    assert agreed_names(answer(HTML, "Vary: Accept-Encoding"), PLAIN) == (ACCEPT_ENCODING,)
    assert agreed_names(answer("Content-Encoding: br", "Vary: Cookie"), ON) == (ACCEPT_ENCODING, b"cookie")
    assert agreed_names(answer("Vary: Cookie"), ON) == (b"cookie",)


# --- who wants what


@pytest.mark.parametrize(
    ("lines", "coding"),
    [
        pytest.param([], b"", id="absent"),
        pytest.param(["Accept-Encoding:"], b"", id="empty"),
        pytest.param(["Accept-Encoding: identity"], b"", id="identity"),
        pytest.param(["Accept-Encoding: gzip;q=0"], b"", id="refused"),
        pytest.param(["Accept-Encoding: *;q=0"], b"", id="everything-refused"),
        pytest.param(["Accept-Encoding: deflate"], b"", id="another"),
        pytest.param(["Accept-Encoding: gzip"], b"gzip", id="one"),
        pytest.param(["Accept-Encoding: gzip, br"], b"br", id="ours-first"),
        pytest.param(["Accept-Encoding: gzip, br;q=0.1"], b"gzip", id="theirs-first"),
        pytest.param(["Accept-Encoding: *"], b"zstd", id="any"),
        pytest.param(["Accept-Encoding: br", "Cache-Control: no-transform"], b"", id="s5.2.1.6"),
    ],
)
def test_wanted(lines: list[str], coding: bytes) -> None:
    request = get(*lines)
    assert wanted(request, page(), ON) == coding
    assert wanted(request, coded(page(), b"br", None), ON) == b""
    assert wanted(request, page(), PLAIN) == b""
    assert wanted(request, stored("max-age=60", HTML), ON) == b""  # from before the route compressed


@given(
    st.lists(
        st.sampled_from(["gzip", "br", "zstd", "deflate", "*", "identity"]).flatmap(
            lambda coding: st.sampled_from([f"{coding};q={q}" for q in ("0", "0.5", "1")] + [coding])
        ),
        max_size=5,
    )
)
def test_identity_is_reached_by_whoever_refuses_codings_and_nobody_gets_what_it_refuses(
    members: list[str],
) -> None:
    request = get("Accept-Encoding: " + ", ".join(members))
    names = (ACCEPT_ENCODING,)
    coding = wanted(request, page(), ON)
    chosen = variant_of(request, names, ON)
    if coding:
        first: dict[str, float] = {}
        for member in members:
            name, _, weight = member.partition(";q=")
            first.setdefault(name, float(weight or 1))
        assert first.get(coding.decode(), first.get("*", 0.0)) > 0
        assert chosen == coded_variant(page(), coding)
        assert normalised_fields(request, ON).get(ACCEPT_ENCODING) == coding
    else:
        assert chosen == page().variant == identity_variant(request, names, ON)


# --- copies


def test_a_copy_says_what_it_is() -> None:
    plain = page(
        "Accept-Ranges: bytes", "Content-Length: 10", "Content-MD5: x", "Content-Digest: x", "Digest: x",
        "Repr-Digest: x", "Last-Modified: Mon, 24 Nov 2025 06:00:00 GMT", "X-Other: 1",
    )  # fmt: skip
    copy = coded(plain, b"br", (b"ab", b"c"))
    assert (copy.body, copy.size, copy.coded_here, coding_of(copy)) == ((b"ab", b"c"), 3, True, b"br")
    assert copy.variant == coded_variant(plain, b"br") != plain.variant
    names = [name.lower() for name, _ in copy.fields]
    assert names == [
        b"cache-control", b"content-type", b"etag", b"last-modified", b"x-other", b"date", b"vary",
        b"content-encoding",
    ]  # fmt: skip
    assert (copy.fields.get(b"etag"), copy.fields.get(b"content-encoding")) == (b'W/"v1"', b"br")
    same = ("key", "status", "request_time", "response_time", "tags", "stamp", "origin_seconds")
    assert all(getattr(copy, name) == getattr(plain, name) for name in same)
    assert matches(copy, get("Accept-Encoding: br"), ON)
    assert not matches(copy, get("Accept-Encoding: gzip"), ON)
    assert made_of(copy, plain)
    assert same_but_coding(copy, plain)
    assert not same_but_coding(copy, page("Vary: Cookie"))


@pytest.mark.parametrize(("tag", "weak"), [('W/"v1"', b'W/"v1"'), ("v1", b"W/v1"), ("", b"")])
def test_entity_tags_of_all_kinds_are_weak_in_a_copy(tag: str, weak: bytes) -> None:
    plain = stored("max-age=60", HTML, f"ETag: {tag}")
    assert coded(plain, b"gzip", (b"x",)).fields.get(b"etag") == weak


def test_a_copy_that_did_not_pay_is_the_plain_page_under_another_name() -> None:
    plain = page("Accept-Ranges: bytes")
    copy = coded(plain, b"br", None)
    assert (copy.fields, copy.body, copy.coded_here) == (plain.fields, plain.body, True)
    assert coding_of(copy) == b"br"
    assert select_ranges(get("Range: bytes=0-1"), copy) == select_ranges(get("Range: bytes=0-1"), plain)


def test_a_copy_has_no_parts() -> None:
    assert isinstance(select_ranges(get("Range: bytes=0-1"), coded(page(), b"br", (b"abc",))), Whole)


@pytest.mark.parametrize("body", [(b"abc",), None])
def test_a_copy_that_is_validated_by_itself_stays_what_it_is(body: tuple[bytes, ...] | None) -> None:
    copy = coded(page(), b"br", body)
    head = answer('ETag: "v1"', "Vary: Cookie", "Accept-Ranges: bytes", "X-New: 1", status=304)
    request = get("Accept-Encoding: gzip", "Cookie: a=b")
    fresh = recoded(freshen(copy, head, T0 + 70, T0 + 70, ON, request), copy)
    assert (fresh.body, fresh.coded_here, coding_of(fresh)) == (copy.body, True, b"br")
    assert (fresh.response_time, fresh.fields.get(b"x-new")) == (T0 + 70, b"1")
    assert fresh.selecting == ((ACCEPT_ENCODING, b"br"), (b"cookie", b"a=b"))
    assert fresh.fields.get(b"vary") == b"Cookie, Accept-Encoding"
    assert fresh.fields.get(b"etag") == (b'W/"v1"' if body else b'"v1"')
    assert (b"accept-ranges" in fresh.fields) is (body is None)
    assert not made_of(fresh, page())


# --- offered to the origin


@pytest.mark.parametrize(
    ("lines", "asks", "expected"),
    [
        pytest.param([HTML], "br", True, id="plain-for-all"),
        pytest.param([HTML, "Content-Encoding: gzip"], "gzip", True, id="of-the-same-coding"),
        pytest.param([HTML, "Content-Encoding: gzip"], "br", False, id="s8.8.3.3-of-another"),
        pytest.param([HTML, "Content-Encoding: gzip"], "identity", False, id="s8.8.3.3-coded"),
    ],
)
def test_may_be_offered(lines: list[str], asks: str, expected: bool) -> None:
    request = get("Accept-Encoding: gzip")
    kept = as_kept(stored("max-age=60", *lines, request=request, policy=ON), request, ON)
    assert may_be_offered(kept, get(f"Accept-Encoding: {asks}"), ON) is expected


def test_copies_are_not_offered() -> None:
    assert not may_be_offered(coded(page(), b"br", (b"x",)), get("Accept-Encoding: br"), ON)
