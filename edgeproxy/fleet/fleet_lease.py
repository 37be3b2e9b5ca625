"""Knows which node of a fleet fetches what: a lease is a key in Redis that expires unless it is renewed.

Must not know what is fetched. No fault of Redis leaves this module: it is `UNREACHABLE`, and the breaker of
the tier of stored responses is told.

Key layout: `<key_prefix>l:` and the name of the stored response's key in braces, so that both are in one slot
of a cluster, then the name of the lease. The value is the holder's token; or, for a while, `-` where the
answer is for nobody else, `+` where it is larger than what is stored here.
"""

import os
from enum import Enum
from hashlib import blake2b
from itertools import count

from edgeproxy.store.redis_tier import RedisTier

EXPIRY = 5000
"""Milliseconds after which the lease of a holder that died is another's."""
REMEMBERED = 10_000
"""Milliseconds for which it is known that an answer is not shared."""

TAKE = b"""
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[2]) == 1 then return '!' end
if #ARGV[3] > 1 and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return '!' end
local held = redis.call('GET', KEYS[1])
local dead = held and ARGV[4] ~= '' and string.sub(held, 1, 8) == ARGV[4]
if held and held ~= ARGV[1] and not dead then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
"""ARGV: token, expiry, what to look for (1: anything, or a field), how tokens of the dead begin.

Who has it now; `!`: it is stored already."""

RENEW = b"""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

RELEASE = b"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""ARGV: token, the mark to leave or nothing, how long that stays."""

REFUSED, TOO_LARGE = b"-", b"+"
"""Marks to leave in place of a lease."""


class Taken(Enum):
    """What became of asking for a lease."""

    OURS = "ours"
    ANOTHERS = "another node's"
    THERE = "it is stored already"
    REFUSED = "the answer is for nobody else"
    APART = "the answer is not stored here"
    UNREACHABLE = "Redis does not say"


class FleetLeases:
    """The leases of one worker of the node of that name, in the Redis of `tier`."""

    def __init__(self, tier: RedisTier, node: str) -> None:
        self.tier = tier
        prefix = tier.prefix
        start = prefix.find(b"{")
        self._tagged = 0 <= start < prefix.find(b"}", start) - 1  # then all our keys are in one slot
        self._node = blake2b(node.encode(), digest_size=8).digest()
        self._mine = self._node + os.urandom(8)
        self._numbers = count(1)

    def __repr__(self) -> str:
        return f"<FleetLeases in {self.tier!r}>"

    @property
    def largest(self) -> int:
        """Bytes of the largest response that is stored here."""
        return self.tier.max_size

    @property
    def answers(self) -> bool:
        """Whether Redis is worth another question."""
        return self.tier.breaker.closed

    async def take(
        self,
        name: bytes,
        key: bytes,
        *,
        looks: bool,
        variant: bytes | None = None,
        succeeds: bool = False,
        token: bytes = b"",
        insist: bool = False,
    ) -> tuple[Taken, bytes]:
        """Ask for the lease of that name on a fetch for that cache key; the token, if it is or may be ours.

        With `looks` it is not given while that variant is stored, or anything for the key; with `succeeds`,
        who asks has the node's lease, so that another worker of this node which has the fleet's is dead.
        `token` is that of a question that was not answered, to be asked once more. Unless with `insist`,
        Redis is not asked when it left the last question unanswered: who comes here waited for that already.
        """
        if not (self.tier.answers or (insist and self.answers)):
            return Taken.UNREACHABLE, b""
        token = token or self._mine + next(self._numbers).to_bytes(8, "big")
        stored, lease = self._names(name, key)
        field = b"" if not looks else b"1" if not variant else b"v" + variant
        dead = self._node if succeeds else b""
        said = await self.tier.ask("EVAL", TAKE, 2, lease, stored, token, EXPIRY, field, dead)
        if said == token:
            return Taken.OURS, token
        match said:
            case None:
                return Taken.UNREACHABLE, token  # it may have been done: `release` is to undo it
            case b"!":
                return Taken.THERE, b""
            case b"-":
                return Taken.REFUSED, b""
            case b"+":
                return Taken.APART, b""
            case _:
                return Taken.ANOTHERS, b""

    def renew(self, name: bytes, key: bytes, token: bytes) -> None:
        """Hold it for longer; never waits."""
        _, lease = self._names(name, key)
        self.tier.later(key, ("EVAL", RENEW, 1, lease, token, EXPIRY))

    def release(self, name: bytes, key: bytes, token: bytes, mark: bytes = b"") -> None:
        """Let go of it once what was put into the tier before is there; never waits."""
        if not token:
            return
        _, lease = self._names(name, key)
        self.tier.later(key, ("EVAL", RELEASE, 1, lease, token, mark, REMEMBERED))

    def _names(self, name: bytes, key: bytes) -> tuple[bytes, bytes]:
        stored = self.tier.name_of(key)
        tag = b"" if self._tagged else b"{%b}" % stored
        return stored, b"%bl:%b%b" % (self.tier.prefix, tag, name.hex().encode())
