"""What becomes of an answer asked for with a part or other variants in mind (RFC 9111 §3.4, §4.3)."""

import pytest

from edgeproxy.caching.decide import (
    CLIENTS_OWN,
    Again,
    Complete,
    Fail,
    Freshen,
    Reason,
    Relay,
    Store,
    UseStale,
    on_failure,
    on_response,
)
from edgeproxy.caching.directives import REQUEST_DIRECTIVES
from edgeproxy.caching.freshness import LifetimeSource
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .values import ETAG, PLAIN, T0, URL, answer, at, cc, get, stored

R = Reason
LATER = T0 + 100
DATED: RawField = (b"Date", at(100))
ADAPTIVE = CachePolicy(adaptive=(10.0, 100.0))


def held(start: int, stop: int, value: str = "max-age=60", *fields: RawField | str) -> StoredResponse:
    """A stored part of ten bytes."""
    content_range = f"Content-Range: bytes {start}-{stop - 1}/10"
    return stored(cc(value, ETAG, content_range, *fields, status=206), body=b"0123456789"[start:stop])


def got(start: int, stop: int, value: str = "max-age=60", *fields: RawField | str) -> ResponseHead:
    content_range = f"Content-Range: bytes {start}-{stop - 1}/10"
    return cc(value, ETAG, DATED, content_range, f"Content-Length: {stop - start}", *fields, status=206)


# --- a part and what it lacked, §3.4


@pytest.mark.parametrize(
    ("part", "head", "before", "after"),
    [
        pytest.param(held(0, 4), got(4, 10), (b"0123",), (), id="the-rest"),
        pytest.param(held(4, 10), got(0, 4), (), (b"456789",), id="the-beginning"),
    ],
)
def test_s3_4_what_was_missing_completes_the_part(
    part: StoredResponse, head: ResponseHead, before: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    outcome = on_response(get(), head, None, PLAIN, LATER, completes=part)
    assert isinstance(outcome, Complete)
    assert (outcome.before, outcome.after, outcome.head.status) == (before, after, 200)
    assert outcome.head.fields.get(b"content-length") == b"10"
    assert (outcome.lifetime.seconds, outcome.lifetime.source) == (60, LifetimeSource.MAX_AGE)


@pytest.mark.parametrize(
    ("head", "request_head", "policy"),
    [
        pytest.param(got(5, 10), get(), PLAIN, id="does-not-meet"),
        pytest.param(cc("max-age=60", ETAG, status=206), get(), PLAIN, id="without-content-range"),
        pytest.param(got(4, 10, "no-store"), get(), PLAIN, id="s5.2.2.5-may-not-be-stored"),
        pytest.param(got(4, 10, "max-age=60", "Vary: *"), get(), PLAIN, id="s4.1-is-for-nobody-else"),
        pytest.param(got(4, 10, "max-age=60", "Set-Cookie: a=b"), get(), PLAIN, id="s7.3-sets-a-cookie"),
        pytest.param(got(4, 10), get("Authorization: a"), PLAIN, id="s3.5-without-permission"),
        pytest.param(got(4, 10), get("Cache-Control: no-store"), PLAIN, id="s5.2.1.5"),
        pytest.param(got(4, 10), get(), CachePolicy(max_object_size=9), id="the-whole-is-too-large"),
    ],
)
def test_s3_4_else_it_is_asked_for_again_without_the_part(
    head: ResponseHead, request_head: RequestHead, policy: CachePolicy
) -> None:
    outcome = on_response(request_head, head, None, policy, LATER, completes=held(0, 4))
    assert outcome == Again(R.NO_MATCHING_PART)


def test_s3_5_a_part_stored_for_authorization_completes_only_with_permission() -> None:
    part = stored(
        cc("max-age=60, public", ETAG, "Content-Range: bytes 0-3/10", status=206),
        body=b"0123",
        request=get("Authorization: a"),
    )
    allowed = on_response(get(), got(4, 10, "max-age=60, public"), None, PLAIN, LATER, completes=part)
    assert isinstance(allowed, Complete)
    lost = on_response(get(), got(4, 10, "max-age=60"), None, PLAIN, LATER, completes=part)
    assert lost == Again(R.NO_MATCHING_PART)


def test_rfc9110_s15_5_17_a_416_says_that_it_is_shorter_now() -> None:
    head = answer("Content-Range: bytes */3", status=416)
    assert on_response(get(), head, None, PLAIN, LATER, completes=held(0, 4)) == Again(R.NO_MATCHING_PART)
    alone = on_response(get(), head, None, PLAIN, LATER)
    assert alone == Relay(R.STATUS)


def test_rfc9110_s13_1_5_a_200_is_another_representation_and_stored() -> None:
    outcome = on_response(get(), cc("max-age=60", 'ETag: "v2"'), None, PLAIN, T0, completes=held(0, 4))
    assert type(outcome) is Store


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_in_place_of_what_is_missing_is_relayed(status: int) -> None:
    outcome = on_response(get(), answer(status=status), None, PLAIN, LATER, completes=held(0, 4))
    assert isinstance(outcome, Relay)


# --- other variants were offered, §4.3.1, §4.3.4

EN = stored(cc("max-age=60", ETAG, "Vary: Accept-Language"), request=get("Accept-Language: en"))
DE = stored(cc("max-age=60", 'ETag: "v2"', "Vary: Accept-Language"), request=get("Accept-Language: de"))


def test_s4_3_4_a_304_freshens_the_one_of_the_variants_that_it_names() -> None:
    head = answer('ETag: "v2"', DATED, status=304)
    asked = get("Accept-Language: de-AT")
    outcome = on_response(asked, head, None, PLAIN, LATER, others=[EN, DE])
    assert isinstance(outcome, Freshen)
    assert (outcome.reason, outcome.age, outcome.keep) == (R.VALIDATED, 0, None)
    assert outcome.stored.fields.get(b"etag") == b'"v2"'
    assert outcome.stored.selecting == ((b"accept-language", b"de-at"),)


@pytest.mark.parametrize("fields", [['ETag: "v3"'], []])
def test_s4_3_4_a_304_that_names_none_of_them_is_no_answer(fields: list[RawField | str]) -> None:
    head = answer(*fields, DATED, status=304)
    assert on_response(get(), head, None, PLAIN, LATER, others=[EN, DE]) == Again(R.NONE_OF_THESE)


def test_s4_3_3_another_answer_is_stored_beside_them() -> None:
    assert type(on_response(get(), cc("max-age=9"), None, PLAIN, T0, others=[EN, DE])) is Store


# --- 206 without a part in mind, §3.3


@pytest.mark.parametrize(
    ("asked", "fields", "reason"),
    [
        pytest.param("Range: bytes=0-3", ["Content-Range: bytes 0-3/10"], None, id="s3.3-stored"),
        pytest.param("Range: bytes=0-3", [], R.PARTIAL, id="s3.3-without-content-range"),
        pytest.param("Range: bytes=0-3", ["Content-Range: bytes 0-3/*"], R.PARTIAL, id="s3.3-unknown-size"),
        pytest.param("A: 1", ["Content-Range: bytes 0-3/10"], R.PARTIAL, id="s3.3-not-asked-for"),
    ],
)
def test_s3_3_which_206_is_stored(asked: str, fields: list[str], reason: Reason | None) -> None:
    outcome = on_response(get(asked), cc("max-age=60", *fields, status=206), None, PLAIN, T0)
    assert outcome == Relay(reason) if reason is not None else type(outcome) is Store


# --- whose fault it is that an answer is not stored


@pytest.mark.parametrize(
    ("request_head", "value", "reason", "drop"),
    [
        pytest.param(get("Cache-Control: no-store"), "max-age=60", R.REQUEST_NO_STORE, False, id="s5.2.1.5"),
        pytest.param(get("Authorization: a"), "max-age=60", R.AUTHORIZATION, False, id="s3.5"),
        pytest.param(get(), "no-store", R.NO_STORE, True, id="s5.2.2.5"),
        pytest.param(get(), "private", R.PRIVATE, True, id="s5.2.2.7"),
    ],
)
def test_one_client_s_own_answer_leaves_what_others_get(
    request_head: RequestHead, value: str, reason: Reason, drop: bool
) -> None:
    outcome = on_response(request_head, cc(value), stored("max-age=1"), PLAIN, LATER)
    assert outcome == Relay(reason, drop=drop)
    assert (reason in CLIENTS_OWN) is not drop


def test_s5_2_1_5_where_no_store_does_not_count_the_answer_is_stored() -> None:
    policy = CachePolicy(request_directives=REQUEST_DIRECTIVES - {b"no-store"})
    assert type(on_response(get("Cache-Control: no-store"), cc("max-age=9"), None, policy, T0)) is Store


def test_rfc9110_s9_3_3_an_answer_to_post_that_a_get_may_have_is_stored() -> None:
    head = cc("max-age=60", (b"Content-Location", URL))
    assert type(on_response(get(method=b"POST"), head, None, PLAIN, T0)) is Store
    assert on_response(get(method=b"POST"), cc("max-age=60"), None, PLAIN, T0) == Relay(R.METHOD)


# --- learnt lifetimes


def test_a_304_teaches() -> None:
    old = stored(answer(ETAG), learnt=40.0)
    outcome = on_response(get(), answer(ETAG, DATED, status=304), old, ADAPTIVE, LATER)
    assert isinstance(outcome, Freshen)
    assert (outcome.stored.learnt, outcome.lifetime.source, outcome.ttl) == (80, LifetimeSource.ADAPTIVE, 80)
    soon = on_response(get(), answer(ETAG, status=304), old, ADAPTIVE, T0 + 5)
    assert isinstance(soon, Freshen)
    assert soon.stored.learnt == 40
    without = on_response(get(), answer(ETAG, DATED, status=304), old, PLAIN, LATER)
    assert isinstance(without, Freshen)
    assert without.stored.learnt == 40


# --- no answer


def test_s3_4_a_part_covers_a_failure_for_what_is_inside_it_only() -> None:
    inside = on_failure(get("Range: bytes=1-2"), held(0, 4), PLAIN, LATER, disconnected=True)
    assert isinstance(inside, UseStale)
    for asked in ([], ["Range: bytes=3-5"]):
        outside = on_failure(get(*asked), held(0, 4), PLAIN, LATER, disconnected=True)
        assert outside == Fail(R.NOT_STORED)


def test_s5_2_1_4_no_cache_that_does_not_count_is_no_reason_to_fail() -> None:
    asked = get("Cache-Control: no-cache")
    policy = CachePolicy(request_directives=frozenset())
    assert on_failure(asked, stored(), PLAIN, LATER, disconnected=True) == Fail(R.REQUEST_NO_CACHE)
    assert isinstance(on_failure(asked, stored(), policy, LATER, disconnected=True), UseStale)
