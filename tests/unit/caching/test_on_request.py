"""What a request gets (RFC 9111 §4): `decide.on_request`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.decide import (
    Forward,
    Fwd,
    OnlyIfCachedMiss,
    OnRequest,
    Reason,
    UseStaleAndRevalidate,
    UseStored,
    Validate,
    on_request,
)
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.storability import authorized_reuse_allowed, storable
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead

from .values import ETAG, PLAIN, T0, cc, get, stored

R = Reason
SWR = CachePolicy(stale_while_revalidate=30.0)


def said(outcome: OnRequest) -> tuple[str, Reason]:
    return type(outcome).__name__, outcome.reason


def decided(
    value: str, after: float, *asked: RawField | str, policy: CachePolicy = PLAIN, **state: bool
) -> tuple[str, Reason]:
    response = stored(cc(value, ETAG))
    return said(on_request(get(*asked), response, policy, T0 + after, **state))


# --- nothing stored


@pytest.mark.parametrize(
    ("request_head", "fwd", "reason", "store"),
    [
        pytest.param(get(), Fwd.URI_MISS, R.NOT_STORED, True, id="rfc9211-s2.2-uri-miss"),
        pytest.param(get(method=b"HEAD"), Fwd.URI_MISS, R.NOT_STORED, False, id="head-is-no-whole"),
        pytest.param(get(method=b"POST"), Fwd.METHOD, R.METHOD, True, id="rfc9110-s9.3.3-post"),
        pytest.param(get(method=b"PUT"), Fwd.METHOD, R.METHOD, False, id="s4-put"),
        pytest.param(get(method=b"OPTIONS"), Fwd.METHOD, R.METHOD, False, id="s4-options"),
        pytest.param(get("Cache-Control: no-store"), Fwd.URI_MISS, R.NOT_STORED, False, id="s5.2.1.5"),
        pytest.param(get("Cache-Control: no-cache"), Fwd.URI_MISS, R.NOT_STORED, True, id="s5.2.1.4"),
    ],
)
def test_nothing_stored(request_head: RequestHead, fwd: Fwd, reason: Reason, store: bool) -> None:
    assert on_request(request_head, None, PLAIN, T0) == Forward(fwd, reason, store)


def test_rfc9211_s2_2_vary_miss() -> None:
    assert on_request(get(), None, PLAIN, T0, vary_miss=True) == Forward(Fwd.VARY_MISS, R.NO_VARIANT, True)


def test_a_route_without_cache_bypasses() -> None:
    expected = Forward(Fwd.BYPASS, R.DISABLED, store=False)
    off = CachePolicy(enabled=False)
    assert on_request(get(), stored(), off, T0) == expected
    assert on_request(get(method=b"POST"), None, off, T0) == expected
    assert on_request(get("Cache-Control: only-if-cached"), None, off, T0) == expected


# --- fresh


def test_a_fresh_response_is_used_with_its_age() -> None:
    response = stored(cc("max-age=60", "Age: 5"), delay=0.5)
    outcome = on_request(get(), response, PLAIN, T0 + 10.25)
    assert isinstance(outcome, UseStored)
    assert (outcome.age, outcome.ttl, outcome.lifetime.seconds) == (15, 44.25, 60)
    assert (outcome.stored, outcome.reason) == (response, R.FRESH)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_s9_3_2_a_head_is_answered_from_a_stored_get(method: bytes) -> None:
    assert isinstance(on_request(get(method=method), stored(), PLAIN, T0), UseStored)


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        pytest.param(0, "UseStored", id="s4.2-new"),
        pytest.param(59.999, "UseStored", id="s4.2-just-fresh"),
        pytest.param(60, "Validate", id="s4.2-lifetime-equals-age"),
        pytest.param(61, "Validate", id="s4.2-stale"),
        pytest.param(-100, "UseStored", id="clock-that-stepped-back"),
    ],
)
def test_the_edge_of_freshness(after: float, outcome: str) -> None:
    assert decided("max-age=60", after)[0] == outcome


def test_a_stale_response_is_validated() -> None:
    response = stored("max-age=1")
    assert on_request(get(), response, PLAIN, T0 + 1) == Validate(response, Fwd.STALE, R.STALE)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        pytest.param("max-age=60, no-cache", ("Validate", R.NO_CACHE), id="s5.2.2.4"),
        pytest.param('max-age=60, no-cache="a"', ("UseStored", R.FRESH), id="s5.2.2.4-qualified"),
        pytest.param("max-age=60, must-revalidate", ("UseStored", R.FRESH), id="s5.2.2.2-while-fresh"),
    ],
)
def test_directives_of_a_fresh_response(value: str, outcome: tuple[str, Reason]) -> None:
    assert decided(value, 1) == outcome


# --- the request's own wishes, §5.2.1


@pytest.mark.parametrize(
    ("value", "after", "asked", "outcome"),
    [
        pytest.param("max-age=60", 1, "no-cache", ("Validate", R.REQUEST_NO_CACHE), id="s5.2.1.4"),
        pytest.param("max-age=60", 1, "no-store", ("UseStored", R.FRESH), id="s5.2.1.5-forbids-storing-only"),
        pytest.param("max-age=60", 1, "max-age=0", ("Validate", R.REQUEST_MAX_AGE), id="s5.2.1.1-zero"),
        pytest.param("max-age=60", 5, "max-age=5", ("UseStored", R.FRESH), id="s5.2.1.1-just-young-enough"),
        pytest.param("max-age=60", 5.5, "max-age=5", ("Validate", R.REQUEST_MAX_AGE), id="s5.2.1.1-too-old"),
        pytest.param("max-age=60", 5.5, "max-age=x", ("UseStored", R.FRESH), id="s5.2.1.1-invalid"),
        pytest.param("max-age=60", 50, "min-fresh=10", ("UseStored", R.FRESH), id="s5.2.1.3-just-enough"),
        pytest.param("max-age=60", 50.5, "min-fresh=10", ("Validate", R.REQUEST_MIN_FRESH), id="s5.2.1.3"),
        pytest.param("max-age=60", 50.5, "min-fresh", ("UseStored", R.FRESH), id="s5.2.1.3-invalid"),
        pytest.param("max-age=60, immutable", 5, "max-age=0", ("UseStored", R.FRESH), id="rfc8246-s2-reload"),
        pytest.param(
            "max-age=60, immutable",
            5,
            "no-cache",
            ("Validate", R.REQUEST_NO_CACHE),
            id="rfc8246-s2-forced-reload",
        ),
        pytest.param("max-age=60, immutable", 60, "max-age=0", ("Validate", R.STALE), id="rfc8246-s2-stale"),
        # max-stale, §5.2.1.2
        pytest.param(
            "max-age=60", 70, "max-stale=10", ("UseStored", R.MAX_STALE), id="s5.2.1.2-just-allowed"
        ),
        pytest.param("max-age=60", 70.5, "max-stale=10", ("Validate", R.STALE), id="s5.2.1.2-exceeded"),
        pytest.param(
            "max-age=60", 60, "max-stale=0", ("UseStored", R.MAX_STALE), id="s5.2.1.2-zero-at-the-edge"
        ),
        pytest.param("max-age=60", 10**6, "max-stale", ("UseStored", R.MAX_STALE), id="s5.2.1.2-any-age"),
        pytest.param("max-age=60", 61, "max-stale=x", ("Validate", R.STALE), id="s5.2.1.2-invalid"),
        pytest.param("max-age=60, must-revalidate", 61, "max-stale", ("Validate", R.STALE), id="s5.2.2.2"),
        pytest.param("max-age=60, proxy-revalidate", 61, "max-stale", ("Validate", R.STALE), id="s5.2.2.8"),
        pytest.param("s-maxage=60", 61, "max-stale", ("Validate", R.STALE), id="s5.2.2.10"),
        pytest.param("max-age=60, no-cache", 61, "max-stale", ("Validate", R.NO_CACHE), id="s5.2.2.4-stale"),
        pytest.param(
            "max-age=60",
            65,
            "max-age=65, max-stale=10",
            ("UseStored", R.MAX_STALE),
            id="s5.2.1.1-with-max-stale",
        ),
        pytest.param(
            "max-age=60",
            65,
            "max-age=64, max-stale=10",
            ("Validate", R.STALE),
            id="s5.2.1.1-beside-max-stale",
        ),
        pytest.param(
            "max-age=60",
            65,
            "max-age=64, max-stale",
            ("Validate", R.STALE),
            id="s5.2.1.1-beside-any-max-stale",
        ),
        pytest.param(
            "max-age=60",
            55,
            "max-age=50, max-stale=10",
            ("Validate", R.REQUEST_MAX_AGE),
            id="s5.2.1.1-beside-max-stale-while-fresh",
        ),
        pytest.param(
            "max-age=60", 61, "max-stale, no-cache", ("Validate", R.REQUEST_NO_CACHE), id="both-no-cache"
        ),
        pytest.param("max-age=60", 61, "max-stale, min-fresh=1", ("Validate", R.STALE), id="both-min-fresh"),
        # stale-while-revalidate gives way to a wish
        pytest.param(
            "max-age=60, stale-while-revalidate=30",
            61,
            "no-cache",
            ("Validate", R.REQUEST_NO_CACHE),
            id="rfc5861-s3-no-cache",
        ),
        pytest.param(
            "max-age=60, stale-while-revalidate=30",
            61,
            "max-age=0",
            ("Validate", R.STALE),
            id="rfc5861-s3-max-age",
        ),
        pytest.param(
            "max-age=60, stale-while-revalidate=30",
            80,
            "max-stale=10",
            ("UseStaleAndRevalidate", R.STALE_WHILE_REVALIDATE),
            id="rfc5861-s3-max-stale-exceeded",
        ),
    ],
)
def test_request_directives(value: str, after: float, asked: str, outcome: tuple[str, Reason]) -> None:
    assert decided(value, after, "Cache-Control: " + asked) == outcome


def test_a_refused_fresh_response_is_forwarded_by_the_request() -> None:
    response = stored()
    outcome = on_request(get("Pragma: no-cache"), response, PLAIN, T0)
    assert outcome == Validate(response, Fwd.REQUEST, R.REQUEST_NO_CACHE)


# --- only-if-cached, §5.2.1.7


@pytest.mark.parametrize(
    ("response", "after", "outcome"),
    [
        pytest.param(None, 0, ("OnlyIfCachedMiss", R.NOT_STORED), id="s5.2.1.7-nothing"),
        pytest.param(stored(), 1, ("UseStored", R.FRESH), id="s5.2.1.7-fresh"),
        pytest.param(stored(), 61, ("OnlyIfCachedMiss", R.STALE), id="s5.2.1.7-stale"),
        pytest.param(stored("no-cache"), 1, ("OnlyIfCachedMiss", R.NO_CACHE), id="s5.2.1.7-no-cache"),
        pytest.param(
            stored("max-age=1, stale-while-revalidate=9"),
            2,
            ("UseStaleAndRevalidate", R.STALE_WHILE_REVALIDATE),
            id="s5.2.1.7-stale-while-revalidate",
        ),
    ],
)
def test_only_if_cached(response: StoredResponse | None, after: float, outcome: tuple[str, Reason]) -> None:
    assert said(on_request(get("Cache-Control: only-if-cached"), response, PLAIN, T0 + after)) == outcome


def test_only_if_cached_says_why() -> None:
    outcome = on_request(get("Cache-Control: only-if-cached"), None, PLAIN, T0, vary_miss=True)
    assert outcome == OnlyIfCachedMiss(R.NO_VARIANT)


# --- stale-while-revalidate


@pytest.mark.parametrize(
    ("value", "policy", "after", "outcome"),
    [
        pytest.param("max-age=60, stale-while-revalidate=30", PLAIN, 59.9, "UseStored", id="still-fresh"),
        pytest.param("max-age=60, stale-while-revalidate=30", PLAIN, 60, "UseStaleAndRevalidate", id="opens"),
        pytest.param(
            "max-age=60, stale-while-revalidate=30", PLAIN, 89.9, "UseStaleAndRevalidate", id="last-moment"
        ),
        pytest.param("max-age=60, stale-while-revalidate=30", PLAIN, 90, "Validate", id="closed"),
        pytest.param("max-age=60, stale-while-revalidate=0", SWR, 60, "Validate", id="the-origin-wants-none"),
        pytest.param("max-age=60", SWR, 89.9, "UseStaleAndRevalidate", id="operator-last-moment"),
        pytest.param("max-age=60", SWR, 90, "Validate", id="operator-closed"),
        pytest.param("max-age=60, must-revalidate", SWR, 61, "Validate", id="s5.2.2.2-over-operator"),
        pytest.param("max-age=60, proxy-revalidate", SWR, 61, "Validate", id="s5.2.2.8-over-operator"),
        pytest.param("s-maxage=60", SWR, 61, "Validate", id="s5.2.2.10-over-operator"),
        pytest.param("max-age=60, no-cache", SWR, 61, "Validate", id="s5.2.2.4-over-operator"),
        pytest.param(
            "s-maxage=60, stale-while-revalidate=30",
            PLAIN,
            61,
            "UseStaleAndRevalidate",
            id="s-maxage-with-permission",
        ),
    ],
)
def test_stale_while_revalidate(value: str, policy: CachePolicy, after: float, outcome: str) -> None:
    assert decided(value, after, policy=policy)[0] == outcome


def test_stale_while_revalidate_says_how_stale() -> None:
    outcome = on_request(get(), stored("max-age=60, stale-while-revalidate=30"), PLAIN, T0 + 65.5)
    assert isinstance(outcome, UseStaleAndRevalidate)
    assert (outcome.age, outcome.ttl) == (65, -5.5)


def test_a_stored_5xx_is_served_fresh_but_never_stale() -> None:
    response = stored(cc("max-age=60, stale-while-revalidate=30", status=503))
    assert isinstance(on_request(get(), response, SWR, T0 + 59), UseStored)
    assert isinstance(on_request(get(), response, SWR, T0 + 60), Validate)
    assert isinstance(on_request(get("Cache-Control: max-stale"), response, SWR, T0 + 60), Validate)


# --- soft purge


def test_a_soft_purged_response_is_stale_at_once() -> None:
    assert decided("max-age=60", 1, soft_purged=True) == ("Validate", R.SOFT_PURGED)
    assert decided("max-age=60", 61, soft_purged=True) == ("Validate", R.SOFT_PURGED)


def test_a_soft_purged_response_is_served_while_it_is_validated() -> None:
    outcome = on_request(get(), stored("max-age=60"), SWR, T0 + 1, soft_purged=True)
    assert isinstance(outcome, UseStaleAndRevalidate)
    assert outcome.ttl < 0
    assert decided("max-age=60", 89.9, policy=SWR, soft_purged=True)[0] == "UseStaleAndRevalidate"
    assert decided("max-age=60", 90, policy=SWR, soft_purged=True)[0] == "Validate"


def test_a_client_cannot_overrule_a_soft_purge() -> None:
    asked = "Cache-Control: max-stale"
    assert decided("max-age=60", 1, asked, soft_purged=True) == ("Validate", R.SOFT_PURGED)


# --- §3.5 and preconditions


def test_s3_5_what_was_stored_for_authorization_needs_its_permission_at_each_reuse() -> None:
    request = get("Authorization: Basic Zm9v")
    allowed = stored("max-age=60, public", request=request)
    assert isinstance(on_request(get(), allowed, PLAIN, T0), UseStored)
    lost = stored("max-age=60", request=request)
    assert on_request(get(), lost, PLAIN, T0) == Forward(Fwd.MISS, R.AUTHORIZATION, store=True)


def test_a_request_with_authorization_may_get_what_was_stored_without() -> None:
    assert isinstance(on_request(get("Authorization: Basic Zm9v"), stored(), PLAIN, T0), UseStored)


def test_only_the_origin_answers_412() -> None:
    response = stored(cc("max-age=60", ETAG))
    assert isinstance(on_request(get('If-Match: "v1"'), response, PLAIN, T0), UseStored)
    outcome = on_request(get('If-Match: "v2"'), response, PLAIN, T0)
    assert outcome == Forward(Fwd.REQUEST, R.PRECONDITION, store=False)


# --- properties

DIRECTIVES = [
    "no-store",
    "private",
    'private="a"',
    "no-cache",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "max-age=60",
    "max-age=0",
    "s-maxage=60",
    "s-maxage=0",
    "stale-while-revalidate=60",
    "stale-if-error=60",
    "must-understand",
    "immutable",
]
RESPONSES = st.lists(st.sampled_from(DIRECTIVES), max_size=5).map(", ".join)
ASKED = st.sampled_from(["", "no-cache", "max-stale", "max-age=0", "max-stale=9, max-age=70", "min-fresh=5"])
POLICIES = st.builds(
    CachePolicy,
    override_ttl=st.sampled_from([None, 100.0]),
    default_ttl=st.sampled_from([None, 10.0]),
    stale_while_revalidate=st.sampled_from([None, 100.0]),
    stale_if_error=st.sampled_from([None, 100.0]),
    jitter=st.sampled_from([0.0, 0.1]),
)
AFTER = st.floats(0, 300)


@given(RESPONSES, RESPONSES, POLICIES, AFTER, ASKED)
def test_b_never_gets_what_was_stored_for_a_s_authorization_without_permission(
    value: str, targeted: str, policy: CachePolicy, after: float, asked: str
) -> None:
    head = cc(value, ETAG, *(["CDN-Cache-Control: " + targeted] if targeted else []))
    a, b = get("Authorization: a"), get("Cache-Control: " + asked)
    if storable(a, head, policy, T0) is None:
        assert authorized_reuse_allowed(binding(head.fields, policy).directives)
    outcome = on_request(b, stored(head, request=a), policy, T0 + after)
    if isinstance(outcome, UseStored | UseStaleAndRevalidate):
        assert authorized_reuse_allowed(binding(head.fields, policy).directives)


@given(RESPONSES, POLICIES, st.booleans(), st.sampled_from(["", "Vary: *", "Set-Cookie: a=b"]))
def test_what_must_not_be_shared_is_never_stored(
    value: str, policy: CachePolicy, authorized: bool, extra: str
) -> None:
    head = cc(value, ETAG, *([extra] if extra else []))
    request = get(*(["Authorization: a"] if authorized else []))
    directives = binding(head.fields, policy).directives
    forbidden = (
        directives.bare(b"private")
        or (b"no-store" in directives and b"must-understand" not in directives)
        or (authorized and not authorized_reuse_allowed(directives))
        or bool(extra)
    )
    if forbidden:
        assert storable(request, head, policy, T0) is not None


@given(RESPONSES, POLICIES, AFTER, ASKED, st.booleans(), st.sampled_from([200, 404, 500]))
def test_what_must_be_validated_is_never_used_without(
    value: str, policy: CachePolicy, after: float, asked: str, soft_purged: bool, status: int
) -> None:
    head = cc(value, ETAG, status=status)
    request = get("Cache-Control: " + asked)
    outcome = on_request(request, stored(head), policy, T0 + after, soft_purged=soft_purged)
    if not isinstance(outcome, UseStored | UseStaleAndRevalidate):
        return
    directives = binding(head.fields, policy).directives
    assert not directives.bare(b"no-cache")
    assert asked != "no-cache"
    if outcome.ttl <= 0:
        assert status < 500
        assert b"must-revalidate" not in directives
        assert b"proxy-revalidate" not in directives
        if b"s-maxage" in directives:
            assert directives.delta(b"stale-while-revalidate")
        assert not soft_purged or isinstance(outcome, UseStaleAndRevalidate)
    assert outcome.age >= 0
    assert outcome.ttl <= outcome.lifetime.seconds


@given(RESPONSES, POLICIES, AFTER, st.floats(0, 300))
def test_once_stale_always_stale(value: str, policy: CachePolicy, after: float, more: float) -> None:
    response = stored(cc(value, ETAG))
    first = on_request(get(), response, policy, T0 + after)
    then = on_request(get(), response, policy, T0 + after + more)
    order = {UseStored: 0, UseStaleAndRevalidate: 1, Validate: 2}
    assert order[type(then)] >= order[type(first)]
