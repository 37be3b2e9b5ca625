"""A client's preconditions against a stored response.

Must not know ranges (`ranges`) or freshness. RFC 9110 §13.1, §13.2; RFC 9111 §4.3.2.
"""

import re
from enum import Enum

from edgeproxy.caching.age import date_value
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import entity_tag, weakly_equal
from edgeproxy.wire.dates import parse_date
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead

CONDITIONALS = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
)

# Quoted as the grammar asks, or bare: an origin that forgets the quotes still gets its 304s.
_ENTITY_TAG = re.compile(rb'(?:W/)?"[^"]*"|[^,\s]+')
# RFC 9110 §15.4.5: a 304 carries what guides the cache, not what describes content it does not send.
_NOT_IN_304 = frozenset(
    {
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-range",
        b"content-md5",
        b"content-digest",
        b"accept-ranges",
    }
)


class Precondition(Enum):
    """What to answer by a request's preconditions."""

    PROCEED = "as without them"
    NOT_MODIFIED = "304"
    FAILED = "412"


def evaluate(request: RequestHead, stored: StoredResponse, now: float | None = None) -> Precondition:
    """What the request's preconditions make of `stored`, in the order of RFC 9110 §13.2.2.

    `now`, in wall seconds, places two-digit years. Only a 2xx is subject to preconditions (§13.2.1).
    """
    fields = request.fields
    if not 200 <= stored.status <= 299:
        return Precondition.PROCEED
    if not still_matches(request, stored, now):
        return Precondition.FAILED
    tags = fields.get(b"if-none-match")
    if tags is not None:
        if not _none_match_hits(tags, stored.fields):
            return Precondition.PROCEED
        return Precondition.NOT_MODIFIED if _reads(request) else Precondition.FAILED
    if _reads(request) and _unmodified_since(fields, b"if-modified-since", stored, now):
        return Precondition.NOT_MODIFIED
    return Precondition.PROCEED


def still_matches(request: RequestHead, stored: StoredResponse, now: float | None = None) -> bool:
    """Whether If-Match, or else If-Unmodified-Since, holds for `stored` (RFC 9110 §13.1.1, §13.1.4)."""
    tags = request.fields.get(b"if-match")
    if tags is not None:
        own = entity_tag(stored.fields)
        if tags.strip() == b"*":
            return True
        return own is not None and not own.startswith(b"W/") and own in _ENTITY_TAG.findall(tags)
    if _date(request.fields, b"if-unmodified-since", now) is None:
        return True
    return _unmodified_since(request.fields, b"if-unmodified-since", stored, now)


def not_modified_fields(fields: Fields) -> Fields:
    """The stored fields that a 304 carries (RFC 9110 §15.4.5)."""
    return fields.without(_NOT_IN_304)


def _reads(request: RequestHead) -> bool:
    return request.method in {b"GET", b"HEAD"}


def _none_match_hits(tags: bytes, fields: Fields) -> bool:
    own = entity_tag(fields)
    if tags.strip() == b"*":
        return True
    return own is not None and any(weakly_equal(tag, own) for tag in _ENTITY_TAG.findall(tags))


def _unmodified_since(fields: Fields, name: bytes, stored: StoredResponse, now: float | None) -> bool:
    """Whether `stored` is no newer than the date there, by Last-Modified, Date, arrival (RFC 9111 §4.3.2)."""
    since = _date(fields, name, now)
    if since is None:
        return False
    modified = _date(stored.fields, b"last-modified", now)
    if modified is None:
        modified = date_value(stored.fields, stored.response_time)
    return modified <= since


def _date(fields: Fields, name: bytes, now: float | None) -> float | None:
    value = fields.get(name)
    return None if value is None else parse_date(value, now)
