"""Knows which settings of a Redis would lose the fleet's purge log, and says so once.

Must not know purges, nor change a setting.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from edgeproxy.fleet.redis_log import FAULTS
from edgeproxy.store.redis_connect import client, place

_log = logging.getLogger("edgeproxy.fleet")

AGAIN = 30.0  # seconds until a Redis that did not answer is asked again


def advice(memory: Mapping[str, Any]) -> str:
    """What is wrong with `INFO memory`, and what to set instead; empty for nothing."""
    policy, limit = str(memory.get("maxmemory_policy", "")), int(memory.get("maxmemory", 0))
    if policy.startswith("allkeys-"):
        return (
            f"maxmemory-policy is {policy}: under pressure it may evict the purge log, and every node then"
            " drops what it holds; set volatile-lfu (all keys of edgeproxy but the purge log expire)"
        )
    if policy == "noeviction" and limit:
        return "maxmemory-policy is noeviction: once full it takes no purges either; set volatile-lfu"
    return ""


async def advise(url: str) -> None:
    """Look at the settings of that Redis once it answers, and log what would lose purges."""
    redis: Any = client(url, 2.0, 1.0)
    try:
        while True:
            try:
                memory = await redis.info("memory")
            except FAULTS:  # whoever needs it tells; INFO may also be forbidden
                await asyncio.sleep(AGAIN)
                continue
            if found := advice(memory):
                _log.warning("redis %s: %s", place(url), found)
            return
    finally:
        with suppress(*FAULTS):
            await redis.aclose()
