"""Puts responses into the tiers, unless a purge came first, and takes them out again.

Must not know fills or connections: a response is whole when it comes here.
"""

import asyncio
from dataclasses import replace

from edgeproxy.caching.adaptive import replaces
from edgeproxy.caching.build import make_stored
from edgeproxy.caching.compression import as_kept
from edgeproxy.caching.decide import Complete, Store
from edgeproxy.caching.key import part_key, whole_key
from edgeproxy.caching.parts import as_whole_if_all, combined, part_of, same_representation
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.retention import retention
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.clock import Clock
from edgeproxy.edge.compress import Compression
from edgeproxy.edge.copies import drop_copies
from edgeproxy.edge.fill import FillFor
from edgeproxy.edge.lookup import Lookup
from edgeproxy.edge.unstored import UnstoredAnswers
from edgeproxy.edge.vain import Vain
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.wire.heads import RequestHead, ResponseHead


class Keeper:
    """Keeps the stored responses of a worker; what it keeps leaves `vain` and `unstored`."""

    def __init__(
        self,
        lookup: Lookup,
        compression: Compression,
        purges: PurgeTable,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        vain: Vain,
        unstored: UnstoredAnswers,
    ) -> None:
        self._lookup = lookup
        self._memory = lookup.memory
        self._compression = compression
        self._purges = purges
        self._clock = clock
        self._loop = loop
        self._vain = vain
        self._unstored = unstored
        self._removals: set[asyncio.Task[list[bytes]]] = set()  # each bounded by the tier's timeout

    def __repr__(self) -> str:
        return f"<Keeper {self._memory!r}>"

    def keep(
        self,
        job: FillFor,
        head: ResponseHead,
        decision: Store,
        body: tuple[bytes, ...],
        stamp: Stamp,
        response_time: float,
        origin_seconds: float,
    ) -> None:
        """Store a whole response, which came at wall second `response_time` after `origin_seconds`."""
        policy, now = job.route.policy, self._clock.wall()
        key = job.key if head.status == 206 else whole_key(job.key)
        stored = make_stored(
            job.request,
            head,
            body,
            request_time=job.request_time,
            response_time=response_time,
            policy=policy,
            stamp=stamp,
            key=key,
            origin_seconds=origin_seconds,
        )
        if isinstance(decision, Complete) and job.completes is not None and job.completes.request_authorized:
            stored = replace(stored, request_authorized=True)
        self._vain.forget(job.key)
        self._unstored.forget(job.key)
        kept = as_kept(stored, job.request, policy)
        if kept.status == 206:
            self._insert_part(kept, job.request, policy)
            return
        old = job.validated
        if old is not None:
            kept = replaces(kept, old, policy, now)
            if old.variant != kept.variant:
                self._memory.remove_variant(old.key, old.variant)
        self.insert(kept, policy, now, job.purge_seq)
        self._compression.completed(job.request, stored, kept, policy, old)

    def drop(self, stored: StoredResponse) -> None:
        """Remove what is known to be out of date, or may be kept no longer."""
        drop_copies(self._memory, stored)
        self._memory.remove_variant(stored.key, stored.variant)
        if self._lookup.shared is not None:
            task = self._loop.create_task(self._lookup.shared.remove(stored.key))
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    def insert(
        self, stored: StoredResponse, policy: CachePolicy, now: float, purge_seq: int | None = None
    ) -> None:
        """Store it, unless a purge has named it; none can have while the table stands at `purge_seq`."""
        if (
            self._purges.seq[0] != purge_seq
            and self._purges.verdict(stored.key, stored.tags, stored.stamp) is Verdict.DEAD
        ):
            return
        self._lookup.keep(stored, policy)
        if self._lookup.shared is not None:
            ttl = retention(stored, policy, now)
            if ttl > 0:
                self._lookup.shared.put(stored, ttl)

    def _insert_part(self, part: StoredResponse, request: RequestHead, policy: CachePolicy) -> None:
        """Keep a part in memory, with what is there of the same representation (RFC 9111 §3.4)."""
        if self._purges.verdict(part.key, part.tags, part.stamp) is Verdict.DEAD:
            return
        if part.key != whole_key(part.key):  # a slice
            if part_of(part) is not None:
                self.insert(part, policy, self._clock.wall())
            return
        if part_of(part) is None:
            # It is not what it says: good for the very same question, and nothing else.
            exact = part_key(part.key, request.fields.get(b"range") or b"")
            self._lookup.keep(replace(part, key=exact), policy)
            return
        part = as_whole_if_all(part)
        old = self._lookup.peek(part.key, request, policy)
        if old.stored is not None and not old.soft_purged and old.variant == part.variant:
            if old.stored.status != 206 and same_representation(old.stored.fields, part.fields):
                return
            whole = combined(old.stored, part)
            part = whole if whole.size <= policy.max_object_size else part
        self._lookup.keep(as_kept(part, request, policy), policy)

    async def forget(self, key: bytes) -> list[bytes]:
        """Remove what is stored under this key, in memory and the shared tier; its variants."""
        variants = set(self._memory.remove(key))
        if self._lookup.shared is not None:
            variants.update(await self._lookup.shared.remove(key))
        return sorted(variants)

    async def close(self) -> None:
        """Let what is being removed from the shared tier be removed: its timeout bounds that."""
        await asyncio.gather(*self._removals, return_exceptions=True)
