"""Configurations for the tests: the least one, and how one is loaded or refused."""

import textwrap
from pathlib import Path

import pytest

from edgeproxy.config.load import ConfigError, Mistake, load_text
from edgeproxy.config.model import Config

DESIGN = Path(__file__).with_name("design.yaml")
REST = """
upstreams:
  shop: {origins: ["http://127.0.0.1:9001"]}
routes:
  - {name: all, upstream: shop}
"""


def loaded(text: str = "", *, rest: str = REST, base: Path | None = None, **env: str) -> Config:
    """The configuration of `text` with an upstream and a route added."""
    return load_text(f"{textwrap.dedent(text)}\n{rest}", env, base=base)


def refused(text: str, *, rest: str = REST, base: Path | None = None, **env: str) -> list[Mistake]:
    """The mistakes of `text` with an upstream and a route added."""
    with pytest.raises(ConfigError) as caught:
        loaded(text, rest=rest, base=base, **env)
    return caught.value.mistakes


def lines(mistakes: list[Mistake]) -> list[str]:
    """Each mistake without its file."""
    return [str(mistake).removeprefix(f"{mistake.file}:") for mistake in mistakes]
