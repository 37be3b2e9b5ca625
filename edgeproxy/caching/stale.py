"""How long past its freshness a stored response may still be served.

Must not know what happened to the request. RFC 9111 §4.2.4, RFC 5861.
"""

from dataclasses import dataclass
from enum import Enum

from edgeproxy.caching.directives import Directives
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding


class Occasion(Enum):
    """When a stale response may be wanted."""

    REVALIDATING = "while it is validated in the background"
    ANSWERED_ERROR = "the origin answered with an error"
    DISCONNECTED = "the origin is out of reach, resets or times out"
    WAITING = "the answer takes longer than the operator lets clients wait"


@dataclass(frozen=True, slots=True)
class Allowance:
    """Seconds past freshness, and the rule that gives or refuses them."""

    seconds: float
    reason: Reason


_BARRING = ((b"must-revalidate", Reason.MUST_REVALIDATE), (b"proxy-revalidate", Reason.PROXY_REVALIDATE))


def always_validates(stored: StoredResponse, policy: CachePolicy) -> bool:
    """Whether every reuse needs validation: `no-cache` that names no fields (RFC 9111 §5.2.2.4)."""
    return binding(stored.fields, policy).directives.bare(b"no-cache")


def stale_allowance(stored: StoredResponse, policy: CachePolicy, occasion: Occasion) -> Allowance:
    """How long `stored` may be served stale on this occasion.

    The origin's own window counts before the operator's, and beside s-maxage; the operator's and the
    default one never override what forbids stale reuse.
    """
    directives = binding(stored.fields, policy).directives
    refused = bars_stale(stored, directives)
    if refused:
        return Allowance(0.0, refused)
    if occasion is Occasion.WAITING:
        # Whatever window there is: both are for clients that need not wait for the origin.
        windows = (Occasion.DISCONNECTED, Occasion.REVALIDATING)
        return max((stale_allowance(stored, policy, each) for each in windows), key=lambda each: each.seconds)
    if occasion is Occasion.REVALIDATING:
        name, given, reason = (
            b"stale-while-revalidate",
            policy.stale_while_revalidate,
            Reason.STALE_WHILE_REVALIDATE,
        )
    else:
        name, given, reason = b"stale-if-error", policy.stale_if_error, Reason.STALE_IF_ERROR
    own = directives.lifetime(name)
    if own is not None:
        return Allowance(float(own), reason)
    if b"s-maxage" in directives:
        return Allowance(0.0, Reason.S_MAXAGE)
    if given is not None:
        return Allowance(given, reason)
    if occasion is Occasion.DISCONNECTED:
        return Allowance(policy.stale_if_disconnected, Reason.DISCONNECTED)
    return Allowance(0.0, Reason.NOT_ALLOWED)


def client_may_take_stale(stored: StoredResponse, policy: CachePolicy) -> bool:
    """Whether a request's max-stale has effect on it (RFC 9111 §5.2.1.2, §4.2.4)."""
    directives = binding(stored.fields, policy).directives
    return bars_stale(stored, directives) is None and b"s-maxage" not in directives


def bars_stale(stored: StoredResponse, directives: Directives) -> Reason | None:
    """What forbids stale reuse whoever would allow it; an error is never served stale."""
    if stored.status >= 500:
        return Reason.STORED_ERROR
    if directives.bare(b"no-cache"):
        return Reason.NO_CACHE
    return next((reason for name, reason in _BARRING if name in directives), None)
