"""The types that the models' fields have: what each takes from YAML, and how it is written back.

Knows no key. A value from YAML needs its unit (validation context `yaml`); Python callers give
seconds and bytes. Relative paths are resolved against the context's `base`.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import SerializationInfo

from edgeproxy.config import units
from edgeproxy.config.addresses import AddressError, join_address, split_address
from edgeproxy.config.scalars import Trap, as_plain, show

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def refuse(what: str, instead: str) -> NoReturn:
    """Ends the validation of a field with a mistake of ours."""
    raise PydanticCustomError("refused", "{what}, {instead}", {"what": what, "instead": instead})


def context_of(info: ValidationInfo | SerializationInfo) -> Mapping[str, Any]:
    """The context given to the validation or the dump, or an empty one."""
    return info.context if isinstance(info.context, Mapping) else {}


# --- plain scalars ----------------------------------------------------------------

_plain = BeforeValidator(as_plain)
Flag = Annotated[bool, _plain]
Count = Annotated[int, _plain]


# --- quantities -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """Marks a field's type as a quantity; `write` gives the text that people would write."""

    write: Callable[[Any], str]


def _quantity(
    parse: Callable[[str], float], example: str
) -> Callable[[object, ValidationInfo], float | None]:
    def read(value: object, info: ValidationInfo) -> float | None:
        value = value.text if isinstance(value, Trap) else value
        if value is None or (isinstance(value, str) and as_plain(value) is None):
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            refuse(f"{show(value)} is {_kind_of(value)}", f"write one value, as {example}")
        if not isinstance(value, str):
            if not context_of(info).get("yaml"):
                return value
            if value < 0:
                refuse(f"{value} is negative", f"write a positive value, as {example}")
        try:
            return parse(str(value).strip())
        except units.UnitError as error:
            refuse(f"{show(value)}: {error.what}", error.instead)

    return read


def _kind_of(value: object) -> str:
    return "a boolean" if isinstance(value, bool) else "no quantity"


def _human(write: Callable[[Any], str]) -> Callable[[Any, SerializationInfo], Any]:
    """Serialises with units where the dump is for people (context `human`), else as the number."""

    def serialise(value: Any, info: SerializationInfo) -> Any:
        return write(value) if value is not None and context_of(info).get("human") else value

    return serialise


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


def _zero_or(pattern: str, *examples: str) -> WithJsonSchema:
    text = {"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)}
    return WithJsonSchema({"anyOf": [text, {"const": 0}]})


_NUMBER = "[0-9]+(\\.[0-9]+)? ?"
Duration = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_duration, "10s")),
    PlainSerializer(_human(units.format_duration)),
    Unit(units.format_duration),
    _zero_or(f"(0|{_NUMBER}(ms|s|m|h|d))", "50ms", "2s", "10m", "1h", "1d"),
]
Size = Annotated[
    int,
    BeforeValidator(_quantity(units.parse_size, "64KiB")),
    PlainSerializer(_human(units.format_size)),
    Unit(units.format_size),
    _zero_or(f"(0|{_NUMBER}(B|KiB|MiB|GiB|TiB))", "64KiB", "256MiB", "2GiB"),
]
Share = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_share, "20%")),
    PlainSerializer(_human(units.format_share)),
    Unit(units.format_share),
    _text_schema(f"{_NUMBER}%", "20%"),
]

Rate = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_rate, "100/s")),
    PlainSerializer(_human(units.format_rate)),
    Unit(units.format_rate),
    _text_schema(f"{_NUMBER}/ ?(s|m|h)", "100/s", "30/m"),
]


def _size_or_off(value: object, info: ValidationInfo) -> object:
    """`off` unquoted is a boolean in YAML 1.1; here it is the word."""
    off = value == "off" or value is False or (isinstance(value, Trap) and value.text == "off")
    return 0 if off else value


SizeOrOff = Annotated[
    Size,
    BeforeValidator(_size_or_off),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^(off|0|{_NUMBER}(B|KiB|MiB|GiB|TiB))$"},
                {"const": 0},
                {"const": False},
            ]
        }
    ),
]


def _size_or_none(value: object, info: ValidationInfo) -> object:
    return 0 if value == "none" else value


SizeOrNone = Annotated[
    Size,
    BeforeValidator(_size_or_none),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^(none|0|{_NUMBER}(B|KiB|MiB|GiB|TiB))$"},
                {"const": 0},
            ]
        }
    ),
]


# --- texts with a form ------------------------------------------------------------


def _address(value: str) -> str:
    try:
        host, port = split_address(value)
    except AddressError as error:
        refuse(f"{show(value)}: {error.what}", error.instead)
    return join_address(host, port)


Address = Annotated[str, AfterValidator(_address)]


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(value, strict=False)
    except ValueError:
        refuse(f"{show(value)} is no network", "write an address or a range, as 10.0.0.0/8 or fd00::/8")
    refuse(f"{show(value)} has bits set beyond its prefix", f"write {wider}")


Network = Annotated[str, AfterValidator(_network)]


def _token(value: str) -> str:
    if not TOKEN.fullmatch(value):
        refuse(f"{show(value)} is no field name", "write letters, digits and dashes, as X-Name")
    return value


HeaderName = Annotated[str, AfterValidator(_token)]


def _header_value(value: str) -> str:
    if any(character in value for character in "\r\n\0"):
        refuse("a line break in a field value", "write it in one line")
    if value != value.strip(" \t"):
        refuse("blanks around a field value", "remove them")
    if not all(
        (" " <= character <= "\xff" and character != "\x7f") or character == "\t" for character in value
    ):
        refuse(f"{show(value)} cannot be sent in a field", "write visible ASCII characters")
    return value


HeaderValue = Annotated[str, AfterValidator(_header_value)]


def absolute(value: str, base: Path | None) -> str:
    """A path relative to the directory `base`, as an absolute one; without `base` as it is."""
    return value if base is None else os.path.normpath(base / Path(value).expanduser())


def resolve_path(value: str, info: ValidationInfo) -> str:
    """A path relative to the file that it stands in, as an absolute one."""
    if not value or "\0" in value:
        refuse("no path", "write the path of a file")
    return absolute(value, context_of(info).get("base"))


FilePath = Annotated[str, AfterValidator(resolve_path)]


def _one_or_many(value: object) -> object:
    """A single value stands for a list of one."""
    return value if value is None or isinstance(value, (list, tuple)) else (value,)


OneOrMany = BeforeValidator(_one_or_many)


def _blank_to_none(value: object) -> object:
    """A variable that is empty leaves an optional key unset."""
    return None if isinstance(value, str) and as_plain(value) is None else value


BlankIsUnset = BeforeValidator(_blank_to_none)
MaybeDuration = Annotated[Duration | None, BlankIsUnset]
MaybeSize = Annotated[SizeOrNone | None, BlankIsUnset]
MaybePath = Annotated[FilePath | None, BlankIsUnset]
MaybeText = Annotated[str | None, BlankIsUnset]
