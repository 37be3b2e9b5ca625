"""The origins of an upstream as operators see them.

Must not change anything.
"""

from typing import Any

from edgeproxy.upstream.origin import Endpoint
from edgeproxy.upstream.roster import Roster


def shown(roster: Roster, waiting: int, now: float, hedge_after: float | None = None) -> list[dict[str, Any]]:
    """Each origin as it is now, JSON-able; `waiting` requests have no connection yet.

    `retry_in` is in seconds, 0 while a probe is under way; `hedge_after` too.
    """
    alone = not roster.usable
    return [
        {
            "origin": origin.key,
            "state": origin.state,
            "weight": 0 if origin.reserve else origin.full_weight,
            "share_of_weight": round(origin.weight / origin.full_weight, 3),
            "priority": None if origin.reserve else origin.priority,
            "panic": roster.panic,
            "checked": origin.checked,
            "active": origin.active,
            "connections": origin.held,
            "idle": sum(len(endpoint.idle) for endpoint in origin.endpoints),
            "waiting": waiting,
            "limit": None if origin.limiter is None else origin.limiter.limit,
            "hedge_after": hedge_after,
            "addresses": [
                {
                    "address": str(endpoint.address),
                    "state": "ejected" if endpoint.circuit.open_until else "up",
                    "circuit": endpoint.circuit.state,
                    "retry_in": _retry_in(endpoint, now, alone),
                    "failures": endpoint.failures,
                }
                for endpoint in origin.endpoints
            ],
        }
        for origin in roster.origins
    ]


def _retry_in(endpoint: Endpoint, now: float, alone: bool) -> float | None:
    """Seconds until an address that is out is tried; None: it is not out."""
    circuit = endpoint.circuit
    if not circuit.open_until:
        return None
    return 0.0 if circuit.probed_at else round(max(circuit.due(alone) - now, 0.0), 3)
