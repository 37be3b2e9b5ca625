"""Invalidation by unsafe methods (RFC 9111 §4.4, RFC 9875 §3)."""

import pytest

from edgeproxy.caching.invalidation import invalidated_tags, invalidated_targets
from edgeproxy.caching.tags import tags_of
from edgeproxy.wire.target import parse_uri

from .values import PLAIN, URL, answer, get


def invalidated(method: bytes, *fields: str, status: int = 200) -> list[bytes]:
    targets = invalidated_targets(get(method=method), answer(*fields, status=status))
    return [target.uri for target in targets]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"M-SEARCH", b"UNHEARD-OF"])
def test_s4_4_unsafe_methods_invalidate_their_target(method: bytes) -> None:
    assert invalidated(method) == [URL]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"QUERY"])
def test_s4_4_safe_methods_invalidate_nothing(method: bytes) -> None:
    assert invalidated(method, "Location: /other") == []


@pytest.mark.parametrize(
    ("status", "does"),
    [(199, False), (200, True), (204, True), (303, True), (399, True), (400, False), (500, False)],
)
def test_s4_4_only_answers_without_error_invalidate(status: int, does: bool) -> None:
    assert bool(invalidated(b"POST", status=status)) is does


@pytest.mark.parametrize(
    ("fields", "others"),
    [
        pytest.param(["Location: /new"], [b"http://shop.example/new"], id="s4.4-location"),
        pytest.param(["Content-Location: new"], [b"http://shop.example/new"], id="s4.4-content-location"),
        pytest.param(
            ["Location: /a", "Content-Location: /b"],
            [b"http://shop.example/a", b"http://shop.example/b"],
            id="s4.4-both",
        ),
        pytest.param(["Location: http://shop.example:80/a"], [b"http://shop.example/a"], id="normalised"),
        pytest.param(["Location: /page", "Content-Location:"], [], id="each-once"),
        pytest.param(["Location: https://shop.example/a"], [], id="s4.4-other-scheme"),
        pytest.param(["Location: http://other.example/a"], [], id="s4.4-other-host"),
        pytest.param(["Location: http://shop.example:81/a"], [], id="s4.4-other-port"),
        pytest.param(["Location: mailto:a@b"], [], id="no-http-uri"),
    ],
)
def test_locations(fields: list[str], others: list[bytes]) -> None:
    assert invalidated(b"POST", *fields) == [URL, *others]


def test_rfc9875_s3_groups_are_invalidated_within_the_origin() -> None:
    head = answer('Cache-Group-Invalidation: "a", "b c", "a", tok')
    assert invalidated_tags(get(method=b"POST"), head) == (
        b"http://shop.example/a",
        b"http://shop.example/b c",
    )


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        pytest.param(["a"], ["/a"], id="rfc9875-s3-one"),
        pytest.param(["a", "b"], ["/a", "/b"], id="rfc9875-s3-lines-combine"),
        pytest.param(["A"], ["/A"], id="rfc9875-s2.1-case-counts"),
        pytest.param([" a "], ["/ a "], id="rfc9875-s2.1-blanks-count"),
        pytest.param([""], ["/"], id="rfc9875-s2.1-the-empty-group"),
    ],
)
def test_groups(fields: list[str], tags: list[str]) -> None:
    head = answer(*(f'Cache-Group-Invalidation: "{group}"' for group in fields))
    expected = [f"http://shop.example{tag}".encode() for tag in tags]
    assert list(invalidated_tags(get(method=b"POST"), head)) == expected


@pytest.mark.parametrize(
    ("url", "same"),
    [
        pytest.param(b"http://shop.example/other", True, id="rfc9875-s2.2-same-origin"),
        pytest.param(b"https://shop.example/", False, id="rfc9875-s2.2-other-scheme"),
        pytest.param(b"http://shop.example:81/", False, id="rfc9875-s2.2-other-port"),
        pytest.param(b"http://other.example/", False, id="rfc9875-s2.2-other-host"),
    ],
)
def test_groups_are_an_origin_s_own(url: bytes, same: bool) -> None:
    stored_there = tags_of(answer('Cache-Groups: "a"').fields, PLAIN, parse_uri(url))
    gone = invalidated_tags(get(method=b"POST"), answer('Cache-Group-Invalidation: "a"'))
    assert bool(set(stored_there) & set(gone)) is same


@pytest.mark.parametrize("value", ["a, b", '"a" "b"', '("a")', "5", "?1", '"a'])
def test_rfc9875_s3_what_is_no_string_is_no_group(value: str) -> None:
    assert invalidated_tags(get(method=b"POST"), answer("Cache-Group-Invalidation: " + value)) == ()


def test_rfc9875_s3_only_in_answers_to_unsafe_requests() -> None:
    head = answer('Cache-Group-Invalidation: "a"')
    assert invalidated_tags(get(), head) == ()
    assert invalidated_tags(get(method=b"POST"), answer('Cache-Group-Invalidation: "a"', status=500)) == ()
    assert invalidated_tags(get(method=b"POST"), answer()) == ()
