"""What differs, what needs a restart, and that no secret is shown."""

import json

import pytest

from edgeproxy.config.changes import diff, needs_restart
from edgeproxy.config.load import load
from edgeproxy.config.model import Config
from tests.unit.config.yaml_texts import DESIGN, loaded

TEXT = """
server: {{workers: {workers}, drain_timeout: {drain}}}
admin: {{token: {token}}}
cache: {{{cache}}}
"""


def config(workers: str = "2", drain: str = "8s", token: str = "hush", cache: str = "") -> Config:
    return loaded(TEXT.format(workers=workers, drain=drain, token=token, cache=cache))


def test_equal_configurations_differ_in_nothing() -> None:
    assert diff(config(), config()) == []
    assert needs_restart(config(), config()) == []


@pytest.mark.parametrize(
    ("change", "lines", "restart"),
    [
        ({"drain": "1m"}, ["server.drain_timeout: 8s -> 1m"], []),
        ({"workers": "auto"}, ["server.workers: 2 -> auto"], ["server.workers"]),
        ({"token": "other"}, ["admin.token: *** -> ***"], []),
        ({"token": "''"}, ["admin.token: *** -> "], []),
        (
            {"cache": "redis: {url: 'redis://:hush@h'}"},
            [
                "cache.redis.url: not set -> redis://:***@h",
                "cache.redis.timeout: not set -> 50ms",
                "cache.redis.key_prefix: not set -> edge:",
                "cache.redis.max_object_size: not set -> 4MiB",
                "cache.redis.compress_above: not set -> 4KiB",
            ],
            [],
        ),
        (
            {"cache": "disk: {path: /var/x}"},
            ["cache.disk.path: not set -> /var/x", "cache.disk.max_size: not set -> 2GiB"],
            ["cache.disk.path", "cache.disk.max_size"],
        ),
    ],
)
def test_one_line_a_key(change: dict[str, str], lines: list[str], restart: list[str]) -> None:
    assert diff(config(), config(**change)) == lines
    assert needs_restart(config(), config(**change)) == restart


def test_a_moved_disk_and_other_listeners_need_a_restart() -> None:
    old = loaded(
        "cache: {disk: {path: /a}}\nserver: {listen: ['127.0.0.1:1']}\nadmin: {listen: '127.0.0.1:2'}\n"
    )
    new = loaded(
        "cache: {disk: {path: /b}}\nserver: {listen: ['127.0.0.1:3']}\nadmin: {listen: '127.0.0.1:4'}\n"
    )
    assert needs_restart(old, new) == ["server.listen", "admin.listen", "cache.disk.path"]


ROUTES = "upstreams: {{shop: {{origins: ['http://a']}}{more}}}\nroutes: [{routes}]\n"
A, B = "{name: a, upstream: shop, match: {path: /a}}", "{name: b, upstream: shop, match: {methods: [GET]}}"


def routed(*routes: str, more: str = "") -> Config:
    return loaded("", rest=ROUTES.format(routes=", ".join(routes), more=more))


def test_added_and_removed_parts_are_one_line_each() -> None:
    assert diff(routed(A), routed(B, more=", new: {origins: ['http://b']}")) == [
        "routes.a: removed",
        "routes.b: added",
        "upstreams.new: added",
    ]


def test_the_order_of_routes_counts() -> None:
    assert diff(routed(A, B), routed(B, A)) == ["routes: order a, b -> b, a"]


def test_lists_and_switches_are_shown_as_written() -> None:
    old, new = (
        routed(A),
        routed(A.replace("/a}", "[/a, /b]}").replace("name: a", "name: a, cache: {enabled: false}")),
    )
    assert diff(old, new) == [
        "routes.a.match.path: [/a] -> [/a, /b]",
        "routes.a.cache.enabled: true -> false",
    ]


def test_a_route_s_upstream_may_be_taken_away() -> None:
    assert diff(routed(A), routed(A.replace("upstream: shop", "redirect: /x"))) == [
        "routes.a.upstream: shop -> not set",
        "routes.a.redirect.to: not set -> /x",
        "routes.a.redirect.status: not set -> 308",
    ]


# --- the masked view ------------------------------------------------------------------


def test_the_masked_view_has_units_and_no_secrets() -> None:
    config = loaded(
        """
        admin: {token: hush}
        cache: {redis: {url: "redis://me:hush@h/0"}}
        """,
        rest="""
upstreams: {shop: {origins: ["http://a"]}}
routes:
  - name: all
    upstream: shop
    request_headers: {set: {Authorization: Basic hush, X-Api-Key: hush, X-Plain: shown}}
""",
    )
    shown = config.masked()
    assert "hush" not in json.dumps(shown)
    assert shown["admin"]["token"] == "***"
    assert shown["cache"]["redis"]["url"] == "redis://me:***@h/0"
    assert shown["routes"][0]["request_headers"]["set"] == {
        "Authorization": "***",
        "X-Api-Key": "***",
        "X-Plain": "shown",
    }
    assert shown["cache"]["memory"]["max_size"] == "256MiB"
    ejection = shown["upstreams"]["shop"]["ejection"]
    assert (ejection["for"], ejection["max_ejected"]) == ("10s", "50%")
    assert "hush" not in repr(config).replace("Basic hush", "").replace("'X-Api-Key': 'hush'", "")


def test_an_empty_token_is_shown_as_empty() -> None:
    assert load(DESIGN, {}).masked()["admin"]["token"] == ""
