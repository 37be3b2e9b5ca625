"""The example files: they load, and the full one is complete and true to the models."""

import re
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from edgeproxy.config.example import SHOWN, full_example
from edgeproxy.config.introspect import all_fields, default_of
from edgeproxy.config.load import load, load_text
from edgeproxy.config.model import Config
from edgeproxy.config.warnings import warnings

CONFIGS = Path(__file__).parents[3] / "config"
FULL = CONFIGS / "full.yaml"


@pytest.mark.parametrize("name", ["minimal.yaml", "demo.yaml", "full.yaml"])
def test_the_examples_load(name: str) -> None:
    config = load(CONFIGS / name, {})
    assert warnings(config) == []


def test_the_demo_is_the_shop_on_its_ports() -> None:
    config = load(CONFIGS / "demo.yaml", {})
    assert [origin.key for origin in config.upstreams["shop"].origins] == ["127.0.0.1:9001", "127.0.0.1:9002"]
    assert config.server.listen[0].address == "127.0.0.1:8080"
    assert config.admin.listen == "127.0.0.1:9900"


def test_the_full_example_is_as_the_models_write_it() -> None:
    assert FULL.read_text() == full_example(), "run python -m edgeproxy.config.example > config/full.yaml"


def test_the_full_example_has_every_key_with_its_default() -> None:
    """Read with a plain YAML parser, so that nothing rests on our own loader or writer."""
    text = re.sub(r"(?m)^( *)#(?=\S)", r"\1", FULL.read_text())  # the commented lines that are YAML
    written = dict(leaves(yaml.load(text, yaml.BaseLoader)))
    for path, field in all_fields(Config):
        place = ".".join(path).replace(".[]", "[]").replace(".{}", "{}")
        assert any(
            key == place or key.startswith((f"{place}.", f"{place}[", f"{place}{{")) for key in written
        ), place
        if place in written and not field.is_required() and place not in shown():
            assert written[place] == as_text(default_of(field)), place


def shown() -> set[str]:
    return {re.sub(r"\[\w*\]", "[]", place).replace("upstreams.", "upstreams{}.") for place in SHOWN}


def leaves(data: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(data, dict) and data:
        named = path == "upstreams"
        return [
            leaf
            for key, item in data.items()
            for leaf in leaves(item, f"{path}{{}}" if named else f"{path}.{key}" if path else key)
        ]
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return [leaf for item in data for leaf in leaves(item, f"{path}[]")]
    return [(path, data)]


def as_text(value: Any) -> Any:
    """What the base loader, which knows strings only, makes of a default."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, (list, dict)) else "null" if value is None else str(value)


def test_the_commented_lines_of_the_full_example_work_too(tmp_path: Path) -> None:
    pair = trustme.CA().issue_cert("edge.example")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    pair.private_key_pem.write_to_path(tmp_path / "tls.key")
    text = re.sub(r"(?m)^( *)#(?=\S)", r"\1", FULL.read_text()).replace("/etc/edgeproxy/", f"{tmp_path}/")
    (listener,) = load_text(text, {}).server.listen
    assert listener.tls is not None
