"""Why a URL is, or is not, answered from a store: the decisions that act, put into words.

Must not decide anything itself.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, assert_never

from edgeproxy.caching import advice, steps
from edgeproxy.caching.age import current_age
from edgeproxy.caching.decide import (
    Forward,
    OnlyIfCachedMiss,
    OnRequest,
    UseStaleAndRevalidate,
    UseStored,
    Validate,
    on_request,
)
from edgeproxy.caching.edits import Change
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.key import cache_key
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.slices import first_wanted, slice_key, slice_range
from edgeproxy.caching.telling import Step, seconds, told
from edgeproxy.clock import Clock
from edgeproxy.edge.early import Asked
from edgeproxy.edge.esi.page import unencoded
from edgeproxy.edge.instead import Instead
from edgeproxy.edge.ledger import Note
from edgeproxy.edge.lookup import Found, Lookup
from edgeproxy.edge.outgoing import end_to_end
from edgeproxy.edge.request import Plan, Request
from edgeproxy.edge.routing import Route
from edgeproxy.edge.unstored import Unstored, UnstoredAnswers
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.target import parse_uri

_ENABLE = advice.Advice(
    "route",
    (Change("cache.enabled: true"),),
    "answers on this route are stored and reused, as their origin allows",
)
_AT_ONCE = {
    Reason.BACKOFF: "the last validation failed, and one request tries in the background when it is due",
    Reason.ADMISSION: "as much is fetched from the upstream as `admission` allows",
}
_ASK = {
    "at": "client",
    "changes": [],
    "effect": "the answer, or why it was not stored, is known here",
    "caution": "",
    "say": "no answer for this URL is known to this node: request it once, and explain it again",
}


async def explain(
    plan: Plan,
    lookup: Lookup,
    unstored: UnstoredAnswers,
    clock: Clock,
    url: bytes,
    fields: list[RawField],
    instead: Instead | None = None,
) -> dict[str, Any]:
    """What a GET for `url` with these fields would get now, and by which rules; JSON-able.

    Raises BadRequest for a malformed URL. Leaves no trace in eviction, tiers and counts.
    """
    target = parse_uri(url)
    head = end_to_end(RequestHead(b"GET", target, 1, Fields(fields), target.origin_form))
    route = plan.router.match(target, b"GET")
    said: dict[str, Any] = {"url": _text(target.uri), "route": route.name if route is not None else None}
    if route is None:
        would = "404: no route for this host and path"
        return said | {"outcome": "error", "reason": "no-route", "would": would, "steps": [], "advice": []}
    said["upstream"] = route.upstream
    if route.redirect_to is not None:
        to = route.redirect(target) or b""
        would = f"{route.redirect_status} to {_text(to)}"
        return said | {"outcome": "redirect", "would": would, "steps": [], "advice": []}
    if route.esi is not None:
        head = unencoded(head)
    key = cache_key(target, route.policy.key)
    said["key"] = _text(key)
    found = lookup.find(key, head, route.policy, trace=False)
    if found.stored is None:
        found = await lookup.in_shared(key, head, route.policy, found, promote=False)
    if found.stored is None and route.policy.slice_size:
        said["slices"] = len(lookup.pieces.of(key))
        head, found = await _first_slice(key, head, route, lookup, found)
    now = clock.wall()
    vary_miss = found.stored is None and found.others
    decision = on_request(
        head, found.stored, route.policy, now, soft_purged=found.soft_purged, vary_miss=vary_miss
    )
    walked = steps.of_request(
        head, found.stored, route.policy, now, decision, soft_purged=found.soft_purged, vary_miss=vary_miss
    )
    said |= _decision(decision) | _stored(found, route, now)
    said["steps"] = [_step("request", step) for step in walked]
    if instead is not None and isinstance(decision, Validate):
        said = _instead(said, plan, route, head, found, instead)
    last = unstored.last(key) if found.stored is None and decision.reason is not Reason.DISABLED else None
    if last is not None:
        said |= {"last_refusal": _refusal(last, now)}
        said["steps"] += [
            _step("last answer", step)
            for step in steps.of_response(last.request, last.head, route.policy, last.time, last.reason)
        ]
    advised = _advised(head, found, last, lookup, key, route, now, decision)
    said["advice"] = [_advice(each, route) for each in advised]
    if last is None and decision.reason is Reason.NOT_STORED:
        said["advice"].append(_ASK)
    return said


async def _first_slice(
    key: bytes, head: RequestHead, route: Route, lookup: Lookup, found: Found
) -> tuple[RequestHead, Found]:
    """What is stored of the slice that such a request begins with, and the request for it."""
    size = route.policy.slice_size
    index = first_wanted(head, size)
    asked = replace(head, fields=head.fields.without((b"range",)).plus((b"Range", slice_range(index, size))))
    piece = slice_key(key, index, size)
    sliced = lookup.peek(piece, asked, route.policy)
    if sliced.stored is None:
        sliced = await lookup.in_shared(piece, asked, route.policy, sliced, promote=False)
    return (asked, sliced) if sliced.stored is not None else (head, found)


def _advised(
    head: RequestHead,
    found: Found,
    last: Unstored | None,
    lookup: Lookup,
    key: bytes,
    route: Route,
    now: float,
    decision: OnRequest,
) -> tuple[advice.Advice, ...]:
    policy = route.policy
    if decision.reason is Reason.DISABLED:
        return (_ENABLE,)
    if found.stored is not None:
        return advice.on_stored(head, found.stored, policy, now, soft_purged=found.soft_purged)
    if last is not None:
        return advice.on_refusal(last.request, last.head, policy, last.time, last.reason)
    primary = lookup.memory.get(key)
    if primary is not None and found.others:
        for node in reversed(primary.variants.values()):
            if node.live:
                return advice.on_variant(head, node.stored, policy)
    return ()


def _step(of: str, step: Step) -> dict[str, Any]:
    return {
        "of": of,
        "rule": step.rule,
        "outcome": step.outcome,
        "fields": [[name, value] for name, value in step.fields],
        "section": step.section,
        "reason": None if step.reason is None else str(step.reason),
    }


def _refusal(last: Unstored, now: float) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(last.time, UTC).isoformat(timespec="seconds"),
        "wall": last.time,
        "seconds_ago": round(max(0.0, now - last.time), 3),
        "status": last.head.status,
        "reason": str(last.reason),
        "section": last.reason.section,
        "fields": [[_text(name), told(name.lower(), value)] for name, value in last.head.fields],
    }


def _advice(each: advice.Advice, route: Route) -> dict[str, Any]:
    return {
        "at": each.at,
        "changes": [{"send": one.send, "instead_of": one.instead_of} for one in each.changes],
        "effect": each.effect,
        "caution": each.caution,
        "say": _sentence(each, route),
    }


def _sentence(each: advice.Advice, route: Route) -> str:
    if each.at == "route":
        return f"on route {route.name} set " + " and ".join(f"`{change.send}`" for change in each.changes)
    parts = []
    for change in each.changes:
        if not change.send:
            parts.append(f"do not send `{change.instead_of}`")
        else:
            instead = f" instead of `{change.instead_of}`" if change.instead_of else ""
            parts.append(f"send `{change.send}`{instead}")
    return " and ".join(parts)


def _stored(found: Found, route: Route, now: float) -> dict[str, Any]:
    stored = found.stored
    if stored is None:
        return {"stored": False, "other_variants": found.others}
    lifetime = freshness_lifetime(stored, route.policy)
    return {
        "stored": True,
        "tier": found.tier,
        "stored_under": _text(stored.key),
        "variant": stored.variant.hex(),
        "selecting_fields": {
            _text(name): None if value is None else _text(value) for name, value in stored.selecting
        },
        "status": stored.status,
        "size": stored.size,
        "tags": [_text(tag) for tag in stored.tags],
        "freshness_lifetime": lifetime.seconds,
        "freshness_source": str(lifetime.source),
        "current_age": round(current_age(stored, now), 3),
        "soft_purged": found.soft_purged,
        "fields": [[_text(name), _text(value)] for name, value in stored.fields],
    }


def _decision(decision: OnRequest) -> dict[str, Any]:
    said: dict[str, Any] = {"reason": str(decision.reason), "section": decision.reason.section}
    match decision:
        case UseStored(ttl=ttl):
            return said | {
                "outcome": "hit" if ttl > 0 else "stale",
                "ttl": round(ttl, 3),
                "would": "be answered from the store",
            }
        case UseStaleAndRevalidate(ttl=ttl):
            would = "be answered stale from the store, and validated in the background"
            return said | {"outcome": "stale", "ttl": round(ttl, 3), "would": would}
        case Validate(fwd=fwd):
            return said | {
                "outcome": "validated",
                "fwd": str(fwd),
                "would": "ask the origin whether it still holds",
            }
        case Forward(fwd=fwd, store=store):
            would = "be fetched from the origin" + (", and stored if that may be" if store else "")
            return said | {"outcome": "miss" if store else "bypass", "fwd": str(fwd), "would": would}
        case OnlyIfCachedMiss():
            return said | {"outcome": "error", "would": "get 504: only-if-cached"}
        case _:
            assert_never(decision)


def _instead(
    said: dict[str, Any], plan: Plan, route: Route, head: RequestHead, found: Found, instead: Instead
) -> dict[str, Any]:
    """What is said, where a stale response stands in for the validation."""
    request = Request(Asked(head), plan, route, plan.upstreams[route.upstream or ""], Note(0.0))  # type: ignore[arg-type]
    request.found = found
    at_once, patience = instead.foreseen(request), instead.patience(request)
    if at_once is not None:
        why = _AT_ONCE[at_once.reason]
        step = Step(str(at_once.reason), why, (), at_once.reason.section, at_once.reason)
        said |= {
            "outcome": "stale",
            "ttl": round(at_once.ttl, 3),
            "would": f"be answered stale from the store: {why}",
            "reason": str(at_once.reason),
            "section": at_once.reason.section,
        }
        said.pop("fwd", None)
    elif patience is not None:
        why = f"served stale once the origin has taken {seconds(patience)}; the fetch goes on"
        step = Step("stale-if-slow", why, (), Reason.STALE_IF_SLOW.section, Reason.STALE_IF_SLOW)
    else:
        return said
    return said | {"steps": [*said["steps"], _step("origin", step)]}


def _text(value: bytes) -> str:
    return value.decode("latin-1")
