"""What is allowed but most likely not meant."""

import os

import pytest

from edgeproxy.config.load import load
from edgeproxy.config.warnings import warnings
from tests.unit.config.yaml_texts import DESIGN, loaded

HEAD = "upstreams: {shop: {origins: ['http://a']}}\nroutes:\n"


def routes(*matches: str) -> list[str]:
    lines = [f"  - {{name: r{n}, upstream: shop, match: {{{match}}}}}\n" for n, match in enumerate(matches)]
    return warnings(loaded("", rest=HEAD + "".join(lines)))


def test_a_plain_configuration_raises_no_doubt() -> None:
    assert warnings(loaded()) == []


def test_the_design_s_file_raises_no_doubt() -> None:
    assert warnings(load(DESIGN, {})) == []


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("", "path: /a"),
        ("path: /*", "path: /a/*"),
        ("path: /a/*", "path: /a"),
        ("path: /a/*", "path: /a/*"),
        ("path: /a/*", "path: [/a/b/*, /a/c]"),
        ("path: [/a/*, /b]", "path: [/b, /a/c]"),
        ("host: '*.x.example'", "host: [a.x.example, '*.b.x.example']"),
        ("host: [a, b]", "host: b"),
        ("methods: [GET, HEAD]", "methods: GET"),
    ],
)
def test_a_route_that_is_never_reached(earlier: str, later: str) -> None:
    assert routes(earlier, later) == ["routes[1] (r1): never reached, r0 takes all its requests before it"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("path: /a", "path: /a/*"),
        ("path: /a/*", "path: /ab"),
        ("path: /a/*", "path: [/a, /b]"),
        ("host: a", ""),
        ("host: '*.x.example'", "host: x.example"),
        ("host: '*.x.example'", "host: [a.x.example, y.example]"),
        ("methods: GET", ""),
        ("methods: GET", "methods: [GET, POST]"),
    ],
)
def test_a_route_that_is_reached(earlier: str, later: str) -> None:
    assert routes(earlier, later) == []


def test_the_first_route_that_hides_another_is_named_once() -> None:
    assert routes("path: /a", "path: /b/*", "", "path: /b/c", "path: /z", "") == [
        "routes[3] (r3): never reached, r1 takes all its requests before it",
        "routes[4] (r4): never reached, r2 takes all its requests before it",
        "routes[5] (r5): never reached, r2 takes all its requests before it",
    ]


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        ("origins: ['http://a'], tls: {server_name: x}", "upstreams.shop.tls: no origin is https"),
        ("origins: ['https://a'], tls: {verify: false}", "upstreams.shop.tls.verify: false lets anybody"),
        (
            "origins: ['http://a'], health_check: {interval: 1s, timeout: 2s}",
            "upstreams.shop.health_check: timeout is longer than interval",
        ),
    ],
)
def test_upstreams(upstream: str, message: str) -> None:
    rest = f"upstreams: {{shop: {{{upstream}}}}}\nroutes: [{{name: a, upstream: shop}}]\n"
    (line,) = warnings(loaded("", rest=rest))
    assert line.startswith(message)


def test_an_upstream_that_no_route_names() -> None:
    rest = "upstreams: {shop: {origins: ['http://a']}}\nroutes: [{name: a, redirect: /x}]\n"
    assert warnings(loaded("", rest=rest)) == [
        "upstreams.shop: no route uses it, remove it or name it in a route"
    ]


def test_trust_in_everybody() -> None:
    (line,) = warnings(loaded("server: {trusted_proxies: [0.0.0.0/0, 10.0.0.0/8]}"))
    assert line.startswith("server.trusted_proxies: 0.0.0.0/0 believes every client")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (
            "upstream: shop, cache: {allow_set_cookie: true}",
            "allow_set_cookie hands one client's cookies to all",
        ),
        (
            "upstream: shop, cache: {max_object_size: 1GiB}",
            "max_object_size is larger than cache.memory.max_size",
        ),
        ("redirect: /x, rewrite: /y", "strip_prefix and rewrite mean nothing beside redirect"),
    ],
)
def test_routes(route: str, message: str) -> None:
    found = warnings(loaded("", rest=f"{HEAD}  - {{name: a, {route}}}\n"))
    assert any(line.startswith(f"routes[0] (a): {message}") for line in found)


def test_a_small_memory_tier_alone_raises_no_doubt() -> None:
    assert warnings(loaded("cache: {memory: {max_size: 1MiB}}")) == []


def test_a_cpu_that_this_machine_does_not_give() -> None:
    allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    mine = min(os.sched_getaffinity(0))
    assert warnings(loaded(f"server: {{cpu_affinity: [{mine}, 4095, 4095]}}")) == [
        "server.cpu_affinity: CPU 4095 is none that this process may use, its worker is not pinned; "
        f"write some of {allowed}, or auto"
    ]
    assert warnings(loaded("server: {cpu_affinity: auto}")) == []


def test_a_canary_of_the_routes_own_upstream() -> None:
    def told(upstream: str) -> list[str]:
        rest = (
            "upstreams: {a: {origins: ['http://a']}, b: {origins: ['http://b']}}\n"
            f"routes: [{{name: r, upstream: {upstream}, cache: {{enabled: false}}, "
            "canary: {upstream: b, weight: 5%}}]\n"
        )
        return warnings(loaded("", rest=rest))

    assert told("a") == []
    line, _ = sorted(told("b"))
    assert line == "routes[0] (r): canary names the route's own upstream, so it changes nothing; name another"
