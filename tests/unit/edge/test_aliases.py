"""Which queries share a stored response, and how much of that is remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.no_vary_search import SearchVariance
from edgeproxy.edge.aliases import (
    LONGEST,
    MOST,
    MOST_PARAMETERS,
    MOST_PATHS,
    MOST_QUERIES,
    MOST_RULES,
    Aliases,
)

UNORDERED = SearchVariance(ordered=False)


def ignoring(*names: str) -> SearchVariance:
    return SearchVariance(ignored=frozenset(names))


def keys(aliases: Aliases, key: bytes) -> list[bytes]:
    return [other for other, _ in aliases.of(key)]


def test_a_query_that_the_rule_calls_equal_finds_what_is_stored() -> None:
    aliases = Aliases()
    assert not aliases
    aliases.learn(b"http://a/p?x=1&u=1", ignoring("u"))
    assert aliases
    assert list(aliases.of(b"http://a/p?x=1&u=2")) == [(b"http://a/p?x=1&u=1", ignoring("u"))]
    assert keys(aliases, b"http://a/p?x=1") == [b"http://a/p?x=1&u=1"]
    assert keys(aliases, b"http://a/p?x=2&u=1") == []


def test_without_a_query_too() -> None:
    aliases = Aliases()
    aliases.learn(b"http://a/p", ignoring("u"))
    assert keys(aliases, b"http://a/p?u=1") == [b"http://a/p"]
    assert keys(aliases, b"http://a/p?") == [b"http://a/p"]


def test_another_path_has_rules_of_its_own() -> None:
    aliases = Aliases()
    aliases.learn(b"http://a/p?u=1", ignoring("u"))
    assert keys(aliases, b"http://a/q?u=2") == []
    assert keys(aliases, b"http://b/p?u=2") == []


def test_a_query_is_no_alias_of_itself() -> None:
    aliases = Aliases()
    aliases.learn(b"http://a/p?u=1", ignoring("u"))
    assert keys(aliases, b"http://a/p?u=1") == []


def test_the_query_stored_last_answers() -> None:
    aliases = Aliases()
    for key in (b"/p?u=1", b"/p?u=2", b"/p?u=1"):
        aliases.learn(key, ignoring("u"))
    assert keys(aliases, b"/p?u=3") == [b"/p?u=1"]


def test_the_rule_learnt_last_is_asked_first() -> None:
    aliases = Aliases()
    aliases.learn(b"/p?u=1", ignoring("u"))
    aliases.learn(b"/p?v=1", ignoring("u", "v"))
    assert keys(aliases, b"/p?u=9") == [b"/p?v=1", b"/p?u=1"]
    aliases.learn(b"/p?u=1", ignoring("u"))
    assert keys(aliases, b"/p?u=9") == [b"/p?u=1", b"/p?v=1"]


def test_rules_of_a_path_are_bounded_and_the_oldest_goes() -> None:
    aliases = Aliases()
    for number in range(MOST_RULES + 1):
        aliases.learn(b"/p", ignoring("u", str(number)))
        if number == MOST_RULES - 1:
            aliases.learn(b"/p", ignoring("u", "0"))  # used again: younger than the second
    rules = [rule for _, rule in aliases.of(b"/p?u=1")]
    newest = [ignoring("u", str(number)) for number in (4, 0, 3, 2)]
    assert len(newest) == MOST_RULES
    assert rules == newest


def test_queries_of_a_rule_are_bounded_and_the_oldest_goes() -> None:
    aliases = Aliases()
    for number in range(MOST_QUERIES):
        aliases.learn(b"/p?x=%d&u=1" % number, ignoring("u"))
    aliases.learn(b"/p?x=0&u=2", ignoring("u"))
    aliases.learn(b"/p?x=new&u=1", ignoring("u"))
    assert keys(aliases, b"/p?x=0") == [b"/p?x=0&u=2"]
    assert keys(aliases, b"/p?x=1") == []
    assert keys(aliases, b"/p?x=2") == [b"/p?x=2&u=1"]
    assert keys(aliases, b"/p?x=new") == [b"/p?x=new&u=1"]


def test_paths_are_bounded_and_the_oldest_goes() -> None:
    aliases = Aliases()
    for number in range(MOST_PATHS):
        aliases.learn(b"/%d" % number, UNORDERED)
    aliases.learn(b"/0?a&b", UNORDERED)
    aliases.learn(b"/new", UNORDERED)
    assert repr(aliases) == f"<Aliases paths={MOST_PATHS}>"
    assert keys(aliases, b"/0?b&a") == [b"/0?a&b"]
    assert keys(aliases, b"/1?") == []
    assert keys(aliases, b"/2?") == [b"/2"]


def test_looking_up_learns_nothing() -> None:
    aliases = Aliases()
    assert keys(aliases, b"/p?a") == []
    assert not aliases


QUERIES = st.lists(st.sampled_from([b"a=1", b"b=2", b"u=3", b"u=4"]), max_size=3).map(b"&".join)


@given(st.lists(QUERIES, max_size=6), QUERIES)
def test_whatever_is_found_is_equal_by_the_rule_it_is_found_by(stored: list[bytes], query: bytes) -> None:
    aliases = Aliases()
    for each in stored:
        for rule in (UNORDERED, ignoring("u")):
            aliases.learn(b"/p?" + each, rule)
    for other, rule in aliases.of(b"/p?" + query):
        assert other != b"/p?" + query
        assert rule.canonical(other.partition(b"?")[2]) == rule.canonical(query)


def test_all_together_are_bounded_and_the_oldest_paths_go() -> None:
    aliases = Aliases()
    for number in range(MOST // 4):
        for query in range(5):
            aliases.learn(b"/%d?x=%d" % (number, query), ignoring("u"))
    assert MOST // 2 <= len(aliases) <= MOST
    assert keys(aliases, b"/%d?x=1&u=2" % (MOST // 4 - 1)) == [b"/%d?x=1" % (MOST // 4 - 1)]
    assert keys(aliases, b"/0?x=1&u=2") == []


@pytest.mark.parametrize("query", [b"u=1" + b"&u" * MOST_PARAMETERS, b"u=" + b"x" * LONGEST])
def test_what_would_cost_too_much_to_compare_has_no_alias(query: bytes) -> None:
    aliases = Aliases()
    aliases.learn(b"/p?" + query, ignoring("u"))
    assert not aliases
    aliases.learn(b"/p", ignoring("u"))
    assert keys(aliases, b"/p?" + query) == []
    assert keys(aliases, b"/p?u=1") == [b"/p"]
