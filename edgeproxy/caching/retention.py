"""How long a stored response is of any use to a tier that drops what has expired.

Must not know tiers. RFC 5861, RFC 9111 §4.2.4, §4.3.
"""

from edgeproxy.caching.age import current_age
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stale import Occasion, stale_allowance
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import conditional_fields

KEEP = 3600.0
"""Seconds for which what can be validated is kept beyond its freshness, only to be validated."""


def retention(stored: StoredResponse, policy: CachePolicy, now: float) -> float:
    """Seconds from wall time `now` for which `stored` may still be served or validated; 0 for none."""
    left = freshness_lifetime(stored, policy).seconds - current_age(stored, now)
    window = max(stale_allowance(stored, policy, occasion).seconds for occasion in Occasion)
    if conditional_fields(stored):
        window = max(window, KEEP)
    return max(0.0, left + window)
