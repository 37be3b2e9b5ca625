"""The decisions: what to do with a request, with an origin's answer, with an origin's failure.

Must not know IO, tiers or connections: `now` and everything else is an argument. RFC 9111 §4.
"""

from edgeproxy.caching.age import current_age
from edgeproxy.caching.directives import Directives, of_request
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.outcomes import (
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
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.preconditions import still_matches
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.stale import (
    Occasion,
    always_validates,
    bars_stale,
    client_may_take_stale,
    stale_allowance,
)
from edgeproxy.caching.storability import authorized_reuse_allowed, storable
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.caching.validation import freshen, freshens, same_as_head
from edgeproxy.wire.heads import RequestHead, ResponseHead

__all__ = [
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

# What a soft-purged response's ttl is reported as: stale from now on, whatever its lifetime said.
_PURGED_TTL = -1.0
SERVER_ERRORS = frozenset({500, 502, 503, 504})  # RFC 5861 §4


def on_request(
    request: RequestHead,
    stored: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    *,
    soft_purged: bool = False,
    vary_miss: bool = False,
) -> OnRequest:
    """What a request gets, given the stored response that it selects (§4).

    `vary_miss`: the key is stored, but no variant of it suits. `now` in wall seconds.
    """
    if not policy.enabled:
        return Forward(Fwd.BYPASS, Reason.DISABLED, store=False)
    if request.method not in {b"GET", b"HEAD"}:
        return Forward(Fwd.METHOD, Reason.METHOD, store=request.method == b"POST")
    asked = of_request(request.fields)
    outcome = _from_store(request, asked, stored, policy, now, soft_purged, vary_miss)
    if b"only-if-cached" in asked and not isinstance(outcome, UseStored | UseStaleAndRevalidate):
        return OnlyIfCachedMiss(outcome.reason)
    return outcome


def _from_store(
    request: RequestHead,
    asked: Directives,
    stored: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    soft_purged: bool,
    vary_miss: bool,
) -> UseStored | UseStaleAndRevalidate | Validate | Forward:
    may_store = request.method == b"GET" and b"no-store" not in asked
    if stored is None:
        fwd = Fwd.VARY_MISS if vary_miss else Fwd.URI_MISS
        return Forward(fwd, Reason.NO_VARIANT if vary_miss else Reason.NOT_STORED, may_store)
    # A 304, or a new policy, may have taken back what once allowed the reuse (§3.5).
    if stored.request_authorized and not authorized_reuse_allowed(binding(stored.fields, policy).directives):
        return Forward(Fwd.MISS, Reason.AUTHORIZATION, may_store)
    if not still_matches(request, stored, now):
        # Only the origin knows whether 412 is right: what is stored may have been replaced there.
        return Forward(Fwd.REQUEST, Reason.PRECONDITION, store=False)
    age = current_age(stored, now)
    lifetime = freshness_lifetime(stored, policy)
    ttl = lifetime.seconds - age
    if soft_purged:
        ttl = min(ttl, _PURGED_TTL)
    if ttl <= 0 or always_validates(stored, policy):
        stale = _stale_use(asked, stored, policy, age, lifetime.seconds, soft_purged)
        if stale is Reason.STALE_WHILE_REVALIDATE:
            return UseStaleAndRevalidate(stored, int(age), ttl, lifetime)
        if stale is Reason.MAX_STALE:
            return UseStored(stored, int(age), ttl, lifetime, stale)
        return Validate(stored, Fwd.STALE, stale)
    refused = _request_refuses(asked, stored, policy, age, ttl)
    if refused:
        return Validate(stored, Fwd.REQUEST, refused)
    return UseStored(stored, int(age), ttl, lifetime, Reason.FRESH)


def _request_refuses(
    asked: Directives, stored: StoredResponse, policy: CachePolicy, age: float, ttl: float
) -> Reason | None:
    """Which directive of the request keeps a fresh response from it (§5.2.1)."""
    if b"no-cache" in asked:
        return Reason.REQUEST_NO_CACHE
    max_age = asked.delta(b"max-age")
    # A reload does not validate what the origin calls immutable; no-cache above does (RFC 8246 §2).
    if (
        max_age is not None
        and age > max_age
        and b"immutable" not in binding(stored.fields, policy).directives
    ):
        return Reason.REQUEST_MAX_AGE
    min_fresh = asked.delta(b"min-fresh")
    if min_fresh is not None and ttl < min_fresh:
        return Reason.REQUEST_MIN_FRESH
    return None


def _stale_use(
    asked: Directives,
    stored: StoredResponse,
    policy: CachePolicy,
    age: float,
    lifetime: float,
    soft_purged: bool,
) -> Reason:
    """By which rule a stale response may be used at once, or why it must be validated first."""
    barred = bars_stale(stored, binding(stored.fields, policy).directives)
    staleness = max(0.0, age - lifetime)
    why = Reason.SOFT_PURGED if soft_purged else Reason.STALE
    if barred is Reason.NO_CACHE:
        return barred
    if b"no-cache" in asked:
        return Reason.REQUEST_NO_CACHE
    if b"min-fresh" in asked:
        return why
    max_age = asked.delta(b"max-age")
    if b"max-stale" in asked:
        if max_age is not None and age > max_age + (asked.delta(b"max-stale") or 0):
            return why
        # The operator made it stale for a reason that no client can overrule.
        if not soft_purged and client_may_take_stale(stored, policy):
            limit = asked.delta(b"max-stale")
            if staleness <= limit if limit is not None else asked.bare(b"max-stale"):
                return Reason.MAX_STALE
    elif max_age is not None:
        # With max-age, and without max-stale, the client takes nothing stale (§5.2.1.1).
        return why
    window = stale_allowance(stored, policy, Occasion.REVALIDATING)
    return window.reason if staleness < window.seconds else why


def on_response(
    request: RequestHead,
    head: ResponseHead,
    validated: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    *,
    request_time: float | None = None,
    conditionals_forwarded: bool = False,
    soft_purged: bool = False,
    stamp: Stamp | None = None,
) -> OnResponse:
    """What becomes of the origin's answer, which came at wall time `now` (§4.3.3, RFC 5861 §4).

    `validated` is the stored response that the request was made conditional on, or that a HEAD was sent
    in place of; `conditionals_forwarded`: the client's own preconditions went to the origin;
    `request_time` and `stamp` are of the moment when the request left.
    """
    asked_at = now if request_time is None else request_time
    if head.status == 304:
        if validated is None:
            return Relay(Reason.NOT_MODIFIED) if conditionals_forwarded else Unusable(Reason.UNASKED)
        reason = Reason.VALIDATED if freshens(validated, head) else Reason.CONFIRMED
        return _freshened(request, head, validated, policy, asked_at, now, stamp, reason)
    if head.status in SERVER_ERRORS and validated is not None:
        stale = _without_validation(request, validated, policy, now, Occasion.ANSWERED_ERROR, soft_purged)
        if isinstance(stale, UseStale):
            return stale
    if request.method == b"HEAD" and validated is not None and head.status == 200:
        if not same_as_head(validated, head):
            return Relay(Reason.CHANGED_BY_HEAD, drop=True)
        return _freshened(request, head, validated, policy, asked_at, now, stamp, Reason.UPDATED_BY_HEAD)
    refused = storable(request, head, policy, now)
    if refused is None:
        return Store(freshness_lifetime(head, policy, now))
    return Relay(refused, drop=validated is not None and _outdates(head.status))


def _outdates(status: int) -> bool:
    """Whether an answer that is not stored says that what is stored is no longer so."""
    return (200 <= status <= 399 and status != 206) or status in {404, 410}


def _freshened(
    request: RequestHead,
    head: ResponseHead,
    validated: StoredResponse,
    policy: CachePolicy,
    request_time: float,
    now: float,
    stamp: Stamp | None,
    reason: Reason,
) -> Freshen:
    stored = freshen(validated, head, request_time, now, policy, request, stamp)
    lifetime = freshness_lifetime(stored, policy)
    age = current_age(stored, now)
    # Judged as the GET that it stands for: its fields may have become private by this very answer.
    as_get = RequestHead(b"GET", request.target, request.minor, request.fields)
    as_whole = ResponseHead(stored.status, stored.reason, head.minor, stored.fields)
    cookies = () if policy.allow_set_cookie else _lines(head, b"set-cookie")
    return Freshen(
        stored,
        int(age),
        lifetime.seconds - age,
        lifetime,
        reason,
        storable(as_get, as_whole, policy, now),
        cookies,
    )


def _lines(head: ResponseHead, name: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(line for line in head.fields if line[0].lower() == name)


def on_failure(
    request: RequestHead,
    stored: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    *,
    disconnected: bool,
    status: int | None = None,
    soft_purged: bool = False,
) -> OnFailure:
    """What a request gets whose origin failed: a stale response, or the error (§4.2.4, RFC 5861 §4).

    `disconnected`: out of reach, reset or timed out; else the origin answered, with `status` or with
    nothing that is HTTP.
    """
    if stored is None:
        return Fail(Reason.NOT_STORED)
    if status is not None and status not in SERVER_ERRORS:
        return Fail(Reason.NOT_ALLOWED)
    occasion = Occasion.DISCONNECTED if disconnected else Occasion.ANSWERED_ERROR
    return _without_validation(request, stored, policy, now, occasion, soft_purged)


def _without_validation(
    request: RequestHead,
    stored: StoredResponse,
    policy: CachePolicy,
    now: float,
    occasion: Occasion,
    soft_purged: bool,
) -> UseStale | Fail:
    # Directives of requests are advisory (§5.2.1): a reload still gets what there is, but "not without
    # successful validation" is taken at its word.
    if b"no-cache" in of_request(request.fields):
        return Fail(Reason.REQUEST_NO_CACHE)
    if always_validates(stored, policy):
        return Fail(Reason.NO_CACHE)
    age = current_age(stored, now)
    lifetime = freshness_lifetime(stored, policy)
    ttl = lifetime.seconds - age
    if ttl > 0 and not soft_purged:  # validation was the request's wish
        return UseStale(stored, int(age), ttl, lifetime, Reason.FRESH)
    allowance = stale_allowance(stored, policy, occasion)
    if max(0.0, -ttl) < allowance.seconds:
        ttl = min(ttl, _PURGED_TTL) if soft_purged else ttl
        return UseStale(stored, int(age), ttl, lifetime, allowance.reason)
    return Fail(Reason.WINDOW_OVER if allowance.seconds else allowance.reason)
