"""Knows how a worker lets its clients go: first once more, then after the response under way, then at once.

Must not know what they ask for.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

from edgeproxy.server.listening import Listening

SETTLE = 0.3  # seconds in which an accepted connection comes to be counted, after a TLS handshake too
LOOK = 0.02  # seconds between two looks whether all is done


async def let_go(
    listenings: Collection[Listening], busy: Callable[[], bool], timeout: float, patience: float = 0.0
) -> None:
    """Return once nothing is `busy` any more, or cut what is left after `timeout` seconds.

    Idle connections may ask once more within the first `patience` seconds of it.
    """
    if patience > 0:
        for listening in listenings:
            listening.drain(patient=True)
    await asyncio.sleep(min(patience, SETTLE))
    await _until_idle(busy, patience)
    for listening in listenings:
        listening.drain()
    await _until_idle(busy, timeout - patience)
    for listening in listenings:
        listening.abort()


async def _until_idle(busy: Callable[[], bool], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while busy():  # noqa: ASYNC110 - they share no event
                await asyncio.sleep(LOOK)
