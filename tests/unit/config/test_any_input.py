"""Whatever the file holds: a configuration, or mistakes with their places; never another error."""

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeproxy.config.introspect import all_fields
from edgeproxy.config.load import ConfigError, Mistake, load_text
from edgeproxy.config.model import Config
from tests.unit.config.yaml_texts import DESIGN

TEXT = DESIGN.read_text()
KEYS = sorted({step for path, _ in all_fields(Config) for step in path if step not in ("[]", "{}")})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.dates(),
    st.sampled_from(
        ["off", "22:22", "0755", "${X}", "${X:-1s}", "10s", "64KiB", "20%", "/a/*", "http://a", "a:1"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


def try_to_load(text: str | bytes) -> None:
    for mistake in mistakes_of(text) or []:
        assert mistake.line >= 1
        assert mistake.column >= 1
        assert mistake.path
        assert "\n" not in str(mistake)
        assert str(mistake).startswith(f"f:{mistake.line}:{mistake.column}: ")


def mistakes_of(text: str | bytes) -> list[Mistake] | None:
    try:
        load_text(text, {"X": "1"}, name="f")
    except ConfigError as error:
        return error.mistakes
    return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=8))
def test_any_data(data: dict[str, Any]) -> None:
    try_to_load(yaml.safe_dump(data))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, len(TEXT)), st.integers(0, 12), st.text("{}[]:,-&*!|>'\"%@`#\t\n ${}x0\u00e9", max_size=4)
)
def test_any_edit_of_the_design_s_file(at: int, cut: int, text: str) -> None:
    try_to_load(TEXT[:at] + text + TEXT[at + cut :])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try_to_load(data)
