"""What a scalar of YAML means here: YAML 1.2 types, the traps of YAML 1.1, and variables.

Knows no file, no model and no position.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Plain = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class Trap:
    """An unquoted scalar that YAML 1.1 reads as something else than it looks.

    `reading` says as what. No field takes one, except where its text is a word of ours (`off`).
    """

    text: str
    reading: str


class Substituted(str):
    """A string that came out of `${VAR}`; `template` is what stands in the file.

    The value may be a secret, so messages show the template.
    """

    __slots__ = ("template",)
    template: str

    def __new__(cls, value: str, template: str) -> "Substituted":
        made = super().__new__(cls, value)
        made.template = template
        return made


class VariableError(ValueError):
    """A variable that is not set or badly written: `what`, and what to do `instead`."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}, {instead}")
        self.what = what
        self.instead = instead


_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_BOOL_11 = re.compile(r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)")
_OCTAL_11 = re.compile(r"[-+]?0[0-7_]+")
_ZEROS = re.compile(r"[-+]?0[0-9]+")
_OTHER_NUMBER = re.compile(
    r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7]+|[0-9][0-9_]*|[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?")
_WORDS: dict[str, bool | None] = {"": None, "~": None}
for _word, _value in (("null", None), ("true", True), ("false", False)):
    _WORDS |= {_word: _value, _word.capitalize(): _value, _word.upper(): _value}


def plain_value(text: str) -> Plain | Trap:
    """The value of an unquoted scalar; a Trap where YAML 1.1 and the eye disagree."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if reading := _reading(text):
        return Trap(text, reading)
    return text


def _reading(text: str) -> str | None:
    """How YAML 1.1 reads an unquoted scalar that looks like a word or a time; None: as text."""
    if _BOOL_11.fullmatch(text):
        return "a boolean"
    if _SEXAGESIMAL.fullmatch(text):
        return "a number in base 60"
    if _OCTAL_11.fullmatch(text):
        return "an octal number"
    if _ZEROS.fullmatch(text):
        return "a number"
    if _OTHER_NUMBER.fullmatch(text):
        return "a number"
    if _DATE.fullmatch(text):
        return "a date"
    if text in ("=", "<<"):
        return "a special value"
    return None


# --- variables --------------------------------------------------------------------

_VARIABLE = re.compile(r"(\$?)\$\{([^}]*)(\}?)")
_NAME_DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(text: str, env: Mapping[str, str]) -> str:
    """`text` with `${VAR}` and `${VAR:-default}` filled in from `env`; `$${` stands for a plain `${`.

    A variable that is set but empty takes the default, as in a shell. Raises VariableError.
    """
    if "${" not in text:
        return text
    substituted = False

    def fill(found: re.Match[str]) -> str:
        nonlocal substituted
        if found[1]:
            return found[0][1:]
        parts = _NAME_DEFAULT.fullmatch(found[2])
        if parts is None or not found[3]:
            raise VariableError(
                f"{found[0]!r} is no variable", "write ${NAME} or ${NAME:-default}, or $${ for the plain text"
            )
        substituted = True
        return _value_of(parts[1], parts[2], env)

    value = _VARIABLE.sub(fill, text)
    return Substituted(value, text) if substituted else value


def _value_of(name: str, default: str | None, env: Mapping[str, str]) -> str:
    value = env.get(name)
    if default is not None and not value:
        return default
    if value is None:
        raise VariableError(f"the variable {name} is not set", f"set it, or write ${{{name}:-default}}")
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in value):
        raise VariableError(f"the variable {name} holds bytes that are not UTF-8", "set it to text")
    return value


def as_plain(value: object) -> object:
    """A substituted string as the plain scalar that it would be in the file; anything else as it is."""
    if isinstance(value, Substituted):
        read = plain_value(value)
        return value if isinstance(read, (str, Trap)) else read
    return value


def show(value: object) -> str:
    """`value` for a message: short, and never what a variable held."""
    match value:
        case Substituted():
            text = value.template
        case Trap():
            text = value.text
        case str():
            text = f'"{value}"'
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case int() | float():
            text = str(value)
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            text = repr(value)
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= 60 else text[:57] + "..."
