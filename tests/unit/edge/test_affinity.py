"""Who goes where, as a function of the request; over sockets: tests/integration/test_proxy_affinity.py."""

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.edge.affinity import Canary, Hashed
from edgeproxy.edge.ports import Client
from edgeproxy.edge.routing import Route, Router
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.target import parse_uri

TEXT = """
upstreams:
  shop: {origins: ["http://a", "http://b"], balance: consistent_hash, hash: {header: X-Tenant}}
  next: {origins: ["http://a"], balance: consistent_hash, hash: {cookie: user}}
routes:
  - name: moved
    match: {path: /old}
    redirect: /new
  - name: all
    upstream: shop
    cache: {enabled: false}
    sticky: {secret: 0123456789abcdef0}
    canary: {upstream: next, weight: 50%, by: random}
"""


def route() -> Route:
    return Router(load_text(TEXT, {})).routes[1]


def head(*lines: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", parse_uri(b"http://shop.example/"), 1, Fields(lines))


@pytest.mark.parametrize(
    ("hashed", "value"),
    [
        (Hashed("X-Tenant", None), b"t"),
        (Hashed(None, "user"), b"u"),
        (Hashed("X-Empty", None), None),
        (Hashed("X-None", None), None),
        (Hashed(None, "empty"), None),
        (Hashed(None, "none"), None),
    ],
)
def test_what_is_hashed(hashed: Hashed, value: bytes | None) -> None:
    asked = head((b"X-Tenant", b"t"), (b"x-empty", b""), (b"Cookie", b"user=u; empty="))
    assert hashed.of(asked) == value
    assert repr(hashed).startswith("<Hashed ")


def test_the_canary_has_the_ways_of_its_own_upstream() -> None:
    stable = route()
    assert stable.canary is not None
    other = stable.canary.route
    assert (stable.upstream, other.upstream, other.name, other.canary) == ("shop", "next", "all", None)
    assert repr(stable.hashed) == "<Hashed b'x-tenant' None>"
    assert repr(other.hashed) == "<Hashed None b'user'>"
    assert (repr(stable.sticky), repr(other.sticky)) == (
        "<Sticky b'edgeproxy_origin' 2 origins>",
        "<Sticky b'edgeproxy_origin' 1 origins>",
    )
    assert repr(stable.canary) == "<Canary next 0.5>"


def test_an_origin_of_two_upstreams_has_two_cookies() -> None:
    stable = route()
    assert stable.canary is not None
    assert stable.sticky is not None
    assert stable.canary.route.sticky is not None
    assert not set(stable.sticky._keys) & set(stable.canary.route.sticky._keys)


@pytest.mark.parametrize(("drawn", "takes"), [(0.0, True), (0.49, True), (0.5, False), (0.99, False)])
def test_chance_decides_where_no_cookie_does(drawn: float, takes: bool) -> None:
    stable = route()
    settings = load_text(TEXT, {}).routes[1].canary
    assert settings is not None
    assert stable.canary is not None
    canary = Canary(settings, stable, stable.canary.route, lambda: drawn)
    assert canary.takes(head(), Client(b"10.0.0.1", b"http")) is takes


def test_a_route_that_sends_elsewhere_has_none_of_it() -> None:
    moved = Router(load_text(TEXT, {})).routes[0]
    assert (moved.hashed, moved.sticky, moved.canary) == (None, None, None)


@pytest.mark.parametrize("without", ["", "sticky: {secret: 0123456789abcdef0}", "hash: {header: X-Tenant}"])
def test_a_route_on_which_more_than_the_uri_counts_is_not_plain(without: str) -> None:
    text = TEXT.replace("    canary: {upstream: next, weight: 50%, by: random}\n", "")
    for part in ("    sticky: {secret: 0123456789abcdef0}\n", ", hash: {header: X-Tenant}"):
        if not without or without not in part:
            text = text.replace(part, "")
    assert Router(load_text(text, {})).routes[1].plain is not bool(without)
    assert not route().plain
    canary = TEXT.replace(", hash: {header: X-Tenant}", "").replace(
        "    sticky: {secret: 0123456789abcdef0}\n", ""
    )
    assert not Router(load_text(canary, {})).routes[1].plain


def test_no_answer_of_a_canary_can_get_into_a_cache_whatever_was_checked_before() -> None:
    config = load_text(TEXT, {})
    account = config.routes[1]
    cached = account.model_copy(update={"cache": account.cache.model_copy(update={"enabled": True})})
    made = Router(config.model_copy(update={"routes": (cached,)})).routes[0]
    assert made.policy.enabled
    assert (made.sticky, made.canary) == (None, None)
