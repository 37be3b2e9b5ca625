"""What the models say about themselves: which keys a section has, and what is below each.

Knows no value and no file.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from edgeproxy.config.base import Settings
from edgeproxy.config.kinds import Unit
from edgeproxy.config.mistakes import Path

Shape = Literal["section", "list", "map", "leaf"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key holds: a section (`model`), a list or a map of something (`item`), or a leaf."""

    shape: Shape
    model: type[Settings] | None = None
    item: Any = None


def kind_of(annotation: Any) -> Kind:
    """The kind behind an annotation, whatever is wrapped around it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kind_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        kinds = [kind_of(part) for part in get_args(annotation) if part is not type(None)]
        return next((kind for kind in kinds if kind.shape != "leaf"), Kind("leaf"))
    if origin is tuple:
        return Kind("list", item=get_args(annotation)[0])
    if origin is dict:
        return Kind("map", item=get_args(annotation)[1])
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return Kind("section", model=annotation)
    return Kind("leaf")


def key_of(name: str, field: FieldInfo) -> str:
    """The key in YAML of a model's field."""
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def fields_of(model: type[Settings]) -> dict[str, FieldInfo]:
    """The section's keys as they stand in YAML, in the order of the model."""
    return {key_of(name, field): field for name, field in model.model_fields.items()}


def model_at(root: type[Settings], path: Path) -> type[Settings] | None:
    """The section that a path leads to, or None where it leads to something else."""
    annotation: Any = root
    for step in path:
        kind = kind_of(annotation)
        if kind.model is not None:
            field = fields_of(kind.model).get(str(step))
            if field is None:
                return None
            annotation = field.annotation
        elif kind.item is not None:
            annotation = kind.item
        else:
            return None
    return kind_of(annotation).model


def field_at(root: type[Settings], path: Path) -> FieldInfo | None:
    """The field that a path ends in, list items counted as their list; None where there is none."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    model = model_at(root, path[:-1]) if path else None
    return fields_of(model).get(str(path[-1])) if model is not None else None


def unit_of(field: FieldInfo) -> Unit | None:
    """The unit in which the field's value is written, or None for plain values."""
    found = [item for item in field.metadata if isinstance(item, Unit)]
    return found[0] if found else _unit_in(field.annotation)


def _unit_in(annotation: Any) -> Unit | None:
    for part in get_args(annotation):
        if isinstance(part, Unit):
            return part
        if (found := _unit_in(part)) is not None:
            return found
    return None


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """What a model notes about a field beyond its type: `restart`, `secret`."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def default_of(field: FieldInfo) -> Any:
    """A key's default as it would be written: JSON-able, with its unit; None where it is required."""
    return None if field.is_required() else _written(field.default, unit_of(field))


def _written(value: Any, unit: Unit | None) -> Any:
    match value:
        case Settings() if (key := _shorthand(value)) is not None:
            return key
        case Settings():
            return {key: default_of(field) for key, field in fields_of(type(value)).items()}
        case tuple():
            return [_written(item, unit) for item in value]
        case bool() | None | str():
            return value
        case int() | float() if unit is not None:
            return unit.write(value)
        case _:
            return value


def _shorthand(value: Settings) -> str | None:
    """A listener without TLS is written as its address."""
    text = getattr(value, "address", None)
    return text if isinstance(text, str) else None


def models_below(root: type[Settings]) -> list[type[Settings]]:
    """The section and all below it, each once."""
    found = [root]
    for model in found:
        for field in fields_of(model).values():
            kind = kind_of(field.annotation)
            while kind.item is not None:
                kind = kind_of(kind.item)
            if kind.model is not None and kind.model not in found:
                found.append(kind.model)
    return found


KeyPath = tuple[str, ...]


def all_fields(root: type[Settings], path: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every key with its path; `[]` stands for a list's item, `{}` for a map's name."""
    for key, field in fields_of(root).items():
        here = (*path, key)
        yield here, field
        kind = kind_of(field.annotation)
        while kind.item is not None:
            here = (*here, "[]" if kind.shape == "list" else "{}")
            kind = kind_of(kind.item)
        if kind.model is not None:
            yield from all_fields(kind.model, here)
