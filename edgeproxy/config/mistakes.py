"""A mistake in a configuration, where it stands, and the error that carries all of them.

Knows neither YAML nor the models.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeproxy.errors import EdgeProxyError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """`what` is wrong at `path`, and what to write `instead`; line and column count from 1, 0: no place."""

    file: str
    line: int
    column: int
    path: str
    what: str
    instead: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.what}, {self.instead}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake whose place in the file is not looked up yet."""

    path: Path
    what: str
    instead: str


class ConfigError(EdgeProxyError):
    """A configuration that is refused, with every mistake in it, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = list(mistakes)


def path_text(path: Path) -> str:
    """`("routes", 0, "cache")` as `routes[0].cache`; the whole file as `config`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "config"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is most likely meant to be, or None."""
    by_form = {_form(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=0.6)
    return by_form[found[0]] if found else None


def _form(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")
