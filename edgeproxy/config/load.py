"""From a file, a text, a mapping or one URL to a Config, with all mistakes at once.

Knows no key: fields are the models', what lies between them `references`'.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from edgeproxy.config.certificates import check_certificates
from edgeproxy.config.messages import findings
from edgeproxy.config.mistakes import ConfigError, Finding, Mistake, Path, path_text
from edgeproxy.config.model import Config
from edgeproxy.config.references import check_references
from edgeproxy.config.text import MAX_BYTES, decode, parse
from edgeproxy.config.tree import Mark, Misplaced, Node, Table, TextError, find, plain

__all__ = ["ConfigError", "Mistake", "load", "load_mapping", "load_text", "single_origin"]


def load(path: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Config:
    """The configuration of a YAML file; variables come from `env` (default: the process's).

    Relative paths in it are relative to the file. Raises ConfigError with every mistake.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise ConfigError([Mistake(name, 1, 1, "file", "is a directory", "give a file")]) from error
    except OSError as error:
        what = (error.strerror or "cannot be read").lower()
        raise ConfigError([Mistake(name, 1, 1, "file", what, "give a file that can be read")]) from error
    except ValueError as error:
        raise ConfigError([Mistake(name, 1, 1, "file", "no path", "give a file")]) from error
    return load_text(data, env, name=name, base=FilePath(path).absolute().parent)


def load_text(
    text: str | bytes,
    env: Mapping[str, str] | None = None,
    *,
    name: str = "<text>",
    base: FilePath | None = None,
) -> Config:
    """The configuration of YAML text; `name` stands for the file in mistakes, `base` is its directory.

    Raises ConfigError with every mistake.
    """
    try:
        root, builder = parse(
            decode(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text),
            os.environ if env is None else env,
        )
        raw = plain(root, builder) if root is not None else None
    except TextError as error:
        mark = error.mark
        raise ConfigError(
            [Mistake(name, mark.line, mark.column, "yaml", error.what, error.instead)]
        ) from error
    if root is None or raw is None:
        raise ConfigError([Mistake(name, 1, 1, "file", "is empty", "write upstreams and routes")])
    if not isinstance(root, Table) or not isinstance(raw, dict):
        what = "holds a list or a single value"
        raise ConfigError([Mistake(name, root.mark.line, root.mark.column, "file", what, "write KEY: VALUE")])
    config, found = _validate({key: raw[key] for key in raw if not key.startswith("x-")}, base)
    mistakes = _placed(name, root, builder.misplaced, found)
    if mistakes or config is None:
        raise ConfigError(mistakes)
    return config


def load_mapping(data: Mapping[str, Any]) -> Config:
    """The configuration that `Config.dump` made; durations are seconds, sizes bytes.

    Raises ConfigError.
    """
    try:
        return Config.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(_unplaced("<mapping>", findings(error, Config))) from error


def single_origin(origin: str, listen: str | None = None) -> Config:
    """The configuration of `run --origin URL`: everything goes to one origin, cached by its own word.

    `origin` may leave out `http://`; `listen` is HOST:PORT (default 127.0.0.1:8080). Raises ConfigError.
    """
    url = origin if "://" in origin or origin.startswith("unix:") else f"http://{origin}"
    raw: dict[str, Any] = {
        "upstreams": {"origin": {"origins": [url]}},
        "routes": [{"name": "all", "upstream": "origin"}],
    }
    if listen is not None:
        raw["server"] = {"listen": [listen]}
    config, found = _validate(raw, FilePath.cwd())
    if config is None or found:
        raise ConfigError(
            [Mistake(_option(entry.path), 0, 0, "value", entry.what, entry.instead) for entry in found]
        )
    return config


def _option(path: Path) -> str:
    return "--origin" if path[:1] == ("upstreams",) else "--listen"


# --- both passes ------------------------------------------------------------------


def _validate(raw: dict[str, Any], base: FilePath | None) -> tuple[Config | None, list[Finding]]:
    config = None
    found: list[Finding] = []
    try:
        config = Config.model_validate(
            raw, context={"yaml": True, "base": base}, by_name=False, by_alias=True
        )
    except ValidationError as error:
        found += findings(error, Config)
    failed = {finding.path for finding in found}
    second = check_references(raw) + check_certificates(raw, base)
    found += [finding for finding in second if finding.path not in failed]
    return config, found


def _placed(name: str, root: Node, misplaced: Sequence[Misplaced], found: Sequence[Finding]) -> list[Mistake]:
    """All mistakes in the order of the file, each place and path once."""
    known = {(entry.mark, entry.path) for entry in misplaced}
    mistakes = [
        Mistake(name, entry.mark.line, entry.mark.column, path_text(entry.path), entry.what, entry.instead)
        for entry in misplaced
    ]
    for finding in found:
        mark = _place(root, finding)
        if (mark, finding.path) not in known:
            mistakes.append(
                Mistake(name, mark.line, mark.column, path_text(finding.path), finding.what, finding.instead)
            )
    return sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column))


def _place(root: Node, finding: Finding) -> Mark:
    """An unknown or missing key is shown at a key, anything else at its value."""
    key_mark, value_mark = find(root, finding.path)
    return key_mark if finding.what in ("unknown key", "is missing") else value_mark


def _unplaced(name: str, found: Sequence[Finding]) -> list[Mistake]:
    return [Mistake(name, 0, 0, path_text(finding.path), finding.what, finding.instead) for finding in found]
