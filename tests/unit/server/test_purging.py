from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeproxy.admin.ports import PurgeOrder
from edgeproxy.config.model import Config, Key, KeyQuery, Match, Origin, Route, RouteCache, Upstream
from edgeproxy.edge.routing import Router
from edgeproxy.errors import BadRequest, EdgeProxyError
from edgeproxy.fleet.entries import Event, decode_event
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.server.purging import plan, rules_of_event

STATIC = Route(
    name="static",
    match=Match(path=("/static/*",)),
    upstream="shop",
    cache=RouteCache(key=Key(query=KeyQuery(ignore=("utm_*",)))),
)
ROUTER = Router(
    Config(
        upstreams={"shop": Upstream(origins=(Origin(url="http://127.0.0.1:9001"),))},
        routes=(STATIC, Route(name="rest", upstream="shop")),
    )
)


def rule(kind: str, value: bytes = b"", soft: bool = False) -> PurgeRule:
    return PurgeRule(PurgeKind(kind), value, soft)


@pytest.mark.parametrize(
    ("order", "rules"),
    [
        pytest.param({"urls": ("http://a.example/x?q=1",)}, [rule("url", b"a.example/x?q=1")], id="url"),
        pytest.param(
            {"urls": ("http://a.example/static/x?utm_source=m&q=1",)},
            [rule("url", b"a.example/static/x?q=1")],
            id="url-under-the-routes-query-policy",
        ),
        pytest.param(
            {"urls": ("http://a.example/x", "https://a.example/x")},
            [rule("url", b"a.example/x")],
            id="http-and-https-are-one",
        ),
        pytest.param({"urls": ("https://a.example:8443/",)}, [rule("url", b"a.example:8443/")], id="port"),
        pytest.param({"tags": ("a b", "\u00e9")}, [rule("tag", b"a b"), rule("tag", b"\xc3\xa9")], id="tags"),
        pytest.param({"prefix": "http://A.example/x/../y"}, [rule("prefix", b"a.example/y")], id="prefix"),
        pytest.param({"prefix": "https://a.example"}, [rule("prefix", b"a.example/")], id="prefix-of-a-host"),
        pytest.param({"host": "A.example"}, [rule("host", b"a.example")], id="host"),
        pytest.param({"host": "a.example:8080"}, [rule("host", b"a.example:8080")], id="host-with-port"),
        pytest.param({"host": "a.example:80"}, [rule("host", b"a.example")], id="host-with-default-port"),
        pytest.param({"host": "a.example:443"}, [rule("host", b"a.example")], id="host-with-https-port"),
        pytest.param({"host": "[::1]"}, [rule("host", b"[::1]")], id="ipv6"),
        pytest.param({"everything": True, "soft": True}, [rule("everything", soft=True)], id="soft"),
        pytest.param(
            {"urls": ("http://a/",), "tags": ("t",), "host": "b", "soft": True},
            [rule("url", b"a/", True), rule("tag", b"t", True), rule("host", b"b", True)],
            id="union",
        ),
    ],
)
def test_what_an_order_means(order, rules):
    assert list(plan(PurgeOrder(**order), ROUTER).rules) == rules


def test_the_keys_of_a_url_are_those_of_both_schemes():
    planned = plan(PurgeOrder(urls=("https://a.example/x",)), ROUTER)
    assert planned.keys == (b"http://a.example/x", b"https://a.example/x")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        pytest.param({"urls": ("a.example/x",)}, "url 'a.example/x' is no http or https URL", id="no-scheme"),
        pytest.param({"urls": ("http://a.example/%zz",)}, "is no http or https URL", id="malformed"),
        pytest.param({"prefix": "/x"}, "prefix '/x' is no http or https URL", id="prefix"),
        pytest.param({"prefix": "http://a/" + "x" * 8190}, "longer than 8191 bytes", id="endless-prefix"),
        pytest.param({"host": "a.example/x"}, "host 'a.example/x' is no host name", id="host-with-path"),
        pytest.param({"host": "user@a"}, "is no host name", id="host-with-user"),
        pytest.param({"host": "a b"}, "is no host name", id="host-with-blank"),
        pytest.param({"host": ""}, "is no host name", id="empty-host"),
    ],
)
def test_what_is_refused_says_why(order, message):
    with pytest.raises(BadRequest, match=message) as caught:
        plan(PurgeOrder(**order), ROUTER)
    assert caught.value.status == 422


def test_an_event_means_what_orders_of_the_same_names_mean():
    event = Event(
        urls=("http://a.example/static/x?utm_source=m&q=1",),
        tags=("t",),
        prefixes=("http://a.example/x", "http://a.example/y"),
        hosts=("B.example",),
        everything=True,
        soft=True,
    )
    assert set(rules_of_event(event, ROUTER)) == {
        rule("url", b"a.example/static/x?q=1", True),
        rule("tag", b"t", True),
        rule("prefix", b"a.example/x", True),
        rule("prefix", b"a.example/y", True),
        rule("host", b"b.example", True),
        rule("everything", soft=True),
    }


@given(
    st.lists(
        st.text(max_size=30) | st.sampled_from(["url", "tag", "prefix", "host", "http://a/"]), max_size=8
    )
)
@example(["url", "http://a/\ud7ff"])
@example(["url", "http://[::1"])
@example(["host", "\x00"])
def test_whatever_another_service_writes_is_understood_or_refused(parts):
    with suppress(ValueError, EdgeProxyError):
        assert rules_of_event(decode_event(msgspec.msgpack.encode(parts)), ROUTER)
