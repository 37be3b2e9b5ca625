"""The fast path and `decide` never disagree: the same bytes as the slow way would answer, or none."""

from dataclasses import dataclass

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from edgeproxy.caching.decide import UseStored
from edgeproxy.caching.reasons import Reason
from edgeproxy.config.load import load_text
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.wire.dates import format_date
from edgeproxy.wire.heads import ResponseHead
from tests.unit.edge.rig import T0, Rig, asks, says

CACHES = (
    "",
    "override_ttl: 7s",
    "override_ttl: 61s, jitter: 30%",
    "default_ttl: 3s, stale_while_revalidate: 4s",
    "negative_ttl: 2s, allow_set_cookie: true",
    "key: {headers: [x-tenant], cookies: [seen]}",
    "key: {query: {ignore: [utm_*], sort: true}}",
    "vary: {normalize: {accept-encoding: [br, gzip]}}",
    "enabled: false",
)
SHOWING = "server: {name: edge, cache_status: {key: true, detail: true}}\n"
HEAD_ELSEWHERE = "{name: heads, upstream: o, match: {methods: [HEAD]}, cache: {key: {query: {only: []}}}}, "


def configuration(cache: str, showing: bool, more: str = "", route: str = "") -> str:
    edits = "response_headers: {set: {X-Edge: here}, remove: [server]}"
    route = f"{{name: all, upstream: o, {edits}, {route}cache: {{{cache}}}}}"
    text = f"upstreams: {{o: {{origins: ['http://127.0.0.1:1']}}}}\nroutes: [{more}{route}]"
    return (SHOWING if showing else "") + text


CONFIGS = [configuration(cache, showing) for cache in CACHES for showing in (False, True)]
CONFIGS += [configuration("", False, HEAD_ELSEWHERE)]
CONFIGS += [configuration("", False, route="compress: [br, gzip], compress_min_size: 1B, ")] * 3
LOADED = [load_text(text, {}) for text in CONFIGS]

DIRECTIVES = """
max-age=0
max-age=1
max-age=3
max-age=60
s-maxage=2
public
no-cache
private
must-revalidate
no-store
stale-while-revalidate=5
no-cache="set-cookie"
immutable
private="x-secret"
"""
ANSWER_LINES = """
ETag: "v1"
ETag: W/"v1"
Vary: accept-encoding
Vary: accept-language, cookie
Vary: *
Set-Cookie: a=b
Age: 1
Age: 2
Age: x
Server: origin
Cache-Status: up; hit
Content-Length: 5
Content-Type: text/plain
X-Secret: 1
CDN-Cache-Control: max-age=4
Surrogate-Key: a b
Cache-Groups: "g"
Connection: x-secret
"""
ASKED_LINES = """
Accept: */*
Accept-Encoding: gzip
accept-encoding: br, gzip
Accept-Language: de
Cookie: seen=1
Cookie: seen=2; a=b
X-Tenant: t1
X-Tenant: t2
User-Agent: test
If-None-Match: "v1"
If-None-Match: "v0", W/"v1"
If-None-Match: *
If-Match: "v1"
Range: bytes=0-1
Cache-Control: no-cache
Cache-Control: max-age=1
Cache-Control: only-if-cached
Cache-Control: min-fresh=2
Cache-Control: max-stale
Pragma: no-cache
Connection: close
Connection: keep-alive
Authorization: Basic eA==
TE: trailers
CDN-Loop: n1
Via: 1.1 x
Expect: 100-continue
X-Forwarded-Proto: https
Upgrade: websocket
"""

CACHE_CONTROL = st.lists(
    st.sampled_from(DIRECTIVES.split()),
    max_size=3,
).map(", ".join) | st.sampled_from(["max-age=60", "max-age=3", "public, s-maxage=1"])
FIELDS = st.lists(
    st.sampled_from(
        [
            *ANSWER_LINES.strip().splitlines(),
            f"Last-Modified: {format_date(T0 - 40).decode()}",
            f"Date: {format_date(T0 - 1).decode()}",
            f"Expires: {format_date(T0 + 5).decode()}",
        ]
    ),
    max_size=5,
)
REQUEST_LINES = st.lists(
    st.sampled_from([*ASKED_LINES.strip().splitlines(), f"If-Modified-Since: {format_date(T0).decode()}"]),
    max_size=3,
)
METHODS = st.sampled_from(["GET"] * 6 + ["HEAD"] * 2 + ["OPTIONS"])
TARGETS = st.sampled_from(["/", "/", "/a?x=1", "/a?utm_s=1&x=1", "/a?", "/%7Ea"])
# Quarters of a second are exact in doubles; a shade off a whole second is where rounding shows.
SECONDS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 30.0, 0.9999999, 1.0000002, 0.1, 0.3])


@dataclass(frozen=True)
class Store:
    request: bytes
    head: ResponseHead
    body: bytes
    delay: float


@dataclass(frozen=True)
class Ask:
    data: bytes


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Purge:
    rule: PurgeRule


@dataclass(frozen=True)
class Reload:
    config: int


HEADS = st.builds(
    lambda control, lines, status: says(
        *([f"Cache-Control: {control}"] if control else []), *dict.fromkeys(lines), status=status
    ),
    CACHE_CONTROL,
    FIELDS,
    st.sampled_from([200] * 6 + [203, 204, 301, 404, 500]),
)
REQUESTS = st.builds(
    lambda target, method, lines: asks(target, method, *lines), TARGETS, METHODS, REQUEST_LINES
)
STORES = st.builds(
    Store,
    st.builds(lambda target, lines: asks(target, "GET", *lines), TARGETS, REQUEST_LINES),
    HEADS,
    st.sampled_from([b"hello", b"", b"x" * 20_000]),
    st.sampled_from([0.0, 0.0, 0.25, 1.3]),
)
RULES = st.builds(
    PurgeRule,
    kind=st.sampled_from([PurgeKind.URL]),
    value=st.sampled_from([b"shop.test/", b"shop.test/a?x=1", b"other.test/"]),
    soft=st.booleans(),
) | st.builds(PurgeRule, st.just(PurgeKind.TAG), st.sampled_from([b"a", b"c"]), st.booleans())
STEPS = st.lists(
    st.one_of(
        STORES,
        STORES,
        st.builds(Ask, REQUESTS),
        st.builds(Ask, REQUESTS),
        st.builds(Ask, st.builds(lambda target: asks(target), TARGETS)),
        st.builds(Wait, SECONDS),
        st.builds(Purge, RULES),
        st.builds(Reload, st.integers(0, len(LOADED) - 1)),
    ),
    min_size=2,
    max_size=14,
)


def check(rig: Rig, data: bytes) -> None:
    """What the property says of one request, at this moment."""
    decision = rig.decision(data)
    fast = rig.answer(data)
    if fast is None:
        return
    event("answered fast")
    assert isinstance(decision, UseStored), decision
    assert decision.reason is Reason.FRESH
    assert fast == rig.slow(data)


def play(config: int, steps: list[object]) -> None:
    """Do these things one after the other; after each, ask again what was asked lately."""
    with Rig() as rig:
        rig.follow(LOADED[config])
        plain = [asks("/"), asks("/", "HEAD"), asks("/", "GET", 'If-None-Match: "v1"')]
        asked: list[bytes] = []
        for step in steps:
            match step:
                case Store(request, head, body, delay):
                    rig.store(request, head, b"" if head.status == 204 else body, delay)
                    asked.append(request)
                case Ask(data):
                    asked.append(data)
                case Wait(seconds):
                    rig.advance(seconds)
                case Purge(rule):
                    rig.purges.apply(rule)
                case Reload(number):
                    rig.follow(LOADED[number])
            for data in dict.fromkeys((*plain, *asked[-4:])):
                check(rig, data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(LOADED) - 1), STEPS)
def test_the_fast_path_answers_what_the_slow_way_would_or_nothing(config: int, steps: list[object]) -> None:
    play(config, steps)
