"""Scalars: YAML 1.2's types, the traps of YAML 1.1, and variables."""

import pytest

from edgeproxy.config.scalars import (
    Substituted,
    Trap,
    VariableError,
    as_plain,
    plain_value,
    show,
    substitute,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("word", "word"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("50ms", "50ms"),
        ("9" * 19 + "a", "9" * 19 + "a"),
    ],
)
def test_plain_scalars_have_the_types_of_yaml_1_2(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("on", "a boolean"),
        ("Yes", "a boolean"),
        ("n", "a boolean"),
        ("22:22", "a number in base 60"),
        ("1:30:00.5", "a number in base 60"),
        ("0755", "an octal number"),
        ("-017", "an octal number"),
        ("089", "a number"),
        ("0x1F", "a number"),
        ("0o17", "a number"),
        ("1_000", "a number"),
        ("1e3", "a number"),
        ("1.5e3", "a number"),
        ("1.", "a number"),
        (".5", "a number"),
        (".inf", "a number"),
        (".NaN", "a number"),
        ("9" * 19, "a number"),
        ("2024-01-01", "a date"),
        ("2024-01-01T10:00:00Z", "a date"),
        ("=", "a special value"),
        ("<<", "a special value"),
    ],
)
def test_what_yaml_1_1_reads_otherwise_is_a_trap(text: str, reading: str) -> None:
    assert plain_value(text) == Trap(text, reading)


ENV = {"HOST": "shop", "EMPTY": "", "EVIL": "a: b\n- ${HOST}", "LATIN": "caf\udce9", "NUMBER": "42"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}", "shop"),
        ("http://${HOST}:80/${HOST}", "http://shop:80/shop"),
        ("${NONE:-fallback}", "fallback"),
        ("${NONE:-}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${EMPTY}", ""),
        ("${HOST:-fallback}", "shop"),
        ("${NONE:-a:-b}", "a:-b"),
        ("${EVIL}", "a: b\n- ${HOST}"),
    ],
)
def test_variables_are_filled_in_once(text: str, value: str) -> None:
    found = substitute(text, ENV)
    assert found == value
    assert isinstance(found, Substituted)
    assert found.template == text


@pytest.mark.parametrize(
    ("text", "value"), [("$HOST", "$HOST"), ("$$", "$$"), ("$${HOST}", "${HOST}"), ("{x}", "{x}")]
)
def test_other_dollars_are_plain_text(text: str, value: str) -> None:
    found = substitute(text, ENV)
    assert found == value
    assert not isinstance(found, Substituted)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("${NONE}", "the variable NONE is not set"),
        ("${}", "'${}' is no variable"),
        ("${1X}", "'${1X}' is no variable"),
        ("${HOST", "'${HOST' is no variable"),
        ("${HOST-x}", "'${HOST-x}' is no variable"),
        ("${LATIN}", "the variable LATIN holds bytes that are not UTF-8"),
    ],
)
def test_variables_that_cannot_be_filled_in_are_refused(text: str, what: str) -> None:
    with pytest.raises(VariableError) as caught:
        substitute(text, ENV)
    assert caught.value.what == what
    assert caught.value.instead


@pytest.mark.parametrize(
    ("text", "value"),
    [("42", 42), ("true", True), ("", None), ("on", "on"), ("007", "007"), ("word", "word")],
)
def test_a_substituted_value_reads_as_a_plain_scalar_would(text: str, value: object) -> None:
    assert as_plain(Substituted(text, "${X}")) == value


def test_a_value_of_the_file_stays_as_it_is() -> None:
    assert as_plain("42") == "42"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Substituted("secret", "${TOKEN}"), "${TOKEN}"),
        (Trap("on", "a boolean"), "on"),
        ("word", '"word"'),
        (None, "null"),
        (True, "true"),
        (12, "12"),
        ({}, "a mapping"),
        ([], "a list"),
        (b"x", "b'x'"),
        ("line\nbreak", '"line\\nbreak"'),
        ("x" * 100, '"' + "x" * 56 + "..."),
    ],
)
def test_values_are_shown_short_and_without_secrets(value: object, text: str) -> None:
    assert show(value) == text
