"""The decisions and what they can be, under one name: about a request, an answer, a failure.

Must not know how they are come by (`on_request`, `on_response`) or carried out (`edge`). RFC 9111 §4.
"""

from edgeproxy.caching.on_request import REFRESHING, on_request
from edgeproxy.caching.on_response import CLIENTS_OWN, SERVER_ERRORS, on_failure, on_response
from edgeproxy.caching.outcomes import (
    Again,
    Complete,
    Fail,
    Forward,
    Freshen,
    OnFailure,
    OnlyIfCachedMiss,
    OnRequest,
    OnResponse,
    Relay,
    Store,
    Unusable,
    UseStale,
    UseStaleAndRevalidate,
    UseStored,
    Validate,
)
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.stale import Occasion, always_validates, stale_allowance

__all__ = [
    "CLIENTS_OWN",
    "REFRESHING",
    "SERVER_ERRORS",
    "Again",
    "Complete",
    "Fail",
    "Forward",
    "Freshen",
    "Fwd",
    "Occasion",
    "OnFailure",
    "OnRequest",
    "OnResponse",
    "OnlyIfCachedMiss",
    "Reason",
    "Relay",
    "Store",
    "Unusable",
    "UseStale",
    "UseStaleAndRevalidate",
    "UseStored",
    "Validate",
    "always_validates",
    "on_failure",
    "on_request",
    "on_response",
    "stale_allowance",
]
