"""Knows the node's tier as a worker sees it: reads its file, sends what is to be written to its writer.

Must not know freshness, Vary's meaning or purge rules. No fault leaves this module: it is a miss, a count
and a log line.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import lmdb

from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store.codec import preamble_of
from edgeproxy.store.fault_log import FaultLog
from edgeproxy.store.node_format import (
    PIECE,
    Variant,
    body_of,
    decode_variants,
    name_of,
    piece_key,
    unseal,
)
from edgeproxy.store.node_ready import MAX_READY, Ready, seal_ready, unseal_ready
from edgeproxy.store.node_records import Put, Readied, Remove, Used, encode_record
from edgeproxy.store.node_sender import NodeSender
from edgeproxy.store.node_tables import DAMAGE, Tables, joined, open_tables
from edgeproxy.store.tier import Fault, TierStats, VariantOf

logger = logging.getLogger("edgeproxy.store")

IN_THREAD = 256 * 1024
"""Values from this size on are read and checked in a thread: a quarter of a millisecond."""
OF_THIS_NODE = b"node"
"""Stands in the file for the run of this node, which is another one after each start."""
MOST_USED = 2000
"""Uses told to the writer at once; what is used more often than that is used again."""
REMOVED_WITHIN = 0.25
"""Seconds for which a removal waits for the writer."""


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """Where a worker finds the tier: the file's directory, its map's size, and the largest value in bytes."""

    path: str
    size: int
    largest: int


class NodeTier:
    """Stored responses of the node.

    `run` is what stamps of this node's own purges name; `wall` gives wall seconds; `damaged` is told once
    that the file cannot be read.
    """

    def __init__(
        self,
        access: NodeAccess,
        sender: NodeSender,
        *,
        run: bytes,
        wall: Callable[[], float],
        damaged: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._access = access
        self._sender = sender
        self._run = run
        self._wall = wall
        self._damaged = damaged
        self._file: Tables | None = None
        self._used: dict[tuple[bytes, bytes], None] = {}
        self._lacked: bytes | None = None  # the very key that was looked for last, in vain
        self._log = FaultLog(logger)
        self.stats = TierStats()

    def __repr__(self) -> str:
        state = "open" if self._file is not None else "off"
        return f"<NodeTier {self._access.path} {state} hits={self.stats.hits} {self._sender!r}>"

    # --- life -------------------------------------------------------------------

    def open(self) -> None:
        """Open the file, which its writer has made; a fault leaves the tier off."""
        self.shut()
        try:
            self._file = open_tables(self._access.path, self._access.size)
        except lmdb.Error as error:
            self._fault(error)

    def shut(self) -> None:
        """Let go of the file: every look-up is skipped from now on, nothing is written."""
        self._file = None  # not closed: a thread may be reading; it goes with its last user

    def read_only(self) -> None:
        """Have nothing written any more: another process's writer has the file."""
        self._sender.stop()

    async def close(self, drain: float = 1.0) -> None:
        """Send what waits for at most `drain` seconds, then let go of everything."""
        self.tell_used()
        await self._sender.flush(drain)
        self._sender.close()
        self.shut()

    @property
    def available(self) -> bool:
        """Whether it is asked."""
        return self._file is not None

    @property
    def queue_depth(self) -> int:
        """Writes that wait."""
        return self._sender.depth

    @property
    def dropped(self) -> int:
        """Writes that found no room in the queue."""
        return self._sender.dropped

    def after_writes(self, call: Callable[[], None]) -> None:
        """Call it once what was put so far can be read, or never will be; soon in any case."""
        if self._file is None:
            call()
        else:
            self._sender.after(call)

    @property
    def largest(self) -> int:
        """Bytes of the largest response that it takes."""
        return self._access.largest

    # --- the tier ---------------------------------------------------------------

    async def get(self, key: bytes, variant_of: VariantOf, newer_than: float = -inf) -> StoredResponse | None:
        """The stored response for that cache key and the variant that the request presents, or None.

        Of several that match (RFC 9111 §4.1) it is the one received last; of those received after wall time
        `newer_than`. Suspends for large ones only.
        """
        name = name_of(key)
        try:
            found = self._find(name, variant_of, newer_than)
            if found is None:
                return None
            if found.size >= IN_THREAD:
                stored = await asyncio.to_thread(self._read, key, found)
            else:
                stored = self._read(key, found)
        except (lmdb.Error, TierFault) as error:
            self._fault(error)
            return None
        if stored is None:
            self.stats.misses += 1
            return None
        return self._used_now(name, stored)

    def take(self, key: bytes) -> StoredResponse | None:
        """The stored response of that key, if there is but one, without selecting fields, and small.

        What is not found is not counted: it will be asked for by `get`.
        """
        if self._file is None or key is self._lacked:
            return None
        name = name_of(key)
        variants = self._variants(name)
        if len(variants) != 1:
            self._lacked = None if variants else key
            return None
        (found,) = variants
        if found.names or found.size >= IN_THREAD or found.expires <= self._wall():
            return None
        try:
            stored = self._read(key, found)
        except (lmdb.Error, TierFault) as error:
            self._fault(error)
            return None
        return None if stored is None else self._used_now(name, stored)

    def ready(self, key: bytes, now: float) -> tuple[bytes, Ready, bytes] | None:
        """What answers that key at once at wall second `now`, if anything: its name, that, and the body.

        It does not count as a hit: `hit` says so.
        """
        file = self._file
        if file is None:
            return None
        name = name_of(key)
        try:
            txn = file.env.begin(file.index)
            try:  # not `with`, which costs a tenth of the look-up
                found = txn.get(name)
                if found is None:
                    self._lacked = key
                    return None
                variants = decode_variants(found)
                only = variants[0]
                if len(variants) != 1 or not only.ready or only.expires <= now or only.size >= IN_THREAD:
                    return None
                if only.size <= PIECE:
                    value = txn.get(piece_key(only.number, 0), None, file.pieces)
                else:
                    value = joined(txn, file.pieces, only)
            finally:
                txn.abort()
            ready = unseal_ready(only.ready)
            if value is None or ready.came != only.response_time:
                return None
            return name, ready, body_of(value, key)
        except (lmdb.Error, TierFault) as error:
            self._fault(error)
            return None

    def make_ready(self, key: bytes, ready: Ready) -> None:
        """Have that kept for the response that came then, the only one of its key, if it still is.

        Never waits, never raises.
        """
        sealed = seal_ready(ready)
        if self._file is not None and len(sealed) <= MAX_READY:
            self._sender.add(encode_record(Readied(name_of(key), b"", ready.came, sealed)))

    def hit(self, name: bytes) -> None:
        """What `ready` gave by that name was used."""
        self.stats.hits += 1
        if len(self._used) < MOST_USED:
            self._used[(name, b"")] = None

    def holds(self, key: bytes) -> bool:
        """Whether anything of that key may be there."""
        lacked, self._lacked = self._lacked, None
        return key is not lacked and (self._file is None or bool(self._variants(name_of(key))))

    def holds_now(self, key: bytes, variant: bytes | None) -> bool:
        """Whether that variant, or with None anything of that key, is there at this moment."""
        self._lacked = None
        variants = self._variants(name_of(key))
        return bool(variants) if variant is None else any(each.variant == variant for each in variants)

    def put(self, stored: StoredResponse, ttl: float) -> None:
        """Have a response written and kept for `ttl` seconds; never waits, never raises."""
        if self._file is None or ttl <= 0:
            return
        if stored.size > self._access.largest:
            self.stats.fault(Fault.TOO_LARGE)
            return
        stamp, order = stored.stamp, 0
        if stamp.run == self._run:
            order = stamp.local
            stored = replace(stored, stamp=replace(stamp, run=OF_THIS_NODE))
        put = Put(
            name_of(stored.key),
            stored.variant,
            tuple(name for name, _ in stored.selecting),
            self._wall() + ttl,
            stored.response_time,
            order,
            preamble_of(stored),
        )
        if self._sender.add(encode_record(put, stored.body, stored.size)):
            self.stats.writes += 1
        else:
            self.stats.fault(Fault.DROPPED)

    def discard(self, key: bytes, variant: bytes) -> None:
        """Have one variant removed; never waits, never raises."""
        self._send_removal(Remove(name_of(key), variant))

    async def remove(self, key: bytes) -> list[bytes]:
        """Remove all variants of a cache key; the variant keys that were there.

        Returns once they are gone, or after a quarter of a second.
        """
        name = name_of(key)
        variants = [each.variant for each in self._variants(name)]
        # Even where there is nothing yet: what this worker stored just now may be on its way.
        self._send_removal(Remove(name, None))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REMOVED_WITHIN
        while variants and not self._sender.gone and self._variants(name) and loop.time() < deadline:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.002)
        self.stats.removals += len(variants)
        return variants

    # --- what is popular --------------------------------------------------------

    def note_used(self, name: bytes, variant: bytes) -> None:
        """A variant, by the name of its key, was used: the writer is to keep it."""
        if len(self._used) < MOST_USED:
            self._used[(name, variant)] = None

    def tell_used(self) -> None:
        """Tell the writer what was used since it was told last."""
        if self._used and self._file is not None:
            self._sender.add(encode_record(Used(list(self._used))))
        self._used.clear()

    # --- reading ----------------------------------------------------------------

    def _find(self, name: bytes, variant_of: VariantOf, newer_than: float) -> Variant | None:
        file = self._file
        if file is None:
            self.stats.skipped += 1
            return None
        with file.env.begin(db=file.index) as txn:
            found = txn.get(name)
        best: Variant | None = None
        if found is not None:
            now = self._wall()
            wanted: dict[tuple[bytes, ...], bytes] = {}
            for each in decode_variants(found):
                if each.names not in wanted:
                    wanted[each.names] = variant_of(each.names)
                suits = each.variant == wanted[each.names] and each.expires > now
                if suits and each.response_time > newer_than:
                    best, newer_than = each, each.response_time
        if best is None:
            self.stats.misses += 1
        return best

    def _read(self, key: bytes, found: Variant) -> StoredResponse | None:
        """The response that lies there, None where it went meanwhile; in any thread."""
        file = self._file
        if file is None:
            return None
        with file.env.begin(db=file.pieces) as txn:
            if found.size <= PIECE:
                value = txn.get(piece_key(found.number, 0))
            else:
                value = joined(txn, file.pieces, found)
        return None if value is None else unseal(value, key, found.variant)

    def _used_now(self, name: bytes, stored: StoredResponse) -> StoredResponse:
        """Note a hit; what was found, by this run's name for its own purges."""
        self.stats.hits += 1
        self.note_used(name, stored.variant)
        stamp = stored.stamp
        if stamp.run != OF_THIS_NODE:
            return stored
        return replace(stored, stamp=Stamp(stamp.log, stamp.position, self._run, stamp.local))

    def _variants(self, name: bytes) -> list[Variant]:
        file = self._file
        if file is None:
            return []
        try:
            with file.env.begin(db=file.index) as txn:
                found = txn.get(name)
            return decode_variants(found) if found is not None else []
        except (lmdb.Error, TierFault) as error:
            self._fault(error)
            return []

    def _send_removal(self, remove: Remove) -> None:
        if self._file is not None and not self._sender.add(encode_record(remove)):
            self.stats.fault(Fault.DROPPED)

    # --- faults -----------------------------------------------------------------

    def _fault(self, error: lmdb.Error | TierFault) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(error, TierFault):
            self.stats.fault(Fault.DAMAGED)
            self._log.warn(Fault.DAMAGED, now, f"node tier: a value is not used: {error}")
        elif isinstance(error, DAMAGE):
            self.stats.fault(Fault.DAMAGED)
            self.shut()
            self._damaged(str(error))
        else:
            self.stats.fault(Fault.BUSY if isinstance(error, lmdb.ReadersFullError) else Fault.UNREACHABLE)
            self._log.warn(Fault.UNREACHABLE, now, f"node tier: not read: {error}")
