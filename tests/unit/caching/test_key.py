"""Primary cache keys (RFC 9111 §2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.key import PIECE, cache_key, part_key, whole_key
from edgeproxy.caching.policy import KeyPolicy
from edgeproxy.wire.target import Target

IGNORE = KeyPolicy(query_ignore=(b"utm_*", b"fbclid"))
ONLY = KeyPolicy(query_only=(b"page", b"q*"))


def key(query: bytes | None, policy: KeyPolicy, path: bytes = b"/p") -> bytes:
    return cache_key(Target(b"http", b"shop.example", path, query), policy)


@pytest.mark.parametrize(
    ("query", "policy", "expected"),
    [
        pytest.param(None, KeyPolicy(), b"", id="no-query"),
        pytest.param(b"", KeyPolicy(), b"?", id="empty-query-is-another-uri"),
        pytest.param(b"b=1&a=2", KeyPolicy(), b"?b=1&a=2", id="as-it-came"),
        pytest.param(b"a=1&&b", KeyPolicy(headers=(b"accept",)), b"?a=1&&b", id="no-query-policy"),
        pytest.param(b"a=1&utm_x=2&fbclid=3&b", IGNORE, b"?a=1&b", id="ignore"),
        pytest.param(b"utm_x=2", IGNORE, b"", id="nothing-left-is-no-query"),
        pytest.param(b"utm", IGNORE, b"?utm", id="a-glob-matches-whole-names"),
        pytest.param(b"UTM_x=1", IGNORE, b"?UTM_x=1", id="names-keep-their-case"),
        pytest.param(None, IGNORE, b"", id="ignore-without-query"),
        pytest.param(b"page=2&x=1&query=z&q", ONLY, b"?page=2&query=z&q", id="only"),
        pytest.param(b"page=2", KeyPolicy(query_only=()), b"", id="only-none"),
        pytest.param(
            b"page=2&q=1", KeyPolicy(query_only=(b"*",), query_ignore=(b"q",)), b"?page=2", id="both"
        ),
        pytest.param(
            b"b=2&a=9&b=1&a", KeyPolicy(query_sort=True), b"?a=9&a&b=2&b=1", id="sort-keeps-one-name-s-order"
        ),
        pytest.param(b"a.b=1&axb=2", KeyPolicy(query_ignore=(b"a.b",)), b"?axb=2", id="a-dot-is-a-dot"),
        pytest.param(b"\xe9=1&b=2", KeyPolicy(query_ignore=(b"\xe9",)), b"?b=2", id="any-byte"),
    ],
)
def test_query_policy(query: bytes | None, policy: KeyPolicy, expected: bytes) -> None:
    assert key(query, policy) == b"http://shop.example/p" + expected


def test_scheme_host_and_port_are_in_the_key() -> None:
    targets = {
        Target(scheme, authority, b"/")
        for scheme in (b"http", b"https")
        for authority in (b"a.example", b"b.example", b"a.example:8080")
    }
    assert len({cache_key(target, KeyPolicy()) for target in targets}) == len(targets)


@given(st.permutations([b"a=1", b"b=2", b"c=3", b"utm_x=4"]))
def test_sorted_and_ignored_orders_share_a_key(pairs: list[bytes]) -> None:
    policy = KeyPolicy(query_sort=True, query_ignore=(b"utm_*",))
    assert key(b"&".join(pairs), policy) == b"http://shop.example/p?a=1&b=2&c=3"


def test_a_piece_is_keyed_beside_its_whole() -> None:
    whole = key(b"a=1", KeyPolicy())
    piece = part_key(whole, b"bytes=0-9")
    assert piece.startswith(whole)
    assert piece != whole
    assert part_key(whole, b"bytes=0-8") != piece
    assert (whole_key(piece), whole_key(whole)) == (whole, whole)


@given(st.binary(), st.binary())
def test_the_whole_of_any_piece_is_found(whole: bytes, piece: bytes) -> None:
    whole = whole.replace(PIECE, b"")
    assert whole_key(part_key(whole, piece)) == whole
