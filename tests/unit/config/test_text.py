"""Bytes that are no text, and text that is no YAML: said in words of ours, at the right place."""

import pytest

from edgeproxy.config.text import MAX_BYTES, decode, parse
from edgeproxy.config.tree import Mark, TextError


@pytest.mark.parametrize(
    ("data", "line", "column", "what"),
    [
        (b"a: 1\nb: caf\xe9\n", 2, 7, "the byte 0xe9 is not UTF-8"),
        ("a: 1".encode("utf-16"), 1, 1, "UTF-16 text"),
        (b"a: 1\nb: \x00", 2, 4, "the control character U+0000"),
        (b"a: \x1b[0m", 1, 4, "the control character U+001B"),
        (b"x" * (MAX_BYTES + 1), 1, 1, "larger than 1 MiB"),
        ("a: \ud800".encode("utf-8", "surrogatepass"), 1, 4, "the byte 0xed is not UTF-8"),
    ],
    ids=["latin-1", "utf-16", "nul", "escape", "huge", "surrogate"],
)
def test_what_is_no_text_is_refused(data: bytes, line: int, column: int, what: str) -> None:
    with pytest.raises(TextError) as caught:
        decode(data)
    assert caught.value.what == what
    assert caught.value.mark == Mark(line, column)


def test_a_byte_order_mark_is_taken_away() -> None:
    assert decode(b"\xef\xbb\xbfa: 1") == "a: 1"


@pytest.mark.parametrize(
    ("text", "line", "column", "what", "instead"),
    [
        ("a:\n\tb: 1\n", 2, 1, "a tab", "indent with spaces"),
        ("a:\n  b: 1\n \tc: 1\n", 3, 2, "a tab", "indent with spaces"),
        ("a: {b: ${NAME}}\n", 1, 9, "a variable inside brackets or braces", 'as "${NAME}"'),
        ("a: [${NAME}]\n", 1, 6, "a variable inside brackets or braces", 'as "${NAME}"'),
        ("a: b: c\n", 1, 5, "a colon where no key can stand", "quote a value"),
        ("a: 1\nb\nc: 2\n", 3, 1, "a line without a colon", "KEY: VALUE"),
        ("a: @x\n", 1, 4, "found character '@' that cannot start any token", "in quotes"),
        ("a:\n  b: 1\n c: 2\n", 3, 2, "not indented as the lines above", "line it up"),
        ("a: [1, 2\n", 2, 1, "the text ends too early", "close what is open"),
        ('a: "x\n', 2, 1, "the text ends too early", "close what is open"),
        ("a: 'b' c\n", 1, 8, "not indented as the lines above", "line it up"),
        ("%FOO\n%YAML 9\n---\na", None, None, "not YAML", "brackets"),
        ("a: &\n", 1, 5, "not YAML", "brackets"),
    ],
)
def test_yaml_errors_are_explained(
    text: str, line: int | None, column: int | None, what: str, instead: str
) -> None:
    with pytest.raises(TextError) as caught:
        parse(text, {})
    assert caught.value.what.startswith(what)
    assert instead in caught.value.instead
    if line is not None:
        assert caught.value.mark == Mark(line, column or 0)
