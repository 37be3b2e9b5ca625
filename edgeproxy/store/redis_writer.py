"""Knows how to write behind: takes writes from a bounded queue and sends them to Redis, in its own task.

Must not know who asked, nor when Redis is given up: `available` is set while it may be written to.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1

import msgspec
from redis.exceptions import NoScriptError

from edgeproxy.errors import TierFault
from edgeproxy.store.codec import encode
from edgeproxy.store.command_pipe import Pipe, PipeFull
from edgeproxy.store.redis_faults import REDIS_ERRORS, is_full
from edgeproxy.store.redis_link import Reply
from edgeproxy.store.write_queue import Discard, Order, Put, Write, WriteQueue

BATCH_WRITES = 16
BATCH_BYTES = 1024 * 1024
IN_THREAD = 256 * 1024
"""Values from this size on are encoded in a thread: 1 ms for each MiB."""
COMPRESS_IN_THREAD = 64 * 1024
"""The same where they may be compressed: 4 ms for each MiB."""
FULL_PAUSE = 1.0
"""Seconds without writes after Redis said that its memory is full."""
MAX_NAME_SETS = 8
"""Distinct tuples of selecting field names that one key may have; an origin that makes more starts anew."""

# One script, because the bound on variants and the expiry depend on what is there. The victim's number
# comes from outside: Redis 6 allows no chance in a script that writes.
STORE_SCRIPT = b"""
local key, variant, names = KEYS[1], ARGV[1], ARGV[3]
local variants, sets, known = {}, 0, false
local kind = redis.call('TYPE', key).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', key) end
for _, field in ipairs(redis.call('HKEYS', key)) do
  if field == names then known = true end
  if field:sub(1, 1) == 'n' then sets = sets + 1
  elseif field ~= variant then variants[#variants + 1] = field end
end
if sets >= tonumber(ARGV[7]) and not known then
  redis.call('UNLINK', key)
elseif #variants >= tonumber(ARGV[5]) then
  redis.call('HDEL', key, variants[tonumber(ARGV[6]) % #variants + 1])
end
redis.call('HSET', key, variant, ARGV[2], names, '')
if redis.call('PTTL', key) < tonumber(ARGV[4]) then redis.call('PEXPIRE', key, ARGV[4]) end
return 1
"""
_SCRIPT_SHA = sha1(STORE_SCRIPT, usedforsecurity=False).hexdigest()
_encode_names = msgspec.msgpack.Encoder().encode


class RedisWriter:
    """Writes in order over one pipe. `done` is told of each write: None, or what went wrong."""

    def __init__(
        self,
        pipe: Pipe,
        name_of: Callable[[bytes], bytes],
        max_variants: int,
        compress_above: int,
        queue: WriteQueue,
        available: asyncio.Event,
        done: Callable[[Exception | None], None],
    ) -> None:
        self._pipe = pipe
        self._name_of = name_of
        self._max_variants = max_variants
        self._compress_above = compress_above
        self.queue = queue
        self._available = available
        self._done = done
        self._queued = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_hand: set[bytes] = set()  # keys taken from the queue and not sent yet
        self._full_until = 0.0
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RedisWriter {self.queue!r}>"

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis-writer")

    async def close(self, drain: float) -> None:
        """Write on for at most `drain` seconds, then end."""
        if self._task is None:
            return
        if drain > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), drain)
        self._task.cancel()
        await asyncio.wait([self._task])  # not `await` itself: our own cancellation stays ours
        self._task = None

    async def flush(self) -> None:
        """Return once nothing waits and nothing is under way."""
        await self._idle.wait()

    @property
    def paused(self) -> bool:
        """Whether Redis said just now that it is full."""
        return asyncio.get_running_loop().time() < self._full_until

    def add(self, write: Write) -> int:
        """Queue a write; how many of the oldest were dropped for it."""
        dropped = self.queue.add(write)
        if self.queue:
            self._queued.set()
            self._idle.clear()
        return dropped

    def forget(self, key: bytes) -> None:
        """Do not write what waits for this cache key."""
        self.queue.forget(key)
        self._in_hand.discard(key)

    async def _run(self) -> None:
        while True:
            await self._queued.wait()
            await self._available.wait()
            batch = self.queue.take(BATCH_WRITES, BATCH_BYTES)
            if not self.queue:
                self._queued.clear()
            self._in_hand = {write.key for write in batch}
            for error in await self._send(batch):
                if error is not None and is_full(error):
                    self._full_until = asyncio.get_running_loop().time() + FULL_PAUSE
                self._done(error)
            if not self.queue:
                self._idle.set()

    async def _send(self, batch: list[Write]) -> list[Exception | None]:
        """Send a batch in order; the outcome of each write that was sent or should have been."""
        failed: list[Exception | None] = []
        sent: list[tuple[asyncio.Future[Reply], tuple[bytes | int, ...]]] = []
        for write in batch:
            try:
                if isinstance(write, Order):
                    continue
                if isinstance(write, Discard):
                    sent.append((self._discard(write), ()))
                    continue
                arguments = await self._arguments(write)
                if arguments and write.key in self._in_hand:  # not removed while it was encoded
                    sent.append((self._pipe.send("EVALSHA", _SCRIPT_SHA, *arguments), arguments))
            except (PipeFull, TierFault) as error:
                failed.append(error)
        done = failed + [await self._outcome(*one) for one in sent]
        # Not before all that is known to be done: a script that has to be sent again comes later.
        return done + await self._ordered([write for write in batch if isinstance(write, Order)])

    async def _ordered(self, orders: list[Order]) -> list[Exception | None]:
        sent: list[asyncio.Future[Reply]] = []
        done: list[Exception | None] = []
        for order in orders:
            try:
                sent.append(self._pipe.send(*order.command))
            except PipeFull as error:
                done.append(error)
        return done + [await self._outcome(one, ()) for one in sent]

    async def _outcome(
        self, future: asyncio.Future[Reply], arguments: tuple[bytes | int, ...]
    ) -> Exception | None:
        try:
            try:
                await future
            except NoScriptError:  # restarted since; EVAL leaves the script there for the next
                await self._pipe.send("EVAL", STORE_SCRIPT, *arguments)
        except REDIS_ERRORS as error:
            return error
        return None

    async def _arguments(self, put: Put) -> tuple[bytes | int, ...]:
        ttl = int((put.deadline - asyncio.get_running_loop().time()) * 1000)
        if ttl <= 0:
            return ()
        stored = put.stored
        try:
            above = self._compress_above
            if put.size >= (COMPRESS_IN_THREAD if 0 < above < put.size else IN_THREAD):
                value = await asyncio.to_thread(encode, stored, above)
            else:
                value = encode(stored, above)
        except Exception as error:  # one that cannot be written must not end the writing of all others
            raise TierFault(f"a response to {stored.key!r} does not encode: {error!r}") from error
        names = b"n" + _encode_names([name for name, _ in stored.selecting])
        return (
            1,
            self._name_of(stored.key),
            b"v" + stored.variant,
            value,
            names,
            ttl,
            self._max_variants,
            random.getrandbits(30),
            MAX_NAME_SETS,
        )

    def _discard(self, discard: Discard) -> asyncio.Future[Reply]:
        name = self._name_of(discard.key)
        if discard.variant is None:
            return self._pipe.send("UNLINK", name)
        return self._pipe.send("HDEL", name, b"v" + discard.variant)
