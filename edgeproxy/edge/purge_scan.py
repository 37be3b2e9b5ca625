"""Knows what a purge would find in one worker's memory, and frees what it found.

Must not know how purges are agreed on. Whatever looks at all that is stored does so in slices, with the
loop's other work in between.
"""

import asyncio
import hashlib
import heapq
from collections.abc import AsyncIterator, Iterator, Sequence

from edgeproxy.edge.pieces import Pieces
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.fleet.rules import PurgeKind, PurgeRule, authority_of, host_of, without_scheme
from edgeproxy.fleet.sample import Sample
from edgeproxy.store.memory import MemoryTier, Node

SLICE = 500
"""Cache keys that are passed over in one go: about a quarter of a millisecond."""
CHEAP, DEAR = 3, 30
"""As many keys cost what it costs to digest one name; to unpack a response and ask whether it is purged."""


class PurgeScan:
    """The stored responses of a worker as purges see them; one scan at a time."""

    def __init__(self, memory: MemoryTier, purges: PurgeTable, pieces: Pieces) -> None:
        self._memory = memory
        self._purges = purges
        self._pieces = pieces
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<PurgeScan of {self._memory!r}>"

    def weigh_variants(self, sample: Sample, key: bytes, variants: Sequence[bytes]) -> None:
        """Count what another tier has of a key and memory has not; its bytes and seconds are not known."""
        for variant in variants:
            name = _name(key, variant)
            if sample.wants(name):
                sample.add(name, 0, 0.0)

    async def weigh(self, rules: Sequence[PurgeRule]) -> Sample:
        """What these rules would take: which responses, their bytes and the origin's seconds for each."""
        sample = Sample()
        async with self._turn:
            async for node in self._matching(rules, sample):
                name = _name(node.primary.key, node.variant)
                if sample.wants(name):  # the verdict took a while
                    sample.add(name, node.cost, node.stored.origin_seconds)
        return sample

    async def popularity(
        self, rules: Sequence[PurgeRule], most: int, rounds: Sequence[float] = ()
    ) -> dict[bytes, float]:
        """The most popular URLs that these rules name, without their scheme, to how popular they are.

        In each of some rounds, in seconds, it is seen which are asked for; the shorter, the more it says.
        """
        popularity: dict[bytes, float] = {}
        async with self._turn:
            nodes = [node async for node in self._matching(rules)]
            async for at in _in_slices(len(nodes)):
                url = _url(nodes[at])
                popularity[url] = popularity.get(url, 0.0) + 0.001 * nodes[at].hits
            for seconds in rounds:
                async for node in self._asked_for(nodes, seconds):
                    popularity[_url(node)] += 1 / seconds
        if len(popularity) <= most:
            return popularity
        get = popularity.__getitem__
        return {url: get(url) for url in await asyncio.to_thread(heapq.nlargest, most, popularity, get)}

    async def _asked_for(self, nodes: list[Node], seconds: float) -> AsyncIterator[Node]:
        """Those that are hit within some seconds; eviction finds all bits set again that were."""
        visited = bytearray(len(nodes))
        async for at in _in_slices(len(nodes)):
            visited[at] = nodes[at].visited
            nodes[at].visited = False
        await asyncio.sleep(seconds)
        async for at in _in_slices(len(nodes)):
            if nodes[at].visited:
                yield nodes[at]
            elif visited[at]:
                nodes[at].visited = True

    def free(self, keys: Sequence[bytes]) -> int:
        """Remove what purges took under these keys, and say how many stored responses that were."""
        removed = 0
        for whole in keys:
            for key in (whole, *self._pieces.of(whole)):
                primary = self._memory.get(key)
                for node in () if primary is None else tuple(primary.variants.values()):
                    if self._verdict(node) is Verdict.DEAD:
                        removed += self._memory.remove_variant(key, node.variant)
        return removed

    async def _matching(
        self, rules: Sequence[PurgeRule], sample: Sample | None = None
    ) -> AsyncIterator[Node]:
        """What these rules name and no purge has taken; with `sample`, as far as that wants it."""
        match = Match(rules)
        keys = list(self._keys(rules))  # taken at once (10 ns each): what comes later was never meant
        looked_at = 0
        for key in keys:
            looked_at += 1
            primary = self._memory.get(key)
            if primary is not None and (match.tags or match.key(key)):
                for node in tuple(primary.variants.values()):
                    looked_at += CHEAP
                    if sample is not None and not sample.wants(_name(key, node.variant)):
                        continue
                    looked_at += DEAR
                    if node.live and match.node(node) and self._verdict(node) is not Verdict.DEAD:
                        yield node
            if looked_at >= SLICE:
                looked_at = 0
                await asyncio.sleep(0)

    def _keys(self, rules: Sequence[PurgeRule]) -> Iterator[bytes]:
        if any(rule.kind is not PurgeKind.URL for rule in rules):
            yield from self._memory.keys()
            return
        for rule in rules:
            for whole in (b"http://" + rule.value, b"https://" + rule.value):
                yield from (whole, *self._pieces.of(whole))

    def _verdict(self, node: Node) -> Verdict:
        stored = node.stored
        return self._purges.verdict(node.primary.key, stored.tags, stored.stamp)


async def _in_slices(count: int) -> AsyncIterator[int]:
    for at in range(count):
        yield at
        if at % SLICE == SLICE - 1:
            await asyncio.sleep(0)


def _url(node: Node) -> bytes:
    return without_scheme(node.primary.key).partition(b"\n")[0]


def _name(key: bytes, variant: bytes) -> int:
    digest = hashlib.blake2b(key + b"\0" + variant, digest_size=8).digest()
    return int.from_bytes(digest, "little")


class Match:
    """Whether any of some rules names a response."""

    def __init__(self, rules: Sequence[PurgeRule]) -> None:
        self._everything = any(rule.kind is PurgeKind.EVERYTHING for rule in rules)
        self._urls = {rule.value for rule in rules if rule.kind is PurgeKind.URL}
        self._hosts = {rule.value for rule in rules if rule.kind is PurgeKind.HOST}
        self._prefixes = tuple(rule.value for rule in rules if rule.kind is PurgeKind.PREFIX)
        self.tags = {rule.value for rule in rules if rule.kind is PurgeKind.TAG}

    def __repr__(self) -> str:
        return f"<Match urls={len(self._urls)} tags={len(self.tags)}>"

    def key(self, key: bytes) -> bool:
        """By its cache key alone."""
        if self._everything:
            return True
        rest = without_scheme(key).partition(b"\n")[0]
        if rest in self._urls or (self._prefixes and rest.startswith(self._prefixes)):
            return True
        authority = authority_of(rest)
        return bool(self._hosts) and (authority in self._hosts or host_of(authority) in self._hosts)

    def node(self, node: Node) -> bool:
        """By its cache key or its tags."""
        return self.key(node.primary.key) or bool(self.tags and not self.tags.isdisjoint(node.stored.tags))
