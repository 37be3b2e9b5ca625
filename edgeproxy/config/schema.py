"""The JSON Schema of the configuration, for editors.

Knows the models; accepts what `load` accepts field by field, variables and `x-` keys included.
What lies between fields (a route's upstream must exist) no schema says.
"""

from typing import Any

from pydantic.fields import FieldInfo

from edgeproxy.config.base import Settings
from edgeproxy.config.introspect import default_of, fields_of, models_below
from edgeproxy.config.kinds import OneOrMany
from edgeproxy.config.model import Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"$ref": "#/$defs/Variable"}
# Sections that may be written as one value, which then is that key's.
_SHORTHANDS = {"Listener": "address", "Origin": "url", "Redirect": "to"}

Schema = dict[str, Any]


def json_schema() -> Schema:
    """JSON Schema 2020-12 of a whole file."""
    schema = Config.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Schema] = schema.pop("$defs")
    for model in models_below(Config):
        definition = schema if model is Config else definitions[model.__name__]
        for key, field in fields_of(model).items():
            definition["properties"][key] = _property(field, definition["properties"][key])
    for name, key in _SHORTHANDS.items():
        full = definitions[name]
        definitions[name] = {"anyOf": [full, full["properties"][key]]}
    definitions["Variable"] = {
        "type": "string",
        "pattern": r"\$\{",
        "description": "A value with ${NAME} or ${NAME:-default} in it.",
    }
    schema["patternProperties"] = {"^x-": {}}
    return {"$schema": DIALECT} | schema | {"title": "edgeproxy configuration", "$defs": definitions}


def _property(field: FieldInfo, generated: Schema) -> Schema:
    """A key's schema: its sentence, its default with units, and all that may be written there."""
    accepted = _accepted(generated)
    if OneOrMany in field.metadata:
        accepted = {"anyOf": [accepted, accepted["items"]]}
    if "$ref" in generated and not field.is_required():
        accepted = {"anyOf": [accepted, {"type": "null"}]}
    notes: Schema = {"description": field.description}
    default = default_of(field)
    if not field.is_required() and not isinstance(field.default, Settings):
        notes["default"] = default
    if field.examples:
        notes["examples"] = field.examples
    return notes | accepted


_KEPT = frozenset(
    {"$ref", "type", "pattern", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "examples"}
    | {"minItems", "maxItems", "minProperties", "maxProperties"}
)


def _accepted(generated: Schema) -> Schema:
    """The bare schema of a value, with a variable in the place of any that is not free text."""
    schema = {key: value for key, value in generated.items() if key in _KEPT}
    if "anyOf" in generated:
        parts = [_accepted(part) for part in generated["anyOf"]]
        return {"anyOf": _flattened(parts)}
    if "items" in generated:
        return schema | {"items": _accepted(generated["items"])}
    for key in ("additionalProperties", "patternProperties"):
        if isinstance(generated.get(key), dict):
            inner = generated[key]
            if key == "additionalProperties":
                schema[key] = _accepted(inner)
            else:
                schema |= {
                    key: {name: _accepted(item) for name, item in inner.items()},
                    "additionalProperties": False,
                }
    if schema.get("type") in ("object", "array", "null") or "$ref" in schema or schema == {"type": "string"}:
        return schema
    return {"anyOf": [schema, _VARIABLE]}


def _flattened(parts: list[Schema]) -> list[Schema]:
    """Nested choices as one, the variable once."""
    flat = [inner for part in parts for inner in part.get("anyOf", [part])]
    return [part for index, part in enumerate(flat) if part not in flat[:index]]
