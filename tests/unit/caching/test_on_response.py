"""What becomes of an origin's answer, or failure (RFC 9111 §4.3, §4.2.4; RFC 5861 §4)."""

import pytest

from edgeproxy.caching.decide import (
    Fail,
    Freshen,
    OnFailure,
    OnResponse,
    Reason,
    Relay,
    Store,
    Unusable,
    UseStale,
    on_failure,
    on_response,
)
from edgeproxy.caching.freshness import LifetimeSource
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import Stamp
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, PLAIN, T0, answer, at, cc, get, stored

R = Reason
LATER = T0 + 100
OPERATOR = CachePolicy(stale_if_error=600.0)
DATED: RawField = (b"Date", at(100))


def said(outcome: OnResponse | OnFailure) -> tuple[str, Reason | None]:
    return type(outcome).__name__, getattr(outcome, "reason", None)


# --- answers to nothing stored


def test_a_storable_answer_is_stored() -> None:
    outcome = on_response(get(), cc("max-age=60"), None, PLAIN, T0)
    assert isinstance(outcome, Store)
    assert (outcome.lifetime.seconds, outcome.lifetime.source) == (60, LifetimeSource.MAX_AGE)


def test_what_is_not_stored_is_relayed_with_the_reason() -> None:
    assert on_response(get(), cc("no-store"), None, PLAIN, T0) == Relay(R.NO_STORE)
    assert on_response(get(), answer(status=101), None, PLAIN, T0) == Relay(R.STATUS)
    assert on_response(get(method=b"HEAD"), cc("max-age=60"), None, PLAIN, T0) == Relay(R.METHOD)
    assert on_response(get(), cc("max-age=60", status=206), None, PLAIN, T0) == Relay(R.PARTIAL)


def test_a_304_with_nothing_stored_is_for_the_client_that_asked_conditionally() -> None:
    head = answer(ETAG, status=304)
    outcome = on_response(get(), head, None, PLAIN, T0, conditionals_forwarded=True)
    assert outcome == Relay(R.NOT_MODIFIED)
    assert on_response(get(), head, None, PLAIN, T0) == Unusable(R.UNASKED)


# --- §4.3.3


def test_s4_3_3_a_304_freshens() -> None:
    old = stored(cc("max-age=60", ETAG, "A: 1"))
    outcome = on_response(
        get(),
        answer(ETAG, DATED, "A: 2", status=304),
        old,
        PLAIN,
        LATER,
        request_time=LATER - 2,
        stamp=Stamp(position=9),
    )
    assert isinstance(outcome, Freshen)
    assert (outcome.age, outcome.ttl, outcome.lifetime.seconds) == (2, 58.0, 60)
    assert (outcome.reason, outcome.keep, outcome.for_requester) == (R.VALIDATED, None, ())
    assert outcome.stored.fields.get(b"a") == b"2"
    assert outcome.stored.stamp == Stamp(position=9)


def test_s4_3_4_a_304_for_another_tag_confirms() -> None:
    old = stored(cc("max-age=60", ETAG))
    outcome = on_response(get(), answer('ETag: "v2"', DATED, status=304), old, PLAIN, LATER)
    assert isinstance(outcome, Freshen)
    assert (outcome.reason, outcome.age, outcome.stored.fields.get(b"etag")) == (R.CONFIRMED, 0, b'"v1"')


@pytest.mark.parametrize(
    ("of_304", "keep"),
    [
        pytest.param("Cache-Control: private", R.PRIVATE, id="s5.2.2.7"),
        pytest.param("Cache-Control: no-store", R.NO_STORE, id="s5.2.2.5"),
        pytest.param("Vary: *", R.VARY_STAR, id="s4.1"),
        pytest.param("Cache-Control: max-age=9", None, id="still-storable"),
    ],
)
def test_a_304_may_take_the_permission_to_store_away(of_304: str, keep: Reason | None) -> None:
    outcome = on_response(
        get(), answer(ETAG, of_304, status=304), stored(cc("max-age=60", ETAG)), PLAIN, LATER
    )
    assert isinstance(outcome, Freshen)
    assert outcome.keep is keep


def test_s3_5_a_304_to_a_request_with_authorization_needs_permission_to_stay() -> None:
    request = get("Authorization: Basic Zm9v")
    outcome = on_response(request, answer(ETAG, status=304), stored(cc("max-age=60", ETAG)), PLAIN, LATER)
    assert isinstance(outcome, Freshen)
    assert outcome.keep is R.AUTHORIZATION


def test_a_cookie_of_a_304_is_for_the_asking_client_alone() -> None:
    head = answer(ETAG, "Set-Cookie: a=b", status=304)
    outcome = on_response(get(), head, stored(cc("max-age=60", ETAG)), PLAIN, LATER)
    assert isinstance(outcome, Freshen)
    assert outcome.for_requester == ((b"Set-Cookie", b"a=b"),)
    assert b"set-cookie" not in outcome.stored.fields
    allowed = on_response(
        get(), head, stored(cc("max-age=60", ETAG)), CachePolicy(allow_set_cookie=True), LATER
    )
    assert isinstance(allowed, Freshen)
    assert (allowed.for_requester, allowed.stored.fields.get(b"set-cookie")) == ((), b"a=b")


def test_s4_3_3_a_whole_answer_replaces() -> None:
    assert isinstance(on_response(get(), cc("max-age=9", DATED), stored(), PLAIN, LATER), Store)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        pytest.param(cc("no-store"), True, id="200"),
        pytest.param(cc("no-store", status=302), True, id="302"),
        pytest.param(answer(status=404), True, id="404"),
        pytest.param(cc("no-store", status=410), True, id="410"),
        pytest.param(answer(status=206), False, id="206"),
        pytest.param(answer(status=429), False, id="429"),
        pytest.param(answer(status=500), False, id="500"),
    ],
)
def test_an_answer_that_is_not_stored_may_say_that_the_stored_one_is_outdated(
    head: ResponseHead, drop: bool
) -> None:
    outcome = on_response(get(), head, stored("max-age=1, stale-if-error=0"), PLAIN, LATER)
    assert isinstance(outcome, Relay)
    assert outcome.drop is drop


# --- §4.3.5


HEAD = get(method=b"HEAD")


def test_s4_3_5_a_200_to_head_updates() -> None:
    old = stored(cc("max-age=2", "A: 1", "B: 1"))
    outcome = on_response(HEAD, cc("max-age=1000", "A: 2", "Content-Length: 10", DATED), old, PLAIN, LATER)
    assert isinstance(outcome, Freshen)
    assert (outcome.reason, outcome.keep, outcome.ttl) == (R.UPDATED_BY_HEAD, None, 1000)
    assert (outcome.stored.fields.get(b"a"), outcome.stored.fields.get(b"b")) == (b"2", b"1")
    assert outcome.stored.method == b"GET"


@pytest.mark.parametrize("field", ['ETag: "v2"', "Content-Length: 11"])
def test_s4_3_5_a_200_to_head_of_something_else_drops_what_is_stored(field: str) -> None:
    outcome = on_response(HEAD, cc("max-age=60", field), stored(cc("max-age=1", ETAG)), PLAIN, LATER)
    assert outcome == Relay(R.CHANGED_BY_HEAD, drop=True)


@pytest.mark.parametrize("status", [301, 404, 503])
def test_s4_3_5_a_200_to_head_drops_a_stored_redirection_or_error(status: int) -> None:
    outcome = on_response(HEAD, cc("max-age=60"), stored(cc("max-age=1", status=status)), PLAIN, LATER)
    assert outcome == Relay(R.CHANGED_BY_HEAD, drop=True)


def test_s4_3_5_other_answers_to_head_are_relayed() -> None:
    outcome = on_response(HEAD, cc("max-age=60", status=403), stored("max-age=1"), PLAIN, LATER)
    assert outcome == Relay(R.METHOD)
    gone = on_response(HEAD, cc("max-age=60", status=410), stored("max-age=1"), PLAIN, LATER)
    assert gone == Relay(R.METHOD, drop=True)


def test_a_304_to_head_freshens() -> None:
    outcome = on_response(HEAD, answer(ETAG, DATED, status=304), stored(cc("max-age=60", ETAG)), PLAIN, LATER)
    assert isinstance(outcome, Freshen)
    assert outcome.keep is None


# --- an answered 5xx


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_rfc5861_s4_stale_is_served_for_a_5xx_where_that_is_explicit(status: int) -> None:
    old = stored("max-age=60, stale-if-error=60")
    outcome = on_response(get(), answer(status=status), old, PLAIN, LATER)
    assert isinstance(outcome, UseStale)
    assert (outcome.age, outcome.ttl, outcome.reason) == (100, -40.0, R.STALE_IF_ERROR)


@pytest.mark.parametrize(
    ("value", "policy", "after", "stale"),
    [
        pytest.param("max-age=60", PLAIN, 61, False, id="rfc5861-s4-not-by-default"),
        pytest.param("max-age=60, stale-if-error=60", PLAIN, 119.9, True, id="rfc5861-s4-last-moment"),
        pytest.param("max-age=60, stale-if-error=60", PLAIN, 120, False, id="rfc5861-s4-over"),
        pytest.param("max-age=60", OPERATOR, 659.9, True, id="operator-last-moment"),
        pytest.param("max-age=60", OPERATOR, 660, False, id="operator-over"),
        pytest.param("max-age=60, must-revalidate", OPERATOR, 61, False, id="s5.2.2.2"),
        pytest.param("s-maxage=60", OPERATOR, 61, False, id="s5.2.2.10"),
        pytest.param("s-maxage=60, stale-if-error=60", PLAIN, 61, True, id="s5.2.2.10-with-permission"),
        pytest.param("max-age=600, no-cache, stale-if-error=60", OPERATOR, 61, False, id="s5.2.2.4"),
    ],
)
def test_when_a_5xx_is_covered(value: str, policy: CachePolicy, after: float, stale: bool) -> None:
    outcome = on_response(get(), answer(status=503), stored(value), policy, T0 + after)
    assert isinstance(outcome, UseStale) is stale


@pytest.mark.parametrize("status", [501, 505, 599, 404, 429])
def test_rfc5861_s4_other_statuses_are_relayed(status: int) -> None:
    old = stored("max-age=60, stale-if-error=60")
    assert isinstance(on_response(get(), answer(status=status), old, PLAIN, LATER), Relay)


def test_a_fresh_response_that_only_the_request_had_validated_covers_a_5xx() -> None:
    outcome = on_response(get("Cache-Control: max-age=0"), answer(status=503), stored(), PLAIN, T0 + 9)
    assert said(outcome) == ("UseStale", R.FRESH)


def test_a_5xx_itself_may_be_stored() -> None:
    outcome = on_response(get(), cc("max-age=5", status=503), stored(), PLAIN, LATER)
    assert isinstance(outcome, Store)


# --- no answer


def failed(
    value: str,
    after: float,
    *asked: str,
    policy: CachePolicy = PLAIN,
    disconnected: bool = True,
    **state: bool,
) -> tuple[str, Reason | None]:
    return said(
        on_failure(get(*asked), stored(value), policy, T0 + after, disconnected=disconnected, **state)
    )


@pytest.mark.parametrize(
    ("value", "policy", "after", "outcome"),
    [
        pytest.param("max-age=60", PLAIN, 61, ("UseStale", R.DISCONNECTED), id="s4.2.4-by-default"),
        pytest.param("max-age=60", PLAIN, 3659.9, ("UseStale", R.DISCONNECTED), id="s4.2.4-last-moment"),
        pytest.param("max-age=60", PLAIN, 3660, ("Fail", R.WINDOW_OVER), id="s4.2.4-over"),
        pytest.param(
            "max-age=60", OPERATOR, 659.9, ("UseStale", R.STALE_IF_ERROR), id="operator-last-moment"
        ),
        pytest.param("max-age=60", OPERATOR, 660, ("Fail", R.WINDOW_OVER), id="operator-over"),
        pytest.param(
            "max-age=60, stale-if-error=9", OPERATOR, 68.9, ("UseStale", R.STALE_IF_ERROR), id="rfc5861-s4"
        ),
        pytest.param(
            "max-age=60, stale-if-error=9", OPERATOR, 69, ("Fail", R.WINDOW_OVER), id="rfc5861-s4-over"
        ),
        pytest.param("max-age=2, must-revalidate", PLAIN, 3, ("Fail", R.MUST_REVALIDATE), id="s5.2.2.2"),
        pytest.param("max-age=2, proxy-revalidate", PLAIN, 3, ("Fail", R.PROXY_REVALIDATE), id="s5.2.2.8"),
        pytest.param("max-age=2, no-cache", PLAIN, 3, ("Fail", R.NO_CACHE), id="s5.2.2.4"),
        pytest.param("max-age=60, no-cache", PLAIN, 3, ("Fail", R.NO_CACHE), id="s5.2.2.4-even-fresh"),
        pytest.param("max-age=2, s-maxage=2", PLAIN, 3, ("Fail", R.S_MAXAGE), id="s5.2.2.10"),
        pytest.param(
            "s-maxage=2, stale-if-error=60",
            PLAIN,
            3,
            ("UseStale", R.STALE_IF_ERROR),
            id="s5.2.2.10-with-permission",
        ),
        pytest.param("max-age=0", PLAIN, 0, ("UseStale", R.DISCONNECTED), id="stale-at-once"),
    ],
)
def test_disconnected(value: str, policy: CachePolicy, after: float, outcome: tuple[str, Reason]) -> None:
    assert failed(value, after, policy=policy) == outcome


def test_an_answer_that_is_no_http_counts_as_an_error_not_as_disconnected() -> None:
    assert failed("max-age=60", 61, disconnected=False) == ("Fail", R.NOT_ALLOWED)
    assert failed("max-age=60, stale-if-error=9", 61, disconnected=False) == ("UseStale", R.STALE_IF_ERROR)


@pytest.mark.parametrize(
    ("status", "stale"), [(500, True), (502, True), (504, True), (501, False), (404, False)]
)
def test_rfc5861_s4_which_statuses_are_errors(status: int, stale: bool) -> None:
    outcome = on_failure(get(), stored(), OPERATOR, T0 + 61, disconnected=False, status=status)
    assert isinstance(outcome, UseStale) is stale


def test_with_nothing_stored_the_error_is_the_answer() -> None:
    assert on_failure(get(), None, PLAIN, T0, disconnected=True) == Fail(R.NOT_STORED)


def test_a_stored_5xx_never_covers_a_failure() -> None:
    response = stored(cc("max-age=1, stale-if-error=60", status=503))
    assert on_failure(get(), response, OPERATOR, T0 + 2, disconnected=True) == Fail(R.STORED_ERROR)


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        pytest.param("no-cache", ("Fail", R.REQUEST_NO_CACHE), id="s5.2.1.4-not-without-validation"),
        pytest.param("max-age=0", ("UseStale", R.DISCONNECTED), id="s5.2.1-a-reload-is-advice"),
    ],
)
def test_wishes_of_the_request(asked: str, outcome: tuple[str, Reason]) -> None:
    assert failed("max-age=60", 61, "Cache-Control: " + asked) == outcome


def test_a_fresh_response_covers_a_failed_reload() -> None:
    assert failed("max-age=60, must-revalidate", 9, "Cache-Control: max-age=0") == ("UseStale", R.FRESH)


def test_a_soft_purged_response_covers_a_failure_as_a_stale_one() -> None:
    outcome = on_failure(get(), stored(), PLAIN, T0 + 9, disconnected=True, soft_purged=True)
    assert isinstance(outcome, UseStale)
    assert (outcome.reason, outcome.ttl) == (R.DISCONNECTED, -1.0)
    assert failed("max-age=60, must-revalidate", 9, soft_purged=True) == ("Fail", R.MUST_REVALIDATE)


def test_a_soft_purged_response_covers_a_5xx_where_that_is_explicit() -> None:
    outcome = on_response(get(), answer(status=503), stored(), OPERATOR, T0 + 9, soft_purged=True)
    assert said(outcome) == ("UseStale", R.STALE_IF_ERROR)
    outcome = on_response(get(), answer(status=503), stored(), PLAIN, T0 + 9, soft_purged=True)
    assert isinstance(outcome, Relay)
