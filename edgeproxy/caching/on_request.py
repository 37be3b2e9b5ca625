"""The decision about a request: what to do with it, given what is stored.

Must not know IO, tiers or connections: `now` and everything else is an argument. RFC 9111 §4.
"""

from edgeproxy.caching.age import current_age
from edgeproxy.caching.directives import Directives, of_request
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.outcomes import (
    Forward,
    OnlyIfCachedMiss,
    OnRequest,
    UseStaleAndRevalidate,
    UseStored,
    Validate,
)
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.preconditions import still_matches
from edgeproxy.caching.ranges import answers
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.stale import (
    Occasion,
    always_validates,
    bars_stale,
    client_may_take_stale,
    stale_allowance,
)
from edgeproxy.caching.storability import authorized_reuse_allowed
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.wire.heads import RequestHead

# What a soft-purged response's ttl is reported as: stale from now on, whatever its lifetime said.
PURGED_TTL = -1.0
REFRESHING = frozenset({b"no-cache", b"max-age", b"min-fresh"})
"""Directives with which a client sends its request past a fresh stored response (§5.2.1)."""


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
    asked = of_request(request.fields, policy.request_directives)
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
    if not answers(request, stored, now):
        return Forward(Fwd.PARTIAL, Reason.PART_STORED, may_store)
    age = current_age(stored, now)
    lifetime = freshness_lifetime(stored, policy)
    ttl = lifetime.seconds - age
    if soft_purged:
        ttl = min(ttl, PURGED_TTL)
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
    # Without max-stale, max-age means nothing stale; with it, it still is the limit (§5.2.1.1).
    if max_age is not None and (age > max_age or b"max-stale" not in asked):
        return why
    # The operator made it stale for a reason that no client can overrule.
    if b"max-stale" in asked and not soft_purged and client_may_take_stale(stored, policy):
        limit = asked.delta(b"max-stale")
        if staleness <= limit if limit is not None else asked.bare(b"max-stale"):
            return Reason.MAX_STALE
    window = stale_allowance(stored, policy, Occasion.REVALIDATING)
    return window.reason if staleness < window.seconds else why
