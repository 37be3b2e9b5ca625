"""Whether a response may be stored, and if not, by which rule.

Must not know where it would be stored. RFC 9111 §3, §3.5.
"""

from edgeproxy.caching.content_range import announced_part
from edgeproxy.caching.directives import Directives, of_request, parse
from edgeproxy.caching.freshness import (
    HEURISTICALLY_CACHEABLE,
    Lifetime,
    LifetimeSource,
    explicit_lifetime,
    lifetime_of,
)
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.targeted import Binding, binding
from edgeproxy.caching.uris import resolve
from edgeproxy.caching.vary import never_the_same
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

# What this cache understands the caching requirements of: the final codes of RFC 9110 §15 and their kin.
UNDERSTOOD = frozenset(
    {*range(200, 207), 300, 301, 302, 303, 305, 307, 308, *range(400, 419), *range(421, 427)}
    | {428, 429, 431, 451, *range(500, 509), 511}
)
# Ranges and conditions get what one request asked for; these statuses speak of the resource all the same.
_ASKING_FOR_LESS = frozenset(
    {b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"}
)
_WHATEVER_WAS_ASKED = frozenset({200, 203, 206, 301, 308, 404, 410})
# Without these a stored response would be judged by other rules than its origin gave.
_ESSENTIAL = frozenset({b"cache-control", b"expires", b"date", b"age", b"vary"})
_WINDOWS = (b"stale-while-revalidate", b"stale-if-error")
# All sources but a guess: the operator's word, or the origin's.
_GIVEN = frozenset(LifetimeSource) - {LifetimeSource.HEURISTIC, LifetimeSource.NONE}
_PLAINLY = frozenset({200, 203, 301, 308, 404, 410})


def storable(
    request: RequestHead, response: ResponseHead, policy: CachePolicy, response_time: float = 0.0
) -> Reason | None:
    """Why a shared cache may not, or need not, store this response; None where it stores it.

    `response_time`, in wall seconds, stands in for a missing Date.
    """
    found = judged(request, response, policy, response_time)
    return found if isinstance(found, Reason) else None


def judged(
    request: RequestHead, response: ResponseHead, policy: CachePolicy, response_time: float = 0.0
) -> Reason | Lifetime:
    """As `storable`, and where it is stored the freshness lifetime."""
    bound = binding(response.fields, policy)
    refused = (
        by_request(request, policy)
        or by_status(request, response, bound.directives)
        or by_method(request, response, bound, response_time)
        or by_directives(request, response, bound.directives, policy)
    )
    if refused is not None:
        return refused
    lifetime = lifetime_of(response.status, response.fields, bound, policy, response_time)
    return by_use(response, bound, policy, response_time, lifetime) or lifetime


def forbidden(response: ResponseHead, policy: CachePolicy) -> Reason | None:
    """What `storable` says of the answer to a plain GET that Cache-Control alone forbids; None: ask it.

    Plain: without conditions, Range, Authorization and Cache-Control, on a route that caches.
    """
    index = response.fields.index
    values = index.get(b"cache-control")
    if values is None or len(values) > 1 or response.status not in _PLAINLY:
        return None
    for name in policy.targeted:
        if name in index:
            return None
    directives = parse(values[0])
    if b"must-understand" in directives:
        return None
    if b"no-store" in directives:
        return Reason.NO_STORE
    return Reason.PRIVATE if directives.bare(b"private") else None


def authorized_reuse_allowed(directives: Directives) -> bool:
    """Whether an answer to a request with Authorization may be stored and reused (§3.5)."""
    return b"s-maxage" in directives or b"public" in directives or b"must-revalidate" in directives


def withheld_fields(fields: Fields, policy: CachePolicy) -> frozenset[bytes]:
    """The names of fields that a shared cache keeps from all but the client whose request brought them.

    Those of `private="..."`, and of `no-cache="..."`, which reuse without validation may not send
    (§5.2.2.4, §5.2.2.7).
    """
    directives = binding(fields, policy).directives
    named = directives.named_fields(b"private") | directives.named_fields(b"no-cache")
    return named - _ESSENTIAL - frozenset(policy.targeted)


def by_request(request: RequestHead, policy: CachePolicy) -> Reason | None:
    """What of the request, or of the route, keeps its answer from being stored (§5.2.1.5)."""
    if not policy.enabled:
        return Reason.DISABLED
    return (
        Reason.REQUEST_NO_STORE
        if b"no-store" in of_request(request.fields, policy.request_directives)
        else None
    )


def by_status(request: RequestHead, response: ResponseHead, directives: Directives) -> Reason | None:
    """Whether its status is one that is stored, and understood where it must be (§3, §5.2.2.3)."""
    status = response.status
    if status == 206 and (b"range" not in request.fields or announced_part(response.fields) is None):
        return Reason.PARTIAL
    if status not in _WHATEVER_WAS_ASKED and not _ASKING_FOR_LESS.isdisjoint(request.fields.index):
        return Reason.STATUS
    if not 200 <= status <= 599 or status == 304:
        return Reason.STATUS
    if b"must-understand" in directives and status not in UNDERSTOOD:
        return Reason.NOT_UNDERSTOOD
    return None


def by_method(
    request: RequestHead, response: ResponseHead, bound: Binding, response_time: float
) -> Reason | None:
    """GET; and POST where it says how long, and that it is what a GET would bring (RFC 9110 §9.3.3)."""
    if request.method == b"GET":
        return None
    if request.method == b"POST" and 200 <= response.status <= 299:
        location = response.fields.get(b"content-location")
        if location is not None and explicit_lifetime(response.fields, bound, response_time) is not None:
            named = resolve(location, request.target)
            if named is not None and named.uri == request.target.uri:
                return None
    return Reason.METHOD


def by_directives(
    request: RequestHead, response: ResponseHead, directives: Directives, policy: CachePolicy
) -> Reason | None:
    """Which field of it forbids storing (§3, §3.5, §4.1)."""
    # An understood status: no-store beside must-understand is for caches that know neither (§5.2.2.3).
    if b"no-store" in directives and b"must-understand" not in directives:
        return Reason.NO_STORE
    if directives.bare(b"private"):
        return Reason.PRIVATE
    if b"authorization" in request.fields and not authorized_reuse_allowed(directives):
        return Reason.AUTHORIZATION
    never = never_the_same(response.fields)
    if never:
        return Reason.VARY_STAR if b"*" in never else Reason.VARY_PER_REQUEST
    withheld = directives.named_fields(b"private") | directives.named_fields(b"no-cache")
    if b"set-cookie" in response.fields and b"set-cookie" not in withheld and not policy.allow_set_cookie:
        return Reason.SET_COOKIE
    return None


def by_use(
    response: ResponseHead, bound: Binding, policy: CachePolicy, response_time: float, lifetime: Lifetime
) -> Reason | None:
    """Whether it is of a kind that is stored, and could ever be of use."""
    fields, directives = response.fields, bound.directives
    explicit = lifetime.source in _GIVEN or explicit_lifetime(fields, bound, response_time) is not None
    if not (explicit or b"public" in directives or response.status in HEURISTICALLY_CACHEABLE):
        return Reason.STATUS
    # A stored 5xx is neither validated nor served stale.
    error = response.status >= 500
    can_validate = not error and (b"etag" in fields or b"last-modified" in fields)
    if not can_validate:
        may_be_stale = not error and any(directives.delta(window) for window in _WINDOWS)
        if directives.bare(b"no-cache") or (lifetime.seconds <= 0 and not may_be_stale):
            return Reason.NOTHING_TO_REUSE
    media_type = (fields.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type == b"text/event-stream":
        return Reason.EVENT_STREAM
    length = fields.get_all(b"content-length")
    if length and length[0].isdigit() and int(length[0]) > policy.max_object_size:
        return Reason.TOO_LARGE
    return None
