"""Coded copies of stored responses: made once, off the loop, and presented to who prefers them.

Must not know what is compressed (`caching.compression`) nor by which bytes (`wire.content_coding`).
"""

import asyncio
import contextlib
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from edgeproxy.caching.compression import (
    CONTENT_ENCODING,
    NO_TRANSFORM,
    WORTH,
    as_kept,
    coded,
    coded_variant,
    coding_of,
    compressible,
    made_of,
    recoded,
    wanted,
)
from edgeproxy.caching.decide import Freshen
from edgeproxy.caching.directives import of_request
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.retention import retention
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.clock import Clock
from edgeproxy.edge.copies import copies_of, drop_copies, plain_of
from edgeproxy.edge.lookup import Found, Lookup
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.store.memory import Node
from edgeproxy.wire.content_coding import encoded
from edgeproxy.wire.heads import RequestHead

MOST_WAITING = 256
"""Compressions that wait for their turn; they hold no bodies."""
NICENESS = 10
"""How far the compressing thread stands back behind the event loop."""

_log = logging.getLogger("edgeproxy.edge")

_Job = tuple[bytes, bytes, bytes]
"""Cache key, variant of the plain response, coding."""


class Result(StrEnum):
    """What became of one compression; label of the metric."""

    CODED = "coded"
    SHARED = "shared"  # another worker or node had done it
    NOT_WORTH = "not_worth"
    OUTDATED = "outdated"  # what was to be compressed is gone or purged meanwhile
    DROPPED = "dropped"  # no room in the queue or in memory
    FAILED = "failed"


class CompressionCounts(Protocol):
    """Counts compressions by result."""

    def compressed(self, result: str) -> None: ...


class Compression:
    """Owns the coded copies of a worker, and the one thread that makes them."""

    def __init__(self, lookup: Lookup, purges: PurgeTable, clock: Clock, counts: CompressionCounts) -> None:
        self._lookup = lookup
        self._memory = lookup.memory
        self._purges = purges
        self._clock = clock
        self._counts = counts
        self._jobs: dict[_Job, CachePolicy] = {}  # in order; the first is under way
        self._task: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return f"<Compression {len(self)} jobs>"

    def __len__(self) -> int:
        return len(self._jobs)

    # --- answering

    def basis(self, request: RequestHead, found: Found) -> Found:
        """What to decide on where a coded copy was found: the response that it was made of, if it is here."""
        copy = found.stored
        if copy is None or not copy.coded_here:
            return found
        node = plain_of(self._memory, copy)
        if node is None:
            return found
        plain = node.stored
        # A client that wants nothing transformed gets it plain even where the copy is newer.
        if not made_of(copy, plain) and NO_TRANSFORM not in of_request(request.fields):
            return found
        verdict = self._purges.verdict(plain.key, plain.tags, plain.stamp)
        if verdict is Verdict.DEAD:
            return found
        return replace(
            found, stored=plain, soft_purged=verdict is Verdict.SOFT, variant=plain.variant, node=node
        )

    def presented(self, request: RequestHead, stored: StoredResponse, policy: CachePolicy) -> StoredResponse:
        """What to send of `stored`: its copy in the client's coding, or itself until there is one."""
        coding = wanted(request, stored, policy)
        if not coding:
            return stored
        node = self._node(stored.key, coded_variant(stored, coding))
        if node is not None:
            copy = node.stored
            if copy.coded_here and made_of(copy, stored):
                node.visited = True
                return copy
        self.want(stored, coding, policy)
        return stored

    # --- what fetches bring

    def completed(
        self,
        request: RequestHead,
        fetched: StoredResponse,
        kept: StoredResponse,
        policy: CachePolicy,
        validated: StoredResponse | None,
    ) -> None:
        """A response is stored as `kept`, which a client that did not know of that `fetched`.

        What it would else have replaced is out of date with the copies, and the client's coding is made.
        """
        if not policy.compress:
            return
        coding = wanted(request, kept, policy)
        if kept.variant != fetched.variant:
            node = self._node(fetched.key, fetched.variant)
            if node is not None and node.stored.response_time < kept.response_time:
                self._memory.remove_variant(fetched.key, fetched.variant)
        if validated is not None and validated.variant != kept.variant:
            drop_copies(self._memory, validated)
        if validated is not None and self._lookup.shared is not None:
            outdated = {coded_variant(kept, each) for each in policy.compress} | {fetched.variant}
            for variant in outdated - {kept.variant}:
                self._lookup.shared.discard(kept.key, variant)
        if coding:
            self.want(kept, coding, policy)

    def freshened(
        self,
        request: RequestHead,
        validated: StoredResponse | None,
        decision: Freshen,
        policy: CachePolicy,
    ) -> tuple[Freshen, list[StoredResponse]]:
        """A 304's decision as this route keeps it, and the coded copies that it makes fresh too."""
        if not policy.compress:
            return decision, []
        if validated is not None and validated.coded_here:
            return replace(decision, stored=recoded(decision.stored, validated)), []
        stored = as_kept(decision.stored, request, policy)
        if validated is None:  # another variant, that was offered
            return replace(decision, stored=stored), []
        copies = []
        if compressible(stored, policy):
            copies = [
                coded(stored, coding, copy.body if CONTENT_ENCODING in copy.fields else None)
                for copy in copies_of(self._memory, validated)
                if made_of(copy, validated) and (coding := coding_of(copy))
            ]
        else:
            drop_copies(self._memory, validated)
        if stored.variant != validated.variant:
            self._memory.remove_variant(validated.key, validated.variant)
        return replace(decision, stored=stored), copies

    # --- making copies

    def want(self, stored: StoredResponse, coding: bytes, policy: CachePolicy) -> None:
        """Make the copy of a plain stored response in that coding, unless that is under way."""
        job = (stored.key, stored.variant, coding)
        if job in self._jobs:
            return
        if len(self._jobs) >= MOST_WAITING or self._closed.is_set():
            self._counts.compressed(Result.DROPPED)
            return
        self._jobs[job] = policy
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="compression")

    async def close(self) -> None:
        """Give up what waits, and end the thread."""
        self._closed.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])  # not `await` itself: our own cancellation stays ours
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)  # it looks at `_closed` every few milliseconds

    async def _run(self) -> None:
        try:
            while self._jobs:
                job, policy = next(iter(self._jobs.items()))
                try:
                    self._counts.compressed(await self._make(job, policy))
                finally:
                    del self._jobs[job]
        finally:
            self._task = None
            self._jobs.clear()

    async def _make(self, job: _Job, policy: CachePolicy) -> Result:
        key, variant, coding = job
        node = self._node(key, variant)
        if node is None:
            return Result.OUTDATED
        stored = node.stored
        if await self._found_in_shared(stored, coding, policy):
            return Result.SHARED
        if not self._memory.reserve(stored.size):
            return Result.DROPPED
        try:
            body, result = await self._coded_body(stored, coding)
        finally:
            self._memory.release(stored.size)
        return result if self._keep(stored, coding, body, policy) else Result.OUTDATED

    async def _coded_body(
        self, stored: StoredResponse, coding: bytes
    ) -> tuple[tuple[bytes, ...] | None, Result]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "compression", _stand_back)
        loop = asyncio.get_running_loop()
        try:
            body = await loop.run_in_executor(self._thread, encoded, coding, stored.body, self._closed.is_set)
        except Exception:
            _log.exception("%s could not be compressed", stored.key.decode("latin-1"))
            return None, Result.FAILED
        if body is None or sum(map(len, body)) > stored.size * WORTH:
            return None, Result.NOT_WORTH
        return body, Result.CODED

    def _keep(
        self, made_from: StoredResponse, coding: bytes, body: tuple[bytes, ...] | None, policy: CachePolicy
    ) -> bool:
        """Store a copy of what is now there, if that is still what the copy was made from."""
        node = self._node(made_from.key, made_from.variant)
        if node is None:
            return False
        stored = node.stored
        if not made_of(made_from, stored) and made_from.body != stored.body:
            return False
        if self._purges.verdict(stored.key, stored.tags, stored.stamp) is Verdict.DEAD:
            return False
        if not compressible(stored, policy):
            return False  # by a 304 that came meanwhile
        copy = coded(stored, coding, body)
        self._lookup.keep(copy, policy)
        if self._lookup.shared is not None and body is not None:
            ttl = retention(copy, policy, self._clock.wall())
            if ttl > 0:
                self._lookup.shared.put(copy, ttl)
        return True

    async def _found_in_shared(self, stored: StoredResponse, coding: bytes, policy: CachePolicy) -> bool:
        """Whether another worker or node has made this copy already; it is then here too."""
        shared = self._lookup.shared
        if shared is None:
            return False
        names = tuple(name for name, _ in stored.selecting)
        variant = coded_variant(stored, coding)
        copy = await shared.get(stored.key, lambda asked: variant if asked == names else b"-")
        if copy is None or not copy.coded_here or not made_of(copy, stored):
            return False
        if self._purges.verdict(copy.key, copy.tags, copy.stamp) is Verdict.DEAD:
            return False
        if self._node(stored.key, stored.variant) is not None:
            self._lookup.keep(copy, policy)
        return True

    def _node(self, key: bytes, variant: bytes) -> Node | None:
        primary = self._memory.get(key)
        return None if primary is None else primary.find(variant)


def _stand_back() -> None:
    with contextlib.suppress(OSError):  # a sandbox may forbid even that
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
