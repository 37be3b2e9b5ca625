"""Normalised values of selecting fields (RFC 9111 §4.1, RFC 9110 §12.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.negotiation import by_preference, normalise
from edgeproxy.caching.policy import CachePolicy

from .values import PLAIN

KNOWN = CachePolicy(
    vary_normalize=(
        (b"accept-encoding", (b"br", b"gzip")),
        (b"accept-language", (b"en", b"de")),
        (b"x-device", (b"mobile", b"desktop")),
    )
)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        pytest.param(b"accept-language", b"en, de", b"de, en", id="s12.5.4-order-means-nothing"),
        pytest.param(b"accept-language", b"en, de", b"eN, De", id="s12.5.4-case"),
        pytest.param(b"accept-language", b"en, de", b" en ,   de", id="s12.5.4-blanks"),
        pytest.param(b"accept-language", b"en;q=0.50, de", b"de;q=1.0,en ; q=0.5", id="s12.4.2-weights"),
        pytest.param(b"accept-encoding", b"gzip, br", b"br,gzip", id="s12.5.3-order"),
        pytest.param(
            b"accept", b"text/html;level=1;q=0.5", b"Text/HTML; level=1; q=0.500", id="s12.5.1-parameters"
        ),
        pytest.param(b"accept", b"a/b, a/b", b"a/b", id="duplicates"),
        pytest.param(b"foo", b"1,2", b" 1, 2 ", id="s4.1-blanks-at-commas"),
        pytest.param(b"foo", b"1,2", b"1 ,\t2", id="s4.1-tabs-at-commas"),
    ],
)
def test_same_meaning_same_value(name: bytes, one: bytes, other: bytes) -> None:
    assert normalise(name, one, PLAIN) == normalise(name, other, PLAIN)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        pytest.param(b"accept-language", b"en, de;q=0.9", b"de, en;q=0.9", id="s12.4.2-preference"),
        pytest.param(b"accept-language", b"en", b"", id="s12.5.4-empty"),
        pytest.param(b"accept-language", b"", None, id="s4.1-absent-is-not-empty"),
        pytest.param(b"accept-encoding", b"br, gzip;q=0", b"br", id="s12.4.2-refusal"),
        pytest.param(b"foo", b"1, 2", b"2, 1", id="s4.1-unknown-fields-keep-order"),
        pytest.param(b"foo", b"a", b"A", id="s4.1-unknown-fields-keep-case"),
        pytest.param(b"foo", b'"1, 2"', b'"1,2"', id="s4.1-not-inside-strings"),
        pytest.param(b"foo", b"1 2", b"12", id="s4.1-inner-blanks"),
    ],
)
def test_other_meaning_other_value(name: bytes, one: bytes, other: bytes | None) -> None:
    assert normalise(name, one, PLAIN) != normalise(name, other, PLAIN)


@pytest.mark.parametrize(
    ("name", "value", "best"),
    [
        pytest.param(b"accept-encoding", b"gzip, deflate, br", b"br", id="first-of-equals"),
        pytest.param(b"accept-encoding", b"gzip, br;q=0.5", b"gzip", id="weight-decides"),
        pytest.param(b"accept-encoding", b"GZIP", b"gzip", id="case"),
        pytest.param(b"accept-encoding", b"br;q=0, gzip", b"gzip", id="refused"),
        pytest.param(b"accept-encoding", b"*", b"br", id="star"),
        pytest.param(b"accept-encoding", b"*, br;q=0", b"gzip", id="star-but"),
        pytest.param(b"accept-encoding", b"zstd", b"identity", id="none-known"),
        pytest.param(b"accept-encoding", b"identity, gzip;q=0.5", b"identity", id="plain-is-preferred"),
        pytest.param(b"accept-encoding", b"", b"identity", id="empty"),
        pytest.param(b"accept-encoding", None, b"identity", id="absent"),
        pytest.param(b"accept-language", b"fr;q=0.5, de;q=1.0", b"de", id="language"),
        pytest.param(b"accept-language", b"de-AT, en;q=0.5", b"de", id="rfc4647-s3.4-lookup"),
        pytest.param(b"accept-language", b"fr, *;q=0.1", b"en", id="rfc4647-star"),
        pytest.param(b"accept-language", b"fr", None, id="no-language"),
        pytest.param(b"accept-language", None, None, id="language-absent"),
        pytest.param(b"x-device", b"desktop", b"desktop", id="any-field"),
        pytest.param(b"x-device", b"watch", None, id="any-field-unknown"),
    ],
)
def test_known_values(name: bytes, value: bytes | None, best: bytes | None) -> None:
    assert normalise(name, value, KNOWN) == best


def test_a_shorter_range_is_content_with_a_longer_known_tag() -> None:
    policy = CachePolicy(vary_normalize=((b"accept-language", (b"de-AT", b"en")),))
    assert normalise(b"accept-language", b"de, en;q=0.5", policy) == b"de-AT"


def test_no_known_value_at_all() -> None:
    policy = CachePolicy(vary_normalize=((b"accept-language", ()),))
    assert normalise(b"accept-language", b"de", policy) is None


@pytest.mark.parametrize(
    ("value", "members"),
    [
        pytest.param(b"a;q=0.2, b", [(b"b", 1.0), (b"a", 0.2)], id="s12.4.2"),
        pytest.param(b"a;q=1.5", [(b"a;q=1.5", 1.0)], id="invalid-weight-is-a-parameter"),
        pytest.param(b"a;q=", [(b"a;q=", 1.0)], id="empty-weight"),
        pytest.param(b"a;q=0.", [(b"a", 0.0)], id="weight-without-digits"),
        pytest.param(b", ,a", [(b"a", 1.0)], id="s5.6.1-empty-members"),
        pytest.param(b"a, a;q=0.1", [(b"a", 1.0)], id="first-of-duplicates"),
    ],
)
def test_by_preference(value: bytes, members: list[tuple[bytes, float]]) -> None:
    assert by_preference(value) == members


@given(st.sampled_from([b"accept", b"accept-encoding", b"accept-language", b"foo"]), st.binary(max_size=80))
def test_normalising_twice_changes_nothing(name: bytes, value: bytes) -> None:
    once = normalise(name, value, PLAIN)
    assert normalise(name, once, PLAIN) == once
