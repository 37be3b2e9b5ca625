"""What the models say about themselves."""

from edgeproxy.config.introspect import all_fields, field_at, kind_of, model_at, models_below
from edgeproxy.config.model import Config, Ejection, Listener, Origin, Redirect, RouteCache
from edgeproxy.wire.response_head import LENIENCIES


def test_sections_are_found_through_lists_maps_and_options() -> None:
    assert model_at(Config, ()) is Config
    assert model_at(Config, ("routes", 3, "cache")) is RouteCache
    assert model_at(Config, ("upstreams", "shop", "origins", 0)) is Origin
    assert model_at(Config, ("server", "listen", 0)) is Listener
    assert model_at(Config, ("routes", 0, "redirect")) is Redirect


def test_paths_that_lead_nowhere_have_no_section() -> None:
    assert model_at(Config, ("none",)) is None
    assert model_at(Config, ("version", "x")) is None
    assert model_at(Config, ("upstreams",)) is None
    assert field_at(Config, ()) is None
    assert field_at(Config, ("none", "x")) is None


def test_a_list_s_item_has_the_list_s_field() -> None:
    field = field_at(Config, ("routes", 0, "match", "path", 1))
    assert field is not None
    assert field.description is not None
    assert field.description.startswith("Paths")


def test_keys_are_named_as_in_yaml() -> None:
    paths = {".".join(path) for path, _ in all_fields(Config)}
    assert "upstreams.{}.ejection.for" in paths
    assert "routes.[].cache.key.query.only" in paths
    assert Ejection in models_below(Config)


def test_a_leaf_is_no_section() -> None:
    assert kind_of(int).shape == "leaf"
    assert kind_of(int | None).shape == "leaf"


def test_what_may_be_forgiven_is_what_the_wire_can_forgive() -> None:
    found = field_at(Config, ("upstreams", "shop", "lenient"))
    assert found is not None
    words = set(str(found.annotation).split("Literal[")[1].split("]")[0].replace("'", "").split(", "))
    assert words == LENIENCIES
