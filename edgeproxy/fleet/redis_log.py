"""Knows how the fleet's log of purges lies in Redis, and the few commands on it.

Must not know what a purge is, nor when to ask again.

A Stream holds the purges under positions 1, 2, 3... without gaps; a counter beside it gives
the last one, a random identity tells one log from its successor after Redis lost it. Two sorted
sets name the nodes: how far each has applied the log, and when it was last heard of; a hash has
what each tells of itself. A second Stream, the inbox, takes what other services write: whichever
node sees an entry first moves it into the log. Receipts lie in a hash for each purge that wants
them, for a minute. All keys share a hash tag, so that one script may touch them in a cluster.
Redis 6.2.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from edgeproxy.errors import EdgeProxyError
from edgeproxy.fleet.redis_scripts import APPEND, BEAT, JOIN, ROLL, TAKE_IN
from edgeproxy.store.redis_connect import client

MAX_ENTRIES = 100_000  # older ones are trimmed: who was away for longer has lost rules
COMMAND_TIMEOUT = 2.0  # seconds, beyond what a read may block
CONNECT_TIMEOUT = 1.0
KEYS = ("id", "last", "log", "applied", "seen", "nodes", "inbox")
TAKEN_AT_ONCE = 100
MAX_EVENT_SIZE = 65536  # bytes of what another service may write in one entry
MAX_EVENT_PARTS = 2000
RECEIPTS_KEPT = 60_000  # milliseconds
MAX_POSITION = 2.0**53  # a score is a double
REMOVED = ":removed"
"""Ends the name under which a node tells how much it removed."""

FAULTS = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What any call here raises when Redis does not answer as it should."""


class LogLost(EdgeProxyError):
    """The log is not the one that was joined: Redis lost it, and perhaps began another."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A log: its identity (16 bytes), the first position it still holds, and the last one given."""

    identity: bytes
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at one position: a node's purge in `data`, or another service's in `event`."""

    position: int
    data: bytes
    event: bytes | None = None


@dataclass(frozen=True, slots=True)
class Roll:
    """The nodes by name: how far each has applied the log, and for how many seconds it has been silent.

    `receipts` is what was said of one purge: when it was applied, in microseconds of Redis' time, by
    node; how much was removed, by node and REMOVED.
    """

    positions: dict[str, int]
    silent: dict[str, float]
    receipts: dict[str, int] = field(default_factory=dict)


class RedisLog:
    """The fleet's log, as one node sees it. Every call is bounded, and raises one of FAULTS."""

    def __init__(self, url: str, key_prefix: str, node: str) -> None:
        self._redis: Any = client(url, COMMAND_TIMEOUT, CONNECT_TIMEOUT)
        self._node = node
        self._base = key_prefix + "{purge}:"
        self._keys = [
            self._base + name for name in ("id", "last", "log", "applied", "seen", "nodes", "inbox")
        ]
        self._log, self._inbox = self._keys[2], self._keys[6]

    def __repr__(self) -> str:
        return f"<RedisLog {self._log} node={self._node}>"

    async def join(self, known: bytes, position: int) -> Joined:
        """The log there is, or a new one; `known` and `position` are what this node followed so far."""
        fresh = secrets.token_hex(16)
        identity, last, first = await self._run(JOIN, fresh, known.hex(), position)
        return Joined(bytes.fromhex(identity.decode()), _position(first) if first else last + 1, last)

    async def append(self, identity: bytes, data: bytes) -> tuple[int, int]:
        """Put a purge at the end; its position, and Redis' time in microseconds. Raises LogLost."""
        answer = await self._run(APPEND, identity.hex(), data, MAX_ENTRIES)
        if answer == -1:
            raise LogLost("the purge log was lost")
        return int(answer[0]), int(answer[1])

    async def read(self, after: int, count: int, block: float | None = None) -> list[Entry]:
        """What follows a position, at most `count`; `block` seconds to wait where nothing does."""
        found: Any = await self._redis.xread({self._log: f"{after}-0"}, count, _milliseconds(block))
        entries = found[0][1] if found else []
        return [Entry(_position(place), fields.get(b"p", b""), fields.get(b"e")) for place, fields in entries]

    async def wait_for_inbox(self, block: float) -> bool:
        """Whether another service has written anything, within `block` seconds."""
        return bool(await self._redis.xread({self._inbox: "0-0"}, 1, _milliseconds(block)))

    async def take_in(self, identity: bytes) -> int:
        """Move what other services wrote into the log, all of it; the log's last position. Raises LogLost."""
        while True:
            answer = await self._run(
                TAKE_IN, identity.hex(), MAX_ENTRIES, TAKEN_AT_ONCE, MAX_EVENT_SIZE, MAX_EVENT_PARTS
            )
            if answer == -1:
                raise LogLost("the purge log was lost")
            if answer[0] < TAKEN_AT_ONCE:
                return int(answer[1])

    async def beat(
        self, identity: bytes, position: int, forget: float, card: bytes, receipts: Sequence[str] = ()
    ) -> None:
        """Renew this node's lease and tell how far it is. Raises LogLost.

        Nodes not heard of for `forget` seconds are left out from now on; `receipts` names the purges that
        wait for this node's word.
        """
        keys = [self._receipts_of(purge) for purge in receipts]
        answer = await self._run(BEAT, identity.hex(), self._node, position, forget, card, keys=keys)
        if answer == -1:
            raise LogLost("the purge log was lost")

    async def roll(self, receipts: str | None = None) -> Roll:
        """The nodes, and what they say of the purge of that id."""
        keys = [] if receipts is None else [self._receipts_of(receipts)]
        now, applied, seen, told = await self._run(ROLL, keys=keys)
        return Roll(
            {_name(node): int(max(0.0, min(float(at), MAX_POSITION))) for node, at in _pairs(applied)},
            {_name(node): max(0.0, float(now) - float(at)) for node, at in _pairs(seen)},
            {_name(node): int(word) for node, word in _pairs(told) if word.isdigit()},
        )

    async def cards(self) -> dict[str, bytes]:
        """What each node tells of itself."""
        found: Any = await self._redis.hgetall(self._keys[5])
        return {_name(node): card for node, card in found.items()}

    async def counted(self, purge: str, removed: int) -> None:
        """Tell how many stored responses this node removed for a purge."""
        key = self._receipts_of(purge)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(key, self._node + REMOVED, str(removed))
            pipe.pexpire(key, RECEIPTS_KEPT)
            await pipe.execute()

    async def remove(self, nodes: Sequence[str]) -> None:
        """Strike nodes off: nobody needs to wait for them."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.zrem(self._keys[3], *nodes)
            pipe.zrem(self._keys[4], *nodes)
            pipe.hdel(self._keys[5], *nodes)
            await pipe.execute()

    async def leave(self) -> None:
        """Say that this node goes."""
        await self.remove([self._node])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _receipts_of(self, purge: str) -> str:
        return f"{self._base}receipts:{purge}"

    async def _run(self, script: str, *args: bytes | str | float, keys: Sequence[str] = ()) -> Any:
        every = [*self._keys, *keys]
        return await self._redis.eval(script, len(every), *every, *args)


def _name(node: bytes) -> str:
    return node.decode(errors="replace")


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _position(place: bytes) -> int:
    return int(place.partition(b"-")[0])


def _milliseconds(block: float | None) -> int | None:
    return None if block is None else max(1, int(block * 1000))
