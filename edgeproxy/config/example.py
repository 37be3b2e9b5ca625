"""The commented example in which every key stands with its default: `config/full.yaml`.

Knows nothing of its own: keys, sentences and defaults are the models'. Written anew by
`python -m edgeproxy.config.example > config/full.yaml`.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from edgeproxy.config.base import Settings
from edgeproxy.config.introspect import default_of, fields_of, kind_of
from edgeproxy.config.model import Config
from edgeproxy.config.scalars import plain_value

WIDTH = 100
HEAD = """\
# Every key of edgeproxy's configuration, with its default and a sentence.
#
# Only `upstreams` and `routes` are required; config/minimal.yaml is all one needs to begin.
# Where there is no default (names, URLs) an example stands. The sections cache.disk, cache.redis,
# health_check, hedge, admission, esi and adaptive are off unless they are written; lines that begin with #,
# without a blank, are examples that need files of yours.
#
# Durations: 50ms 2s 10m 1h 1d. Sizes: 64KiB 256MiB 2GiB. Shares: 20%. null: not set.
# ${NAME} and ${NAME:-default} in a value are taken from the environment, $${ is a plain ${.
# Top-level keys that begin with x- are free for YAML anchors.
# `edgeproxy check FILE` tells every mistake, `edgeproxy schema` prints the JSON Schema.
"""

# What stands in the example instead of a default, because the example would not be whole without it.
SHOWN: dict[str, Any] = {
    "server.listen[].address": "127.0.0.1:8080",
    "server.listen[].tls.certificate": "/etc/edgeproxy/tls.crt",
    "server.listen[].tls.key": "/etc/edgeproxy/tls.key",
    "admin.token": "${EDGEPROXY_ADMIN_TOKEN:-}",
    "routes[moved].name": "moved",
    "routes[moved].match.path": ["/old/*"],
    "routes[account].name": "account",
    "routes[account].match.path": ["/account/*"],
    "routes[account].upstream": "shop",
    "routes[account].sticky.secret": "${EDGEPROXY_STICKY_SECRET:-change-me-change-me}",
    "routes[account].canary.upstream": "shop",
    "routes[account].cache": {"enabled": False},
    "routes[pages].name": "pages",
    "routes[pages].upstream": "shop",
}
_ROUTES = {
    "moved": frozenset({"name", "match", "redirect"}),
    "account": frozenset({"name", "match", "upstream", "sticky", "canary", "cache"}),
    "pages": None,  # all that the others do not show
}
_COMMENTED = frozenset({"server.listen[].tls"})


def full_example() -> str:
    """The text of `config/full.yaml`."""
    return "\n".join([HEAD, *_Writer().section(Config, "", 0)]) + "\n"


class _Writer:
    """Writes the models out; each sentence once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def section(
        self, model: type[Settings], path: str, depth: int, only: frozenset[str] | None = None
    ) -> Iterator[str]:
        """The lines of a section's keys; `only` some of them."""
        for key, field in fields_of(model).items():
            if only is None or key in only:
                here = f"{path}.{key}" if path else key
                if here in _COMMENTED:
                    yield from (_commented(line) for line in self._key(key, field, here, depth))
                else:
                    yield from self._key(key, field, here, depth)
                if not path:
                    yield ""

    def _key(self, key: str, field: FieldInfo, path: str, depth: int) -> Iterator[str]:
        yield from self._sentence(field, path, depth)
        indent = "  " * depth
        kind = kind_of(field.annotation)
        item = kind_of(kind.item).model if kind.item is not None else None
        if path == "routes":
            yield "routes:"
            for name, only in _ROUTES.items():
                only = only or _all_but(item, "redirect", "sticky", "canary")
                yield from _as_item(self.section(_known(item), f"{path}[{name}]", depth + 2, only), depth + 1)
        elif path in SHOWN:
            yield f"{indent}{key}: {_flow(SHOWN[path])}"
        elif kind.model is not None:
            yield f"{indent}{key}:"
            yield from self.section(kind.model, path, depth + 1)
        elif item is not None and kind.shape == "map":
            yield f"{indent}{key}:"
            yield f"{indent}  shop:"
            yield from self.section(item, f"{path}{{}}", depth + 2)
        elif item is not None:
            yield f"{indent}{key}:"
            yield from _as_item(self.section(item, f"{path}[]", depth + 2), depth + 1)
        else:
            yield f"{indent}{key}: {_flow(_value(field, path))}"

    def _sentence(self, field: FieldInfo, path: str, depth: int) -> Iterator[str]:
        indent = "  " * depth
        general = re.sub(r"\[\w*\]", "[]", path)
        if general not in self._told:
            self._told.add(general)
            for line in textwrap.wrap(field.description or "", WIDTH - len(indent) - 2):
                yield f"{indent}# {line}"


def _value(field: FieldInfo, path: str) -> Any:
    if path in SHOWN:
        return SHOWN[path]
    return field.examples[0] if field.is_required() and field.examples else default_of(field)


def _all_but(model: type[Settings] | None, *keys: str) -> frozenset[str]:
    return frozenset(fields_of(_known(model))) - set(keys)


def _known(model: type[Settings] | None) -> type[Settings]:
    assert model is not None
    return model


def _as_item(lines: Iterator[str], depth: int) -> Iterator[str]:
    """The lines of a section as one item of a list: its first key gets the dash."""
    indent = "  " * depth
    dashed = False
    for line in lines:
        if dashed:
            yield line
        elif line.lstrip().startswith("#"):
            yield indent + line.lstrip()
        else:
            yield f"{indent}- {line.lstrip()}"
            dashed = True


def _commented(line: str) -> str:
    """A line of YAML as a comment without a blank; a sentence stays as it is."""
    text = line.lstrip()
    return line if text.startswith("#") else f"{line[: len(line) - len(text)]}#{text}"


def _flow(value: Any) -> str:
    match value:
        case list():
            return f"[{', '.join(_flow(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in value.items())}}}"
        case str() if value != "off" and not (
            re.fullmatch(r"[\w./:%$@-]*[\w./%$@-]", value, re.ASCII) and plain_value(value) == value
        ):
            return json.dumps(value)
        case str():
            return value
        case _:
            return json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(full_example())
