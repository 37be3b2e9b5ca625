"""Cache-Control's grammar (RFC 9111 §5.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.directives import MAX_SECONDS, NONE, REQUEST_DIRECTIVES, of_request, parse

from .values import lines


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(b"max-age=3600", 3600, id="s5.2.2.1-plain"),
        pytest.param(b"MaX-aGe=3600", 3600, id="s5.2-names-in-any-case"),
        pytest.param(b'max-age="3600"', 3600, id="s5.2-quoted-form-is-accepted"),
        pytest.param(b'max-age="36\\00"', 3600, id="s5.6.4-quoted-pair"),
        pytest.param(b"max-age=003600", 3600, id="s1.2.2-leading-zeros"),
        pytest.param(b"max-age=0", 0, id="s1.2.2-zero"),
        pytest.param(b"max-age=2147483648", MAX_SECONDS, id="s1.2.2-largest"),
        pytest.param(b"max-age=2147483649", MAX_SECONDS, id="s1.2.2-overflow"),
        pytest.param(b"max-age=" + b"9" * 5000, MAX_SECONDS, id="s1.2.2-absurd-overflow"),
        pytest.param(b"foobar, max-age=3600", 3600, id="s5.2.3-unknown-directives-are-passed-over"),
        pytest.param(b",, max-age=3600 ,,", 3600, id="s5.6.1-empty-members"),
        pytest.param(b"max-age=1800, max-age=1", 1800, id="s4.2.1-first-of-duplicates"),
        pytest.param(b"max-age=1, max-age=1800", 1, id="s4.2.1-first-of-duplicates-shorter"),
        pytest.param(b"max-age=x, max-age=1800", 0, id="s4.2.1-first-of-duplicates-invalid"),
        pytest.param(b'extension="max-age=3600", max-age=1', 1, id="s5.2-not-inside-a-quoted-string"),
        pytest.param(b'max-age=1, extension="max-age=3600"', 1, id="s5.2-not-inside-a-later-string"),
        pytest.param(b'extension="a\\", max-age=3600", max-age=1', 1, id="s5.2-escaped-quote"),
        pytest.param(b"max-age=-3600", 0, id="s4.2.1-negative-is-stale"),
        pytest.param(b"max-age='3600'", 0, id="s4.2.1-single-quotes-are-stale"),
        pytest.param(b"max-age=3600.0", 0, id="s4.2.1-fraction-is-stale"),
        pytest.param(b"max-age=3600a", 0, id="s4.2.1-trailing-letter-is-stale"),
        pytest.param(b"max-age =3600", 0, id="s4.2.1-blank-before-equals-is-stale"),
        pytest.param(b'max-age ="3600"', 0, id="s4.2.1-blank-before-equals-quoted-is-stale"),
        pytest.param(b"max-age= 3600", 0, id="s4.2.1-blank-after-equals-is-stale"),
        pytest.param(b'max-age="3600"x', 0, id="s4.2.1-text-after-quotes-is-stale"),
        pytest.param(b"max-age", 0, id="s4.2.1-no-argument-is-stale"),
        pytest.param(b"max-age=", 0, id="s4.2.1-empty-argument-is-stale"),
        pytest.param(b"max-age=60; private", 0, id="s4.2.1-semicolon-is-stale"),
        pytest.param(b"s-maxage=60", None, id="absent"),
        pytest.param(b"", None, id="empty"),
        pytest.param(None, None, id="no-field"),
    ],
)
def test_lifetime(value: bytes | None, seconds: int | None) -> None:
    assert parse(value).lifetime(b"max-age") == seconds


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param(b"No-StOrE", b"no-store", id="case"),
        pytest.param(b"no-store;x=1", b"no-store", id="parameter"),
        pytest.param(b'no-store"', b"no-store", id="stray-quote"),
        pytest.param(b'x="unterminated, no-store', b"no-store", id="unterminated-string-hides-nothing"),
        pytest.param(b"=, no-store", b"no-store", id="member-without-a-name"),
        pytest.param(b"max-age 60, no-store", b"no-store", id="member-with-blanks"),
        pytest.param(b"no-store=yes", b"no-store", id="unexpected-argument"),
    ],
)
def test_what_is_malformed_never_hides_a_restriction(value: bytes, name: bytes) -> None:
    assert name in parse(value)


@pytest.mark.parametrize(
    ("value", "bare", "named"),
    [
        pytest.param(b"private", True, set(), id="s5.2.2.7-unqualified"),
        pytest.param(b'private="A, b"', False, {b"a", b"b"}, id="s5.2.2.7-qualified"),
        pytest.param(b"private=a", False, {b"a"}, id="s5.2.2.7-qualified-token"),
        pytest.param(b'private="a", private', True, {b"a"}, id="s5.2.2.7-both-is-unqualified"),
        pytest.param(b'private="a", private="b"', False, {b"a", b"b"}, id="s5.2.2.7-several-lists"),
        pytest.param(b'private=""', True, set(), id="s5.2.2.7-empty-list-is-unqualified"),
        pytest.param(b"public", False, set(), id="absent"),
    ],
)
def test_named_fields(value: bytes, bare: bool, named: set[bytes]) -> None:
    directives = parse(value)
    assert directives.bare(b"private") is bare
    assert directives.named_fields(b"private") == named


def test_delta_tells_an_invalid_number_from_none() -> None:
    assert parse(b"max-stale=x").delta(b"max-stale") is None
    assert parse(b"max-stale").delta(b"max-stale") is None
    assert parse(b"max-stale=5").delta(b"max-stale") == 5
    assert NONE.delta(b"max-stale") is None


def test_nothing_said_is_false() -> None:
    assert not parse(b" , ")
    assert parse(b"public")


@pytest.mark.parametrize(
    ("fields", "no_cache"),
    [
        pytest.param(["Cache-Control: no-cache"], True, id="s5.2.1.4"),
        pytest.param(["Pragma: no-cache"], True, id="s5.4-pragma-alone"),
        pytest.param(["Pragma: no-cache", "Cache-Control: max-age=5"], False, id="s5.4-cache-control-wins"),
        pytest.param(["Pragma: no-cache", "Cache-Control:"], False, id="s5.4-even-when-empty"),
        pytest.param(["Pragma: unrecognised"], False, id="s5.4-other-pragma"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_of_request(fields: list[str], no_cache: bool) -> None:
    assert (b"no-cache" in of_request(lines(*fields))) is no_cache


@pytest.mark.parametrize(
    ("fields", "honoured", "names"),
    [
        pytest.param(
            "Cache-Control: no-cache, max-age=5", {b"max-age"}, {b"max-age"}, id="s5.2.1-one-of-two"
        ),
        pytest.param("Cache-Control: no-cache, max-age=5", set(), set(), id="s5.2.1-none"),
        pytest.param("Cache-Control: no-cache, x=1", set(), {b"x"}, id="s5.2.3-extensions-stay"),
        pytest.param("Cache-Control: max-age=5", {b"max-age"}, {b"max-age"}, id="nothing-to-leave-out"),
        pytest.param(
            "Cache-Control: private, no-store", set(), {b"private"}, id="what-is-a-response-s-stays"
        ),
        pytest.param("Pragma: no-cache", {b"no-cache"}, {b"no-cache"}, id="s5.4-pragma"),
        pytest.param("Pragma: no-cache", {b"max-age"}, set(), id="s5.4-pragma-that-does-not-count"),
    ],
)
def test_only_what_is_honoured_of_a_request_counts(
    fields: str, honoured: set[bytes], names: set[bytes]
) -> None:
    asked = of_request(lines(fields), frozenset(honoured))
    assert set(asked.arguments) == names
    assert asked.delta(b"max-age") == (5 if b"max-age" in names else None)


@pytest.mark.parametrize("name", sorted(REQUEST_DIRECTIVES))
def test_each_directive_may_be_left_out_alone(name: bytes) -> None:
    everything = lines("Cache-Control: " + b"=1, ".join(sorted(REQUEST_DIRECTIVES)).decode())
    assert set(of_request(everything).arguments) == REQUEST_DIRECTIVES
    assert set(of_request(everything, REQUEST_DIRECTIVES - {name}).arguments) == REQUEST_DIRECTIVES - {name}


@given(st.binary(max_size=600))
def test_no_value_is_refused(value: bytes) -> None:
    directives = parse(value)
    for name in directives.arguments:
        assert name == name.lower()
        assert directives.delta(name) is None or 0 <= (directives.delta(name) or 0) <= MAX_SECONDS
        directives.named_fields(name)


@given(st.lists(st.sampled_from([b"no-store", b"private", b"max-age=5", b'x="a,b"', b"public"]), max_size=80))
def test_members_are_found_wherever_they_stand(members: list[bytes]) -> None:
    directives = parse(b", ".join(members))
    assert set(directives.arguments) == {member.partition(b"=")[0] for member in members}
