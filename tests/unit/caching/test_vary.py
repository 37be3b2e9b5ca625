"""Variants (RFC 9111 §4.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.vary import (
    cookie,
    matches,
    normalised_fields,
    preferred,
    selecting,
    selecting_names,
    variant_key,
    variant_of,
    varies_on_everything,
    vary_names,
)
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead

from .values import PLAIN, T0, at, cc, get, keyed, lines, stored

FRESH = "Cache-Control: max-age=60"


def varied(vary: str, *asked: RawField | str, policy: CachePolicy = PLAIN) -> StoredResponse:
    return stored("max-age=60", "Vary: " + vary, request=get(*asked), policy=policy)


@pytest.mark.parametrize(
    ("original", "presented", "vary", "selected"),
    [
        pytest.param(["Foo: 1"], ["Foo: 1"], "Foo", True, id="s4.1-match"),
        pytest.param(["Foo: 1"], ["Foo: 2"], "Foo", False, id="s4.1-no-match"),
        pytest.param([], ["Foo: 1"], "Foo", False, id="s4.1-original-lacks-it"),
        pytest.param(["Foo: 1"], [], "Foo", False, id="s4.1-presented-lacks-it"),
        pytest.param([], [], "Foo", True, id="s4.1-both-lack-it"),
        pytest.param(["Foo:"], [], "Foo", False, id="s4.1-empty-is-not-absent"),
        pytest.param(
            ["Foo: 1", "Other: 2"], ["Foo: 1", "Other: 3"], "Foo", True, id="s4.1-others-do-not-count"
        ),
        pytest.param(["Foo: 1", "Bar: a"], ["Bar: a", "foo: 1"], "Foo, Bar", True, id="s4.1-two"),
        pytest.param(["Foo: 1", "Bar: a"], ["Foo: 1"], "Foo, Bar", False, id="s4.1-two-of-which-one"),
        pytest.param(
            ["Foo: 1", "Baz: 9"], ["Foo: 1", "Baz: 9"], "Foo, Bar, Baz", True, id="s4.1-both-omit-one"
        ),
        pytest.param(["Foo: 1, 2"], ["Foo: 1", "Foo: 2"], "Foo", True, id="s4.1-lines-combine"),
        pytest.param(["Foo: 1"], ["Foo: 1"], "*", False, id="s4.1-star"),
        pytest.param(["Foo: 1"], ["Foo: 1"], "*, Foo", False, id="s4.1-star-first"),
        pytest.param(["Foo: 1"], ["Foo: 1"], "Foo, *", False, id="s4.1-star-last"),
        pytest.param(["Foo: 1"], ["Foo: 1"], ", *", False, id="s4.1-star-after-nothing"),
    ],
)
def test_matches(original: list[str], presented: list[str], vary: str, selected: bool) -> None:
    assert matches(varied(vary, *original), get(*presented), PLAIN) is selected


def test_without_vary_every_request_matches() -> None:
    assert matches(stored(), get("Foo: 1"), PLAIN)


def test_star_may_stand_on_a_line_of_its_own() -> None:
    fields = lines("Vary: Foo", "Vary:", "Vary: *")
    assert varies_on_everything(fields)
    assert vary_names(fields) == {b"foo", b"*"}
    assert selecting_names(fields, PLAIN) == (b"foo",)


@pytest.mark.parametrize(
    ("content_language", "asked", "suits"),
    [
        pytest.param("de", "fr;q=0.5, de;q=1.0", True, id="the-dearest"),
        pytest.param("DE", "de", True, id="case"),
        pytest.param("de", "de;q=0.5, fr", False, id="not-the-dearest"),
        pytest.param("de", "de, fr", False, id="one-of-two-equals"),
        pytest.param("de", "de;q=0", False, id="refused"),
        pytest.param("de", ", ", False, id="nothing"),
        pytest.param("de-AT", "de", False, id="only-exactly"),
        pytest.param(None, "de", False, id="language-unknown"),
        pytest.param("de", None, False, id="no-wish"),
    ],
)
def test_a_language_wanted_most_is_a_match_if_it_is_stored(
    content_language: str | None, asked: str | None, suits: bool
) -> None:
    fields = [] if content_language is None else ["Content-Language: " + content_language]
    head = cc("max-age=60", "Vary: Accept-Language", *fields)
    response = stored(head, request=get("Accept-Language: en, de"))
    presented = get() if asked is None else get("Accept-Language: " + asked)
    assert matches(response, presented, PLAIN) is suits


def test_a_language_helps_only_if_nothing_else_differs() -> None:
    head = cc("max-age=60", "Vary: Accept-Language, Foo", "Content-Language: de")
    response = stored(head, request=get("Accept-Language: en, de", "Foo: 1"))
    assert matches(response, get("Accept-Language: de", "Foo: 1"), PLAIN)
    assert not matches(response, get("Accept-Language: de", "Foo: 2"), PLAIN)


def test_a_policy_that_names_more_matches_nothing_stored_before() -> None:
    response = varied("Accept-Language", "Accept-Language: de")
    assert not matches(response, get("Accept-Language: de"), keyed(b"x-tenant"))
    assert not matches(varied("Foo", "Foo: 1"), get("Foo: 1", "Bar: 1"), keyed(b"bar"))


def test_headers_and_cookies_of_the_route_are_part_of_the_variant() -> None:
    policy = keyed(b"x-tenant", cookies=(b"plan",))
    asked = get("X-Tenant: a", "Cookie: x=1; plan=pro; plan=free")
    assert selecting(asked, lines("Vary: Foo"), policy) == (
        (b"cookie:plan", b"pro"),
        (b"foo", None),
        (b"x-tenant", b"a"),
    )
    response = stored("max-age=60", request=asked, policy=policy)
    assert matches(response, asked, policy)
    assert not matches(response, get("X-Tenant: b", "Cookie: plan=pro"), policy)
    assert not matches(response, get("X-Tenant: a", "Cookie: plan=free"), policy)
    assert not matches(response, get("X-Tenant: a"), policy)


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        pytest.param(["Cookie: a=1; b=2"], b"2", id="second"),
        pytest.param(["Cookie: a=1", "Cookie: b=2"], b"2", id="second-line"),
        pytest.param(["Cookie: b=x=y"], b"x=y", id="equals-in-the-value"),
        pytest.param(["Cookie: b="], b"", id="empty"),
        pytest.param(["Cookie: b; bb=1"], None, id="no-value"),
        pytest.param([], None, id="none"),
    ],
)
def test_cookie(fields: list[str], value: bytes | None) -> None:
    assert cookie(lines(*fields), b"b") == value


def test_the_variant_key_is_empty_where_nothing_selects() -> None:
    assert variant_key(()) == b""
    assert stored().variant == b""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            ((b"a", b"1"), (b"b", b"2")), ((b"a", b"1b"), (b"", b"2")), id="parts-do-not-run-together"
        ),
        pytest.param(((b"a", None),), ((b"a", b""),), id="absent-is-not-empty"),
        pytest.param(((b"a", b"1"),), ((b"b", b"1"),), id="names-count"),
    ],
)
def test_variant_keys_differ(
    one: tuple[tuple[bytes, bytes | None], ...], other: tuple[tuple[bytes, bytes | None], ...]
) -> None:
    assert variant_key(one) != variant_key(other)


def test_variant_of_is_what_was_stored() -> None:
    response = varied("Foo, Bar", "Foo: 1")
    names = tuple(name for name, _ in response.selecting)
    assert variant_of(get("foo: 1"), names, PLAIN) == response.variant
    assert variant_of(get("foo: 2"), names, PLAIN) != response.variant


def dated(date: float, *fields: str, request: RequestHead | None = None, time: float = T0) -> StoredResponse:
    return stored(cc("max-age=60", (b"Date", at(date)), *fields), request=request, time=time)


def test_s4_the_most_recent_by_date_is_preferred() -> None:
    old, new = dated(-20), dated(-10)
    assert preferred([new, old]) is new
    assert preferred([old, new]) is new


def test_of_one_date_the_last_to_come_is_preferred() -> None:
    first, last = dated(0), dated(0, time=T0 + 1)
    assert preferred([last, first]) is last


def test_none_is_preferred_of_none() -> None:
    assert preferred([]) is None


def test_s4_1_an_answer_that_forgets_vary_gives_way_to_one_that_has_it() -> None:
    english = dated(-10, "Vary: Accept-Language", request=get("Accept-Language: en"))
    default = dated(0)
    assert preferred([english, default]) is english
    assert preferred([default, english]) is english


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Request-Id", "traceparent"])
def test_what_each_request_to_an_origin_gets_anew_varies_like_a_star(name: str) -> None:
    assert varies_on_everything(lines(f"Vary: Accept, {name}"))


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X-Forwarded-Host", "Host"])
def test_what_follows_from_the_key_selects_nothing(name: str) -> None:
    assert selecting_names(lines(f"Vary: {name}, Accept"), PLAIN) == (b"accept",)


def test_s4_1_without_any_vary_there_is_nothing_to_give_way_to() -> None:
    old, new = dated(-20), dated(0)
    assert preferred([old, new]) is new


NORMALIZE = CachePolicy(
    vary_normalize=(
        (b"accept-encoding", (b"br", b"gzip")),
        (b"accept-language", (b"en", b"de")),
        (b"x-device", (b"mobile",)),
    )
)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        pytest.param(
            ["accept-encoding: gzip, deflate, br", "X: 1"], ["accept-encoding: br", "X: 1"], id="replaced"
        ),
        pytest.param(["X: 1"], ["X: 1", "Accept-Encoding: identity"], id="made-explicit"),
        pytest.param(
            ["Accept-Language: fr", "Accept-Encoding: br"], ["Accept-Encoding: br"], id="no-known-language"
        ),
        pytest.param(
            ["Accept-Language: de-AT", "Accept-Encoding: br"],
            ["Accept-Language: de", "Accept-Encoding: br"],
            id="language",
        ),
        pytest.param(
            ["X-Device: watch", "Accept-Encoding: br"],
            ["X-Device: watch", "Accept-Encoding: br"],
            id="only-negotiation-is-changed",
        ),
    ],
)
def test_the_origin_sees_what_the_variant_stands_for(asked: list[str], sent: list[str]) -> None:
    assert normalised_fields(get(*asked), NORMALIZE) == lines(*sent)


def test_without_a_policy_the_origin_sees_what_came() -> None:
    asked = get("Accept-Encoding: gzip")
    assert normalised_fields(asked, PLAIN) is asked.fields


VALUES = st.sampled_from(["1", "2", "1,2", "1, 2", ""])
ASKED = st.dictionaries(st.sampled_from(["Foo", "Bar", "Accept-Language"]), VALUES)


@given(ASKED, ASKED, st.sampled_from(["Foo", "Foo, Bar", "Accept-Language, Foo", "Bar"]))
def test_a_match_means_the_same_variant_key_and_back(
    original: dict[str, str], presented: dict[str, str], vary: str
) -> None:
    response = varied(vary, *(f"{name}: {value}" for name, value in original.items()))
    now = get(*(f"{name}: {value}" for name, value in presented.items()))
    names = tuple(name for name, _ in response.selecting)
    assert matches(response, now, PLAIN) is (variant_of(now, names, PLAIN) == response.variant)
