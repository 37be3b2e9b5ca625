"""Stored responses and records for tests of the node's tier."""

from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.store.codec import preamble_of
from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_records import Put, Record
from edgeproxy.wire.fields import Fields

RUN = b"r" * 16
PURGES = b"p" * 16
SIZE = 4 * 1024 * 1024
HERE = Stamp(run=b"node", local=3)


def stored(
    key: bytes = b"http://h/a",
    size: int = 10,
    variant: bytes = b"",
    response_time: float = 1.0,
    stamp: Stamp = HERE,
) -> StoredResponse:
    body = (bytes(at % 251 for at in range(size)),) if size else ()
    fields = Fields([(b"Content-Type", b"text/plain")])
    selecting = ((b"accept", b"x"),) if variant else ()
    return StoredResponse(
        key, variant, b"GET", 200, b"OK", fields, body, size, 1.0, response_time, selecting, stamp=stamp
    )


def record(one: StoredResponse, expires: float = 1e12, order: int = 0) -> Record:
    """What tells the writer to store it."""
    names = tuple(name for name, _ in one.selecting)
    put = Put(name_of(one.key), one.variant, names, expires, one.response_time, order, preamble_of(one))
    return put, b"".join(one.body)
