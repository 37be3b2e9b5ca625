"""A stored response made of an exchange.

Must not know whether it may be stored (`storability`). RFC 9111 §3.1.
"""

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.storability import withheld_fields
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.caching.tags import tags_of
from edgeproxy.caching.vary import selecting, variant_key
from edgeproxy.wire.dates import format_date
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.hop_by_hop import strip_hop_by_hop

_TRAILER = b"trailer"  # the trailer section is not stored, so nothing may announce it


def make_stored(
    request: RequestHead,
    response_head: ResponseHead,
    body: bytes | tuple[bytes, ...],
    request_time: float,
    response_time: float,
    policy: CachePolicy,
    stamp: Stamp,
    key: bytes,
    *,
    origin_seconds: float = 0.0,
) -> StoredResponse:
    """The stored response of a complete exchange; times are wall seconds."""
    segments = (body,) if isinstance(body, bytes) else body
    selecting_fields = selecting(request, response_head.fields, policy)
    return StoredResponse(
        key=key,
        variant=variant_key(selecting_fields),
        method=request.method,
        status=response_head.status,
        reason=response_head.reason,
        fields=stored_fields(response_head.fields, policy, response_time),
        body=segments if all(segments) else tuple(segment for segment in segments if segment),
        size=sum(map(len, segments)),
        request_time=request_time,
        response_time=response_time,
        selecting=selecting_fields,
        tags=tags_of(response_head.fields, policy, request.target),
        stamp=stamp,
        origin_seconds=origin_seconds,
        request_authorized=b"authorization" in request.fields,
    )


def stored_fields(fields: Fields, policy: CachePolicy, response_time: float) -> Fields:
    """The fields that are stored: without those of the connection and those of one client only.

    A missing Date is added (RFC 9110 §6.6.1). What stays keeps its order, case and lines.
    """
    kept = strip_hop_by_hop(fields)
    drop = {_TRAILER} | withheld_fields(fields, policy)
    if not drop.isdisjoint(kept.index):
        kept = kept.without(drop)
    return kept if b"date" in kept else kept.plus((b"Date", format_date(response_time)))
