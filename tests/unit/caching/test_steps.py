"""The steps that led to a decision: in order, with what mattered, and with the decision's own reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.decide import Relay, Store, on_request, on_response
from edgeproxy.caching.outcomes import Forward
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.steps import of_request, of_response
from edgeproxy.caching.storability import storable
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.telling import Step
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .messages import policies, requests, responses
from .values import ETAG, PLAIN, T0, answer, at, cc, get, stored

R = Reason


def walk(
    request: RequestHead,
    response: StoredResponse | None,
    policy: CachePolicy = PLAIN,
    now: float = T0,
    **how: bool,
) -> tuple[Step, ...]:
    return of_request(
        request, response, policy, now, on_request(request, response, policy, now, **how), **how
    )


def rules(steps: tuple[Step, ...]) -> list[str]:
    return [step.rule for step in steps]


def mattered(steps: tuple[Step, ...], rule: str) -> dict[str, str]:
    return dict(next(step.fields for step in steps if step.rule == rule))


# --- the walk and the decision are one


@given(
    requests(b"GET", b"HEAD", b"POST", b"PUT"),
    st.none() | responses(200, 206, 404, 500),
    policies(),
    st.integers(0, 200),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_last_step_has_the_reason_of_the_decision_and_no_other_has_one(
    request: RequestHead,
    head: ResponseHead | None,
    policy: CachePolicy,
    later: int,
    soft: bool,
    vary_miss: bool,
    authorized: bool,
) -> None:
    response = None if head is None else stored(head, request_authorized=authorized)
    how = {"soft_purged": soft, "vary_miss": vary_miss and response is None}
    decision = on_request(request, response, policy, T0 + later, **how)
    steps = of_request(request, response, policy, T0 + later, decision, **how)
    assert steps[-1].reason is decision.reason
    assert steps[-1].section == decision.reason.section
    assert all(step.reason is None for step in steps[:-1])


@given(requests(b"GET", b"HEAD", b"POST"), responses(), policies())
def test_the_walk_through_an_answer_stops_at_the_rule_that_refused_it(
    request: RequestHead, head: ResponseHead, policy: CachePolicy
) -> None:
    decision = on_response(request, head, None, policy, T0)
    refused = decision.reason if isinstance(decision, Relay) else None
    assert isinstance(decision, Relay | Store)
    # With any other reason the walk would have to end with a step more, for the reason given.
    steps = of_response(request, head, policy, T0, refused)
    assert steps[-1].reason is refused
    assert all(step.reason is None for step in steps[:-1])


# --- a request


def test_a_fresh_hit_tells_age_and_lifetime_and_what_was_looked_at_before() -> None:
    response = stored(cc("max-age=60", "Vary: Accept-Language", "Age: 5"), request=get("Accept-Language: de"))
    steps = walk(get("Accept-Language: de"), response, CachePolicy(jitter=0.0), T0 + 10)
    assert rules(steps) == [
        "cache-enabled",
        "method",
        "selection",
        "age",
        "freshness-lifetime",
        "freshness",
        "fresh",
    ]
    assert mattered(steps, "selection") == {"request accept-language": "de"}
    assert mattered(steps, "age") == {
        "response Date": at(0).decode(),
        "response Age": "5",
        "response delay": "0 s",
        "time here": "10 s",
    }
    assert [step.outcome for step in steps[3:6]] == ["15 s old", "60 s, by max-age", "fresh for 45 s more"]
    assert mattered(steps, "freshness-lifetime") == {
        "route.cache.override_ttl": "not set",
        "response a targeted field": "absent",
        "response s-maxage": "absent",
        "response max-age": "60",
    }
    assert [step.section for step in steps[3:6]] == ["RFC 9111 §4.2.3", "RFC 9111 §4.2.1", "RFC 9111 §4.2"]


CASES = [
    pytest.param(walk(get(), None), R.NOT_STORED, [], id="not-stored"),
    pytest.param(walk(get(), None, vary_miss=True), R.NO_VARIANT, [], id="no-variant"),
    pytest.param(walk(get(method=b"PUT"), None), R.METHOD, [], id="method"),
    pytest.param(walk(get(), None, CachePolicy(enabled=False)), R.DISABLED, [], id="disabled"),
    pytest.param(
        walk(get(), stored(request=get("Authorization: x"))),
        R.AUTHORIZATION,
        ["selection"],
        id="authorization",
    ),
    pytest.param(
        walk(get(), stored("public, max-age=60", request=get("Authorization: x"))),
        R.FRESH,
        ["authorization", "freshness"],
        id="authorized",
    ),
    pytest.param(
        walk(get('If-Match: "v2"'), stored("max-age=60", ETAG)),
        R.PRECONDITION,
        ["selection"],
        id="precondition",
    ),
    pytest.param(
        walk(get('If-None-Match: "v1"'), stored("max-age=60", ETAG)),
        R.FRESH,
        ["precondition"],
        id="condition",
    ),
    pytest.param(
        walk(get(), stored("max-age=1"), now=T0 + 9), R.STALE, ["freshness", "stale-window"], id="stale"
    ),
    pytest.param(walk(get(), stored(), soft_purged=True), R.SOFT_PURGED, ["soft-purge"], id="soft-purged"),
    pytest.param(walk(get(), stored("no-cache", ETAG)), R.NO_CACHE, ["freshness"], id="no-cache"),
    pytest.param(
        walk(get(), stored("max-age=1, stale-while-revalidate=9"), now=T0 + 3),
        R.STALE_WHILE_REVALIDATE,
        ["freshness", "stale-window"],
        id="stale-while-revalidate",
    ),
    pytest.param(
        walk(get("Cache-Control: max-stale"), stored("max-age=1"), now=T0 + 3),
        R.MAX_STALE,
        ["stale-window"],
        id="max-stale",
    ),
    pytest.param(
        walk(get("Cache-Control: no-cache"), stored()),
        R.REQUEST_NO_CACHE,
        ["freshness"],
        id="request-no-cache",
    ),
    pytest.param(
        walk(
            get("Range: bytes=15-"), stored(cc("max-age=60", "Content-Range: bytes 0-9/20", ETAG, status=206))
        ),
        R.PART_STORED,
        ["selection"],
        id="another-part",
    ),
    pytest.param(
        walk(
            get("Range: bytes=2-3"), stored(cc("max-age=60", "Content-Range: bytes 0-9/20", ETAG, status=206))
        ),
        R.FRESH,
        ["part"],
        id="of-the-part",
    ),
    pytest.param(
        walk(get("Cache-Control: only-if-cached"), None),
        R.NOT_STORED,
        ["only-if-cached"],
        id="only-if-cached",
    ),
]


@pytest.mark.parametrize(("steps", "reason", "passed"), CASES)
def test_each_reason_is_reached_by_its_steps(
    steps: tuple[Step, ...], reason: Reason, passed: list[str]
) -> None:
    assert (steps[-1].rule, steps[-1].reason) == (str(reason), reason)
    assert set(passed) <= set(rules(steps[:-1]))


def test_a_directive_of_the_request_is_shown_where_it_decided() -> None:
    steps = walk(get("Cache-Control: max-age=5"), stored(), now=T0 + 9)
    assert steps[-1].fields == (("request Cache-Control", "max-age=5"),)


def test_a_directive_that_the_route_ignores_is_shown_with_the_ones_that_count() -> None:
    policy = CachePolicy(request_directives=frozenset({b"max-age", b"no-store"}))
    steps = walk(get("Cache-Control: no-cache"), stored(), policy)
    assert steps[-1].reason is R.FRESH
    assert steps[-1].fields == (
        ("request Cache-Control", "no-cache"),
        ("route.cache.request_directives", "max-age, no-store"),
    )


def test_jitter_and_the_absence_of_any_lifetime_are_told() -> None:
    steps = walk(get(), stored("", ETAG), CachePolicy(jitter=0.25))
    lifetime = next(step for step in steps if step.rule == "freshness-lifetime")
    assert lifetime.outcome == "0 s: nobody says how long it stays fresh"
    assert dict(lifetime.fields)["route.cache.jitter"] == "25%"


def test_a_stale_window_says_who_gives_or_refuses_it() -> None:
    given_by_origin = walk(get(), stored("max-age=1, stale-while-revalidate=9"), now=T0 + 3)
    assert mattered(given_by_origin, "stale-window")["route.cache.stale_while_revalidate"] == "not set"
    refused = walk(get(), stored("max-age=1, must-revalidate"), now=T0 + 3)
    window = next(step for step in refused if step.rule == "stale-window")
    assert (window.outcome, window.section) == (
        "may not be used stale (must-revalidate)",
        R.MUST_REVALIDATE.section,
    )


def test_a_reason_that_the_walk_does_not_know_explains_with_its_name_and_section() -> None:
    decision = Forward(Fwd.PARTIAL, R.PARTIAL, store=True)
    steps = of_request(get("Cache-Control: x"), stored(), PLAIN, T0, decision)
    last = steps[-1]
    assert (last.rule, last.reason, last.section) == ("partial", R.PARTIAL, "RFC 9111 §3.3")
    assert dict(last.fields) == {"request Cache-Control": "x", "response Cache-Control": "max-age=60"}


def test_credentials_and_cookies_are_never_shown() -> None:
    request = get("Authorization: Basic c2VjcmV0", "Cookie: sid=secret")
    head = cc("max-age=60", "Set-Cookie: sid=secret", "Vary: Cookie")
    response = stored(head, request=request, policy=CachePolicy(allow_set_cookie=True))
    told = [
        *walk(request, response),
        *of_response(request, head, PLAIN, T0, storable(request, head, PLAIN, T0)),
    ]
    assert "secret" not in repr(told)
    assert "c2VjcmV0" not in repr(told)


# --- an answer


@pytest.mark.parametrize(
    ("request_head", "head", "rule", "shown"),
    [
        (get("Cache-Control: no-store"), cc("max-age=1"), "request-no-store", "request Cache-Control"),
        (get(), answer(status=206), "partial", "response status"),
        (get(method=b"POST"), answer("Content-Location: /x"), "method", "response Content-Location"),
        (get(), cc("no-store"), "no-store", "response Cache-Control"),
        (get(), cc("max-age=1", "CDN-Cache-Control: private"), "private", "response CDN-Cache-Control"),
        (get("Authorization: x"), cc("max-age=1"), "authorization", "request Authorization"),
        (get(), cc("max-age=1", "Vary: *"), "vary-star", "response Vary"),
        (get(), cc("max-age=1", "Set-Cookie: a=b"), "set-cookie", "response Set-Cookie"),
        (get(), answer(status=302), "status", "response status"),
        (get(), answer(), "nothing-to-reuse", "response status"),
        (get(), cc("max-age=1", "Content-Length: 99999999"), "too-large", "response Content-Length"),
    ],
)
def test_the_last_step_of_a_refused_answer_shows_what_refused_it(
    request_head: RequestHead, head: ResponseHead, rule: str, shown: str
) -> None:
    steps = of_response(request_head, head, PLAIN, T0, storable(request_head, head, PLAIN, T0))
    assert (steps[-1].rule, shown in dict(steps[-1].fields)) == (rule, True)


def test_a_stored_answer_ends_so_and_a_refusal_found_later_is_told() -> None:
    assert rules(of_response(get(), cc("max-age=1"), PLAIN, T0, None)) == [
        "request",
        "status",
        "method",
        "directives",
        "freshness-lifetime",
        "use",
        "stored",
    ]
    late = of_response(get(), cc("max-age=1"), PLAIN, T0, R.TOO_LARGE)
    assert (late[-1].rule, late[-1].reason) == ("too-large", R.TOO_LARGE)
