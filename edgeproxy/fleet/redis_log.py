"""Knows how the fleet's log of purges lies in Redis, and the few commands on it.

Must not know what a purge is, nor when to ask again.

A Stream holds the purges under positions 1, 2, 3... without gaps; a counter beside it gives
the last one, a random identity tells one log from its successor after Redis lost it. Two sorted
sets name the nodes: how far each has applied the log, and when it was last heard of. All keys
share a hash tag, so that one script may touch them in a cluster. Redis 6.2.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from edgeproxy.errors import EdgeProxyError
from edgeproxy.store.redis_connect import client

MAX_ENTRIES = 100_000  # older ones are trimmed: who was away for longer has lost rules
COMMAND_TIMEOUT = 2.0  # seconds, beyond what a read may block
CONNECT_TIMEOUT = 1.0

FAULTS = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What any call here raises when Redis does not answer as it should."""

_JOIN = """
local id = redis.call('GET', KEYS[1])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if not id or (id == ARGV[2] and last < tonumber(ARGV[3])) then
  id = ARGV[1]
  last = 0
  redis.call('SET', KEYS[1], id)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
end
local first = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
return {id, last, first[1] and first[1][1] or ''}
"""

_APPEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local position = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], string.format('%d-0', position), 'p', ARGV[2])
return position
"""

_BEAT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[5], now, ARGV[2])
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now - tonumber(ARGV[4]))) do
  redis.call('ZREM', KEYS[4], node)
  redis.call('ZREM', KEYS[5], node)
end
return redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
"""


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
    """What stands at one position."""

    position: int
    data: bytes


class RedisLog:
    """The fleet's log, as one node sees it. Every call is bounded, and raises one of FAULTS."""

    def __init__(self, url: str, key_prefix: str, node: str) -> None:
        self._redis: Any = client(url, COMMAND_TIMEOUT, CONNECT_TIMEOUT)
        self._node = node
        base = key_prefix + "{purge}:"
        self._keys = [base + name for name in ("id", "last", "log", "applied", "seen")]
        self._log = self._keys[2]

    def __repr__(self) -> str:
        return f"<RedisLog {self._log} node={self._node}>"

    async def join(self, known: bytes, position: int) -> Joined:
        """The log there is, or a new one; `known` and `position` are what this node followed so far."""
        fresh = secrets.token_hex(16)
        identity, last, first = await self._run(_JOIN, fresh, known.hex(), position)
        return Joined(bytes.fromhex(identity.decode()), _position(first) if first else last + 1, last)

    async def append(self, identity: bytes, data: bytes) -> int:
        """Put a purge at the end; its position. Raises LogLost."""
        position = await self._run(_APPEND, identity.hex(), data, MAX_ENTRIES)
        if position == -1:
            raise LogLost("the purge log was lost")
        return int(position)

    async def read(self, after: int, count: int, block: float | None = None) -> list[Entry]:
        """What follows a position, at most `count`; `block` seconds to wait where nothing does."""
        milliseconds = None if block is None else max(1, int(block * 1000))
        found: Any = await self._redis.xread({self._log: f"{after}-0"}, count, milliseconds)
        entries = found[0][1] if found else []
        return [Entry(_position(place), fields.get(b"p", b"")) for place, fields in entries]

    async def beat(self, identity: bytes, position: int, forget: float) -> dict[str, int]:
        """Tell how far this node is; each node's position. Raises LogLost.

        Nodes not heard of for `forget` seconds are left out from now on.
        """
        answer = await self._run(_BEAT, identity.hex(), self._node, position, forget)
        if answer == -1:
            raise LogLost("the purge log was lost")
        return {node.decode(): int(float(score)) for node, score in zip(*[iter(answer)] * 2, strict=True)}

    async def nodes(self) -> dict[str, int]:
        """Each node's position."""
        found: Any = await self._redis.zrange(self._keys[3], 0, -1, withscores=True)
        return {node.decode(): int(score) for node, score in found}

    async def leave(self) -> None:
        """Say that this node goes: nobody needs to wait for it."""
        await self._redis.zrem(self._keys[3], self._node)
        await self._redis.zrem(self._keys[4], self._node)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, script: str, *args: bytes | str | float) -> Any:
        return await self._redis.eval(script, len(self._keys), *self._keys, *args)


def _position(place: bytes) -> int:
    return int(place.partition(b"-")[0])
