"""Stored responses for the tests of the tiers."""

from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.wire.fields import Fields

FIELDS = Fields(
    [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
        (b"Cache-Control", b"public, max-age=300"),
        (b"ETag", b'"5f3a-61b2c4d8"'),
        (b"Last-Modified", b"Sun, 31 Dec 2023 00:00:00 GMT"),
        (b"Content-Length", b"1024"),
        (b"Server", b"shop/1.4"),
        (b"Vary", b"Accept-Encoding"),
    ]
)
STAMP = Stamp(b"log-1", 7, b"run-1", 3)


def stored(
    number: int = 1,
    *,
    body: bytes | tuple[bytes, ...] = b"x" * 1024,
    variant: bytes = b"",
    names: tuple[bytes, ...] = (),
    response_time: float = 1700000001.5,
) -> StoredResponse:
    """Stored response `number`, of a key of its own."""
    segments = body if isinstance(body, tuple) else (body,) if body else ()
    return StoredResponse(
        key=b"http://shop.example/products/%d" % number,
        variant=variant,
        method=b"GET",
        status=200,
        reason=b"OK",
        fields=FIELDS,
        body=segments,
        size=sum(map(len, segments)),
        request_time=1700000001.25,
        response_time=response_time,
        selecting=tuple((name, b"gzip") for name in names),
        tags=(b"product-%d" % number, b"shop"),
        stamp=STAMP,
        origin_seconds=0.125,
        request_authorized=False,
    )
