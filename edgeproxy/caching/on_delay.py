"""The decision about a request whose answer from the origin has to wait: stale now, or the wait.

Must not know why it waits, or how long: the caller says by which rule. RFC 9111 §4.2.4, RFC 5861.
"""

from edgeproxy.caching.directives import of_request
from edgeproxy.caching.on_request import REFRESHING
from edgeproxy.caching.on_response import without_validation
from edgeproxy.caching.outcomes import Fail, OnFailure, UseStale
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.ranges import answers
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stale import Occasion
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.heads import RequestHead


def on_delay(
    request: RequestHead,
    stored: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    *,
    why: Reason,
    soft_purged: bool = False,
) -> OnFailure:
    """What a request gets at wall time `now` instead of waiting: the stale response, or nothing yet.

    Stale within the longer of its windows (stale-while-revalidate, stale-if-error), which must-revalidate,
    proxy-revalidate, no-cache and s-maxage bar as ever. A client whose request speaks of freshness itself
    (no-cache, max-age, min-fresh) waits: it is not out of touch with the origin (§5.2.1).
    """
    if stored is None or not answers(request, stored, now):
        return Fail(Reason.NOT_STORED)
    asked = of_request(request.fields, policy.request_directives)
    if any(name in asked for name in REFRESHING):
        return Fail(Reason.NOT_ALLOWED)
    decision = without_validation(request, stored, policy, now, Occasion.WAITING, soft_purged)
    if isinstance(decision, UseStale):
        return UseStale(decision.stored, decision.age, decision.ttl, decision.lifetime, why)
    return decision
