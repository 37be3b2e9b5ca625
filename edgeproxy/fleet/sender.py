"""Knows how this node's purges, and what other services wrote, get into the fleet's log.

Must not know how the log is followed beyond whether it is.
"""

import asyncio
import logging

from edgeproxy.fleet.entries import encode
from edgeproxy.fleet.follower import Follower
from edgeproxy.fleet.redis_log import FAULTS, LogLost, RedisLog
from edgeproxy.fleet.timing import FleetTiming
from edgeproxy.fleet.unsettled import Sent, Unsettled

_log = logging.getLogger("edgeproxy.purge_log")


class Sender:
    """Sends what is unsettled, in order, whenever the log is followed."""

    def __init__(
        self, redis: RedisLog, follower: Follower, unsettled: Unsettled, timing: FleetTiming
    ) -> None:
        self._redis = redis
        self._follower = follower
        self._unsettled = unsettled
        self._timing = timing

    def __repr__(self) -> str:
        return f"<Sender {self._unsettled!r}>"

    async def run(self) -> None:
        """Send, until cancelled."""
        while True:
            await self._unsettled.unsent.wait()
            await self._follower.joined.wait()
            self._unsettled.unsent.clear()
            for purge in self._unsettled.left_to_send():
                try:
                    position, taken = await self._redis.append(self._follower.identity, encode(purge))
                except (LogLost, *FAULTS) as error:
                    _log.debug("purge %s was not sent: %s", purge.id, error)
                    self._unsettled.unsent.set()  # the follower finds out what is wrong
                    await asyncio.sleep(self._timing.retry_least)
                    break
                self._unsettled.was_sent(purge, Sent(position, taken))


class Inbox:
    """Moves what other services write into the log; each node tries, the first one does it."""

    def __init__(self, redis: RedisLog, follower: Follower, timing: FleetTiming) -> None:
        self._redis = redis
        self._follower = follower
        self._timing = timing
        self._told = False

    def __repr__(self) -> str:
        return f"<Inbox {self._redis!r}>"

    async def run(self) -> None:
        """Wait for entries and move them, until cancelled; a fault is never the follower's."""
        while True:
            await self._follower.joined.wait()
            try:
                if await self._redis.wait_for_inbox(self._timing.block):
                    await self._redis.take_in(self._follower.identity)
                self._told = False
            except (LogLost, *FAULTS) as error:
                if not self._told and self._follower.joined.is_set():
                    _log.warning("purges by other services are not taken in for now: %s", error)
                    self._told = True
                await asyncio.sleep(self._timing.retry_most)
