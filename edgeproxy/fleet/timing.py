"""How long a node waits for its fleet, and its fleet for a node.

Must not know what is waited for.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetTiming:
    """Seconds.

    A node that is not heard of for `lease` is no member any more and nobody waits for it. Whether it
    died or is only cut off, nobody can tell; as long as it may serve what was purged, for
    `max_purge_lag`, answers call it pending.
    """

    block: float = 1.0  # a read waits so long for news; also how often the node renews its lease
    lease: float = 15.0
    max_purge_lag: float = 60.0  # cut off for longer: what is stored is validated before reuse
    retry_least: float = 0.1
    retry_most: float = 2.0
    leave: float = 1.0
    count: float = 0.5  # for other nodes to say how much they removed, once all have applied a purge


DEFAULT_TIMING = FleetTiming()
