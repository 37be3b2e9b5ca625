"""What differs between two configurations, and what of it a reload cannot change.

Knows keys by introspection only; shows values as `mask` does.
"""

from typing import Any

from edgeproxy.config.base import Settings
from edgeproxy.config.introspect import extra_of, fields_of, kind_of
from edgeproxy.config.model import Config

Leaves = dict[str, Any]


def diff(old: Config, new: Config) -> list[str]:
    """What differs, one line a key, as `routes.api.cache.default_ttl: 1s -> 2s`; secrets as `***`."""
    lines, whole = _added_and_removed(old, new)
    before, after = _leaves(old.dump()), _leaves(new.dump())
    old_shown, new_shown = _leaves(old.masked()), _leaves(new.masked())
    lines += [
        f"{path}: {_show(old_shown.get(path))} -> {_show(new_shown.get(path))}"
        for path in dict.fromkeys([*before, *after])
        if before.get(path) != after.get(path) and not path.startswith(whole)
    ]
    return [*lines, *_order(old, new)]


def needs_restart(old: Config, new: Config) -> list[str]:
    """The paths of keys that differ and that a reload cannot change."""
    found: list[str] = []
    _compare(Config, old, new, "", found)
    return found


def _added_and_removed(old: Config, new: Config) -> tuple[list[str], tuple[str, ...]]:
    """A line for each upstream and route of only one of both, and how the paths below it begin."""
    places = [
        {f"upstreams.{name}" for name in config.upstreams}
        | {f"routes.{route.name}" for route in config.routes}
        for config in (old, new)
    ]
    removed, added = sorted(places[0] - places[1]), sorted(places[1] - places[0])
    lines = [f"{place}: removed" for place in removed] + [f"{place}: added" for place in added]
    return lines, tuple(f"{place}." for place in removed + added)


def _leaves(data: Any, path: str = "") -> Leaves:
    """Every value by its path; items of a list of sections by their name, URL or address."""
    if isinstance(data, list) and data and all(isinstance(item, dict) for item in data):
        data = {str(item.get("name") or item.get("url") or item.get("address")): item for item in data}
    if not isinstance(data, dict) or not data:
        return {path: data}
    return {
        place: leaf
        for key, item in data.items()
        for place, leaf in _leaves(item, f"{path}.{key}" if path else key).items()
    }


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


def _order(old: Config, new: Config) -> list[str]:
    names, new_names = ([route.name for route in config.routes] for config in (old, new))
    kept, new_kept = (
        [name for name in names if name in new_names],
        [name for name in new_names if name in names],
    )
    return [] if kept == new_kept else [f"routes: order {', '.join(kept)} -> {', '.join(new_kept)}"]


def _compare(model: type[Settings], old: Any, new: Any, path: str, found: list[str]) -> None:
    for name, field in model.model_fields.items():
        here = f"{path}.{name}" if path else name
        before, after = getattr(old, name), getattr(new, name)
        section = kind_of(field.annotation).model
        if before == after:
            continue
        if extra_of(field).get("restart"):
            found.append(here)
        elif section is not None and (before is None or after is None):
            found += [
                f"{here}.{key}" for key, inner in fields_of(section).items() if extra_of(inner).get("restart")
            ]
        elif section is not None:
            _compare(section, before, after, here, found)
