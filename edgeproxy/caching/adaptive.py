"""Lifetimes learnt from validations, where neither origin nor operator says one.

Must not know when they count (`freshness`).
"""

from dataclasses import replace

from edgeproxy.caching.age import current_age
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse

GROWTH = 2.0


def bounded(learnt: float, policy: CachePolicy) -> float:
    """The lifetime in seconds to go by; 0 where the route has not opted in."""
    if policy.adaptive is None:
        return 0.0
    shortest, longest = policy.adaptive
    return min(max(learnt, shortest), longest)


def learn(learnt: float, policy: CachePolicy, *, changed: bool, age: float) -> float:
    """The next lifetime after a validation at `age` seconds found the response changed, or not.

    It grows only by what was waited for: a reload right after the last look teaches nothing.
    """
    if policy.adaptive is None:
        return learnt
    current = bounded(learnt, policy)
    if changed:
        return bounded(current / GROWTH, policy)
    return bounded(current * GROWTH, policy) if age >= current else current


def replaces(new: StoredResponse, old: StoredResponse, policy: CachePolicy, now: float) -> StoredResponse:
    """`new`, that came in place of `old` at wall time `now`, with what that teaches."""
    if policy.adaptive is None:
        return new
    same = new.size == old.size and b"".join(new.body) == b"".join(old.body)
    learnt = learn(old.learnt, policy, changed=not same, age=current_age(old, now))
    return replace(new, learnt=learnt)
