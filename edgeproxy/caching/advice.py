"""The smallest change that would let a response be stored, or be answered from the store for longer.

Right by construction: each change is tried on the predicates that act. Must not know who asks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from edgeproxy.caching.age import corrected_initial_age, current_age
from edgeproxy.caching.decide import on_request
from edgeproxy.caching.edits import (
    Change,
    Edit,
    adding_line,
    changes,
    for_reuse,
    for_stale_use,
    varying,
)
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.negotiation import ACCEPT_ENCODING, normalise
from edgeproxy.caching.operators import settings
from edgeproxy.caching.outcomes import UseStaleAndRevalidate, UseStored
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.storability import storable
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.caching.telling import seconds
from edgeproxy.caching.validation import conditional_fields
from edgeproxy.caching.vary import matches, selecting, vary_names
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

LIFETIMES = (60, 600, 3600, 86400, 7 * 86400, 365 * 86400)
"""What is proposed as a lifetime, in seconds: the shortest that helps."""

MOST_EDITS = 4
_FOR_ALL = "only where the answer is the same for everybody"
_OF_ONE_CLIENT = frozenset({b"set-cookie", b"vary"})

Goal = Callable[[Fields, CachePolicy], str | None]
"""What these fields, on a route with that policy, would achieve; None where it is not enough."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change, where (`origin` or `route`), and what that would achieve."""

    at: str
    changes: tuple[Change, ...]
    effect: str
    caution: str = ""


def on_refusal(
    request: RequestHead, head: ResponseHead, policy: CachePolicy, response_time: float, reason: Reason
) -> tuple[Advice, ...]:
    """How an answer that was not stored for that reason could be."""
    if reason is Reason.TOO_LARGE:
        return _on_size(policy)

    def goal(fields: Fields, under: CachePolicy) -> str | None:
        edited = replace(head, fields=fields)
        if storable(request, edited, under, response_time) or _always_validates(fields, under):
            return None
        left = freshness_lifetime(edited, under, response_time).seconds - corrected_initial_age(
            fields, response_time, response_time
        )
        return f"it is stored, and fresh for {seconds(left)}" if left > 0 else None

    floor = corrected_initial_age(head.fields, response_time, response_time)
    return tuple(_both(head.fields, policy, goal, floor, request, head.status))


def on_stored(
    request: RequestHead,
    stored: StoredResponse,
    policy: CachePolicy,
    now: float,
    *,
    soft_purged: bool = False,
) -> tuple[Advice, ...]:
    """How a stored response could answer such a request, or answer it for longer."""
    lifetime, age = freshness_lifetime(stored, policy).seconds, current_age(stored, now)
    used = on_request(request, stored, policy, now, soft_purged=soft_purged)
    hit = isinstance(used, UseStored) and used.ttl > 0

    def fresh(fields: Fields, under: CachePolicy) -> str | None:
        edited = replace(stored, fields=fields)
        if not _keeps(request, edited, under):
            return None
        then = on_request(request, edited, under, now, soft_purged=soft_purged)
        if not isinstance(then, UseStored) or then.ttl <= 0 or (hit and then.lifetime.seconds <= lifetime):
            return None
        return f"it is fresh for another {seconds(then.ttl)}"

    def stale(fields: Fields, under: CachePolicy) -> str | None:
        edited = replace(stored, fields=fields)
        then = on_request(request, edited, under, now, soft_purged=soft_purged)
        if not _keeps(request, edited, under) or not isinstance(then, UseStaleAndRevalidate):
            return None
        return "it is used stale at once, and validated in the background"

    found = list(_both(stored.fields, policy, fresh, lifetime if hit else age, request, stored.status))
    if not hit and not isinstance(used, UseStaleAndRevalidate):
        windows = (above(max(0.0, age - lifetime)), LIFETIMES[-1])
        field = binding(stored.fields, policy).field
        edits = [for_stale_use(stored.fields, field, window) for window in windows]
        found += _at_origin(stored.fields, policy, stale, edits)
        found += _on_route(stored.fields, policy, stale, windows[0], request, stored.status)
    return (*found, *_on_validation(stored))


def on_variant(request: RequestHead, sibling: StoredResponse, policy: CachePolicy) -> tuple[Advice, ...]:
    """How `sibling`, stored for requests with other selecting fields, could suit this one too."""
    presented = dict(selecting(request, sibling.fields, policy))
    differ = {name for name, value in sibling.selecting if presented.get(name, b"") != value}
    found = []
    fields = varying(frozenset(differ))(sibling.fields)
    names = vary_names(fields) | {*policy.key.headers} | {n for n in presented if b":" in n}
    edited = replace(
        sibling, fields=fields, selecting=tuple(pair for pair in sibling.selecting if pair[0] in names)
    )
    effect = "the stored response answers this request too"
    # Without Vary a content coding would go to clients that cannot read it.
    narrowed = differ & vary_names(sibling.fields) and ACCEPT_ENCODING not in differ
    if narrowed and matches(edited, request, policy):
        found.append(Advice("origin", changes(sibling.fields, fields), effect, _FOR_ALL))
    codings = ((ACCEPT_ENCODING, (b"br", b"gzip")),)
    normalised = replace(policy, vary_normalize=(*policy.vary_normalize, *codings))
    stored_for = dict(sibling.selecting).get(ACCEPT_ENCODING)
    if differ == {ACCEPT_ENCODING} and ACCEPT_ENCODING not in dict(policy.vary_normalize):
        asked = normalise(ACCEPT_ENCODING, request.fields.get(ACCEPT_ENCODING), normalised)
        if asked == normalise(ACCEPT_ENCODING, stored_for, normalised):
            change = Change("cache.vary.normalize: {accept-encoding: [br, gzip]}")
            found.append(Advice("route", (change,), effect))
    return tuple(found)


def above(floor: float) -> int:
    """The shortest of LIFETIMES above so many seconds."""
    return next((each for each in LIFETIMES if each > floor), LIFETIMES[-1])


# --- the search


def smallest(
    fields: Fields, edits: Sequence[Edit], achieves: Callable[[Fields], str | None]
) -> Fields | None:
    """The fields after the fewest of these edits that achieve it; None where four do not."""
    for count in range(1, MOST_EDITS + 1):
        for chosen in combinations(edits, count):
            edited = fields
            for edit in chosen:
                edited = edit(edited)
            if achieves(edited):
                return edited
    return None


def _both(
    fields: Fields, policy: CachePolicy, goal: Goal, floor: float, request: RequestHead, status: int
) -> Iterator[Advice]:
    lifetimes = (above(floor), LIFETIMES[-1])
    field = binding(fields, policy).field
    edits = [for_reuse(fields, field, lifetime) for lifetime in lifetimes]
    yield from _at_origin(fields, policy, goal, edits)
    yield from _on_route(fields, policy, goal, lifetimes[0], request, status)


def _at_origin(
    fields: Fields, policy: CachePolicy, goal: Goal, candidates: Sequence[Sequence[Edit]]
) -> Iterator[Advice]:
    for edits in candidates:
        after = smallest(fields, edits, lambda edited: goal(edited, policy))
        if after is not None:
            changed = changes(fields, after)
            opened = _opens(fields, after, policy)
            yield Advice("origin", changed, goal(after, policy) or "", _FOR_ALL if opened else "")
            return


def _opens(before: Fields, after: Fields, policy: CachePolicy) -> bool:
    """Whether more than a lifetime changed: what may have been meant for one client goes to all."""
    if any(before.get(name) != after.get(name) for name in _OF_ONE_CLIENT):
        return True
    old, new = binding(before, policy).directives, binding(after, policy).directives
    kept_back = any(name in old and name not in new for name in (b"private", b"no-store"))
    return kept_back or (b"public" in new and b"public" not in old)


def _on_route(
    fields: Fields, policy: CachePolicy, goal: Goal, lifetime: int, request: RequestHead, status: int
) -> Iterator[Advice]:
    candidates = settings(policy, lifetime, request, status)
    for count in (1, 2):
        for chosen in combinations(candidates, count):
            changed: dict[str, Any] = {}
            for candidate in chosen:
                changed |= candidate.policy
            effect = goal(fields, replace(policy, **changed))
            if effect:
                lines = tuple(Change(candidate.line) for candidate in chosen)
                opens = any(candidate.opens for candidate in chosen)
                yield Advice("route", lines, effect, _FOR_ALL if opens else "")
                return


def _on_size(policy: CachePolicy) -> tuple[Advice, ...]:
    larger = Change(f"cache.max_object_size: {max(2 * policy.max_object_size, 1 << 20) >> 20}MiB")
    pieces = Change("slice: 1MiB")
    return (
        Advice("route", (larger,), "responses up to that size are stored"),
        Advice("route", (pieces,), "it is fetched and stored in pieces, as ranges of it are asked for"),
    )


def _on_validation(stored: StoredResponse) -> Iterator[Advice]:
    edit = adding_line(b"ETag", b'"a-tag-of-this-version"')
    after = replace(stored, fields=edit(stored.fields))
    if not conditional_fields(stored) and conditional_fields(after):
        effect = "once stale it is validated by a short 304, instead of fetched whole"
        yield Advice("origin", changes(stored.fields, after.fields), effect)


def _keeps(request: RequestHead, stored: StoredResponse, policy: CachePolicy) -> bool:
    """Whether it would have been stored with these fields."""
    head = ResponseHead(stored.status, stored.reason, 1, stored.fields)
    asked = ((b"Range", b"bytes=0-"),) if stored.status == 206 else ()
    plain = RequestHead(b"GET", request.target, 1, Fields(asked))
    return storable(plain, head, policy, stored.response_time) is None


def _always_validates(fields: Fields, policy: CachePolicy) -> bool:
    return binding(fields, policy).directives.bare(b"no-cache")
