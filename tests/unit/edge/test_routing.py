"""Routes: which request takes which, and what becomes of its target and fields."""

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.edge.routing import Edits, PathPattern, Route, Router
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.target import Target, parse_uri

TEXT = """
upstreams: {o: {origins: ["http://127.0.0.1:1"]}}
routes:
  - {name: exact, match: {host: shop.test, path: [/exact, /also/*]}, upstream: o}
  - {name: hosts, match: {host: ["*.shop.test", "[::1]", Upper.test], path: /h/*}, upstream: o}
  - {name: reads, match: {path: /m/*, methods: [GET, HEAD]}, upstream: o}
  - {name: writes, match: {path: /m/*}, upstream: o, cache: {key: {query: {ignore: ["*"]}}}}
  - {name: coded, match: {path: ["/caf%c3%a9/%7euser/*", "/%7Eone"]}, upstream: o}
  - {name: impossible, match: {path: "/nul%00/*"}, upstream: o}
  - {name: stripped, match: {path: /s/*}, upstream: o, strip_prefix: /s}
  - {name: moved, match: {path: /r/*}, upstream: o, rewrite: /to/*}
  - {name: fixed, match: {path: /f/*}, upstream: o, rewrite: /one}
  - {name: away, match: {path: /gone/*}, redirect: "https://new.test/*"}
  - {name: query, match: {path: /q}, redirect: {to: "/x?a=1", status: 301}}
  - name: dressed
    match: {path: /dressed}
    upstream: o
    response_headers: {set: {X-New: "1"}, remove: [Server]}
    cache: {tag_headers: [X-Tags, Cache-Groups, X-More]}
"""
ROUTER = Router(load_text(TEXT, {}))
ROUTES = {route.name: route for route in ROUTER.routes}


def match(uri: str, method: bytes = b"GET") -> str | None:
    route = ROUTER.match(parse_uri(uri.encode()), method)
    return None if route is None else route.name


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://shop.test/exact", "exact"),
        ("http://shop.test:8080/exact", "exact"),
        ("http://shop.test/exact/", None),
        ("http://shop.test/also", "exact"),
        ("http://shop.test/also/x/y", "exact"),
        ("http://shop.test/alsox", None),
        ("http://other.test/exact", None),
        ("http://a.shop.test/h/1", "hosts"),
        ("http://a.b.shop.test/h", "hosts"),
        ("http://shop.test/h/1", None),
        ("http://notshop.test/h/1", None),
        ("http://[::1]:81/h/1", "hosts"),
        ("http://upper.test/h/1", "hosts"),
        ("http://x.test/caf%C3%A9/~user", "coded"),
        ("http://x.test/~one", "coded"),
        ("http://x.test/none", None),
    ],
)
def test_the_first_route_that_matches_takes_it(uri: str, name: str | None) -> None:
    assert match(uri) == name


@pytest.mark.parametrize(
    ("method", "name"), [(b"GET", "reads"), (b"HEAD", "reads"), (b"POST", "writes"), (b"OPTIONS", "writes")]
)
def test_methods_choose_among_routes(method: bytes, name: str) -> None:
    assert match("http://x.test/m/1", method) == name


def test_the_key_is_that_of_the_uri_as_a_get_would_be_routed() -> None:
    assert ROUTER.key_of(parse_uri(b"http://x.test/m/1?a")) == b"http://x.test/m/1?a"
    assert ROUTER.key_of(parse_uri(b"http://x.test/none?a")) == b"http://x.test/none?a"


def test_the_target_of_options_in_general_matches_no_path() -> None:
    assert ROUTER.match(Target(b"http", b"x.test", b"*"), b"OPTIONS") is None


@pytest.mark.parametrize(
    ("name", "target", "sent"),
    [
        ("exact", "/exact?a=1", b"/exact?a=1"),
        ("stripped", "/s", b"/"),
        ("stripped", "/s/", b"/"),
        ("stripped", "/s/x?", b"/x?"),
        ("moved", "/r/a/b?c", b"/to/a/b?c"),
        ("moved", "/r", b"/to/"),
        ("fixed", "/f/a?c", b"/one?c"),
    ],
)
def test_what_the_origin_is_asked_for(name: str, target: str, sent: bytes) -> None:
    assert ROUTES[name].origin_target(parse_uri(b"http://x.test" + target.encode())) == sent


@pytest.mark.parametrize(
    ("name", "target", "location"),
    [
        ("away", "/gone/a?b", b"https://new.test/a?b"),
        ("away", "/gone", b"https://new.test/"),
        ("query", "/q", b"/x?a=1"),
        ("query", "/q?b=2", b"/x?a=1&b=2"),
        ("exact", "/exact", None),
    ],
)
def test_where_a_redirect_sends(name: str, target: str, location: bytes | None) -> None:
    assert ROUTES[name].redirect(parse_uri(b"http://x.test" + target.encode())) == location


def test_a_redirect_has_its_status_or_308() -> None:
    assert (ROUTES["away"].redirect_status, ROUTES["query"].redirect_status) == (308, 301)


def test_edits_first_take_away_and_then_add() -> None:
    edits = ROUTES["dressed"].response_edits
    fields = Fields([(b"SERVER", b"x"), (b"x-new", b"0"), (b"X-Tags", b"a"), (b"Cache-Groups", b'"g"')])
    assert edits.apply(fields).raw == ((b"Cache-Groups", b'"g"'), (b"X-New", b"1"))
    assert edits.drop == {b"server", b"x-new", b"x-tags", b"x-more"}


def test_no_edits_cost_nothing() -> None:
    fields = Fields([(b"A", b"b")])
    assert not Edits()
    assert Edits().apply(fields) is fields


def test_every_tag_header_but_cache_groups_was_to_be_stripped_and_only_two_were() -> None:
    assert ROUTES["exact"].response_edits.drop == {b"surrogate-key", b"cache-tag"}


def test_a_pattern_without_star_takes_nothing() -> None:
    assert PathPattern(b"/a", False).rest(b"/a") == b""


def test_a_template_is_used_without_what_the_star_took_where_no_pattern_matches() -> None:
    route = ROUTES["moved"]
    assert isinstance(route, Route)
    assert route.origin_target(parse_uri(b"http://x.test/elsewhere/a")) == b"/to/"


def test_a_router_shows_its_routes() -> None:
    assert "'exact', 'hosts'" in repr(ROUTER)
