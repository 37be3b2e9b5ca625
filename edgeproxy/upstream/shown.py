"""The origins of an upstream as operators see them.

Must not change anything.
"""

from typing import Any

from edgeproxy.upstream.roster import Roster


def shown(roster: Roster, waiting: int) -> list[dict[str, Any]]:
    """Each origin as it is now, JSON-able; `waiting` requests have no connection yet."""
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
            "addresses": [
                {
                    "address": str(endpoint.address),
                    "state": "ejected" if endpoint.out_until else "up",
                    "failures": endpoint.failures,
                }
                for endpoint in origin.endpoints
            ],
        }
        for origin in roster.origins
    ]
