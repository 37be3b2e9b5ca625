"""Knows stored responses in Redis, shared by a fleet: look-up, storing, removal, and when to stop asking.

Must not know freshness, Vary's meaning or purge rules. No fault of Redis leaves this module: it is a
miss, a count and a log line.

Key layout: one hash for each cache key, `<key_prefix>r:<BLAKE2b-128 of the cache key, hex>`, so that
removing a URL with all its variants is one UNLINK. Its fields: `v<variant key>` holds an encoded
stored response, `n<names in MessagePack>` (empty value) says which selecting fields to present. The
hash expires with the variant that may be kept longest.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b

import msgspec

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store.breaker import Breaker
from edgeproxy.store.cluster_pipe import NodeAway
from edgeproxy.store.codec import NewerVersion, decode, work_of
from edgeproxy.store.command_pipe import Observe
from edgeproxy.store.fault_log import FaultLog
from edgeproxy.store.redis_connect import place
from edgeproxy.store.redis_faults import REDIS_ERRORS, breaks, explain, is_wrong_type
from edgeproxy.store.redis_link import Argument, Command, Reply
from edgeproxy.store.redis_pipes import pipe_for
from edgeproxy.store.redis_writer import IN_THREAD, MAX_NAME_SETS, RedisWriter
from edgeproxy.store.tier import Fault, Names, TierStats, VariantOf
from edgeproxy.store.write_queue import Discard, Order, Put, WriteQueue

logger = logging.getLogger("edgeproxy.store")

_JUST_PLAIN = (frozenset((b"v", b"n\x90")), [()])
"""What a key lists of which one response is stored, without selecting fields; and what that means."""
_decode_names = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode


class RedisTier:
    """Stored responses in Redis.

    `timeout` bounds in seconds what one `get` or `remove` may wait, connecting included. After
    `threshold` faults in a row the breaker answers at once, and a probe in the background closes it.
    Responses over `max_size` bytes stay out; values over `compress_above` bytes are compressed where
    that pays, 0: none. `queue_writes` and `queue_bytes` bound what waits to be written; the oldest is
    dropped. `observe` is told of each command how long it took.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.05,
        key_prefix: str = "edge:",
        max_size: int = 4 * 1024 * 1024,
        max_variants: int = 64,
        queue_writes: int = 1000,
        queue_bytes: int = 32 * 1024 * 1024,
        compress_above: int = 0,
        threshold: int = 3,
        observe: Observe | None = None,
    ) -> None:
        self._timeout = timeout
        self.prefix = key_prefix.encode()
        self._prefix = self.prefix + b"r:"
        self.max_size = max_size
        # connections
        patience = max(1.0, 4 * timeout)  # where nobody waits
        self._reads = pipe_for(url, 2 * timeout, patience, observe)
        self._writes = pipe_for(url, patience, patience, observe)
        self._where = place(url)
        # state
        self.stats = TierStats()
        self.breaker = Breaker(threshold)
        self._unanswered = False  # the last question, by `get` or `ask`
        self._available = asyncio.Event()
        self._broken = asyncio.Event()
        self._log = FaultLog(logger)
        # owned by us
        self._writer = RedisWriter(
            self._writes,
            self.name_of,
            max_variants,
            compress_above,
            WriteQueue(queue_writes, max(queue_bytes, 2 * max_size)),
            self._available,
            self._written,
        )
        self._keeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RedisTier {self._where} {self.breaker.state} hits={self.stats.hits} {self._writer.queue!r}>"

    # --- life -------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; waits for nothing, so that an absent Redis delays no start."""
        self._available.set()
        self._reads.start()
        self._reads.connect()
        self._writes.start()
        self._writer.start()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="redis-keeper")

    async def close(self, drain: float = 2.0) -> None:
        """Write what waits for at most `drain` seconds, then end all tasks and connections."""
        await self._writer.close(drain if self.breaker.closed else 0.0)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])  # not `await` itself: our own cancellation stays ours
            self._keeper = None
        await self._reads.close()
        await self._writes.close()

    async def wait_available(self) -> None:
        """Return once the breaker is closed."""
        await self._available.wait()

    async def flush(self) -> None:
        """Return once nothing waits to be written: all was sent, or dropped, or lost and counted."""
        await self._writer.flush()

    @property
    def queue_depth(self) -> int:
        """Writes that wait."""
        return len(self._writer.queue)

    # --- the tier ---------------------------------------------------------------

    async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
        """The stored response for that cache key and the variant that the request presents, or None.

        Of several that match (RFC 9111 §4.1) it is the one received last.
        """
        if not self.breaker.closed:
            self.stats.skipped += 1
            return None
        try:
            found = await self._look_up(key, variant_of)
        except NodeAway:
            self.stats.skipped += 1
            return None
        except REDIS_ERRORS as error:
            self._unanswered = True
            self._fault(error)
            if is_wrong_type(error):
                self._writer.add(Discard(key, None))
            return None
        self._unanswered = False
        self.breaker.succeeded()
        if found is None:
            self.stats.misses += 1
        else:
            self.stats.hits += 1
        return found

    def put(self, stored: StoredResponse, ttl: float) -> None:
        """Queue a response to be written and kept for `ttl` seconds; never waits, never raises."""
        if stored.size > self.max_size:
            self.stats.fault(Fault.TOO_LARGE)
        elif not self.breaker.closed or self._writer.paused:
            self.stats.fault(Fault.DROPPED)
        elif ttl > 0:
            for _ in range(self._writer.add(Put(stored, self._now() + ttl))):
                self.stats.fault(Fault.DROPPED)

    def discard(self, key: bytes, variant: bytes) -> None:
        """Queue the removal of one variant; never waits, never raises."""
        if self.breaker.closed:
            for _ in range(self._writer.add(Discard(key, variant))):
                self.stats.fault(Fault.DROPPED)

    async def remove(self, key: bytes) -> list[bytes]:
        """Remove all variants of a cache key, waiting writes included; the variant keys that were there.

        Empty when Redis did not answer in time (the command may still be carried out).
        """
        self._writer.forget(key)
        if not self.breaker.closed:
            self.stats.skipped += 1
            return []
        name = self.name_of(key)
        try:
            fields, _ = await self._writes.ask((("HKEYS", name), ("UNLINK", name)), self._timeout)
        except REDIS_ERRORS as error:
            if not is_wrong_type(error):  # else it is gone all the same
                self._fault(error)
            return []
        self.breaker.succeeded()
        variants = [field[1:] for field in _bytes_list(fields) if field[:1] == b"v"]
        self.stats.removals += len(variants)
        return variants

    async def variants(self, key: bytes) -> list[bytes]:
        """The variant keys that are stored under a cache key; empty when Redis did not answer in time."""
        if not self.breaker.closed:
            return []
        try:
            (fields,) = await self._reads.ask((("HKEYS", self.name_of(key)),), self._timeout)
        except NodeAway:
            return []
        except REDIS_ERRORS as error:
            self._fault(error)
            return []
        return [field[1:] for field in _bytes_list(fields) if field[:1] == b"v"]

    # --- for others that keep something here ---------------------------------------

    @property
    def answers(self) -> bool:
        """Whether Redis is asked, and answered what it was asked last."""
        return self.breaker.closed and not self._unanswered

    async def ask(self, *command: Argument) -> Reply:
        """The reply to one command; None where there is none in time, or Redis is not asked."""
        if not self.breaker.closed:
            return None
        try:
            (reply,) = await self._reads.ask((command,), self._timeout)
        except NodeAway:
            return None
        except REDIS_ERRORS as error:
            self._unanswered = True
            self._fault(error)
            return None
        self._unanswered = False
        self.breaker.succeeded()
        return reply

    def later(self, key: bytes, command: Command) -> None:
        """Queue a command behind what was put for that cache key before; never waits, never raises."""
        if self.breaker.closed:
            for _ in range(self._writer.add(Order(key, tuple(command)))):
                self.stats.fault(Fault.DROPPED)

    # --- reading ----------------------------------------------------------------

    async def _look_up(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
        name = self.name_of(key)
        began = self._now()
        # Most responses have no Vary: asked for at once, they take one round trip.
        listed, plain = await self._reads.ask((("HKEYS", name), ("HGET", name, b"v")), self._timeout)
        if not listed:
            return None
        fields = frozenset(_bytes_list(listed))
        values: dict[bytes, Reply] = {}
        for names in _JUST_PLAIN[1] if fields == _JUST_PLAIN[0] else _name_sets(fields):
            variant = variant_of(names)
            if b"v" + variant in fields:
                values[variant] = plain if not variant else None
        missing = [variant for variant, value in values.items() if value is None]
        if missing:
            commands = [("HGET", name, b"v" + variant) for variant in missing]
            left = max(0.0, self._timeout - (self._now() - began))
            values.update(zip(missing, await self._reads.ask(commands, left), strict=True))
        found: StoredResponse | None = None
        for variant, value in values.items():
            stored = await self._decoded(value, key, variant)
            if stored is not None and (found is None or stored.response_time > found.response_time):
                found = stored
        return found

    async def _decoded(self, value: Reply, key: bytes, variant: bytes) -> StoredResponse | None:
        if not isinstance(value, bytes):  # expired or removed since it was listed
            return None
        try:
            if work_of(value) >= IN_THREAD:
                return await asyncio.to_thread(decode, value, key, variant)
            return decode(value, key, variant)
        except NewerVersion as error:
            self._count(Fault.NEWER, f"a stored response is left alone ({error}); upgrade this node")
        except TierFault as error:
            self._count(Fault.DAMAGED, f"a value under {self._prefix.decode()} is deleted: {error}")
            self._writer.add(Discard(key, variant))
        return None

    # --- faults -----------------------------------------------------------------

    def _written(self, error: Exception | None) -> None:
        """What became of one write."""
        if error is None:
            self.stats.writes += 1
            self.breaker.succeeded()
        else:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        fault, message = explain(error)
        self._count(fault, message)
        if breaks(fault) and self.breaker.failed(self._now()):
            self._available.clear()
            self._broken.set()
            logger.warning(
                "redis %s: not asked until it answers a probe; memory and origins serve", self._where
            )

    def _count(self, fault: Fault, message: str) -> None:
        self.stats.fault(fault)
        self._log.warn(fault, self._now(), f"redis {self._where}: {message}")

    async def _keep(self) -> None:
        """Probe while the breaker is open."""
        while True:
            await self._broken.wait()
            await asyncio.sleep(self.breaker.wait)
            self.breaker.probing()
            self.breaker.probed(await self._probe())
            if self.breaker.closed:
                self._broken.clear()
                self._available.set()
                away = self._now() - self.breaker.opened_at
                logger.warning("redis %s: answers again after %.1f s", self._where, away)

    async def _probe(self) -> bool:
        """Whether it answers in time once connected; connecting may take its own, longer time."""
        try:
            for allowance in (max(1.0, self._timeout), self._timeout):
                await self._reads.ask((("PING",),), allowance)
        except REDIS_ERRORS:
            return False
        return True

    # --- small things -----------------------------------------------------------

    def name_of(self, key: bytes) -> bytes:
        """The name in Redis of a cache key."""
        return self._prefix + blake2b(key, digest_size=16).hexdigest().encode()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _bytes_list(reply: Reply) -> list[bytes]:
    return [item for item in reply if isinstance(item, bytes)] if isinstance(reply, list) else []


def _name_sets(fields: Iterable[bytes]) -> list[Names]:
    """The tuples of selecting field names that a hash lists."""
    sets: list[Names] = []
    for field in sorted(fields):
        if field[:1] == b"n" and len(sets) < MAX_NAME_SETS:
            with suppress(msgspec.MsgspecError):
                sets.append(_decode_names(field[1:]))
    return sets
