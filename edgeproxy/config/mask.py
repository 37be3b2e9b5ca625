"""A section as people may see it: with units, and without its secrets.

Knows secrets by the models' own marks; never shows one.
"""

import re
from typing import Any

from edgeproxy.config.base import Settings
from edgeproxy.config.introspect import extra_of, fields_of, kind_of
from edgeproxy.config.redis_url import mask_url

MASK = "***"
_TELLING = re.compile(r"auth|token|secret|key|cookie|passw|credential|signature", re.IGNORECASE)


def masked(settings: Settings) -> dict[str, Any]:
    """All values as JSON-able data with units, secrets as `***`."""
    data = settings.model_dump(mode="json", by_alias=True, context={"human": True})
    masked_data: dict[str, Any] = _mask(type(settings), data)
    return masked_data


def _mask(annotation: Any, data: Any) -> Any:
    kind = kind_of(annotation)
    if data is None or kind.shape == "leaf":
        return data
    if isinstance(data, str):  # a word that stands for a list
        return data
    if kind.shape == "list":
        return [_mask(kind.item, item) for item in data]
    if kind.shape == "map":
        return {key: _mask(kind.item, item) for key, item in data.items()}
    assert kind.model is not None
    shown: dict[str, Any] = {}
    for key, field in fields_of(kind.model).items():
        match extra_of(field).get("secret"):
            case "url":
                shown[key] = mask_url(data[key])
            case "fields":
                shown[key] = {
                    name: MASK if _TELLING.search(name) else text for name, text in data[key].items()
                }
            case True:
                shown[key] = MASK if data[key] else data[key]
            case _:
                shown[key] = _mask(field.annotation, data[key])
    return shown
