"""What a request gets of a stored part, and of what its route lets it ask (RFC 9111 §3.4, §4)."""

import pytest
from hypothesis import given

from edgeproxy.caching.decide import (
    REFRESHING,
    Forward,
    Fwd,
    OnlyIfCachedMiss,
    Reason,
    UseStaleAndRevalidate,
    UseStored,
    Validate,
    on_request,
)
from edgeproxy.caching.directives import REQUEST_DIRECTIVES
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.ranges import answers
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .messages import policies, requests, responses
from .values import ETAG, PLAIN, T0, answer, cc, get, stored

R = Reason
PART = stored(cc("max-age=60", ETAG, "Content-Range: bytes 10-19/100", status=206))
INSIDE: RawField = (b"Range", b"bytes=12-15")
OUTSIDE: RawField = (b"Range", b"bytes=15-25")


def honouring(*names: bytes) -> CachePolicy:
    return CachePolicy(request_directives=frozenset(names))


def test_s3_4_a_fresh_part_answers_ranges_inside_it() -> None:
    outcome = on_request(get(INSIDE), PART, PLAIN, T0 + 5)
    assert isinstance(outcome, UseStored)
    assert (outcome.reason, outcome.stored, outcome.age) == (R.FRESH, PART, 5)


def test_s3_4_a_stale_part_is_validated_for_them() -> None:
    assert on_request(get(INSIDE), PART, PLAIN, T0 + 60) == Validate(PART, Fwd.STALE, R.STALE)


@pytest.mark.parametrize("asked", [[OUTSIDE], [], [INSIDE, 'If-Range: "v2"']])
@pytest.mark.parametrize("after", [5, 60])
def test_s3_4_anything_else_goes_to_the_origin(asked: list[RawField | str], after: float) -> None:
    expected = Forward(Fwd.PARTIAL, R.PART_STORED, store=True)
    assert on_request(get(*asked), PART, PLAIN, T0 + after) == expected


def test_what_is_asked_for_beside_a_part_is_stored_only_where_it_may_be() -> None:
    head = on_request(get(method=b"HEAD"), PART, PLAIN, T0)
    assert head == Forward(Fwd.PARTIAL, R.PART_STORED, store=False)
    no_store = on_request(get("Cache-Control: no-store"), PART, PLAIN, T0)
    assert no_store == Forward(Fwd.PARTIAL, R.PART_STORED, store=False)


def test_s5_2_1_7_only_if_cached_says_that_a_part_is_stored() -> None:
    only: RawField = (b"Cache-Control", b"only-if-cached")
    assert on_request(get(only), PART, PLAIN, T0) == OnlyIfCachedMiss(R.PART_STORED)
    assert isinstance(on_request(get(only, INSIDE), PART, PLAIN, T0), UseStored)


def test_rfc9110_s13_1_1_a_precondition_comes_before_the_part() -> None:
    outcome = on_request(get('If-Match: "v2"'), PART, PLAIN, T0)
    assert outcome == Forward(Fwd.REQUEST, R.PRECONDITION, store=False)


def test_s3_5_a_part_stored_for_authorization_needs_its_permission() -> None:
    lost = stored(cc("max-age=60", "Content-Range: bytes 10-19/100", status=206), request_authorized=True)
    assert on_request(get(INSIDE), lost, PLAIN, T0) == Forward(Fwd.MISS, R.AUTHORIZATION, store=True)


@given(requests(b"GET", b"HEAD"), responses(206, 200), policies())
def test_s3_4_nobody_is_served_what_does_not_answer_it(
    request: RequestHead, head: ResponseHead, policy: CachePolicy
) -> None:
    held = stored(head)
    outcome = on_request(request, held, policy, T0 + 10)
    if isinstance(outcome, UseStored | UseStaleAndRevalidate):
        assert answers(request, held, T0 + 10)


# --- request directives that the route does not honour


@pytest.mark.parametrize(
    ("asked", "name", "honoured", "ignored"),
    [
        pytest.param("no-cache", b"no-cache", R.REQUEST_NO_CACHE, R.FRESH, id="s5.2.1.4"),
        pytest.param("max-age=0", b"max-age", R.REQUEST_MAX_AGE, R.FRESH, id="s5.2.1.1"),
        pytest.param("min-fresh=59", b"min-fresh", R.REQUEST_MIN_FRESH, R.FRESH, id="s5.2.1.3"),
    ],
)
def test_what_counts_sends_a_fresh_response_to_the_origin(
    asked: str, name: bytes, honoured: Reason, ignored: Reason
) -> None:
    request, held = get("Cache-Control: " + asked), stored()
    assert on_request(request, held, honouring(name), T0 + 5).reason is honoured
    assert on_request(request, held, honouring(*REQUEST_DIRECTIVES - {name}), T0 + 5).reason is ignored


def test_s5_4_pragma_counts_as_no_cache_does() -> None:
    request = get("Pragma: no-cache")
    assert on_request(request, stored(), PLAIN, T0).reason is R.REQUEST_NO_CACHE
    assert on_request(request, stored(), honouring(b"max-age"), T0).reason is R.FRESH


def test_s5_2_1_2_max_stale_that_does_not_count() -> None:
    request = get("Cache-Control: max-stale")
    assert on_request(request, stored(), PLAIN, T0 + 99).reason is R.MAX_STALE
    assert on_request(request, stored(), honouring(), T0 + 99).reason is R.STALE


def test_s5_2_1_5_no_store_that_does_not_count() -> None:
    request = get("Cache-Control: no-store")
    assert on_request(request, None, PLAIN, T0) == Forward(Fwd.URI_MISS, R.NOT_STORED, store=False)
    assert on_request(request, None, honouring(), T0) == Forward(Fwd.URI_MISS, R.NOT_STORED, store=True)


def test_s5_2_1_7_only_if_cached_that_does_not_count() -> None:
    request = get("Cache-Control: only-if-cached")
    assert on_request(request, None, honouring(), T0) == Forward(Fwd.URI_MISS, R.NOT_STORED, store=True)


def test_without_what_refreshes_a_fresh_response_is_always_used() -> None:
    policy = honouring(*REQUEST_DIRECTIVES - REFRESHING)
    for asked in ("no-cache", "max-age=0", "min-fresh=99", "no-cache, max-age=0, min-fresh=99"):
        outcome = on_request(get("Cache-Control: " + asked), stored(), policy, T0 + 5)
        assert isinstance(outcome, UseStored)


# --- a learnt lifetime


def test_a_learnt_lifetime_is_what_it_is_fresh_for() -> None:
    policy = CachePolicy(adaptive=(10.0, 100.0))
    held = stored(answer(ETAG), learnt=40.0)
    assert isinstance(on_request(get(), held, policy, T0 + 39.9), UseStored)
    assert on_request(get(), held, policy, T0 + 40) == Validate(held, Fwd.STALE, R.STALE)
