"""The smallest change that lets a response be stored or live longer: what it is, and that it is true."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgeproxy.caching.advice import LIFETIMES, Advice, above, on_refusal, on_stored, on_variant
from edgeproxy.caching.age import corrected_initial_age
from edgeproxy.caching.decide import UseStaleAndRevalidate, UseStored, on_request
from edgeproxy.caching.edits import Change
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.storability import storable
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .messages import policies, requests, responses
from .values import ETAG, PLAIN, T0, answer, at, cc, get, keyed, stored

R = Reason
AUTHORIZED = get("Authorization: Basic Zm9v")


def refusal(
    head: ResponseHead, request: RequestHead | None = None, policy: CachePolicy = PLAIN
) -> list[Advice]:
    request = request or get()
    reason = storable(request, head, policy, T0)
    assert reason is not None
    return list(on_refusal(request, head, policy, T0, reason))


def at_origin(advice: list[Advice]) -> list[tuple[str, str]]:
    first = next((each for each in advice if each.at == "origin"), None)
    return [] if first is None else [(change.send, change.instead_of) for change in first.changes]


def on_route(advice: list[Advice]) -> list[str]:
    return [change.send for each in advice if each.at == "route" for change in each.changes]


def applied(fields: Fields, changes: tuple[Change, ...]) -> Fields:
    """The fields after someone did literally what the advice says."""
    for change in changes:
        name, _, value = (change.send or change.instead_of).partition(":")
        lower = name.lower().encode()
        fields = (
            fields.replaced(name.encode(), value.strip().encode())
            if change.send
            else fields.without((lower,))
        )
    return fields


# --- what was not stored


@pytest.mark.parametrize(
    ("head", "request_head", "changes"),
    [
        pytest.param(answer(), get(), [("Cache-Control: max-age=60", "")], id="silent"),
        pytest.param(
            cc("no-store"), get(), [("Cache-Control: max-age=60", "Cache-Control: no-store")], id="no-store"
        ),
        pytest.param(
            cc("private, max-age=5"),
            get(),
            [("Cache-Control: max-age=5", "Cache-Control: private, max-age=5")],
            id="private",
        ),
        pytest.param(cc("max-age=5", "Set-Cookie: a=b"), get(), [("", "Set-Cookie")], id="set-cookie"),
        pytest.param(
            cc("private", "Set-Cookie: a=b"),
            get(),
            [("Cache-Control: max-age=60", "Cache-Control: private"), ("", "Set-Cookie")],
            id="three-edits",
        ),
        pytest.param(
            cc("max-age=5"),
            AUTHORIZED,
            [("Cache-Control: max-age=5, public", "Cache-Control: max-age=5")],
            id="authorization",
        ),
        pytest.param(
            answer(), AUTHORIZED, [("Cache-Control: s-maxage=60", "")], id="authorization-and-silence-by-one"
        ),
        pytest.param(
            cc("max-age=5", "Vary: *"), get(), [("Vary: Accept-Encoding", "Vary: *")], id="vary-star"
        ),
        pytest.param(answer(status=302), get(), [("Cache-Control: max-age=60", "")], id="status"),
        pytest.param(answer("Expires: 0"), get(), [("Cache-Control: max-age=60", "")], id="expired"),
        pytest.param(
            cc("s-maxage=0"),
            get(),
            [("Cache-Control: s-maxage=60", "Cache-Control: s-maxage=0")],
            id="s-maxage-0",
        ),
        pytest.param(
            cc("max-age=9", "CDN-Cache-Control: no-store"),
            get(),
            [("", "CDN-Cache-Control: no-store")],
            id="targeted",
        ),
        pytest.param(
            answer("Age: 100", "Cache-Control: no-store"),
            get(),
            [("Cache-Control: max-age=600", "Cache-Control: no-store")],
            id="longer-than-it-is-old",
        ),
        pytest.param(answer(status=206), get(), [], id="partial"),
        pytest.param(cc("max-age=9", "Content-Type: text/event-stream"), get(), [], id="event-stream"),
        pytest.param(cc("max-age=9"), get("Cache-Control: no-store"), [], id="the-request-s-own"),
    ],
)
def test_the_smallest_change_at_the_origin(
    head: ResponseHead, request_head: RequestHead, changes: list[tuple[str, str]]
) -> None:
    assert at_origin(refusal(head, request_head)) == changes


@pytest.mark.parametrize(
    ("head", "policy", "lines"),
    [
        (answer(), PLAIN, ["cache.default_ttl: 1m"]),
        (answer(status=404), PLAIN, ["cache.negative_ttl: 1m"]),
        (cc("max-age=0"), PLAIN, ["cache.override_ttl: 1m"]),
        (cc("max-age=9", "Set-Cookie: a=b"), PLAIN, ["cache.allow_set_cookie: true"]),
        (answer("Set-Cookie: a=b"), PLAIN, ["cache.default_ttl: 1m", "cache.allow_set_cookie: true"]),
        (cc("max-age=9"), CachePolicy(enabled=False), ["cache.enabled: true"]),
        (cc("no-store"), PLAIN, []),
    ],
)
def test_what_the_operator_may_set_instead(head: ResponseHead, policy: CachePolicy, lines: list[str]) -> None:
    assert on_route(refusal(head, policy=policy)) == lines


def test_what_may_be_of_one_client_is_advised_with_a_warning() -> None:
    for head in (cc("private"), cc("max-age=9", "Set-Cookie: a=b"), cc("no-store")):
        assert all(each.caution for each in refusal(head))
    assert all(not each.caution for each in refusal(answer()))
    assert refusal(cc("max-age=5"), AUTHORIZED)[0].caution


def test_what_is_too_large_wants_a_larger_limit_or_slices() -> None:
    head = cc("max-age=9", "Content-Length: 99999999")
    assert on_route(refusal(head)) == ["cache.max_object_size: 32MiB", "slice: 1MiB"]
    assert at_origin(refusal(head)) == []


@given(requests(), responses(), policies())
def test_who_does_what_is_advised_gets_it_stored_and_fresh(
    request: RequestHead, head: ResponseHead, policy: CachePolicy
) -> None:
    reason = storable(request, head, policy, T0)
    assume(reason not in (None, R.TOO_LARGE))
    assert reason is not None
    for each in on_refusal(request, head, policy, T0, reason):
        if each.at == "origin":
            after = replace(head, fields=applied(head.fields, each.changes))
            assert storable(request, after, policy, T0) is None
            age = corrected_initial_age(after.fields, T0, T0)
            assert freshness_lifetime(after, policy, T0).seconds > age


# --- what is stored


@given(requests(), responses(200, 404), policies(), st.integers(0, 100))
def test_who_does_what_is_advised_gets_it_answered_from_the_store(
    request: RequestHead, head: ResponseHead, policy: CachePolicy, later: int
) -> None:
    response = stored(head)
    for each in on_stored(request, response, policy, T0 + later):
        if each.at == "origin" and "304" not in each.effect:
            after = replace(response, fields=applied(response.fields, each.changes))
            decision = on_request(request, after, policy, T0 + later)
            assert isinstance(decision, UseStored | UseStaleAndRevalidate)


def test_a_hit_can_live_longer() -> None:
    advice = list(on_stored(get(), stored("max-age=60", ETAG), PLAIN, T0))
    assert at_origin(advice) == [("Cache-Control: max-age=600", "Cache-Control: max-age=60")]
    assert on_route(advice) == ["cache.override_ttl: 10m"]
    assert advice[0].effect == "it is fresh for another 600 s"


def test_what_is_stale_may_live_longer_or_be_used_stale() -> None:
    advice = list(on_stored(get(), stored("max-age=60, must-revalidate", ETAG), PLAIN, T0 + 70))
    told = [(each.at, each.changes[0].send) for each in advice]
    assert told == [
        ("origin", "Cache-Control: max-age=600, must-revalidate"),
        ("route", "cache.override_ttl: 10m"),
        ("origin", "Cache-Control: max-age=60, stale-while-revalidate=60"),
    ]


def test_an_operator_may_allow_stale_use() -> None:
    advice = list(on_stored(get(), stored("max-age=60", ETAG), PLAIN, T0 + 70))
    assert on_route(advice) == ["cache.override_ttl: 10m", "cache.stale_while_revalidate: 1m"]


def test_an_operator_may_let_heuristics_speak_again() -> None:
    response = stored(answer((b"Last-Modified", at(-90000)), status=405))
    lines = on_route(list(on_stored(get(), response, CachePolicy(heuristic=False), T0)))
    assert lines == ["cache.heuristic: true", "cache.stale_while_revalidate: 1m"]


def test_a_response_without_validator_wants_one() -> None:
    advice = on_stored(get(), stored("max-age=60"), PLAIN, T0)
    assert advice[-1].changes == (Change('ETag: "a-tag-of-this-version"'),)


def test_what_a_purge_made_stale_no_change_helps() -> None:
    advice = on_stored(get(), stored("max-age=60", ETAG), PLAIN, T0, soft_purged=True)
    assert [each for each in advice if "fresh" in each.effect] == []


def test_a_reload_with_max_age_leaves_what_is_immutable() -> None:
    advice = list(on_stored(get("Cache-Control: max-age=5"), stored("max-age=60", ETAG), PLAIN, T0 + 30))
    assert at_origin(advice) == [("Cache-Control: max-age=60, immutable", "Cache-Control: max-age=60")]


def test_directives_of_requests_can_be_switched_off() -> None:
    advice = list(on_stored(get("Cache-Control: no-cache"), stored("max-age=60", ETAG), PLAIN, T0))
    assert on_route(advice) == [
        "cache.request_directives: [max-age, max-stale, min-fresh, no-store, only-if-cached]"
    ]
    refused = refusal(cc("max-age=60"), get("Cache-Control: no-store"))
    assert on_route(refused) == [
        "cache.request_directives: [max-age, max-stale, min-fresh, no-cache, only-if-cached]"
    ]


def test_a_stored_part_can_live_longer_too() -> None:
    part = stored(cc("max-age=60", "Content-Range: bytes 0-9/20", ETAG, status=206))
    advice = list(on_stored(get("Range: bytes=2-3"), part, PLAIN, T0))
    assert at_origin(advice) == [("Cache-Control: max-age=600", "Cache-Control: max-age=60")]


# --- what suits others only


def test_a_vary_that_tells_clients_apart_may_be_narrower() -> None:
    sibling = stored("max-age=60", "Vary: User-Agent, Accept-Language", request=get("User-Agent: a"))
    advice = on_variant(get("User-Agent: b"), sibling, PLAIN)
    assert at_origin(list(advice)) == [("Vary: Accept-Language", "Vary: User-Agent, Accept-Language")]
    assert advice[0].caution
    sibling = stored("max-age=60", "Vary: Cookie", request=get("Cookie: a=b"))
    assert at_origin(list(on_variant(get(), sibling, PLAIN))) == [("", "Vary: Cookie")]


def test_codings_are_normalised_and_never_dropped_from_vary() -> None:
    sibling = stored("max-age=60", "Vary: Accept-Encoding", request=get("Accept-Encoding: gzip, deflate"))
    advice = list(on_variant(get("Accept-Encoding: gzip"), sibling, PLAIN))
    assert at_origin(advice) == []
    assert on_route(advice) == ["cache.vary.normalize: {accept-encoding: [br, gzip]}"]
    assert on_variant(get("Accept-Encoding: br"), sibling, PLAIN) == ()


def test_what_the_route_itself_tells_apart_is_not_the_origin_s_to_change() -> None:
    policy = keyed(b"x-tenant")
    sibling = stored(request=get("X-Tenant: a"), policy=policy)
    assert on_variant(get("X-Tenant: b"), sibling, policy) == ()


def test_the_proposed_lifetime_is_the_shortest_that_is_longer() -> None:
    assert [above(floor) for floor in (0, 59.9, 60, 1e9)] == [60, 60, 600, LIFETIMES[-1]]
