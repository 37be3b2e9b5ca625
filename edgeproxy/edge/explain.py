"""Why a URL is, or is not, answered from a store: the decisions that act, put into words.

Must not decide anything itself.
"""

from typing import Any, assert_never

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
from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.key import cache_key
from edgeproxy.clock import Clock
from edgeproxy.edge.lookup import Found, Lookup
from edgeproxy.edge.outgoing import end_to_end
from edgeproxy.edge.request import Plan
from edgeproxy.edge.routing import Route
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.target import parse_uri


async def explain(
    plan: Plan, lookup: Lookup, clock: Clock, url: bytes, fields: list[RawField]
) -> dict[str, Any]:
    """What a GET for `url` with these fields would get now, and by which rule; JSON-able.

    Raises BadRequest for a malformed URL. Leaves no trace in eviction, tiers and counts.
    """
    target = parse_uri(url)
    head = end_to_end(RequestHead(b"GET", target, 1, Fields(fields), target.origin_form))
    route = plan.router.match(target, b"GET")
    told: dict[str, Any] = {"url": _text(target.uri), "route": route.name if route is not None else None}
    if route is None:
        return told | {
            "outcome": "error",
            "reason": "no-route",
            "would": "404: no route for this host and path",
        }
    told["upstream"] = route.upstream
    if route.redirect_to is not None:
        to = route.redirect(target) or b""
        return told | {"outcome": "redirect", "would": f"{route.redirect_status} to {_text(to)}"}
    key = cache_key(target, route.policy.key)
    told["key"] = _text(key)
    found = lookup.peek(key, head, route.policy)
    if found.stored is None:
        found = await lookup.in_shared(key, head, route.policy, found, promote=False)
    decision = on_request(
        head,
        found.stored,
        route.policy,
        clock.wall(),
        soft_purged=found.soft_purged,
        vary_miss=found.stored is None and found.others,
    )
    return told | _decision(decision) | _stored(found, route, clock.wall())


def _stored(found: Found, route: Route, now: float) -> dict[str, Any]:
    stored = found.stored
    if stored is None:
        return {"stored": False, "other_variants": found.others}
    lifetime = freshness_lifetime(stored, route.policy)
    return {
        "stored": True,
        "tier": found.tier,
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
    told: dict[str, Any] = {"reason": str(decision.reason), "section": decision.reason.section}
    match decision:
        case UseStored(ttl=ttl):
            return told | {
                "outcome": "hit" if ttl > 0 else "stale",
                "ttl": round(ttl, 3),
                "would": "be answered from the store",
            }
        case UseStaleAndRevalidate(ttl=ttl):
            would = "be answered stale from the store, and validated in the background"
            return told | {"outcome": "stale", "ttl": round(ttl, 3), "would": would}
        case Validate(fwd=fwd):
            return told | {
                "outcome": "validated",
                "fwd": str(fwd),
                "would": "ask the origin whether it still holds",
            }
        case Forward(fwd=fwd, store=store):
            would = "be fetched from the origin" + (", and stored if that may be" if store else "")
            return told | {"outcome": "miss" if store else "bypass", "fwd": str(fwd), "would": would}
        case OnlyIfCachedMiss():
            return told | {"outcome": "error", "would": "get 504: only-if-cached"}
        case _:
            assert_never(decision)


def _text(value: bytes) -> str:
    return value.decode("latin-1")
