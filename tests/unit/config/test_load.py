"""Loading: the design's file as it stands, every mistake at once and in its place."""

import os
from pathlib import Path

import pytest

from edgeproxy.config.load import ConfigError, load, load_mapping, load_text, single_origin
from tests.unit.config.yaml_texts import DESIGN, REST, lines, loaded, refused


def test_the_file_of_the_design_loads_as_it_stands() -> None:
    config = load(DESIGN, {})
    assert config.version == 1
    assert [listener.address for listener in config.server.listen] == ["127.0.0.1:8080"]
    assert config.server.workers == 2
    assert (config.admin.listen, config.admin.token) == ("127.0.0.1:9900", "")
    assert config.cache.memory.max_size == 256 * 2**20
    assert config.cache.disk is not None
    assert config.cache.disk.path == str(DESIGN.parent / "var/cache")
    assert config.cache.disk.max_size == 2 * 2**30
    assert config.cache.redis is not None
    assert (config.cache.redis.timeout, config.cache.redis.key_prefix) == (0.05, "edge:")
    shop = config.upstreams["shop"]
    assert [(origin.key, origin.weight) for origin in shop.origins] == [
        ("127.0.0.1:9001", 2),
        ("127.0.0.1:9002", 1),
    ]
    assert shop.health_check is not None
    assert (shop.health_check.interval, shop.health_check.timeout) == (2.0, 1.0)
    assert (shop.timeouts.connect, shop.timeouts.first_byte, shop.timeouts.idle) == (1.0, 10.0, 3600.0)
    assert (shop.retries.attempts, shop.retries.budget) == (2, 0.2)
    assert (shop.ejection.consecutive_failures, shop.ejection.for_) == (5, 10.0)
    static, api, account, everything = config.routes
    assert static.match.host == ("shop.example", "*.shop.example")
    assert static.match.path == ("/static/*",)
    assert static.cache.override_ttl == 86400.0
    assert static.cache.key.query.ignore == ("utm_*", "fbclid")
    assert api.match.methods == ("GET", "HEAD")
    assert (api.cache.default_ttl, api.cache.stale_while_revalidate, api.cache.stale_if_error) == (
        1.0,
        30.0,
        600.0,
    )
    assert account.cache.enabled is False
    assert (everything.name, everything.cache.enabled) == ("everything-else", True)


def test_the_design_s_token_comes_from_the_environment() -> None:
    assert load(DESIGN, {"EDGEPROXY_ADMIN_TOKEN": "12345"}).admin.token == "12345"


def test_only_upstreams_and_routes_are_required() -> None:
    config = loaded()
    assert config.server.workers == "auto"
    assert config.routes[0].match.path == ("/*",)
    assert config.cache.redis is None


def test_the_process_s_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_NODE", "edge-1")
    assert load_text("server: {node: '${SHOP_NODE}'}" + REST).server.node == "edge-1"


def test_a_dump_is_read_back_as_the_same() -> None:
    config = load(DESIGN, {"EDGEPROXY_ADMIN_TOKEN": "secret"})
    assert load_mapping(config.dump()) == config


def test_a_broken_dump_is_refused_without_a_place() -> None:
    data = loaded().dump()
    data["server"]["workers"] = "many"
    with pytest.raises(ConfigError) as caught:
        load_mapping(data)
    assert str(caught.value).startswith("<mapping>: server.workers: ")


# --- empty sections, anchors, merges ----------------------------------------------


def test_a_section_with_nothing_below_it_stands_for_its_defaults() -> None:
    config = loaded("server:\nadmin:\ncache:\n  memory:\n")
    assert config.server.limits.max_fields == 100
    assert config.cache.memory.max_size == 256 * 2**20


def test_anchors_and_merges_are_resolved() -> None:
    config = loaded(
        """
        x-short: &short {default_ttl: 1s, stale_if_error: 1h}
        """,
        rest="""
upstreams: {shop: {origins: ["http://a"]}}
routes:
  - {name: a, upstream: shop, match: {path: /a/*}, cache: *short}
  - {name: b, upstream: shop, cache: {<<: *short, default_ttl: 2s}}
""",
    )
    assert [route.cache.default_ttl for route in config.routes] == [1.0, 2.0]
    assert [route.cache.stale_if_error for route in config.routes] == [3600.0, 3600.0]


def test_a_mistake_in_a_merged_value_is_shown_where_it_stands() -> None:
    mistakes = refused(
        "x-short: &short {default_ttl: 1}\n",
        rest="""
upstreams: {shop: {origins: ["http://a"]}}
routes:
  - {name: b, upstream: shop, cache: {<<: *short}}
""",
    )
    assert [line.split(": ")[0] for line in lines(mistakes)] == ["1:31"]


# --- files that cannot be read ----------------------------------------------------


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="file: is a directory, give a file"):
        load(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: file: no such file or directory"):
        load(tmp_path / "none.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "closed.yaml"
    path.touch(mode=0)
    with pytest.raises(ConfigError, match="file: permission denied"):
        load(path)


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigError, match="file: no path"):
        load("a\0b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: file: is empty, write upstreams and routes"),
        ("# nothing\n", "1:1: file: is empty, write upstreams and routes"),
        ("~\n", "1:1: file: is empty, write upstreams and routes"),
        ("\n- a\n", "2:1: file: holds a list or a single value, write KEY: VALUE"),
        ("word\n", "1:1: file: holds a list or a single value, write KEY: VALUE"),
        ("a: [\n", "2:1: yaml: the text ends too early"),
        ("a: \ud800", "1:4: yaml: the byte 0xed is not UTF-8, save the file as UTF-8"),
        ("{}", "1:1: upstreams: is missing, add it (pools of origins, by name)"),
    ],
)
def test_a_text_without_a_configuration_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text, {}, name="f")
    assert str(caught.value).startswith(f"f:{message}")


def test_a_huge_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ConfigError, match="yaml: larger than 1 MiB"):
        load(path)


# --- all mistakes at once -----------------------------------------------------------

MANY = """\
servr: {}
server:
  workers: many
  workers: 2
  name: on
upstreams:
  shop:
    origins: [{url: "http://a", weight: ${WEIGHT}}]
    balance: least-requests
routes:
  - name: a
    upstream: shpo
    cache: {default_ttl: 1, defualt_ttl: 2s}
  - upstream: shop
"""


def test_every_mistake_is_told_in_the_order_of_the_file() -> None:
    assert lines(refused(MANY.replace("${WEIGHT}", '"${WEIGHT}"'), rest="")) == [
        "1:1: servr: unknown key, did you mean server?",
        '3:12: server.workers: "many" is no number of workers, write 1 to 256, or auto for one per core',
        "4:3: server.workers: the key stands twice, first in line 3, keep one",
        '5:9: server.name: on is a boolean to YAML, put it in quotes: "on"',
        "8:41: upstreams.shop.origins[0].weight: the variable WEIGHT is not set, "
        "set it, or write ${WEIGHT:-default}",
        '9:14: upstreams.shop.balance: "least-requests" is not known here, did you mean least_requests?',
        '12:15: routes[0].upstream: no upstream is named "shpo", did you mean shop?',
        "13:26: routes[0].cache.default_ttl: 1: no unit, write 1s for seconds (units: ms s m h d)",
        "13:29: routes[0].cache.defualt_ttl: unknown key, did you mean default_ttl?",
        "14:5: routes[1].name: is missing, add it (in metrics, log and explain)",
    ]


# --- one origin ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("http://localhost:3000", "http://localhost:3000"),
        ("localhost:3000", "http://localhost:3000"),
        ("https://shop.example", "https://shop.example"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
    ],
)
def test_one_origin_needs_no_file(origin: str, url: str) -> None:
    config = single_origin(origin)
    (upstream,) = config.upstreams.values()
    assert [origin.url for origin in upstream.origins] == [url]
    assert config.server.listen[0].address == "127.0.0.1:8080"
    assert config.admin.listen == "127.0.0.1:9900"


def test_one_origin_may_listen_elsewhere() -> None:
    assert single_origin("a", "0.0.0.0:80").server.listen[0].port == 80


@pytest.mark.parametrize(
    ("origin", "listen", "message"),
    [
        ("ftp://x", None, '--origin: value: "ftp://x" is no URL of an origin'),
        ("a", "80", '--listen: value: "80": only a port, write 127.0.0.1:80'),
        ("a", "127.0.0.1:9900", "--listen: value: 127.0.0.1:9900 clashes with 127.0.0.1:9900"),
    ],
)
def test_a_bad_option_is_told_by_its_name(origin: str, listen: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        single_origin(origin, listen)
    assert str(caught.value).startswith(message)
