"""Random requests, responses and policies that touch every rule of storing and reuse, for properties.

Must not know what is asked of them.
"""

from hypothesis import strategies as st

from edgeproxy.caching.directives import REQUEST_DIRECTIVES
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

from .values import ETAG, answer, at, get

_DIRECTIVES = (
    "no-store",
    "private",
    'private="set-cookie"',
    "no-cache",
    'no-cache="set-cookie"',
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "max-age=0",
    "max-age=60",
    "max-age=x",
    "s-maxage=10",
    "stale-while-revalidate=30",
    "stale-if-error=30",
)
_ASKED = (
    "no-cache",
    "no-store",
    "max-age=0",
    "max-age=30",
    "max-stale",
    "max-stale=20",
    "min-fresh=20",
    "only-if-cached",
)
_SAID: tuple[RawField, ...] = (
    (b"Set-Cookie", b"a=b"),
    (b"Vary", b"*"),
    (b"Vary", b"Accept-Language"),
    ETAG,
    (b"Last-Modified", at(-5000)),
    (b"Expires", at(40)),
    (b"Expires", b"0"),
    (b"Age", b"20"),
    (b"Content-Type", b"text/event-stream"),
    (b"Content-Length", b"99999999"),
    (b"Content-Location", b"/page"),
    (b"Content-Range", b"bytes 0-9/20"),
    (b"CDN-Cache-Control", b"max-age=5"),
    (b"CDN-Cache-Control", b"no-store"),
)
_CONDITIONS: tuple[RawField, ...] = (
    (b"Authorization", b"Basic Zm9v"),
    (b"Pragma", b"no-cache"),
    (b"If-Match", b'"v2"'),
    (b"If-None-Match", b'"v1"'),
    (b"Accept-Language", b"de"),
    (b"Range", b"bytes=2-3"),
    (b"Range", b"bytes=15-"),
)


def _some(values: tuple[str, ...], name: bytes) -> st.SearchStrategy[tuple[RawField, ...]]:
    members = st.lists(st.sampled_from(values), max_size=3, unique=True)
    return members.map(lambda chosen: ((name, ", ".join(chosen).encode()),) if chosen else ())


def requests(*methods: bytes) -> st.SearchStrategy[RequestHead]:
    """Requests by one of these methods; GET without any."""
    fields = st.lists(st.sampled_from(_CONDITIONS), max_size=2, unique=True)
    return st.builds(
        lambda method, asked, others: get(*asked, *others, method=method),
        st.sampled_from(methods or (b"GET",)),
        _some(_ASKED, b"Cache-Control"),
        fields,
    )


def responses(
    *statuses: int,
) -> st.SearchStrategy[ResponseHead]:
    """Responses with one of these statuses; else with any that the rules tell apart."""
    some = statuses or (200, 201, 206, 299, 302, 404, 500, 503, 101)
    fields = st.lists(st.sampled_from(_SAID), max_size=4, unique=True)
    return st.builds(
        lambda status, said, others: answer(*said, *others, status=status),
        st.sampled_from(some),
        _some(_DIRECTIVES, b"Cache-Control"),
        fields,
    )


def policies() -> st.SearchStrategy[CachePolicy]:
    """Policies of every kind."""
    ttl = st.sampled_from((None, 0.0, 30.0))
    return st.builds(
        CachePolicy,
        enabled=st.sampled_from((True, True, True, False)),
        override_ttl=ttl,
        default_ttl=ttl,
        negative_ttl=ttl,
        stale_while_revalidate=ttl,
        jitter=st.sampled_from((0.0, 0.5)),
        allow_set_cookie=st.booleans(),
        heuristic=st.booleans(),
        adaptive=st.sampled_from((None, None, (10.0, 100.0))),
        request_directives=st.sampled_from((REQUEST_DIRECTIVES, frozenset({b"no-cache"}))),
    )
