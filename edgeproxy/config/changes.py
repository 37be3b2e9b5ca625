"""A configuration as people may see it, and what differs between two.

Knows secrets by the models' own marks; never shows one.
"""

import re
from typing import Any

from edgeproxy.config.base import Settings
from edgeproxy.config.introspect import extra_of, fields_of, kind_of
from edgeproxy.config.redis_url import mask_url

MASK = "***"
_TELLING = re.compile(r"auth|token|secret|key|cookie|passw|credential|signature", re.IGNORECASE)

Leaves = dict[str, Any]


def masked(settings: Settings) -> dict[str, Any]:
    """All values as JSON-able data with units, secrets as `***`."""
    data = settings.model_dump(mode="json", by_alias=True, context={"human": True})
    masked_data: dict[str, Any] = _mask(type(settings), data)
    return masked_data


def diff(old: Settings, new: Settings) -> list[str]:
    """What differs, one line a key, as `routes.api.cache.default_ttl: 1s -> 2s`; secrets as `***`."""
    before, after = (
        _leaves(old.model_dump(mode="json", by_alias=True)),
        _leaves(new.model_dump(mode="json", by_alias=True)),
    )
    old_shown, new_shown = _leaves(masked(old)), _leaves(masked(new))
    lines = [
        f"{path}: {_show(old_shown.get(path))} -> {_show(new_shown.get(path))}"
        for path in dict.fromkeys([*before, *after])
        if before.get(path, _ABSENT) != after.get(path, _ABSENT)
    ]
    return [*lines, *_order(old, new)]


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The paths of keys that differ and that a reload cannot change."""
    found: list[str] = []
    _compare(type(old), old, new, "", found)
    return found


# --- secrets ----------------------------------------------------------------------


def _mask(annotation: Any, data: Any) -> Any:
    kind = kind_of(annotation)
    if data is None or kind.shape == "leaf":
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


# --- differences ------------------------------------------------------------------

_ABSENT = object()


def _leaves(data: Any, path: str = "") -> Leaves:
    """Every value by its path; items of a list of sections by their name or URL."""
    if isinstance(data, dict) and (data or not path):
        return {
            place: leaf
            for key, item in data.items()
            for place, leaf in _leaves(item, f"{path}.{key}" if path else key).items()
        }
    if isinstance(data, list) and data and all(isinstance(item, dict) for item in data):
        return {
            place: leaf
            for item in data
            for place, leaf in _leaves(item, f"{path}.{_item_name(item)}").items()
        }
    return {path: data}


def _item_name(item: dict[str, Any]) -> str:
    return str(item.get("name") or item.get("url") or item.get("address"))


def _show(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(str(item) for item in value)}]"
        case _:
            return str(value)


def _order(old: Any, new: Any) -> list[str]:
    names, new_names = ([route.name for route in config.routes] for config in (old, new))
    common = set(names) & set(new_names)
    kept, new_kept = ([name for name in each if name in common] for each in (names, new_names))
    return [] if kept == new_kept else [f"routes: order {', '.join(kept)} -> {', '.join(new_kept)}"]


def _compare(model: type[Settings], old: Any, new: Any, path: str, found: list[str]) -> None:
    for name, field in model.model_fields.items():
        here = f"{path}.{name}" if path else name
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        section = kind_of(field.annotation).model
        if extra_of(field).get("restart"):
            found.append(here)
        elif section is not None and (before is None or after is None):
            found += [
                f"{here}.{key}" for key, inner in fields_of(section).items() if extra_of(inner).get("restart")
            ]
        elif section is not None:
            _compare(section, before, after, here, found)
