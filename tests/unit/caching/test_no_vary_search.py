"""No-Vary-Search (draft-ietf-httpbis-no-vary-search): read, and queries compared by it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.no_vary_search import EXACT, LONGEST, SearchVariance, search_variance
from edgeproxy.wire.fields import Fields

from .values import lines


def ignoring(*names: str, ordered: bool = True) -> SearchVariance:
    return SearchVariance(ordered, frozenset(names))


def only(*names: str, ordered: bool = True) -> SearchVariance:
    return SearchVariance(ordered, only=frozenset(names))


def read(value: str) -> SearchVariance:
    return search_variance(lines("No-Vary-Search: " + value))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        pytest.param("key-order", SearchVariance(ordered=False), id="key-order"),
        pytest.param("key-order=?1", SearchVariance(ordered=False), id="key-order-true"),
        pytest.param("key-order=?0", EXACT, id="key-order-false-is-the-default"),
        pytest.param("params", only(), id="params-none-counts"),
        pytest.param("params=?1", only(), id="params-true"),
        pytest.param("params=?0", EXACT, id="params-false-is-the-default"),
        pytest.param('params=("a")', ignoring("a"), id="params-one"),
        pytest.param('params=("a" "b")', ignoring("a", "b"), id="params-two"),
        pytest.param("params=()", EXACT, id="params-empty-ignores-nothing"),
        pytest.param('params=("")', ignoring(""), id="params-the-empty-name"),
        pytest.param('params, except=("a")', only("a"), id="except-one"),
        pytest.param('except=("a" "b"), params', only("a", "b"), id="except-before-params"),
        pytest.param("params, except=()", only(), id="except-nothing"),
        pytest.param('key-order, params=("a")', ignoring("a", ordered=False), id="both"),
        pytest.param('key-order, params, except=("a")', only("a", ordered=False), id="all-three"),
        pytest.param('params=("a"), unknown=5', ignoring("a"), id="unknown-members-are-passed-over"),
        pytest.param('params=("a";x=1);y, key-order;z', ignoring("a", ordered=False), id="parameters-too"),
        pytest.param('params=("a"), params=("b")', ignoring("b"), id="rfc9651-s3.2-the-last-of-two"),
        pytest.param('params=("caf%c3%a9")', ignoring("cafÃ©"), id="names-are-percent-decoded"),
        pytest.param('params=("a+b")', ignoring("a b"), id="plus-is-a-blank"),
        pytest.param('params=("a%2Bb")', ignoring("a+b"), id="percent-2b-is-a-plus"),
        pytest.param('params=("a&b")', ignoring("a&b"), id="an-ampersand-is-of-the-name"),
        pytest.param('params=("a=b")', ignoring("a=b"), id="an-equals-sign-is-of-the-name"),
        pytest.param('params=("&" "=")', ignoring("&", "="), id="signs-alone"),
        pytest.param('params=("%zz")', ignoring("%zz"), id="what-is-no-escape-stays"),
    ],
)
def test_what_is_said(value: str, rule: SearchVariance) -> None:
    assert read(value) == rule


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("key-order=1", id="key-order-number"),
        pytest.param('key-order="a"', id="key-order-string"),
        pytest.param('key-order=("a"), params', id="key-order-list"),
        pytest.param('key-order=yes, params=("a")', id="key-order-token-spoils-params"),
        pytest.param("params=1", id="params-number"),
        pytest.param("params=a", id="params-token"),
        pytest.param('params="a"', id="params-string"),
        pytest.param("params=:YQ==:", id="params-bytes"),
        pytest.param("params=@1", id="params-date"),
        pytest.param("params=(a)", id="params-list-of-tokens"),
        pytest.param("params=(1)", id="params-list-of-numbers"),
        pytest.param("params=(?1)", id="params-list-of-booleans"),
        pytest.param("params=(:YQ==:)", id="params-list-of-bytes"),
        pytest.param('params=(%"a")', id="params-list-of-display-strings"),
        pytest.param('params=("a" b)', id="params-one-of-them-is-no-string"),
        pytest.param('except=("a")', id="except-without-params"),
        pytest.param('params=?0, except=("a")', id="except-with-params-false"),
        pytest.param('params=("a"), except=("b")', id="except-with-a-list"),
        pytest.param("params, except", id="except-true"),
        pytest.param("params, except=a", id="except-token"),
        pytest.param('params, except="a"', id="except-string"),
        pytest.param("params, except=(1)", id="except-list-of-numbers"),
        pytest.param('params=("a"', id="rfc9651-unterminated"),
        pytest.param('params=(("a"))', id="rfc9651-nested"),
        pytest.param('("a")', id="rfc9651-no-dictionary"),
        pytest.param("PARAMS", id="rfc9651-capitals"),
        pytest.param("params,", id="rfc9651-trailing-comma"),
        pytest.param('params=("\xe9")', id="rfc9651-not-ascii"),
        pytest.param("", id="empty"),
        pytest.param("unknown", id="nothing-known"),
    ],
)
def test_what_is_malformed_is_the_default(value: str) -> None:
    rule = read(value)
    assert rule == EXACT
    assert not rule


def test_absent_is_the_default() -> None:
    assert search_variance(Fields([])) == EXACT


def test_several_lines_are_one_dictionary() -> None:
    fields = lines('No-Vary-Search: params=("a")', "No-Vary-Search: key-order")
    assert search_variance(fields) == ignoring("a", ordered=False)


def test_a_value_too_long_to_be_remembered_is_read_all_the_same() -> None:
    names = [f"name{number}" for number in range(100)]
    listed = " ".join(f'"{name}"' for name in names)
    assert read(f"params=({listed})") == ignoring(*names)


@pytest.mark.parametrize("rule", [SearchVariance(ordered=False), ignoring("a"), only(), only("a")])
def test_a_rule_that_differs_from_the_default_is_true(rule: SearchVariance) -> None:
    assert rule


@pytest.mark.parametrize(
    ("rule", "one", "other", "equal"),
    [
        pytest.param(ignoring("a"), b"a=1&b=2", b"b=2", True, id="ignored"),
        pytest.param(ignoring("a"), b"a=1&a=2&b", b"b=", True, id="ignored-each-time"),
        pytest.param(ignoring("a"), b"b=2&c=3", b"c=3&b=2", False, id="order-counts"),
        pytest.param(ignoring("a"), b"b=2", b"b=3", False, id="values-count"),
        pytest.param(ignoring("a"), b"A=1", b"", False, id="names-keep-their-case"),
        pytest.param(only("a"), b"a=1&b=2", b"c=3&a=1", True, id="only"),
        pytest.param(only("a"), b"a=1", b"a=2", False, id="only-and-it-differs"),
        pytest.param(only("a"), b"a=1", b"b=1", False, id="only-and-it-is-missing"),
        pytest.param(only(), b"a=1", b"", True, id="nothing-counts"),
        pytest.param(SearchVariance(ordered=False), b"b=2&a=1", b"a=1&b=2", True, id="key-order"),
        pytest.param(SearchVariance(ordered=False), b"a=1&a=2", b"a=2&a=1", False, id="order-of-one-name"),
        pytest.param(SearchVariance(ordered=False), b"a=1&b=&a=2", b"b&a=1&a=2", True, id="stable"),
        pytest.param(ignoring("x"), b"a=%41+b", b"a=A%20b", True, id="percent-decoded"),
        pytest.param(ignoring("x"), b"a=\xc3\xa9", b"a=%C3%A9", True, id="bytes-as-they-are"),
        pytest.param(ignoring("x"), b"a=%FF", b"a=%FE", False, id="bytes-that-are-no-utf-8"),
        pytest.param(ignoring("x"), b"a=b%26c=d", b"a=b&c=d", False, id="an-escaped-ampersand-joins-nothing"),
        pytest.param(ignoring("x"), b"a%3Db=c", b"a=b%3Dc", False, id="an-escaped-equals-sign-parts-nothing"),
        pytest.param(ignoring("x"), b"&&a=1&", b"a=1", True, id="empty-pairs"),
        pytest.param(ignoring("a&b"), b"a%26b=1", b"", True, id="a-name-with-an-ampersand"),
        pytest.param(ignoring("a&b"), b"a=1&b=2", b"", False, id="and-not-its-parts"),
        pytest.param(ignoring(""), b"=1&b", b"b", True, id="the-empty-name"),
        pytest.param(ignoring("a b"), b"a+b=1", b"a%20b=2", True, id="a-name-with-a-blank"),
    ],
)
def test_queries_that_a_rule_calls_equal(rule: SearchVariance, one: bytes, other: bytes, equal: bool) -> None:
    assert (rule.canonical(one) == rule.canonical(other)) is equal


# --- by the draft's own definition, written down a second time

NAMES = ("a", "b", "a&b", "a=b", "é", " ", "")
RULES = st.builds(
    SearchVariance,
    st.booleans(),
    st.frozensets(st.sampled_from(NAMES)),
    st.none() | st.frozensets(st.sampled_from(NAMES)),
).filter(bool)
WORDS = st.sampled_from(
    (b"a", b"b", b"%61", b"a%26b", b"a%3db", b"%E9", b"\xe9", b"+", b"%20", b"", b"%", b"%g1", b"1")
)
PAIRS = st.tuples(WORDS, st.sampled_from((b"", b"=", b"==")), WORDS).map(b"".join)
QUERIES = st.lists(PAIRS, max_size=4).map(b"&".join)


def decoded(text: bytes) -> str:
    escape = re.compile(rb"%([0-9A-Fa-f]{2})")
    return escape.sub(lambda found: bytes([int(found[1], 16)]), text.replace(b"+", b" ")).decode("latin-1")


def compared(query: bytes, rule: SearchVariance) -> list[tuple[str, str]]:
    """What is left of a query when two are compared: the draft's steps, one by one."""
    pairs = []
    for sequence in query.split(b"&"):
        if sequence:
            name, _, value = sequence.partition(b"=")
            pairs.append((decoded(name), decoded(value)))
    if rule.only is not None:
        pairs = [pair for pair in pairs if pair[0] in rule.only]
    else:
        pairs = [pair for pair in pairs if pair[0] not in rule.ignored]
    if not rule.ordered:
        pairs = sorted(pairs, key=lambda pair: pair[0])
    return pairs


@given(RULES, QUERIES, QUERIES)
def test_canonical_queries_are_equal_where_the_draft_says_so(
    rule: SearchVariance, one: bytes, other: bytes
) -> None:
    equal = compared(one, rule) == compared(other, rule)
    assert (rule.canonical(one) == rule.canonical(other)) is equal


@given(RULES, st.lists(PAIRS, max_size=4), st.randoms())
def test_a_shuffled_query_is_equal_only_where_the_draft_says_so(
    rule: SearchVariance, pairs: list[bytes], random: object
) -> None:
    shuffled = sorted(pairs, key=lambda _: random.random())  # type: ignore[attr-defined]
    one, other = b"&".join(pairs), b"&".join(shuffled)
    equal = compared(one, rule) == compared(other, rule)
    assert (rule.canonical(one) == rule.canonical(other)) is equal


@given(RULES, QUERIES | st.binary(max_size=30))
def test_a_canonical_query_is_its_own_canonical_query(rule: SearchVariance, query: bytes) -> None:
    canonical = rule.canonical(query)
    assert rule.canonical(canonical) == canonical
    assert compared(canonical, rule) == compared(query, rule)


MEMBERS = st.sampled_from(
    (
        "key-order",
        "key-order=?0",
        "params",
        'params=("a")',
        "params=(a)",
        'except=("b")',
        "except",
        "x=1",
        '"',
    )
)


@given(st.binary(max_size=40) | st.lists(MEMBERS, max_size=4).map(lambda said: ", ".join(said).encode()))
def test_no_value_is_refused(value: bytes) -> None:
    rule = search_variance(Fields([(b"No-Vary-Search", value)]))
    assert not (rule.ignored and rule.only is not None)
    rule.canonical(b"a=1")


def test_a_field_too_long_to_be_meant_is_not_read() -> None:
    names = " ".join(f'"{number}"' for number in range(1000))
    assert len(names) > LONGEST
    assert search_variance(lines(f"No-Vary-Search: params=({names})")) is EXACT
