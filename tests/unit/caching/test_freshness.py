"""Freshness lifetimes (RFC 9111 §4.2.1, §4.2.2) and the operator's share in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.freshness import LifetimeSource, freshness_lifetime
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

from .values import T0, answer, at, cc, lines, stored

S = LifetimeSource
DAY = 86400
EXPIRES: RawField = (b"Expires", at(100))
MODIFIED: RawField = (b"Last-Modified", at(-1000))


@pytest.mark.parametrize(
    ("head", "seconds", "source"),
    [
        pytest.param(cc("max-age=60"), 60, S.MAX_AGE, id="s4.2.1-max-age"),
        pytest.param(cc("s-maxage=60"), 60, S.S_MAXAGE, id="s4.2.1-s-maxage"),
        pytest.param(cc("s-maxage=9, max-age=60"), 9, S.S_MAXAGE, id="s4.2.1-s-maxage-wins"),
        pytest.param(cc("max-age=1, s-maxage=60"), 60, S.S_MAXAGE, id="s4.2.1-s-maxage-wins-longer"),
        pytest.param(cc("max-age=60, s-maxage=x"), 0, S.S_MAXAGE, id="s4.2.1-invalid-s-maxage-is-stale"),
        pytest.param(cc("max-age=60", EXPIRES), 60, S.MAX_AGE, id="s5.3-max-age-wins-over-expires"),
        pytest.param(cc("max-age=0", EXPIRES), 0, S.MAX_AGE, id="s5.3-max-age-0-wins-over-expires"),
        pytest.param(cc("max-age=60", "Expires: 0"), 60, S.MAX_AGE, id="s5.3-max-age-wins-over-bad-expires"),
        pytest.param(answer(EXPIRES), 100, S.EXPIRES, id="s4.2.1-expires-minus-date"),
        pytest.param(cc("public", EXPIRES), 100, S.EXPIRES, id="s4.2.1-expires-beside-cache-control"),
        pytest.param(answer((b"Expires", at(-9))), 0, S.EXPIRES, id="s5.3-past"),
        pytest.param(answer((b"Expires", at(0))), 0, S.EXPIRES, id="s5.3-now"),
        pytest.param(answer("Expires: 0"), 0, S.EXPIRES, id="s5.3-invalid-means-expired"),
        pytest.param(answer("Expires: soon", MODIFIED), 0, S.EXPIRES, id="s5.3-invalid-is-no-silence"),
        pytest.param(
            answer((b"Expires", at(300)), (b"Date", at(400))), 0, S.EXPIRES, id="s5.3-both-clocks-ahead"
        ),
        pytest.param(
            answer((b"Expires", at(20)), (b"Date", at(10))), 10, S.EXPIRES, id="s4.2.1-date-counts-not-now"
        ),
        pytest.param(answer(EXPIRES, "Date: foo"), 100, S.EXPIRES, id="s6.6.1-invalid-date"),
        pytest.param(answer(EXPIRES, (b"Expires", at(5))), 100, S.EXPIRES, id="s4.2.1-first-of-two-expires"),
        pytest.param(
            answer("Expires: Sun, 21 Nov 2286 17:46:39 GMT"), 2**31, S.EXPIRES, id="s1.2.2-far-future"
        ),
        pytest.param(answer("CDN-Cache-Control: max-age=7"), 7, S.TARGETED, id="rfc9213-s2.2-targeted"),
        pytest.param(
            cc("max-age=60", "CDN-Cache-Control: s-maxage=7, max-age=9"),
            7,
            S.TARGETED,
            id="rfc9213-s2.2-s-maxage-in-targeted",
        ),
        pytest.param(
            answer(EXPIRES, "CDN-Cache-Control: public"), 0, S.NONE, id="rfc9213-s2.2-targeted-hides-expires"
        ),
        pytest.param(answer(), 0, S.NONE, id="s4.2.1-silent"),
        pytest.param(answer(MODIFIED), 100, S.HEURISTIC, id="s4.2.2-a-tenth-of-its-life"),
        pytest.param(answer((b"Last-Modified", at(-100 * DAY))), DAY, S.HEURISTIC, id="s4.2.2-at-most-a-day"),
        pytest.param(answer((b"Last-Modified", at(50))), 0, S.HEURISTIC, id="s4.2.2-modified-in-the-future"),
        pytest.param(answer("Last-Modified: foo"), 0, S.NONE, id="s4.2.2-invalid-last-modified"),
        pytest.param(cc("public", MODIFIED, status=599), 100, S.HEURISTIC, id="s4.2.2-public-allows"),
    ],
)
def test_lifetime(head: ResponseHead, seconds: float, source: LifetimeSource) -> None:
    lifetime = freshness_lifetime(head, CachePolicy(), T0)
    assert (lifetime.seconds, lifetime.source) == (seconds, source)


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_s4_2_2_heuristic_statuses(status: int) -> None:
    assert freshness_lifetime(answer(MODIFIED, status=status), CachePolicy(), T0).seconds == 100


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 400, 403, 429, 500, 502, 503, 504, 599])
def test_s4_2_2_no_heuristic_for_other_statuses(status: int) -> None:
    lifetime = freshness_lifetime(answer(MODIFIED, status=status), CachePolicy(), T0)
    assert (lifetime.seconds, lifetime.source) == (0, S.NONE)


def test_heuristics_can_be_off() -> None:
    assert freshness_lifetime(answer(MODIFIED), CachePolicy(heuristic=False), T0).source is S.NONE


OVERRIDE = CachePolicy(override_ttl=1000.0, default_ttl=5.0, negative_ttl=3.0)
DEFAULT = CachePolicy(default_ttl=5.0, negative_ttl=3.0)


@pytest.mark.parametrize(
    ("policy", "head", "seconds", "source"),
    [
        pytest.param(OVERRIDE, cc("max-age=60"), 1000, S.OVERRIDE_TTL, id="override-replaces-explicit"),
        pytest.param(OVERRIDE, answer(), 1000, S.OVERRIDE_TTL, id="override-where-silent"),
        pytest.param(
            OVERRIDE, answer("CDN-Cache-Control: max-age=7"), 1000, S.OVERRIDE_TTL, id="override-is-first"
        ),
        pytest.param(OVERRIDE, answer(status=302), 0, S.NONE, id="override-leaves-a-silent-302"),
        pytest.param(
            OVERRIDE, cc("max-age=1", status=302), 1000, S.OVERRIDE_TTL, id="override-takes-an-explicit-302"
        ),
        pytest.param(OVERRIDE, answer(status=404), 3, S.NEGATIVE_TTL, id="override-leaves-errors"),
        pytest.param(
            OVERRIDE, cc("max-age=9", status=404), 9, S.MAX_AGE, id="override-leaves-explicit-errors"
        ),
        pytest.param(OVERRIDE, answer(status=500), 3, S.NEGATIVE_TTL, id="override-never-keeps-a-500"),
        pytest.param(DEFAULT, answer(), 5, S.DEFAULT_TTL, id="default-where-silent"),
        pytest.param(DEFAULT, cc("public"), 5, S.DEFAULT_TTL, id="default-where-silent-about-time"),
        pytest.param(DEFAULT, cc("max-age=60"), 60, S.MAX_AGE, id="default-gives-way-to-explicit"),
        pytest.param(DEFAULT, cc("max-age=0"), 0, S.MAX_AGE, id="default-gives-way-to-zero"),
        pytest.param(DEFAULT, answer(MODIFIED), 5, S.DEFAULT_TTL, id="default-before-heuristic"),
        pytest.param(DEFAULT, answer(status=302), 0, S.NONE, id="default-not-for-302"),
        pytest.param(DEFAULT, answer(status=404), 3, S.NEGATIVE_TTL, id="negative-404"),
        pytest.param(DEFAULT, answer(status=503), 3, S.NEGATIVE_TTL, id="negative-503"),
        pytest.param(DEFAULT, cc("max-age=0", status=503), 0, S.MAX_AGE, id="negative-gives-way-to-explicit"),
        pytest.param(DEFAULT, answer(status=403), 0, S.NONE, id="negative-not-for-403"),
        pytest.param(DEFAULT, answer(status=400), 0, S.NONE, id="negative-not-for-400"),
        pytest.param(DEFAULT, answer(status=405), 0, S.NONE, id="negative-not-for-405"),
        pytest.param(
            CachePolicy(default_ttl=5.0),
            answer(MODIFIED, status=404),
            100,
            S.HEURISTIC,
            id="default-not-for-404",
        ),
        pytest.param(CachePolicy(default_ttl=-5.0), answer(), 0, S.DEFAULT_TTL, id="never-negative"),
    ],
)
def test_operator(policy: CachePolicy, head: ResponseHead, seconds: float, source: LifetimeSource) -> None:
    lifetime = freshness_lifetime(head, policy, T0)
    assert (lifetime.seconds, lifetime.source) == (seconds, source)


ADAPTIVE = CachePolicy(adaptive=(10.0, 100.0), negative_ttl=3.0)


@pytest.mark.parametrize(
    ("head", "learnt", "seconds", "source"),
    [
        pytest.param(answer(), 0, 10, S.ADAPTIVE, id="the-shortest-to-begin-with"),
        pytest.param(answer(), 40, 40, S.ADAPTIVE, id="what-is-learnt"),
        pytest.param(answer(), 500, 100, S.ADAPTIVE, id="at-most-the-longest"),
        pytest.param(answer(MODIFIED), 40, 40, S.ADAPTIVE, id="before-the-heuristic"),
        pytest.param(cc("public"), 40, 40, S.ADAPTIVE, id="public-says-nothing-of-time"),
        pytest.param(cc("max-age=7"), 40, 7, S.MAX_AGE, id="gives-way-to-the-origin"),
        pytest.param(cc("max-age=0"), 40, 0, S.MAX_AGE, id="gives-way-to-zero"),
        pytest.param(answer(EXPIRES), 40, 100, S.EXPIRES, id="gives-way-to-expires"),
        pytest.param(answer(status=404), 40, 3, S.NEGATIVE_TTL, id="not-for-errors"),
        pytest.param(answer(status=410), 40, 3, S.NEGATIVE_TTL, id="not-for-what-is-gone"),
        pytest.param(answer(MODIFIED, status=405), 40, 100, S.HEURISTIC, id="not-for-405"),
        pytest.param(answer(status=302), 40, 0, S.NONE, id="not-for-302"),
        pytest.param(answer(status=301), 40, 40, S.ADAPTIVE, id="for-301"),
    ],
)
def test_learnt(head: ResponseHead, learnt: float, seconds: float, source: LifetimeSource) -> None:
    lifetime = freshness_lifetime(stored(head, learnt=learnt), ADAPTIVE)
    assert (lifetime.seconds, lifetime.source) == (seconds, source)


@pytest.mark.parametrize(
    ("policy", "source"),
    [
        pytest.param(CachePolicy(adaptive=(10.0, 100.0), default_ttl=5.0), S.DEFAULT_TTL, id="default_ttl"),
        pytest.param(
            CachePolicy(adaptive=(10.0, 100.0), override_ttl=5.0), S.OVERRIDE_TTL, id="override_ttl"
        ),
    ],
)
def test_what_is_learnt_gives_way_to_the_operator(policy: CachePolicy, source: LifetimeSource) -> None:
    assert freshness_lifetime(stored("", learnt=40.0), policy).source is source


def test_a_head_has_learnt_nothing_yet() -> None:
    lifetime = freshness_lifetime(answer(), ADAPTIVE, T0)
    assert (lifetime.seconds, lifetime.source) == (10, S.ADAPTIVE)


def test_a_stored_response_knows_when_it_came() -> None:
    response = stored(ResponseHead(200, b"OK", 1, lines((b"Expires", at(100)), b_date := (b"Date", b"foo"))))
    assert b_date in response.fields.raw
    assert freshness_lifetime(response, CachePolicy()).seconds == 100


@given(st.binary(), st.binary(), st.floats(0, 2))
def test_jitter_only_shortens_and_is_the_same_everywhere(key: bytes, variant: bytes, jitter: float) -> None:
    response = stored("max-age=100", key=key, variant=variant)
    policy = CachePolicy(jitter=jitter)
    lifetime = freshness_lifetime(response, policy)
    assert 100 * (1 - min(jitter, 1)) - 1e-9 <= lifetime.seconds <= 100
    assert lifetime == freshness_lifetime(response, policy)
    assert lifetime.source is S.MAX_AGE


def test_jitter_spreads_keys() -> None:
    policy = CachePolicy(jitter=0.2)
    seconds = {freshness_lifetime(stored(key=b"%d" % n), policy).seconds for n in range(50)}
    assert len(seconds) > 40
