"""How long a response is fresh, and how that was come by.

Must not know how old it is. RFC 9111 §4.2.1, §4.2.2.
"""

from enum import StrEnum
from zlib import crc32

from msgspec import Struct

from edgeproxy.caching.adaptive import bounded
from edgeproxy.caching.age import date_value
from edgeproxy.caching.directives import MAX_SECONDS
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import Binding, binding
from edgeproxy.wire.dates import parse_date
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

HEURISTIC_FRACTION = 0.1
HEURISTIC_MAX = 86400.0

# RFC 9110 §15.1
HEURISTICALLY_CACHEABLE = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
# What `negative_ttl` is for. Errors that depend on who asks or how (400, 401, 403, 405, 429...) are left
# out: kept without the origin's word, one client's bad request would be everybody's answer.
NEGATIVE = frozenset({404, 410, 451, 500, 502, 503, 504})


class LifetimeSource(StrEnum):
    """Where a freshness lifetime came from, in order of precedence."""

    OVERRIDE_TTL = "override_ttl"
    TARGETED = "targeted"
    S_MAXAGE = "s-maxage"
    MAX_AGE = "max-age"
    EXPIRES = "expires"
    NEGATIVE_TTL = "negative_ttl"
    DEFAULT_TTL = "default_ttl"
    ADAPTIVE = "adaptive"
    HEURISTIC = "heuristic"
    NONE = "none"


class Lifetime(Struct, frozen=True):
    """A freshness lifetime in seconds, never negative, and where it came from."""

    seconds: float
    source: LifetimeSource


def freshness_lifetime(
    response: StoredResponse | ResponseHead, policy: CachePolicy, response_time: float = 0.0
) -> Lifetime:
    """The freshness lifetime; for a stored response with the route's jitter, which only ever shortens.

    `response_time` stands in for a missing Date and is read from a stored response itself.
    """
    bound = binding(response.fields, policy)
    if isinstance(response, ResponseHead):
        return lifetime_of(response.status, response.fields, bound, policy, response_time)
    lifetime = lifetime_of(
        response.status, response.fields, bound, policy, response.response_time, response.learnt
    )
    if not policy.jitter:
        return lifetime
    # By the key alone, so that every node and restart comes to the same.
    share = crc32(response.variant, crc32(response.key)) / 2**32
    return Lifetime(lifetime.seconds * (1 - min(policy.jitter, 1.0) * share), lifetime.source)


def explicit_lifetime(fields: Fields, bound: Binding, response_time: float) -> Lifetime | None:
    """What the origin says: s-maxage, max-age, Expires; a targeted field hides the last (RFC 9111 §4.2.1)."""
    directives = bound.directives
    for name, source in ((b"s-maxage", LifetimeSource.S_MAXAGE), (b"max-age", LifetimeSource.MAX_AGE)):
        seconds = directives.lifetime(name)
        if seconds is not None:
            return Lifetime(float(seconds), LifetimeSource.TARGETED if bound.targeted else source)
    lines = fields.get_all(b"expires")
    if bound.targeted or not lines:
        return None
    expires = parse_date(lines[0], response_time)  # invalid, as in "0", means expired (RFC 9111 §5.3)
    seconds_left = 0.0 if expires is None else expires - date_value(fields, response_time)
    return Lifetime(_bounded(seconds_left), LifetimeSource.EXPIRES)


def lifetime_of(
    status: int,
    fields: Fields,
    bound: Binding,
    policy: CachePolicy,
    response_time: float,
    learnt: float = 0.0,
) -> Lifetime:
    """The freshness lifetime by a status, fields and the directives that bind this cache."""
    explicit = explicit_lifetime(fields, bound, response_time)
    cacheable = status in HEURISTICALLY_CACHEABLE
    # The operator's word is for answers; how long an error lasts, the origin or `negative_ttl` says.
    if policy.override_ttl is not None and status < 400 and (cacheable or explicit is not None):
        return Lifetime(_bounded(policy.override_ttl), LifetimeSource.OVERRIDE_TTL)
    if explicit is not None:
        return explicit
    if status in NEGATIVE and policy.negative_ttl is not None:
        return Lifetime(_bounded(policy.negative_ttl), LifetimeSource.NEGATIVE_TTL)
    if cacheable and status < 400 and policy.default_ttl is not None:
        return Lifetime(_bounded(policy.default_ttl), LifetimeSource.DEFAULT_TTL)
    if cacheable and status < 400 and policy.adaptive is not None:
        return Lifetime(bounded(learnt, policy), LifetimeSource.ADAPTIVE)
    if policy.heuristic and (cacheable or b"public" in bound.directives):
        return _heuristic(fields, response_time)
    return Lifetime(0.0, LifetimeSource.NONE)


def _heuristic(fields: Fields, response_time: float) -> Lifetime:
    """A tenth of the time since Last-Modified, at most a day (RFC 9111 §4.2.2)."""
    lines = fields.get_all(b"last-modified")
    modified = parse_date(lines[0], response_time) if lines else None
    if modified is None:
        return Lifetime(0.0, LifetimeSource.NONE)
    unchanged_for = date_value(fields, response_time) - modified
    return Lifetime(
        max(0.0, min(unchanged_for * HEURISTIC_FRACTION, HEURISTIC_MAX)), LifetimeSource.HEURISTIC
    )


def _bounded(seconds: float) -> float:
    return max(0.0, min(float(seconds), float(MAX_SECONDS)))
