"""Knows what Redis and its client library raise, and what that means for a tier.

Must not know commands or counts.
"""

from redis.exceptions import ClusterDownError, OutOfMemoryError, RedisError, ResponseError, TryAgainError
from redis.exceptions import TimeoutError as RedisTimeout

from edgeproxy.errors import TierFault
from edgeproxy.store.cluster_pipe import NodeAway
from edgeproxy.store.command_pipe import PipeFull
from edgeproxy.store.tier import Fault

REDIS_ERRORS = (RedisError, OSError, PipeFull, NodeAway)
"""All that a command may raise; nothing else is a fault of Redis."""


def is_full(error: Exception) -> bool:
    """Whether Redis is at its memory limit; from a script it says so only in the text."""
    return isinstance(error, OutOfMemoryError) or (isinstance(error, ResponseError) and "OOM " in str(error))


def is_wrong_type(error: Exception) -> bool:
    """Whether something other than our hash stands at our key."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def explain(error: Exception) -> tuple[Fault, str]:
    """The fault, and one sentence for the operator: what happened and what to do."""
    if is_full(error):
        return (
            Fault.FULL,
            "at its memory limit, refuses writes; set maxmemory-policy volatile-lfu, or give it more",
        )
    match error:
        case ResponseError() if is_wrong_type(error):
            return Fault.DAMAGED, "something else than a stored response stands at a key of ours: deleted"
        case ClusterDownError() | TryAgainError():
            return Fault.UNREACHABLE, f"the cluster is between two masters: {error}"
        case ResponseError():
            return Fault.REFUSED, f"refused a command: {error}"
        case TierFault():
            return Fault.DAMAGED, f"{error}; please report it"
        case PipeFull():
            return Fault.BUSY, f"{error}; it is slower than the requests that come in"
        case RedisTimeout() | TimeoutError():
            return Fault.TIMEOUT, f"{error}; is it overloaded, or cache.redis.timeout too short?"
        case _:
            return Fault.UNREACHABLE, f"out of reach: {error}; check that it runs and cache.redis.url"


def breaks(fault: Fault) -> bool:
    """Whether that fault says that asking again soon is no use."""
    return fault in (Fault.TIMEOUT, Fault.UNREACHABLE)
