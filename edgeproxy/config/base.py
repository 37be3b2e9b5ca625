"""What all models of the configuration share: strict, frozen, no unknown keys.

Knows no key. An empty section (`cache:` with nothing below it) stands for its defaults.
"""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Settings(BaseModel):
    """A section of the configuration; an unknown key is an error, and nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=False,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:
        if not isinstance(value, dict) or None not in value.values():
            return value
        return {key: item for key, item in value.items() if item is not None or not cls._is_section(key)}

    @classmethod
    def _is_section(cls, key: Any) -> bool:
        """Whether the key holds a section that may be left out."""
        field = cls.model_fields.get(key)
        return field is not None and not field.is_required() and is_model(field.annotation)


def is_model(annotation: Any) -> bool:
    """Whether a field's annotation is a section, not an optional or a listed one."""
    return isinstance(annotation, type) and issubclass(annotation, Settings) and not get_args(annotation)
