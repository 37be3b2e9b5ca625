"""Validation and freshening (RFC 9111 §3.2, §4.3)."""

import pytest

from edgeproxy.caching.age import current_age
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import Stamp
from edgeproxy.caching.validation import (
    conditional_fields,
    freshen,
    freshens,
    identified,
    merge,
    offered_fields,
    same_as_head,
)
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, PLAIN, T0, answer, at, cc, get, lines, stored

LM: RawField = (b"Last-Modified", at(-1000))
LATER = T0 + 100


@pytest.mark.parametrize(
    ("fields", "conditionals"),
    [
        pytest.param([], [], id="s4.3.1-no-validator"),
        pytest.param([ETAG], [(b"If-None-Match", b'"v1"')], id="s4.3.1-etag"),
        pytest.param(['ETag: W/"v1"'], [(b"If-None-Match", b'W/"v1"')], id="s4.3.1-weak-etag"),
        pytest.param(["ETag: v1"], [(b"If-None-Match", b"v1")], id="unquoted-as-it-came"),
        pytest.param([ETAG, 'ETag: "v2"'], [(b"If-None-Match", b'"v1"')], id="first-of-two"),
        pytest.param(["ETag:"], [], id="empty-etag"),
        pytest.param([LM], [(b"If-Modified-Since", at(-1000))], id="s4.3.1-last-modified"),
        pytest.param(
            [ETAG, LM], [(b"If-None-Match", b'"v1"'), (b"If-Modified-Since", at(-1000))], id="s4.3.1-both"
        ),
        pytest.param(["Last-Modified: foo"], [], id="invalid-last-modified"),
    ],
)
def test_conditional_fields(fields: list[RawField | str], conditionals: list[RawField]) -> None:
    assert conditional_fields(stored(answer(*fields))) == tuple(conditionals)


def test_a_stored_5xx_is_not_asked_about() -> None:
    assert conditional_fields(stored(answer(ETAG, LM, status=503))) == ()


def test_s4_3_1_the_tags_of_other_variants_are_offered() -> None:
    tagged, other = stored(answer(ETAG, LM)), stored(answer('ETag: W/"v2"'))
    error = stored(answer('ETag: "v3"', "Cache-Control: max-age=9", status=503))
    assert offered_fields([tagged, other, error, tagged, stored(answer(LM))]) == (
        (b"If-None-Match", b'"v1", W/"v2"'),
    )
    assert offered_fields([stored(answer(LM))]) == ()


@pytest.mark.parametrize(
    ("tag", "index"),
    [
        pytest.param('"v2"', 1, id="s4.3.4-strong"),
        pytest.param('W/"v1"', 0, id="s4.3.4-weak"),
        pytest.param('"v3"', None, id="s4.3.4-unknown"),
        pytest.param(None, None, id="s4.3.4-no-validator-of-several"),
    ],
)
def test_identified(tag: str | None, index: int | None) -> None:
    candidates = [stored(answer(ETAG)), stored(answer('ETag: "v2"')), stored(answer())]
    head = answer(*([] if tag is None else ["ETag: " + tag]), status=304)
    assert identified(head, candidates) is (None if index is None else candidates[index])


def test_a_304_without_a_tag_means_none_of_those_that_were_offered() -> None:
    assert identified(answer('ETag: "v2"', status=304), [stored(answer(ETAG))]) is None
    assert identified(answer(ETAG, status=304), []) is None


@pytest.mark.parametrize(
    ("own", "of_304", "same"),
    [
        pytest.param([ETAG], [ETAG], True, id="s4.3.4-same-strong"),
        pytest.param([ETAG], ['ETag: "v2"'], False, id="s4.3.4-other-strong"),
        pytest.param([LM], [ETAG], False, id="s4.3.4-strong-of-none-stored"),
        pytest.param([LM], ['ETag: W/"v1"'], True, id="s4.3.4-weak-of-none-stored"),
        pytest.param(['ETag: W/"v1"'], ['ETag: W/"v1"'], True, id="s4.3.4-same-weak"),
        pytest.param([ETAG], ['ETag: W/"v1"'], True, id="s4.3.4-weakened-on-the-way"),
        pytest.param([ETAG, LM], [ETAG, "Last-Modified: foo"], True, id="s4.3.4-etag-decides"),
        pytest.param([LM], [LM], True, id="s4.3.4-same-date"),
        pytest.param([LM], [(b"Last-Modified", at(-1))], False, id="s4.3.4-other-date"),
        pytest.param([LM], [], True, id="s4.3.4-no-validator-sent"),
        pytest.param([], [LM], True, id="s4.3.4-no-validator-stored"),
    ],
)
def test_freshens(own: list[RawField], of_304: list[RawField | str], same: bool) -> None:
    assert freshens(stored(answer(*own)), answer(*of_304, status=304)) is same


def freshened(first: ResponseHead, head: ResponseHead, policy: CachePolicy = PLAIN) -> Fields:
    return freshen(stored(first, policy=policy), head, LATER, LATER, policy, get()).fields


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param(name, old, new, id=f"s3.2-{name}")
        for name, old, new in [
            ("Test-Header", "1", "2"),
            ("Cache-Control", "max-age=1", "max-age=60"),
            ("Content-Foo", "1", "2"),
            ("Content-Location", "/foo", "/bar"),
            ("Content-Type", "text/plain", "text/plain;charset=utf-8"),
            ("Content-Security-Policy", "default-src 'self'", "default-src 'self' cdn.example"),
            ("Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"),
            ("X-Frame-Options", "deny", "sameorigin"),
        ]
    ],
)
def test_a_304_updates(name: str, old: str, new: str) -> None:
    fields = freshened(answer(ETAG, f"{name}: {old}"), answer(ETAG, f"{name}: {new}", status=304))
    assert fields.get(name.lower().encode()) == new.encode()


@pytest.mark.parametrize(
    "name",
    ["Content-Encoding", "Content-Length", "Content-MD5", "Content-Range", "Content-Digest", "Set-Cookie"],
)
def test_s3_2_a_304_leaves_what_describes_the_stored_content(name: str) -> None:
    lower = name.lower().encode()
    fields = freshened(answer(ETAG, f"{name}: 5"), answer(ETAG, f"{name}: 10", status=304))
    assert fields.get(lower) == b"5"
    assert lower not in freshened(answer(ETAG), answer(ETAG, f"{name}: 10", status=304))


@pytest.mark.parametrize(
    "name", ["Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Upgrade", "Trailer"]
)
def test_s3_1_a_304_brings_in_nothing_of_its_connection(name: str) -> None:
    assert name.lower().encode() not in freshened(answer(ETAG), answer(ETAG, f"{name}: x", status=304))


def test_s3_2_what_a_304_omits_stays() -> None:
    assert freshened(answer(LM, "Test-Header: 1"), answer(LM, status=304)).get(b"test-header") == b"1"


def test_a_cookie_is_taken_over_where_the_route_allows_it() -> None:
    policy = CachePolicy(allow_set_cookie=True)
    first, head = answer(ETAG, "Set-Cookie: a=b"), answer(ETAG, "Set-Cookie: a=c", status=304)
    assert freshened(first, head, policy).get(b"set-cookie") == b"a=c"


def test_s5_2_2_7_what_a_304_calls_private_is_left_out_from_then_on() -> None:
    head = cc('private="x"', ETAG, "X: mine", status=304)
    assert b"x" not in freshened(answer(ETAG, "X: everybody's"), head)


def test_s4_3_4_of_a_304_for_another_tag_only_the_date_is_taken() -> None:
    first = cc("max-age=60", ETAG, "A: 1")
    fields = freshened(first, cc("max-age=9", 'ETag: "v2"', "A: 2", (b"Date", at(100)), status=304))
    assert fields == lines("Cache-Control: max-age=60", ETAG, "A: 1", (b"Date", at(100)))


def test_age_is_counted_anew() -> None:
    old = stored(cc("max-age=60", ETAG, "Age: 30"))
    fresh = freshen(old, answer(ETAG, (b"Date", at(100)), status=304), LATER - 1, LATER, PLAIN)
    assert b"age" not in fresh.fields
    assert current_age(fresh, LATER) == 1.0
    aged = freshen(old, answer(ETAG, "Age: 7", (b"Date", at(100)), status=304), LATER, LATER, PLAIN)
    assert current_age(aged, LATER) == 7.0


def test_rfc9110_s6_6_1_a_304_without_date_is_dated_by_its_arrival() -> None:
    fresh = freshen(stored(answer(ETAG)), ResponseHead(304, b"", 1, lines(ETAG)), LATER, LATER, PLAIN)
    assert fresh.fields.get(b"date") == at(100)


def test_the_content_and_its_key_stay() -> None:
    old = stored(answer(ETAG))
    fresh = freshen(old, answer(ETAG, status=304), LATER, LATER, PLAIN, get(), Stamp(position=7))
    assert (fresh.body, fresh.size, fresh.key, fresh.status) == (old.body, old.size, old.key, 200)
    assert fresh.stamp == Stamp(position=7)
    assert freshen(old, answer(ETAG, status=304), LATER, LATER, PLAIN).stamp == old.stamp


def test_a_304_with_another_vary_moves_the_response_to_another_variant() -> None:
    old = stored(cc("max-age=60", ETAG, "Vary: Foo"), request=get("Foo: 1"))
    head = answer(ETAG, "Vary: Foo, Bar", "Surrogate-Key: t", status=304)
    fresh = freshen(old, head, LATER, LATER, PLAIN, get("Foo: 1", "Bar: 2"))
    assert fresh.selecting == ((b"bar", b"2"), (b"foo", b"1"))
    assert fresh.variant != old.variant
    assert fresh.tags == (b"t",)
    unknown = freshen(old, head, LATER, LATER, PLAIN)
    assert (unknown.selecting, unknown.variant, unknown.tags) == (old.selecting, old.variant, ())
    assert unknown.fields.get(b"vary") == b"Foo"


def test_s3_5_once_validated_with_authorization_always_so() -> None:
    old, head = stored(answer(ETAG)), answer(ETAG, status=304)
    authorized = get("Authorization: Basic Zm9v")
    assert freshen(old, head, LATER, LATER, PLAIN, authorized).request_authorized
    assert not freshen(old, head, LATER, LATER, PLAIN, get()).request_authorized
    kept = stored(answer(ETAG), request=authorized)
    assert freshen(kept, head, LATER, LATER, PLAIN, get()).request_authorized
    assert freshen(kept, head, LATER, LATER, PLAIN).request_authorized


def test_s3_2_merging_keeps_place_case_and_lines() -> None:
    merged = merge(lines("a: 1", "X-Two: 1", "b: 1", "x-two: 2"), lines("X-TWO: 3", "c: 1", "X-TWO: 4"))
    assert merged == lines("a: 1", "X-TWO: 3", "X-TWO: 4", "b: 1", "c: 1")


@pytest.mark.parametrize(
    ("own", "of_head", "same"),
    [
        pytest.param([ETAG, LM], [ETAG, LM, "Content-Length: 10"], True, id="s4.3.5-all-agree"),
        pytest.param([], [], True, id="s4.3.5-nothing-received"),
        pytest.param([ETAG], [], True, id="s4.3.5-only-received-ones-count"),
        pytest.param([ETAG], ['ETag: "v2"'], False, id="s4.3.5-etag"),
        pytest.param([], [ETAG], False, id="s4.3.5-new-etag"),
        pytest.param([LM], [(b"Last-Modified", at(0))], False, id="s4.3.5-last-modified"),
        pytest.param([], ["Content-Length: 11"], False, id="s4.3.5-length"),
        pytest.param([], ["Content-Length: x"], False, id="s4.3.5-length-invalid"),
    ],
)
def test_same_as_head(own: list[RawField], of_head: list[RawField | str], same: bool) -> None:
    assert same_as_head(stored(answer(*own)), answer(*of_head)) is same


@pytest.mark.parametrize(
    ("status", "same"), [(200, True), (203, True), (301, False), (404, False), (503, False)]
)
def test_s4_3_5_a_200_to_head_says_nothing_of_a_stored_redirection_or_error(status: int, same: bool) -> None:
    assert same_as_head(stored(cc("max-age=60", status=status)), answer()) is same
