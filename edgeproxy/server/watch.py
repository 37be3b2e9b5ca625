"""Knows when a configuration is read again by itself: its file changed, or its URL may hold another.

Must not know what a configuration says, nor how it comes into force (`reload`).
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from edgeproxy.config.remote import Unreachable
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.sources import FileSource, RemoteSource

LOOK = 1.0  # seconds between two looks at a file
POLL = 30.0  # seconds between two polls where the control plane says nothing of freshness
FLOOR, CEILING = 5.0, 3600.0  # seconds, the least and the most between two polls
JITTER = 0.1  # later by up to this share: not all nodes of a fleet at once

_log = logging.getLogger("edgeproxy.supervisor")


class Reloads(Protocol):
    """How what was read comes into force; refusals are said by it."""

    async def reload(self) -> object: ...


async def watch_file(
    source: FileSource, reloads: Reloads, wanted: Callable[[], bool], look: float = LOOK
) -> None:
    """Reload once the file is another and has stood still for `look` seconds, while that is `wanted`.

    Editors write in pieces or rename: a file that still changes is let be, and the same bytes are
    refused once only.
    """
    seen = settled = await asyncio.to_thread(source.mark)
    judged = await asyncio.to_thread(source.digest)
    missing = False
    while True:
        await asyncio.sleep(look)
        mark = await asyncio.to_thread(source.mark)
        moving, seen = mark != seen, mark
        if mark is None and not moving and not missing and wanted():
            missing = True
            _log.warning("%s is gone: the configuration in force stays", source.name)
        if moving or mark is None or mark == settled or not wanted():
            continue
        settled, missing = mark, False
        digest = await asyncio.to_thread(source.digest)
        if digest != judged:
            judged = digest
            _log.info("%s has changed", source.name)
            with suppress(EdgeProxyError):
                await reloads.reload()


async def poll_url(
    source: RemoteSource,
    reloads: Reloads,
    polled: Callable[[str], None],
    *,
    poll: float = POLL,
    floor: float = FLOOR,
) -> None:
    """Poll for ever: what is fresh is not asked for again, what is stale is validated.

    `polled` counts each: changed, unchanged or failed. A control plane that stays away is said once.
    """
    failing = False
    while True:
        await asyncio.sleep(pause(source.lifetime, poll, floor))
        try:
            changed = await source.look()
        except Unreachable as error:
            polled("failed")
            if not failing:
                _log.error("%s %s: the configuration in force stays", source.name, error)
            failing = True
            continue
        if failing:
            _log.info("%s answers again", source.name)
        failing = False
        polled("changed" if changed else "unchanged")
        if changed:
            with suppress(EdgeProxyError):
                await reloads.reload()


def pause(lifetime: float | None, poll: float = POLL, floor: float = FLOOR) -> float:
    """Seconds until the next poll of what is fresh for `lifetime` seconds."""
    least = min(max(poll if lifetime is None else lifetime, floor), CEILING)
    return least * (1 + random.uniform(0.0, JITTER))
