"""When a request that failed may be sent again.

Must not send anything or know time. RFC 9110 §9.2.2.
"""

from enum import Enum

from edgeproxy.errors import BadResponse, ConnectionLost, FirstByteTimeout, PoolExhausted, UpstreamError
from edgeproxy.upstream.ports import OriginRequest

SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
IDEMPOTENT = SAFE | {b"PUT", b"DELETE"}


class Again(Enum):
    """What may be done after a failure."""

    NO = "no"
    FRESH = "fresh"
    """On a new connection to the same origin, at no cost: an idle connection ended as we used it."""
    ELSEWHERE = "elsewhere"
    """At another origin, within attempts and budget."""


def may_retry(request: OriginRequest, error: UpstreamError, *, reused: bool, started: bool) -> Again:
    """What may be done after `error`; `started` says that a byte of an answer had come."""
    body = request.body
    if isinstance(error, PoolExhausted) or (body is not None and body.consumed):
        return Again.NO
    idempotent = request.method in IDEMPOTENT
    if isinstance(error, ConnectionLost) and reused and not started:
        # No origin acts on a request whose body it has not got a byte of.
        withheld = body is not None and body.length != 0
        if idempotent or withheld or error.retry_safe:
            return Again.FRESH
    if error.retry_safe:
        return Again.ELSEWHERE
    if idempotent and isinstance(error, ConnectionLost | BadResponse):
        return Again.ELSEWHERE
    if request.method in SAFE and isinstance(error, FirstByteTimeout):
        return Again.ELSEWHERE
    return Again.NO
