"""The JSON Schema accepts what the loader accepts, and refuses what no field takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from edgeproxy.config.introspect import all_fields, fields_of, models_below
from edgeproxy.config.model import Config
from edgeproxy.config.schema import json_schema
from tests.unit.config.yaml_texts import DESIGN, REST

CONFIGS = Path(__file__).parents[3] / "config"
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def problems(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", [DESIGN, *sorted(CONFIGS.glob("*.yaml"))], ids=lambda path: path.name)
def test_files_that_load_are_accepted(path: Path) -> None:
    assert problems(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "x-any: {a: [1]}",
        "server:\nadmin:\ncache:\n",
        "server: {listen: '127.0.0.1:80'}",
        "server: {listen: [{address: 'a:80', tls: {certificate: a, key: b}}]}",
        "server: {workers: '${N}', drain_timeout: '${T:-8s}', forwarded: '${F}'}",
        "server: {workers: auto}",
        "server: {limits: {max_body_size: none, max_fields: '${N}'}}",
        "server: {limits: {max_body_size: 0}}",
        "log: {access: off, level: '${LEVEL:-info}'}",
        "cache: {disk: null, redis: {url: '${URL}', timeout: 5ms}}",
    ],
)
def test_what_loads_is_accepted(text: str) -> None:
    assert problems(f"{text}\n{REST}") == []


@pytest.mark.parametrize(
    "route",
    [
        "match: {host: a, path: /x, methods: GET}",
        "match: {host: [a], path: [/x], methods: [GET]}",
        "match:",
        "redirect: /x",
        "redirect: {to: /x, status: 302}",
        "cache: {override_ttl: null, default_ttl: 0, jitter: 10%}",
        "cache: {vary: {normalize: {accept-encoding: [br]}}}",
        "cache: {key: {query: {only: null, ignore: ['utm_*'], sort: '${S}'}}}",
        "request_headers: {set: {X: a}, remove: [Y]}",
    ],
)
def test_routes_that_load_are_accepted(route: str) -> None:
    upstreams = "upstreams: {a: {origins: ['http://a', {url: 'http://b'}]}}"
    assert problems(f"{upstreams}\nroutes: [{{name: a, {route}}}]") == []


@pytest.mark.parametrize(
    "text",
    [
        "servr: {}",
        "server: {zebra: 1}",
        "server: {workers: many}",
        "server: {drain_timeout: 8}",
        "server: {drain_timeout: 8 weeks}",
        "server: {name: 12}",
        "server: {forwarded: 'yes'}",
        "server: {limits: {max_fields: 3}}",
        "log: {level: loud}",
        "admin: {token: 12345}",
        "version: 2",
    ],
)
def test_what_no_field_takes_is_refused(text: str) -> None:
    assert problems(f"{text}\n{REST}") != []


def test_the_required_parts_are_asked_for() -> None:
    assert len(problems("{}")) == 2


def test_every_key_has_its_sentence_and_every_optional_one_its_default() -> None:
    definitions: dict[str, Any] = SCHEMA["$defs"]
    for model in models_below(Config):
        node = SCHEMA if model is Config else definitions[model.__name__]
        properties = node.get("properties") or node["anyOf"][0]["properties"]
        assert set(properties) == set(fields_of(model))
        for name, field in fields_of(model).items():
            assert properties[name]["description"] == field.description
            assert properties[name]["description"].endswith(".")


def test_defaults_are_written_with_their_units() -> None:
    limits = SCHEMA["$defs"]["Limits"]["properties"]
    assert limits["max_head_size"]["default"] == "32KiB"
    assert limits["header_timeout"]["default"] == "10s"
    assert SCHEMA["$defs"]["Server"]["properties"]["listen"]["default"] == ["127.0.0.1:8080"]


def test_every_key_of_the_models_has_a_sentence() -> None:
    assert [path for path, field in all_fields(Config) if not (field.description or "").endswith(".")] == []
