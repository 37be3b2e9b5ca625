"""What lies between the fields: told even where fields failed."""

from typing import Any

import pytest

from edgeproxy.config.mistakes import path_text
from edgeproxy.config.references import check_references

ROUTE = {"name": "all", "upstream": "shop"}
SHOP = {"origins": ["http://a"]}


def told(raw: dict[str, Any]) -> list[str]:
    whole = {"upstreams": {"shop": SHOP}, "routes": [ROUTE]} | raw
    return [f"{path_text(each.path)}: {each.what}, {each.instead}" for each in check_references(whole)]


def test_a_whole_configuration_has_nothing_to_tell() -> None:
    assert told({}) == []


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ([{"name": "a"}], "routes[0]: neither upstream nor redirect, add upstream: NAME"),
        ([{"name": "a", "upstream": ""}], "routes[0]: neither upstream nor redirect, add upstream: NAME"),
        ([ROUTE | {"redirect": "/x"}], "routes[0].redirect: both upstream and redirect, keep one"),
        (
            [ROUTE | {"upstream": "shpo"}],
            'routes[0].upstream: no upstream is named "shpo", did you mean shop?',
        ),
        (
            [ROUTE | {"upstream": "x"}],
            'routes[0].upstream: no upstream is named "x", the upstreams here are: shop',
        ),
        ([ROUTE, ROUTE], "routes[1].name: routes[0] has the same name, choose another"),
        (
            [ROUTE | {"strip_prefix": "/a", "rewrite": "/b"}],
            "routes[0].rewrite: both strip_prefix and rewrite, keep one",
        ),
        (
            [ROUTE | {"rewrite": "/b/*", "match": {"path": ["/a/*", "/c"]}}],
            "routes[0].rewrite: its * stands for nothing, end the match's path in /* too",
        ),
        (
            [{"name": "a", "redirect": {"to": "/b/*"}, "match": {"path": "/c"}}],
            "routes[0].redirect: its * stands for nothing, end the match's path in /* too",
        ),
        (
            [ROUTE | {"strip_prefix": "/a", "match": {"path": ["/a/*", "/ab"]}}],
            'routes[0].strip_prefix: "/a" does not begin the path "/ab", write a part of the match\'s path',
        ),
        (
            [ROUTE | {"cache": {"key": {"query": {"only": [], "ignore": ["a"]}}}}],
            "routes[0].cache.key.query.ignore: both only and ignore, keep one",
        ),
    ],
)
def test_routes(routes: list[Any], message: str) -> None:
    assert message in told({"routes": routes})


@pytest.mark.parametrize(
    "route",
    [
        {"name": "a", "redirect": "/b/*"},
        {"name": "a", "redirect": {"to": "/b/*"}, "match": {"path": "/a/*"}},
        ROUTE | {"rewrite": "/b/*"},
        ROUTE | {"rewrite": "/b", "match": {"path": "/a"}},
        ROUTE | {"strip_prefix": "/a", "match": {"path": ["/a/*", "/a", "/a/b/*"]}},
        ROUTE | {"strip_prefix": "/a/", "match": {"path": ["/a/*"]}},
    ],
)
def test_routes_that_agree_with_themselves(route: dict[str, Any]) -> None:
    assert told({"routes": [route]}) == []


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        (
            {"origins": ["http://a", {"url": "http://a/"}]},
            "upstreams.shop.origins[1].url: the same as origins[0], give one a weight",
        ),
        (
            {"origins": [{"url": "http://a", "weight": 0}]},
            "upstreams.shop.origins: all weights are 0, give one origin a weight of 1",
        ),
        (
            SHOP | {"tls": {"certificate": "x"}},
            "upstreams.shop.tls.certificate: a certificate without a key, add key",
        ),
        (
            SHOP | {"tls": {"key": "x"}},
            "upstreams.shop.tls.key: a key without a certificate, add certificate",
        ),
        (
            {"origins": ["unix:/x"], "resolver": "1.1.1.1"},
            "upstreams.shop.resolver: a unix socket needs no DNS, remove resolver",
        ),
    ],
)
def test_upstreams(upstream: dict[str, Any], message: str) -> None:
    assert told({"upstreams": {"shop": upstream}}) == [message]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"server": {"listen": ["0.0.0.0:80", {"address": "127.0.0.1:80"}]}},
            "server.listen[1]: 127.0.0.1:80 clashes with 0.0.0.0:80 of server.listen, choose another port",
        ),
        (
            {"server": {"listen": "127.0.0.1:9900"}},
            "admin.listen: 127.0.0.1:9900 clashes with 127.0.0.1:9900 of server.listen, choose another port",
        ),
        (
            {"admin": {"listen": "127.0.0.1:8080"}},
            "admin.listen: 127.0.0.1:8080 clashes with 127.0.0.1:8080 of server.listen, choose another port",
        ),
        (
            {"server": {"listen": {"address": "localhost:9900"}}},
            "admin.listen: 127.0.0.1:9900 clashes with localhost:9900 of server.listen, choose another port",
        ),
        (
            {"admin": {"listen": "0.0.0.0:9900"}},
            "admin.token: empty, but 0.0.0.0:9900 is no loopback address, "
            "set a token, or listen on 127.0.0.1",
        ),
    ],
)
def test_listeners(raw: dict[str, Any], message: str) -> None:
    assert told(raw) == [message]


@pytest.mark.parametrize(
    "admin",
    [
        {"listen": "0.0.0.0:9900", "token": "x"},
        {"listen": "localhost:9900"},
        {"listen": "nonsense"},
        {"listen": 5},
    ],
)
def test_an_admin_api_that_is_guarded_or_near(admin: dict[str, Any]) -> None:
    assert told({"admin": admin}) == []


@pytest.mark.parametrize(
    "raw",
    [
        {"server": 1, "admin": [], "upstreams": [], "routes": {}},
        {"server": {"listen": 5}, "upstreams": {"a": None}, "routes": [None, 5, "x"]},
        {
            "upstreams": {"a": {"origins": {}, "tls": 1}},
            "routes": [{"name": 5, "match": 5, "cache": [], "redirect": []}],
        },
        {"upstreams": {"a": {"origins": [5, None, [], {"url": 5}]}}, "routes": [{"upstream": 5}]},
        {"routes": [{"match": {"path": [5, None]}, "strip_prefix": "/a", "upstream": "x", "rewrite": []}]},
    ],
)
def test_any_shape_is_taken(raw: dict[str, Any]) -> None:
    check_references(raw)


@pytest.mark.parametrize("key", ["sticky", "canary"])
@pytest.mark.parametrize("cache", [{}, {"cache": {"enabled": True}}, {"cache": {"enabled": "true"}}])
def test_what_is_one_clients_own_is_for_routes_without_a_cache(key: str, cache: dict[str, Any]) -> None:
    route = ROUTE | {key: {"upstream": "shop"}} | cache
    assert told({"routes": [route]}) == [
        f"routes[0].{key}: is one client's own, and this route has a cache, "
        "add cache: {enabled: false}, or remove it"
    ]
    assert told({"routes": [route | {"cache": {"enabled": False}}]}) == []
    assert told({"routes": [ROUTE | {key: None}]}) == []


@pytest.mark.parametrize(
    ("name", "instead"), [("shpo", "did you mean shop?"), ("x", "the upstreams here are: shop")]
)
def test_a_canary_names_an_upstream(name: str, instead: str) -> None:
    route = ROUTE | {"canary": {"upstream": name}, "cache": {"enabled": False}}
    assert told({"routes": [route]}) == [
        f'routes[0].canary.upstream: no upstream is named "{name}", {instead}'
    ]


def test_what_is_hashed_is_one_thing_and_of_use() -> None:
    hashed = SHOP | {"balance": "consistent_hash", "hash": {"header": "a"}}
    assert told({"upstreams": {"shop": hashed}}) == []
    assert told({"upstreams": {"shop": hashed | {"hash": {"header": "a", "cookie": "b"}}}}) == [
        "upstreams.shop.hash.cookie: both header and cookie, keep one"
    ]
    assert told({"upstreams": {"shop": hashed | {"balance": "random_two"}}}) == [
        "upstreams.shop.hash.header: means nothing without consistent hashing, "
        "write balance: consistent_hash, or remove it"
    ]
    assert told({"upstreams": {"shop": SHOP | {"hash": {"headroom": "10%"}}}}) == []
