"""The decisions about what an origin answered, or that it did not.

Must not know IO, tiers or connections: `now` and everything else is an argument. RFC 9111 §3.4, §4.3.
"""

from collections.abc import Sequence
from dataclasses import replace

from edgeproxy.caching.adaptive import learn
from edgeproxy.caching.age import current_age
from edgeproxy.caching.directives import of_request
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.on_request import PURGED_TTL
from edgeproxy.caching.outcomes import (
    Again,
    Complete,
    Fail,
    Freshen,
    OnFailure,
    OnResponse,
    Relay,
    Store,
    Unusable,
    UseStale,
)
from edgeproxy.caching.parts import completed_head, part_of
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.ranges import answers
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stale import Occasion, always_validates, stale_allowance
from edgeproxy.caching.storability import authorized_reuse_allowed, judged, storable
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.caching.validation import freshen, freshens, identified, merge, same_as_head
from edgeproxy.wire.heads import RequestHead, ResponseHead

SERVER_ERRORS = frozenset({500, 502, 503, 504})  # RFC 5861 §4
CLIENTS_OWN = frozenset({Reason.REQUEST_NO_STORE, Reason.AUTHORIZATION})
"""Why one client's answer is not stored, which says nothing of what others get."""


def on_response(
    request: RequestHead,
    head: ResponseHead,
    validated: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    *,
    others: Sequence[StoredResponse] = (),
    completes: StoredResponse | None = None,
    request_time: float | None = None,
    conditionals_forwarded: bool = False,
    soft_purged: bool = False,
    stamp: Stamp | None = None,
) -> OnResponse:
    """What becomes of the origin's answer, which came at wall time `now` (§4.3.3, RFC 5861 §4).

    `validated` is the stored response that the request was made conditional on, or that a HEAD was sent
    in place of; `others` are variants that were offered instead (`validation.offered_fields`);
    `completes` is a stored part whose missing bytes were asked for; `conditionals_forwarded`: the client's
    own preconditions went to the origin; `request_time` and `stamp` are of the moment when the request
    left.
    """
    asked_at = now if request_time is None else request_time
    if completes is not None and head.status == 206:
        return _completed(request, head, completes, policy, now)
    if head.status == 304:
        if others:
            validated = identified(head, others)
            if validated is None:
                return Again(Reason.NONE_OF_THESE)
        if validated is None:
            return Relay(Reason.NOT_MODIFIED) if conditionals_forwarded else Unusable(Reason.UNASKED)
        if validated.request_authorized and not _still_for_all(validated, head, policy):
            return Again(Reason.AUTHORIZATION)
        reason = Reason.VALIDATED if freshens(validated, head) else Reason.CONFIRMED
        return _freshened(request, head, validated, policy, asked_at, now, stamp, reason)
    if head.status == 416 and completes is not None:
        return Again(Reason.NO_MATCHING_PART)
    if head.status in SERVER_ERRORS and validated is not None:
        stale = without_validation(request, validated, policy, now, Occasion.ANSWERED_ERROR, soft_purged)
        if isinstance(stale, UseStale):
            return stale
    if request.method == b"HEAD" and validated is not None and head.status == 200:
        if not same_as_head(validated, head):
            return Relay(Reason.CHANGED_BY_HEAD, drop=True)
        return _freshened(request, head, validated, policy, asked_at, now, stamp, Reason.UPDATED_BY_HEAD)
    refused = judged(request, head, policy, now)
    if not isinstance(refused, Reason):
        return Store(refused)
    outdated = validated is not None and refused not in CLIENTS_OWN and _outdates(head.status)
    return Relay(refused, drop=outdated)


def _completed(
    request: RequestHead, head: ResponseHead, part: StoredResponse, policy: CachePolicy, now: float
) -> Complete | Again:
    whole = completed_head(part, head)
    if whole is None or storable(request, whole, policy, now) is not None:
        return Again(Reason.NO_MATCHING_PART)
    if part.request_authorized and not authorized_reuse_allowed(binding(whole.fields, policy).directives):
        return Again(Reason.NO_MATCHING_PART)  # the part may be for its requester alone by now (§3.5)
    had = part_of(part)
    leads = had is not None and had.start == 0
    lifetime = freshness_lifetime(whole, policy, now)
    return Complete(lifetime, whole, part.body if leads else (), () if leads else part.body)


def _still_for_all(validated: StoredResponse, head: ResponseHead, policy: CachePolicy) -> bool:
    """Whether what one client's Authorization brought may still be reused once this 304 updated it (§3.5)."""
    fields = merge(validated.fields, head.fields)
    return authorized_reuse_allowed(binding(fields, policy).directives)


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
    if policy.adaptive is not None:
        age = current_age(validated, now)
        stored = replace(stored, learnt=learn(validated.learnt, policy, changed=False, age=age))
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
    if stored is None or not answers(request, stored, now):
        return Fail(Reason.NOT_STORED)
    if status is not None and status not in SERVER_ERRORS:
        return Fail(Reason.NOT_ALLOWED)
    occasion = Occasion.DISCONNECTED if disconnected else Occasion.ANSWERED_ERROR
    return without_validation(request, stored, policy, now, occasion, soft_purged)


def without_validation(
    request: RequestHead,
    stored: StoredResponse,
    policy: CachePolicy,
    now: float,
    occasion: Occasion,
    soft_purged: bool,
) -> UseStale | Fail:
    """What a request gets of `stored` that could not be validated."""
    # Directives of requests are advisory (§5.2.1): a reload still gets what there is, but "not without
    # successful validation" is taken at its word.
    if b"no-cache" in of_request(request.fields, policy.request_directives):
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
        ttl = min(ttl, PURGED_TTL) if soft_purged else ttl
        return UseStale(stored, int(age), ttl, lifetime, allowance.reason)
    return Fail(Reason.WINDOW_OVER if allowance.seconds else allowance.reason)
