"""Which fields are for one connection only, and a list of fields without them.

Must not know what replaces them (framing, upgrades). RFC 9110 §7.6.1.
"""

from edgeproxy.wire.fields import Fields
from edgeproxy.wire.framing import connection_options

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)

# Nominating these, a client could strip what decides over caching, access or routing.
_NOT_NOMINABLE = frozenset(
    b"age authorization cache-control cache-groups cdn-cache-control cdn-loop content-encoding content-length"
    b" content-location content-range content-type cookie date etag expires forwarded host if-match"
    b" if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards"
    b" origin pragma range set-cookie surrogate-control trailer transfer-encoding vary via"
    b" x-forwarded-for x-forwarded-host x-forwarded-proto x-request-id".split()
)


def strip_hop_by_hop(fields: Fields, keep_te_trailers: bool = False) -> Fields:
    """The fields without those of the connection, and without what Connection nominates.

    What is essential from end to end cannot be nominated away. `keep_te_trailers` leaves one
    `TE: trailers` where the sender listed `trailers`, for a hop that passes trailers on.
    """
    if HOP_BY_HOP.isdisjoint(fields.index):
        return fields  # without Connection nothing is nominated
    names = fields.index.keys()
    drop = (names & HOP_BY_HOP) | ((connection_options(fields) & names) - _NOT_NOMINABLE)
    if not drop:
        return fields
    kept = fields.without(drop)
    if keep_te_trailers and b"te" in drop and _accepts_trailers(fields):
        kept = kept.plus((b"TE", b"trailers"))
    return kept


def _accepts_trailers(fields: Fields) -> bool:
    members = b",".join(fields.get_all(b"te")).lower().split(b",")
    return any(member.strip(b" \t") == b"trailers" for member in members)
