"""Tags: Surrogate-Key, Cache-Tag, Cache-Groups (RFC 9875)."""

import pytest

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.tags import group_names, tags_of
from edgeproxy.wire.target import parse_uri

from .values import PLAIN, URL, lines

TARGET = parse_uri(URL)


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        pytest.param([], (), id="none"),
        pytest.param(["Surrogate-Key: a  b,c"], (b"a", b"b,c"), id="surrogate-key-parts-at-blanks"),
        pytest.param(["Cache-Tag: a b , c,"], (b"a b", b"c"), id="cache-tag-parts-at-commas"),
        pytest.param(["Cache-Tag: a", "Cache-Tag: b"], (b"a", b"b"), id="several-lines"),
        pytest.param(["Cache-Tag: a", "Surrogate-Key: b a"], (b"b", b"a"), id="each-once"),
        pytest.param(["Surrogate-Key:"], (), id="empty"),
        pytest.param(
            ['Cache-Groups: "a b", "c"'],
            (b"a b", b"c", b"http://shop.example/a b", b"http://shop.example/c"),
            id="rfc9875-s2-with-and-without-origin",
        ),
        pytest.param(["Cache-Groups: a b"], (), id="rfc9875-s2-bad-syntax"),
        pytest.param(["X-Tags: a"], (), id="not-a-tag-field"),
    ],
)
def test_tags_of(fields: list[str], tags: tuple[bytes, ...]) -> None:
    assert tags_of(lines(*fields), PLAIN, TARGET) == tags


def test_a_field_of_the_operator_s_choice_parts_at_blanks_and_commas() -> None:
    policy = CachePolicy(tag_headers=(b"x-tags",))
    assert tags_of(lines("X-Tags: a b, c", "Cache-Tag: d"), policy, TARGET) == (b"a", b"b", b"c")


def test_rfc9875_s2_groups_of_another_type_are_passed_over() -> None:
    assert group_names(b'"a", tok, 5, ("x" "y"), "b";p=1') == (b"a", b"b")
