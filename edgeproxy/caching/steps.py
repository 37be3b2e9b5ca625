"""The rules that led to a decision, in the order in which they were applied, with what mattered to each.

Must not decide anything itself: it walks through the predicates that act. The walk costs more than the
decision, so it is for those who ask. RFC 9111 §3, §4.
"""

from collections.abc import Iterator

from edgeproxy.caching.age import age_value, current_age
from edgeproxy.caching.directives import REQUEST_DIRECTIVES
from edgeproxy.caching.freshness import LifetimeSource, freshness_lifetime
from edgeproxy.caching.outcomes import OnlyIfCachedMiss, OnRequest, UseStaleAndRevalidate, UseStored
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.preconditions import CONDITIONALS, still_matches
from edgeproxy.caching.ranges import answers
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.sources import looked_at
from edgeproxy.caching.stale import Occasion, always_validates, stale_allowance
from edgeproxy.caching.storability import (
    authorized_reuse_allowed,
    by_directives,
    by_method,
    by_request,
    by_status,
    by_use,
)
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.caching.telling import (
    Mattered,
    Step,
    from_request,
    from_response,
    seconds,
    setting,
    settled,
    text,
    told,
    until_settled,
)
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

_PRECONDITIONS = tuple(sorted(CONDITIONALS))
_ASKED = (b"cache-control", b"pragma")


def of_request(
    request: RequestHead,
    stored: StoredResponse | None,
    policy: CachePolicy,
    now: float,
    decision: OnRequest,
    *,
    soft_purged: bool = False,
    vary_miss: bool = False,
) -> tuple[Step, ...]:
    """What led `decide.on_request`, given the same arguments, to `decision`; the last step has its reason."""
    steps = list(until_settled(_before_reuse(request, stored, policy, now, vary_miss)))
    if stored is not None and steps[-1].reason is None:
        steps += _reuse(stored, policy, now, soft_purged)
    if steps[-1].reason is not decision.reason:
        outcome = _VERDICTS.get(type(decision), "the request goes to the origin")
        if decision.reason is Reason.FRESH:
            outcome = "it is fresh, and the request asks for nothing else"
        mattered = _for_reason(decision.reason, request, stored.fields if stored else Fields(), policy)
        steps.append(settled(decision.reason, outcome, mattered))
    if isinstance(decision, OnlyIfCachedMiss):
        asked = from_request(request, _ASKED)
        why = Step("only-if-cached", "504: the request wants no forwarding", asked, "RFC 9111 §5.2.1.7")
        steps.insert(-1, why)
    return tuple(steps)


def of_response(
    request: RequestHead,
    head: ResponseHead,
    policy: CachePolicy,
    response_time: float,
    refused: Reason | None,
) -> tuple[Step, ...]:
    """What led `storability.storable` to refuse the answer for that reason, or to None: it is stored."""
    steps = list(until_settled(_storing(request, head, policy, response_time)))
    if refused is None:
        steps.append(Step("stored", "the response is stored", (), "RFC 9111 §3"))
    elif steps[-1].reason is not refused:
        mattered = _for_reason(refused, request, head.fields, policy)
        steps.append(settled(refused, "the response is not stored", mattered))
    return tuple(steps)


# --- the request


def _before_reuse(
    request: RequestHead, stored: StoredResponse | None, policy: CachePolicy, now: float, vary_miss: bool
) -> Iterator[Step]:
    enabled: Mattered = (("route.cache.enabled", "true" if policy.enabled else "false"),)
    if not policy.enabled:
        yield settled(Reason.DISABLED, "this route neither stores nor reuses", enabled)
    yield Step("cache-enabled", "this route stores and reuses", enabled)
    method: Mattered = (("request method", request.method.decode("latin-1")),)
    if request.method not in {b"GET", b"HEAD"}:
        yield settled(Reason.METHOD, "only GET and HEAD are answered from a store", method)
    yield Step("method", "may be answered from a store", method, Reason.METHOD.section)
    if stored is not None:
        selecting = tuple(
            (f"request {text(name)}", "absent" if value is None else told(name, value))
            for name, value in stored.selecting
        )
        yield Step("selection", "a stored response suits the request", selecting, "RFC 9111 §4.1")
        yield from _permission(request, stored, policy, now)
    elif vary_miss:
        yield settled(Reason.NO_VARIANT, "stored are variants for other requests only")
    else:
        yield settled(Reason.NOT_STORED, "nothing is stored under this key")


def _permission(
    request: RequestHead, stored: StoredResponse, policy: CachePolicy, now: float
) -> Iterator[Step]:
    bound = binding(stored.fields, policy)
    if stored.request_authorized:
        said = from_response(stored.fields, (bound.field,))
        if not authorized_reuse_allowed(bound.directives):
            yield settled(Reason.AUTHORIZATION, "it answered a request with Authorization", said)
        yield Step(
            "authorization", "stored for all by its origin's leave", said, Reason.AUTHORIZATION.section
        )
    conditions = from_request(request, _PRECONDITIONS)
    if conditions:
        mattered = conditions + from_response(stored.fields, (b"etag", b"last-modified"))
        if not still_matches(request, stored, now):
            yield settled(Reason.PRECONDITION, "the origin must say whether it fails", mattered)
        yield Step("precondition", "answered from what is stored", mattered, "RFC 9110 §13.2")
    if stored.status == 206:
        mattered = from_request(request, (b"range",)) + from_response(stored.fields, (b"content-range",))
        if not answers(request, stored, now):
            yield settled(Reason.PART_STORED, "a part is stored, and not the one asked for", mattered)
        yield Step("part", "the stored part holds what is asked for", mattered, Reason.PART_STORED.section)


def _reuse(stored: StoredResponse, policy: CachePolicy, now: float, soft_purged: bool) -> Iterator[Step]:
    """Facts about age and freshness; what they lead to is the decision's to say."""
    age, lifetime = current_age(stored, now), freshness_lifetime(stored, policy)
    yield _age(stored, now)
    yield _lifetime(stored, policy, stored.response_time)
    if soft_purged:
        yield Step("soft-purge", "a purge made it stale")
    left = lifetime.seconds - age
    if left > 0 and not soft_purged and not always_validates(stored, policy):
        yield Step("freshness", f"fresh for {seconds(left)} more", (), "RFC 9111 §4.2")
        return
    if always_validates(stored, policy):
        said = from_response(stored.fields, (binding(stored.fields, policy).field,))
        yield Step("freshness", "validated at each use (no-cache)", said, Reason.NO_CACHE.section)
        return
    if left <= 0:
        yield Step("freshness", f"stale for {seconds(-left)}", (), "RFC 9111 §4.2")
    window = stale_allowance(stored, policy, Occasion.REVALIDATING)
    given = window.reason is Reason.STALE_WHILE_REVALIDATE
    yield Step(
        "stale-window",
        f"may be used stale for {seconds(window.seconds)} while it is validated"
        if given
        else f"may not be used stale ({window.reason})",
        (
            *from_response(stored.fields, (binding(stored.fields, policy).field,)),
            ("route.cache.stale_while_revalidate", setting(policy.stale_while_revalidate)),
        ),
        window.reason.section,
    )


def _age(stored: StoredResponse, now: float) -> Step:
    delay = max(0.0, stored.response_time - stored.request_time)
    mattered = (
        *from_response(stored.fields, (b"date",)),
        ("response Age", str(age_value(stored.fields))),
        ("response delay", seconds(delay)),
        ("time here", seconds(max(0.0, now - stored.response_time))),
    )
    return Step("age", f"{seconds(current_age(stored, now))} old", mattered, "RFC 9111 §4.2.3")


def _lifetime(response: StoredResponse | ResponseHead, policy: CachePolicy, response_time: float) -> Step:
    lifetime = freshness_lifetime(response, policy, response_time)
    mattered = looked_at(response, policy, lifetime.source)
    if policy.jitter:
        mattered += (("route.cache.jitter", f"{policy.jitter:.0%}"),)
    if lifetime.source is LifetimeSource.NONE:
        outcome = "0 s: nobody says how long it stays fresh"
    else:
        outcome = f"{seconds(lifetime.seconds)}, by {lifetime.source}"
    heuristic = lifetime.source is LifetimeSource.HEURISTIC
    return Step("freshness-lifetime", outcome, mattered, f"RFC 9111 §4.2.{2 if heuristic else 1}")


# --- the response


def _storing(
    request: RequestHead, head: ResponseHead, policy: CachePolicy, response_time: float
) -> Iterator[Step]:
    bound = binding(head.fields, policy)
    yield _rule(
        "request",
        by_request(request, policy),
        "asks for nothing that keeps its answer from being stored",
        (("route.cache.enabled", "true" if policy.enabled else "false"), *from_request(request, _ASKED)),
        Reason.REQUEST_NO_STORE.section,
    )
    yield _rule(
        "status",
        by_status(request, head, bound.directives),
        "is final and understood",
        (
            ("response status", str(head.status)),
            *from_request(request, (b"range",) if head.status == 206 else ()),
            *from_response(head.fields, (b"content-range",)),
        ),
        Reason.STATUS.section,
    )
    yield _rule(
        "method",
        by_method(request, head, bound, response_time),
        "is one whose answers are stored",
        (
            ("request method", text(request.method)),
            *(from_response(head.fields, (b"content-location",)) if request.method == b"POST" else ()),
        ),
        Reason.METHOD.section,
    )
    forbidding = from_response(head.fields, (bound.field, b"vary", b"set-cookie"))
    yield _rule(
        "directives",
        by_directives(request, head, bound.directives, policy),
        "nothing forbids storing",
        (*forbidding, *from_request(request, (b"authorization",))),
        "RFC 9111 §3",
    )
    yield _lifetime(head, policy, response_time)
    useful = (b"etag", b"last-modified", b"content-type", b"content-length")
    yield _rule(
        "use",
        by_use(head, bound, policy, response_time, freshness_lifetime(head, policy, response_time)),
        "it can be of use again",
        (("response status", str(head.status)), *from_response(head.fields, (bound.field, *useful))),
        "RFC 9111 §3",
    )


def _rule(rule: str, refused: Reason | None, passed: str, fields: Mattered, section: str) -> Step:
    if refused is not None:
        return settled(refused, "the response is not stored", fields)
    return Step(rule, passed, fields, section)


# --- reasons


def _for_reason(reason: Reason, request: RequestHead, fields: Fields, policy: CachePolicy) -> Mattered:
    """What a reason is about; for one that is not known here, all that commonly matters."""
    asked = from_request(request, _ASKED)
    if reason is Reason.FRESH and asked and policy.request_directives != REQUEST_DIRECTIVES:
        honoured = b", ".join(sorted(policy.request_directives))
        return (*asked, ("route.cache.request_directives", text(honoured) or "none"))
    if reason in _WITHOUT_FIELDS:
        return ()
    if reason in _OF_REQUEST:
        return asked
    said = from_response(fields, (binding(fields, policy).field,))
    return said if reason in _OF_RESPONSE else asked + said


_WITHOUT_FIELDS = frozenset({Reason.FRESH, Reason.STALE, Reason.SOFT_PURGED})
_OF_REQUEST = frozenset(
    {Reason.REQUEST_NO_CACHE, Reason.REQUEST_MAX_AGE, Reason.REQUEST_MIN_FRESH, Reason.MAX_STALE}
)
_OF_RESPONSE = frozenset({Reason.NO_CACHE, Reason.STALE_WHILE_REVALIDATE})
_VERDICTS: dict[type, str] = {
    UseStored: "it is used although it is stale",
    UseStaleAndRevalidate: "it is used stale, and validated in the background",
}
