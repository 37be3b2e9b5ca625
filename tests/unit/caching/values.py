"""Short ways to write requests, responses and stored responses for tables of cases."""

from dataclasses import replace
from typing import Any

from edgeproxy.caching.build import make_stored
from edgeproxy.caching.policy import CachePolicy, KeyPolicy
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.wire.dates import format_date
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.target import parse_uri

URL = b"http://shop.example/page"
T0 = 1_700_000_000.0
"""When the stored response of `stored` came, in wall seconds; a whole second."""

PLAIN = CachePolicy()
ETAG: RawField = (b"ETag", b'"v1"')


def at(offset: float) -> bytes:
    """The HTTP date `offset` seconds from T0."""
    return format_date(T0 + offset)


def lines(*pairs: RawField | str) -> Fields:
    """Fields of pairs, or of strings such as 'Name: value'."""
    return Fields(tuple(split(pair) if isinstance(pair, str) else pair for pair in pairs))


def split(line: str) -> RawField:
    name, _, value = line.partition(":")
    return name.encode("latin-1"), value.strip().encode("latin-1")


def get(*pairs: RawField | str, method: bytes = b"GET", url: bytes = URL) -> RequestHead:
    return RequestHead(method, parse_uri(url), 1, lines(*pairs))


def answer(*pairs: RawField | str, status: int = 200) -> ResponseHead:
    """A response dated T0, unless it brings a Date of its own."""
    fields = lines(*pairs)
    if b"date" not in fields:
        fields = fields.plus((b"Date", at(0)))
    return ResponseHead(status, b"Reason", 1, fields)


def cc(value: str, *pairs: RawField | str, status: int = 200) -> ResponseHead:
    return answer(f"Cache-Control: {value}", *pairs, status=status)


def stored(
    head: ResponseHead | str = "max-age=60",
    *pairs: RawField | str,
    request: RequestHead | None = None,
    policy: CachePolicy = PLAIN,
    body: bytes = b"0123456789",
    time: float = T0,
    delay: float = 0.0,
    **changes: Any,
) -> StoredResponse:
    """A response stored at `time`, `delay` seconds after it was asked for; a string is its Cache-Control."""
    if isinstance(head, str):
        head = cc(head, *pairs) if head else answer(*pairs)
    asked = request or get()
    made = make_stored(asked, head, body, time - delay, time, policy, Stamp(), asked.target.uri)
    return replace(made, **changes)


def keyed(*headers: bytes, cookies: tuple[bytes, ...] = ()) -> CachePolicy:
    return CachePolicy(key=KeyPolicy(headers=headers, cookies=cookies))
