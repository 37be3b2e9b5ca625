"""Pydantic's errors in words of ours: what is wrong, and what to write instead.

Knows the models by introspection only, and no place in a file.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgeproxy.config.base import Settings
from edgeproxy.config.introspect import all_fields, extra_of, field_at, fields_of, model_at, unit_of
from edgeproxy.config.mistakes import Finding, Path, nearest, path_text
from edgeproxy.config.redis_url import mask_url
from edgeproxy.config.scalars import Substituted, Trap, show
from edgeproxy.config.tree import Unknown


def findings(error: ValidationError, root: type[Settings]) -> list[Finding]:
    """One finding for each of the errors, but for values whose variable is missing (already found)."""
    return [
        _finding(details, root)
        for details in error.errors(include_url=False)
        if not isinstance(details["input"], Unknown) and not _follows_from_others(details)
    ]


def _follows_from_others(details: ErrorDetails) -> bool:
    """A list counts as too short when its items failed; they have their own mistakes."""
    return details["type"] == "too_short" and len(details["input"]) > 0


def _finding(details: ErrorDetails, root: type[Settings]) -> Finding:
    path: Path = tuple(step for step in details["loc"] if step != "[key]")
    value, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "refused":
            return Finding(path, _without_value(context["what"], value), context["instead"])
        case "missing":
            return Finding(path, "is missing", _add_it(root, path))
        case "extra_forbidden" | "invalid_key":
            return Finding(path, "unknown key", _known_key(root, path))
        case _:
            what, instead = _wrong_value(details["type"], value, context, root, path)
            return Finding(path, what, instead)


def _without_value(what: str, value: object) -> str:
    """A field's own words, in which the template stands for what a variable held."""
    if isinstance(value, Substituted) and value:
        for shown in (show(str(value)), f'"{mask_url(value)}"', str(value)):
            what = what.replace(shown, value.template)
    return what


def _add_it(root: type[Settings], path: Path) -> str:
    field = field_at(root, path)
    sentence = ((field.description if field is not None else None) or "").rstrip(".")
    return f"add it ({sentence[:1].lower()}{sentence[1:]})"


def _known_key(root: type[Settings], path: Path) -> str:
    model = model_at(root, path[:-1])
    word = str(path[-1])
    known = list(fields_of(model)) if model is not None else []
    if (near := nearest(word, known)) is not None:
        return f"did you mean {near}?"
    elsewhere = {
        ".".join(place[:-1]) or "the top level" for place, _ in all_fields(root) if place[-1] == word
    }
    if elsewhere:
        places = " or ".join(
            sorted(place.replace(".[]", "[]").replace(".{}", ".NAME") for place in elsewhere)
        )
        return f"it belongs in {places}"
    hint = ", or begin it with x-" if len(path) == 1 else ""
    return f"the keys here are {', '.join(known)}{hint}"


# --- values -----------------------------------------------------------------------


def _wrong_value(
    kind: str, value: object, context: Mapping[str, Any], root: type[Settings], path: Path
) -> tuple[str, str]:
    if value is None:
        return "has no value", "write one, or remove the key"
    shown = _shown(root, path, value)
    match kind:
        case "string_type":
            return _no_text(value)
        case "bool_type":
            return f"{shown} is neither true nor false", "write true or false"
        case "int_type" | "int_from_float":
            return f"{shown} is no whole number", _unquoted(value, "write one, as 10")
        case "literal_error":
            return _no_word(value, context["expected"], root, path)
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{shown} stands where keys belong", _sections_keys(root, path)
        case "tuple_type" | "list_type":
            return (
                f"{shown} is no list",
                "write [ONE, TWO], or lines that begin with -",
            )
        case "too_short":
            return "is empty", "write at least one"
        case "too_long":
            return f"more than {context['max_length']}", "write fewer"
        case "string_too_short" if value != "":
            return f"shorter than {context['min_length']} characters", "write a longer one"
        case "string_too_short":
            return "is empty", "write a value, or remove the key"
        case "string_too_long":
            return f"longer than {context['max_length']} characters", "shorten it"
        case "string_pattern_mismatch":
            return f"{shown} has characters that do not belong there", _allowed(context["pattern"])
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return _out_of_bounds(kind, value, context, root, path)
        case _:
            return (
                f"{shown} is not accepted",
                f"see `edgeproxy schema` for {path_text(path)}",
            )


def _no_text(value: object) -> tuple[str, str]:
    match value:
        case Trap(text, reading):
            return f"{text} is {reading} to YAML", f'put it in quotes: "{text}"'
        case bool():
            return f"{show(value)} is a boolean to YAML", f'put it in quotes: "{show(value)}"'
        case int() | float():
            return f"{value} is a number to YAML", f'put it in quotes: "{value}"'
        case _:
            return f"{show(value)} stands where a text belongs", "write one value"


def _no_word(value: object, expected: str, root: type[Settings], path: Path) -> tuple[str, str]:
    words = expected.replace("'", "").replace(" or ", ", ").split(", ")
    near = nearest(str(value), words) if isinstance(value, str) else None
    instead = f"did you mean {near}?" if near else f"write {' or '.join(words)}"
    return f"{_shown(root, path, value)} is not known here", instead


def _unquoted(value: object, otherwise: str) -> str:
    match value:
        case Substituted():
            return "set the variable to one, as 10"
        case str() if value.isdigit():
            return f"write it without quotes: {value}"
        case Trap(text) if text.strip("+-").isdigit():
            return f"write {int(text)}"
        case _:
            return otherwise


def _sections_keys(root: type[Settings], path: Path) -> str:
    model = model_at(root, path)
    if model is not None:
        return f"write some of {', '.join(fields_of(model))} below it"
    return "write NAME: ... below it"


_NAME_RULE = "begin with a letter or digit, then also dots, dashes and underscores"
_PATTERNS = {
    r"^[\x21-\x7e]*$": "write visible ASCII without blanks",
    r"^[A-Za-z0-9._-]+$": "write letters, digits, dots, dashes and underscores",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": _NAME_RULE,
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$": _NAME_RULE,
    r"^[a-z0-9.+-]+/(\*|[a-z0-9.+-]+)$": "write a media type in small letters, as text/html or text/*",
}


def _allowed(pattern: str) -> str:
    return _PATTERNS[pattern]


def _out_of_bounds(
    kind: str, value: object, context: Mapping[str, Any], root: type[Settings], path: Path
) -> tuple[str, str]:
    limit = next(context[name] for name in ("gt", "ge", "lt", "le") if name in context)
    text = _as_written(limit, path, root)
    word = {
        "greater_than": ("too small", f"write more than {text}"),
        "greater_than_equal": ("too small", f"write {text} or more"),
        "less_than": ("too large", f"write less than {text}"),
        "less_than_equal": ("too large", f"write {text} or less"),
    }[kind]
    return f"{_as_written(value, path, root)} is {word[0]}", word[1]


def _as_written(number: object, path: Path, root: type[Settings]) -> str:
    """A number in the unit of its field; what was read from the file stays as it stands there."""
    field = field_at(root, path)
    unit = unit_of(field) if field is not None else None
    return unit.write(number) if unit is not None and isinstance(number, (int, float)) else show(number)


def _shown(root: type[Settings], path: Path, value: object) -> str:
    """The value for a message; a secret's is never shown."""
    secret = any(
        field is not None and "secret" in extra_of(field)
        for field in (field_at(root, path[:end]) for end in range(1, len(path) + 1))
    )
    return "the value" if secret else show(value)
