"""Why: one name for each rule that decides, the same in log, metric, Cache-Status and explain.

Must not know when a rule applies.
"""

from enum import StrEnum


class Fwd(StrEnum):
    """Why a request went towards the origin (RFC 9211 §2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


class Reason(StrEnum):
    """The rule that decided; `section` says where it stands."""

    # a stored response was used
    FRESH = "fresh"
    MAX_STALE = "max-stale"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    STALE_IF_ERROR = "stale-if-error"
    DISCONNECTED = "disconnected"
    STALE_IF_SLOW = "stale-if-slow"
    ADMISSION = "admission"
    BACKOFF = "backoff"
    # the request went on to the origin
    DISABLED = "cache-disabled"
    METHOD = "method"
    REQUEST_BODY = "request-body"
    NOT_STORED = "nothing-stored"
    NO_VARIANT = "no-variant"
    STALE = "stale"
    SOFT_PURGED = "soft-purged"
    EARLY = "early-revalidation"
    REQUEST_NO_CACHE = "request-no-cache"
    REQUEST_MAX_AGE = "request-max-age"
    REQUEST_MIN_FRESH = "request-min-fresh"
    PRECONDITION = "precondition"
    PART_STORED = "part-stored"
    # a response was not stored
    REQUEST_NO_STORE = "request-no-store"
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    SET_COOKIE = "set-cookie"
    VARY_STAR = "vary-star"
    VARY_PER_REQUEST = "vary-per-request"
    STATUS = "status"
    PARTIAL = "partial"
    NOT_UNDERSTOOD = "not-understood"
    NOTHING_TO_REUSE = "nothing-to-reuse"
    TOO_LARGE = "too-large"
    EVENT_STREAM = "event-stream"
    # what the origin answered
    VALIDATED = "validated"
    CONFIRMED = "confirmed"
    UPDATED_BY_HEAD = "updated-by-head"
    CHANGED_BY_HEAD = "changed-by-head"
    NOT_MODIFIED = "not-modified"
    UNASKED = "unasked-304"
    NONE_OF_THESE = "none-of-these"
    PURGED = "purged"
    NO_MATCHING_PART = "no-matching-part"
    # a stale response may not be used
    NO_CACHE = "no-cache"
    MUST_REVALIDATE = "must-revalidate"
    PROXY_REVALIDATE = "proxy-revalidate"
    S_MAXAGE = "s-maxage"
    STORED_ERROR = "stored-error"
    NOT_ALLOWED = "not-allowed"
    WINDOW_OVER = "window-over"

    @property
    def section(self) -> str:
        """Where the rule stands; empty for an operator's rule."""
        return _SECTIONS.get(self, "")


_SECTIONS = {
    Reason.FRESH: "RFC 9111 §4.2",
    Reason.MAX_STALE: "RFC 9111 §5.2.1.2",
    Reason.STALE_WHILE_REVALIDATE: "RFC 5861 §3",
    Reason.STALE_IF_ERROR: "RFC 5861 §4",
    Reason.DISCONNECTED: "RFC 9111 §4.2.4",
    Reason.STALE_IF_SLOW: "RFC 9111 §4.2.4",
    Reason.ADMISSION: "RFC 9111 §4.2.4",
    Reason.BACKOFF: "RFC 9111 §4.2.4",
    Reason.METHOD: "RFC 9111 §3",
    Reason.REQUEST_BODY: "RFC 9110 §9.3.1",
    Reason.NOT_STORED: "RFC 9111 §4",
    Reason.NO_VARIANT: "RFC 9111 §4.1",
    Reason.STALE: "RFC 9111 §4.2",
    Reason.REQUEST_NO_CACHE: "RFC 9111 §5.2.1.4",
    Reason.REQUEST_MAX_AGE: "RFC 9111 §5.2.1.1",
    Reason.REQUEST_MIN_FRESH: "RFC 9111 §5.2.1.3",
    Reason.PRECONDITION: "RFC 9110 §13.1.1",
    Reason.PART_STORED: "RFC 9111 §3.4",
    Reason.NONE_OF_THESE: "RFC 9111 §4.3.4",
    Reason.NO_MATCHING_PART: "RFC 9111 §3.4",
    Reason.REQUEST_NO_STORE: "RFC 9111 §5.2.1.5",
    Reason.NO_STORE: "RFC 9111 §5.2.2.5",
    Reason.PRIVATE: "RFC 9111 §5.2.2.7",
    Reason.AUTHORIZATION: "RFC 9111 §3.5",
    Reason.SET_COOKIE: "RFC 9111 §7.3",
    Reason.VARY_STAR: "RFC 9111 §4.1",
    Reason.VARY_PER_REQUEST: "RFC 9111 §4.1",
    Reason.STATUS: "RFC 9111 §3",
    Reason.PARTIAL: "RFC 9111 §3.3",
    Reason.NOT_UNDERSTOOD: "RFC 9111 §5.2.2.3",
    Reason.NOTHING_TO_REUSE: "RFC 9111 §3",
    Reason.VALIDATED: "RFC 9111 §4.3.3",
    Reason.CONFIRMED: "RFC 9111 §4.3.4",
    Reason.UPDATED_BY_HEAD: "RFC 9111 §4.3.5",
    Reason.CHANGED_BY_HEAD: "RFC 9111 §4.3.5",
    Reason.NOT_MODIFIED: "RFC 9111 §4.3.3",
    Reason.UNASKED: "RFC 9110 §15.4.5",
    Reason.NO_CACHE: "RFC 9111 §5.2.2.4",
    Reason.MUST_REVALIDATE: "RFC 9111 §5.2.2.2",
    Reason.PROXY_REVALIDATE: "RFC 9111 §5.2.2.8",
    Reason.S_MAXAGE: "RFC 9111 §5.2.2.10",
    Reason.NOT_ALLOWED: "RFC 9111 §4.2.4",
    Reason.WINDOW_OVER: "RFC 9111 §4.2.4",
}
