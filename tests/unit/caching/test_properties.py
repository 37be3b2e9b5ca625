"""What holds for every response, request and moment: sharing, age, windows, freshening, selection."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.age import age_value, current_age, date_value
from edgeproxy.caching.decide import (
    OnRequest,
    UseStale,
    UseStaleAndRevalidate,
    UseStored,
    on_failure,
    on_request,
)
from edgeproxy.caching.directives import of_request
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stale import Occasion, stale_allowance
from edgeproxy.caching.storability import storable
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.caching.validation import conditional_fields, freshen
from edgeproxy.caching.vary import matches, preferred, vary_names
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .values import PLAIN, T0, answer, at, get, stored

PERMISSIONS = {b"s-maxage", b"public", b"must-revalidate"}  # §3.5
OF_CONTENT = (b"content-length", b"content-encoding", b"content-range", b"content-md5", b"content-digest")

WORDS = [
    *[
        "no-store",
        "private",
        'private="X-A"',
        "no-cache",
        'no-cache="X-A, Set-Cookie"',
        "public",
        "max-age=60",
    ],
    *["max-age=0", "max-age=x", "s-maxage=60", "s-maxage=0", "must-revalidate", "proxy-revalidate"],
    *["must-understand", "immutable", "stale-while-revalidate=60", "stale-if-error=60", "stale-if-error=0"],
]
CONTROLS = st.lists(st.sampled_from(WORDS), max_size=4).map(", ".join)
MAYBE = ['ETag: "v1"', "Age: 7", "Set-Cookie: a=b", "Vary: Foo", "Vary: *", "Content-Encoding: gzip"]
NUMBERS = st.integers(0, 10**6)


@st.composite
def answers(draw: st.DrawFn, *, targeted: bool = True) -> ResponseHead:
    lines: list[RawField | str] = ["X-A: 1"]
    if draw(st.booleans()):
        lines.append("Cache-Control: " + draw(CONTROLS))
    if targeted and draw(st.integers(0, 4)) == 0:
        lines.append("CDN-Cache-Control: " + draw(CONTROLS))
    for name, offsets in (("Expires", [-5, 0, 60]), ("Last-Modified", [-1000, 0, 5])):
        if draw(st.booleans()):
            lines.append((name.encode(), at(draw(st.sampled_from(offsets)))))
    lines += draw(st.lists(st.sampled_from(MAYBE), max_size=3, unique=True))
    lines.append((b"Date", at(draw(st.sampled_from([-60, -5, 0, 0, 0, 30])))))
    return answer(*lines, status=draw(st.sampled_from([200, 200, 200, 203, 299, 301, 302, 404, 500, 503])))


@st.composite
def requests(draw: st.DrawFn) -> RequestHead:
    lines: list[RawField | str] = []
    wishes = [
        "max-age=30",
        "max-stale",
        "max-stale=20",
        "min-fresh=5",
        "no-cache",
        "only-if-cached",
        "no-store",
    ]
    asked = draw(st.lists(st.sampled_from(wishes), max_size=2))
    if asked:
        lines.append("Cache-Control: " + ", ".join(asked))
    if draw(st.booleans()):
        lines.append("Foo: " + draw(st.sampled_from(["1", "2", ""])))
    client = draw(st.sampled_from(["", "", "a", "b"]))
    if client:
        lines.append("Authorization: Basic " + client)
    return get(*lines)


POLICIES = st.builds(
    CachePolicy,
    override_ttl=st.sampled_from([None, None, 100.0]),
    default_ttl=st.sampled_from([None, 10.0]),
    negative_ttl=st.sampled_from([None, 5.0]),
    stale_while_revalidate=st.sampled_from([None, 100.0]),
    stale_if_error=st.sampled_from([None, 0.0, 100.0]),
    jitter=st.sampled_from([0.0, 0.1]),
)
AFTER = st.one_of(st.sampled_from([0.0, 59.9, 60.0, 60.1, 119.9, 120.0, 120.1]), st.floats(0, 10_000))


def used(outcome: OnRequest) -> bool:
    return isinstance(outcome, UseStored | UseStaleAndRevalidate)


# --- sharing, §3, §3.5, §4.1, §5.2.2.5, §5.2.2.7, §7.3


@given(requests(), answers(), POLICIES, requests(), AFTER)
def test_s3_what_must_not_be_shared_is_never_reused(
    a: RequestHead, head: ResponseHead, policy: CachePolicy, b: RequestHead, after: float
) -> None:
    """By the way a response takes: stored where that is allowed, selected, and decided about."""
    if storable(a, head, policy, T0) is not None:
        return
    response = stored(head, request=a, policy=policy)
    if not matches(response, b, policy) or not used(on_request(b, response, policy, T0 + after)):
        return
    directives = binding(head.fields, policy).directives
    assert not directives.bare(b"private")
    assert b"no-store" not in directives or b"must-understand" in directives
    assert b"no-store" not in of_request(a.fields)
    assert b"*" not in vary_names(head.fields)
    assert b"set-cookie" not in response.fields
    for name in directives.named_fields(b"private") | directives.named_fields(b"no-cache"):
        assert name not in response.fields
    if b"foo" in vary_names(head.fields):
        assert a.fields.get(b"foo") == b.fields.get(b"foo")


@given(requests(), answers(), POLICIES, requests(), AFTER, st.booleans(), answers())
def test_s3_5_b_never_gets_what_was_stored_for_a_s_authorization(
    a: RequestHead,
    head: ResponseHead,
    policy: CachePolicy,
    b: RequestHead,
    after: float,
    freshened: bool,
    update: ResponseHead,
) -> None:
    """Whoever stored it and whatever a 304 made of it; b may even be a with other credentials, or none."""
    a = replace(a, fields=a.fields.without((b"authorization",)).plus((b"Authorization", b"Basic a")))
    response = stored(head, request=a, policy=policy)
    if freshened:
        response = freshen(response, update, T0, T0, policy, b)
    allowed = PERMISSIONS & binding(response.fields, policy).directives.arguments.keys()
    got = used(on_request(b, response, policy, T0 + after))
    assert allowed or not got
    assert storable(a, head, policy, T0) is not None or PERMISSIONS & set(
        binding(head.fields, policy).directives.arguments
    )


# --- age, §4.2.3


@given(NUMBERS, st.integers(-(10**6), 10**6), st.floats(0, 100), st.floats(-100, 10**6), st.floats(0, 10**6))
def test_s4_2_3_age_never_falls_and_is_at_least_what_came(
    age: int, date: int, delay: float, first: float, later: float
) -> None:
    response = stored(answer((b"Age", b"%d" % age), (b"Date", at(date))), delay=delay)
    before, after = current_age(response, T0 + first), current_age(response, T0 + first + later)
    assert 0 <= before <= after
    assert before >= age_value(response.fields) == age


@given(answers(), POLICIES, AFTER, requests())
def test_s4_2_ttl_and_age_are_the_lifetime(
    head: ResponseHead, policy: CachePolicy, after: float, request: RequestHead
) -> None:
    response, now = stored(head, policy=policy), T0 + after
    outcome = on_request(request, response, policy, now)
    if isinstance(outcome, UseStored | UseStaleAndRevalidate):
        age = current_age(response, now)
        assert outcome.age == int(age)
        assert abs(outcome.ttl + age - outcome.lifetime.seconds) < 1e-6
        assert (outcome.ttl > 0) is (age < outcome.lifetime.seconds)


# --- windows, §4.2.4, RFC 5861


@given(answers(), POLICIES, AFTER, requests())
def test_s4_2_4_a_stale_response_is_used_inside_a_window_only(
    head: ResponseHead, policy: CachePolicy, after: float, request: RequestHead
) -> None:
    response = stored(head, policy=policy)
    outcome = on_request(request, response, policy, T0 + after)
    if not isinstance(outcome, UseStored | UseStaleAndRevalidate) or outcome.ttl > 0:
        return
    directives, asked = binding(head.fields, policy).directives, of_request(request.fields)
    assert not {b"must-revalidate", b"proxy-revalidate"} & directives.arguments.keys()
    assert not directives.bare(b"no-cache")
    if isinstance(outcome, UseStaleAndRevalidate):
        assert -outcome.ttl < stale_allowance(response, policy, Occasion.REVALIDATING).seconds
    else:
        limit = asked.delta(b"max-stale")
        assert asked.bare(b"max-stale") or (limit is not None and -outcome.ttl <= limit)
        assert b"s-maxage" not in directives


@given(answers(), POLICIES, AFTER, requests(), st.booleans())
def test_rfc5861_s4_an_error_is_covered_inside_a_window_only(
    head: ResponseHead, policy: CachePolicy, after: float, request: RequestHead, disconnected: bool
) -> None:
    response = stored(head, policy=policy)
    outcome = on_failure(request, response, policy, T0 + after, disconnected=disconnected)
    if not isinstance(outcome, UseStale) or outcome.ttl > 0:
        return
    directives = binding(head.fields, policy).directives
    own = directives.lifetime(b"stale-if-error")
    operators = policy.stale_if_error
    if operators is None:
        operators = policy.stale_if_disconnected if disconnected else 0.0
    assert -outcome.ttl < (operators if own is None else own)
    assert not {b"must-revalidate", b"proxy-revalidate"} & directives.arguments.keys()
    assert own is not None or b"s-maxage" not in directives
    assert response.status < 500


# --- freshening, §3.2


@given(answers(), answers(), requests(), POLICIES)
def test_s3_2_freshening_keeps_what_describes_the_content(
    head: ResponseHead, update: ResponseHead, request: RequestHead, policy: CachePolicy
) -> None:
    old = stored(head, policy=policy)
    new = freshen(old, update, T0 + 99, T0 + 100, policy, request)
    for name in OF_CONTENT:
        assert new.fields.get_all(name) == old.fields.get_all(name)
    assert (new.body, new.size, new.status, new.key) == (old.body, old.size, old.status, old.key)
    assert new.fields.get_all(b"set-cookie") in ([], old.fields.get_all(b"set-cookie"))
    assert len(new.fields.get_all(b"date")) == 1
    # Its age starts with the update: none of the old one's is left.
    assert current_age(new, T0 + 100) <= max(1 + age_value(update.fields), 100 + 60)


@given(answers(), answers(), requests(), POLICIES)
def test_s3_2_freshening_twice_with_the_same_answer_changes_nothing(
    head: ResponseHead, update: ResponseHead, request: RequestHead, policy: CachePolicy
) -> None:
    once = freshen(stored(head, policy=policy), update, T0, T0, policy, request)
    twice = freshen(once, update, T0, T0, policy, request)
    assert sorted(twice.fields) == sorted(once.fields)
    assert replace(twice, fields=once.fields) == once


# --- selection, §4.1


VALUES = st.one_of(st.none(), st.text("ab,", max_size=3))


def asking(foo: str | None, bar: str | None) -> RequestHead:
    return get(*(f"{name}: {value}" for name, value in (("Foo", foo), ("Bar", bar)) if value is not None))


@given(VALUES, VALUES, VALUES, VALUES, st.sampled_from(["Foo", "Foo, Bar"]))
def test_s4_1_equal_selecting_fields_select_and_unequal_ones_never(
    foo: str | None, bar: str | None, other_foo: str | None, other_bar: str | None, vary: str
) -> None:
    """Equal but for blanks at commas, of which there are none here."""
    response = stored("max-age=60", "Vary: " + vary, request=asking(foo, bar))
    equal = foo == other_foo and (bar == other_bar or vary == "Foo")
    assert matches(response, asking(other_foo, other_bar), PLAIN) is equal


@given(st.lists(st.tuples(st.integers(-50, 0), st.booleans()), min_size=1, max_size=5))
def test_s4_1_the_one_to_use_is_the_most_recent_of_those_with_vary(kinds: list[tuple[int, bool]]) -> None:
    suitable = [
        stored(answer(*(["Vary: Foo"] if varies else []), (b"Date", at(date)))) for date, varies in kinds
    ]
    chosen = preferred(suitable)
    assert chosen is not None
    for other in suitable:
        assert (b"vary" in chosen.fields) >= (b"vary" in other.fields)
        if (b"vary" in chosen.fields) == (b"vary" in other.fields):
            assert date_value(chosen.fields, T0) >= date_value(other.fields, T0)


# --- use, §3


def has_a_use(response: StoredResponse, policy: CachePolicy) -> bool:
    """Whether at some moment a plain request, or a failure, gets it or has it validated."""
    moments = (T0, T0 + 0.5)
    plain = get()
    return (
        bool(conditional_fields(response))
        or any(used(on_request(plain, response, policy, moment)) for moment in moments)
        or used(on_request(get("Cache-Control: max-stale"), response, policy, T0))
        or isinstance(on_failure(plain, response, policy, T0, disconnected=True), UseStale)
    )


@given(requests(), answers(), POLICIES)
def test_s3_what_is_stored_can_be_of_use(
    request: RequestHead, head: ResponseHead, policy: CachePolicy
) -> None:
    """But for what has outlived its lifetime and windows when it comes: storing does not look at its age."""
    if storable(request, head, policy, T0) is not None:
        return
    response = stored(head, request=request, policy=policy)
    directives = binding(response.fields, policy).directives
    windows = (directives.delta(b"stale-while-revalidate") or 0, directives.delta(b"stale-if-error") or 0)
    span = freshness_lifetime(response, policy).seconds + max(windows)
    assert has_a_use(response, policy) or 0 < span <= current_age(response, T0)
