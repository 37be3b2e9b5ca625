"""Small changes to a response's fields, and how they are told."""

import pytest

from edgeproxy.caching.edits import Change, Edit, changes, dropping, for_reuse, setting, varying, written
from edgeproxy.wire.fields import Fields

from .values import lines

CC = b"cache-control"


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ("Cache-Control: max-age=5", setting(CC, b"max-age=60"), "max-age=60"),
        ("Cache-Control: a, Max-Age=5, b, max-age=9", setting(CC, b"max-age=60"), "a, max-age=60, b"),
        ('Cache-Control: private="a, b"', setting(CC, b"public"), 'private="a, b", public'),
        ("Cache-Control: ,", setting(CC, b"public"), "public"),
        ("X: y", setting(CC, b"public"), "public"),
        ("Cache-Control: no-store, max-age=5", dropping(CC, b"no-store"), "max-age=5"),
        ("Cache-Control: no-store", dropping(CC, b"no-store"), None),
        ('Cache-Control: no-cache="a, no-store", x', dropping(CC, b"no-store"), 'no-cache="a, no-store", x'),
    ],
)
def test_a_directive_is_set_or_dropped_and_the_others_stay(
    before: str, edit: Edit, after: str | None
) -> None:
    value = edit(lines(before)).get(CC)
    assert value == (None if after is None else after.encode())


def test_several_lines_become_one() -> None:
    edited = setting(CC, b"max-age=1")(lines("Cache-Control: public", "A: b", "Cache-Control: max-age=0"))
    assert edited == lines("Cache-Control: public, max-age=1", "A: b")


def test_members_of_vary() -> None:
    fields = lines("Vary: Cookie, accept-language")
    assert varying(frozenset({b"cookie"}))(fields) == lines("Vary: Accept-Language")
    assert varying(frozenset({b"cookie", b"accept-language"}))(fields) == Fields()
    assert varying(frozenset({b"*"}), b"Accept-Encoding")(lines("Vary: *")) == lines("Vary: Accept-Encoding")


def test_only_what_is_there_is_dropped() -> None:
    assert len(for_reuse(lines("Cache-Control: no-store", "Set-Cookie: a=b", "Vary: *"), CC, 60)) == 7
    assert len(for_reuse(Fields(), CC, 60)) == 4


def test_changes_are_whole_lines_without_the_values_of_cookies() -> None:
    before = lines("Cache-Control: no-store", "Set-Cookie: sid=secret", "A: same")
    after = lines("cdn-cache-control: max-age=1", "A: same")
    assert changes(before, after) == (
        Change("", "Cache-Control: no-store"),
        Change("", "Set-Cookie"),
        Change("CDN-Cache-Control: max-age=1", ""),
    )


def test_names_are_written_as_usual() -> None:
    assert [written(name) for name in (b"etag", b"cdn-cache-control", b"last-modified")] == [
        b"ETag",
        b"CDN-Cache-Control",
        b"Last-Modified",
    ]
