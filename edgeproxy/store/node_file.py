"""Knows the node's file as its one writer sees it: what is stored and removed, and what goes for room.

Must not know processes, sockets or freshness. Synchronous; errors of LMDB leave it as they are.

Room is made by SIEVE: a hand moves from what came first to what came last, spares what was used since it
last passed, and evicts the rest; numbers in order of arrival are the queue, so nothing moves when used.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
from msgspec import structs

from edgeproxy.errors import TierFault
from edgeproxy.store.node_format import (
    ENTRIES,
    FORMAT,
    INDEX,
    META,
    PAGE,
    PIECES,
    Entry,
    Meta,
    Variant,
    decode_entry,
    decode_meta,
    decode_variants,
    encode_plain,
    number_key,
    number_of,
    piece_count,
    piece_key,
    pieces,
    room_for,
    seal,
    with_variant,
)
from edgeproxy.store.node_records import Put, Readied, Record, Remove, Used

if TYPE_CHECKING:
    Txn = lmdb.Transaction[bytes]  # its class takes no parameter

FILL = 0.8
"""Share of the map that what is stored may take: the rest is for pages that a reader still holds."""
MAX_SHARE = 8
"""A response is admitted up to this part of that."""
MAX_BATCH = 4 * 1024 * 1024
"""Bytes written in one transaction; a body larger than that is alone in its own."""
SWEEP = 2000
"""Entries looked at for expiry in one sweep."""
MAX_READERS = 1024

_META_KEY = b"meta"


def largest_of(size: int) -> int:
    """The largest value, in bytes, that a file takes whose map has that size."""
    return int(size * FILL) // MAX_SHARE


class NodeFile:
    """The file of a node's tier, open for writing; `size` is its map's in bytes, fixed.

    Opening one raises `lmdb.Error`, or TierFault where it is of another format or another table of purges.
    """

    def __init__(self, path: str, size: int, purges: bytes, latest: int) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(
            path,
            map_size=size,
            max_dbs=4,
            max_readers=MAX_READERS,
            sync=False,
            metasync=False,
            readahead=False,
        )
        try:
            names = (INDEX, ENTRIES, PIECES, META)
            self._index, self._entries, self._pieces, self._meta = (self._env.open_db(name) for name in names)
            self._order = self._take_over(purges, latest)
        except BaseException:
            self._env.close()
            raise
        self._purges = purges
        self._budget = int(size * FILL) // PAGE
        self.largest = largest_of(size)
        with self._env.begin() as txn:
            last = txn.cursor(self._entries)
            self._next = number_of(last.key()) + 1 if last.last() else 1
            self._count(txn)
        self._hand = self._swept = 0
        self._used: set[int] = set()
        self.evictions = 0
        self.writes = 0

    def __repr__(self) -> str:
        return f"<NodeFile {self.responses} responses, {self.bytes} bytes, {self.evictions} evicted>"

    def _take_over(self, purges: bytes, latest: int) -> int:
        with self._env.begin(write=True) as txn:
            found = txn.get(_META_KEY, db=self._meta)
            if found is None:
                txn.put(_META_KEY, encode_plain(Meta(FORMAT, purges)), db=self._meta)
                return 0
            meta = decode_meta(found)
        if meta.format != FORMAT:
            raise TierFault(f"it has format {meta.format}, this version has {FORMAT}")
        if meta.purges != purges:
            raise TierFault("the purges that judge it are lost")
        if meta.order > latest:
            raise TierFault("the purges beside it are older than what it holds")
        return meta.order

    def close(self, *, sync: bool) -> None:
        """Let go of it; with `sync`, once it is on the disk."""
        if sync:
            self._env.sync(True)
        self._env.close()

    # --- writing

    def apply(self, records: Sequence[Record]) -> int:
        """Do what the records say, in order; how many responses found no room."""
        dropped, at = 0, 0
        while at < len(records):
            end, size = at, 0
            while end < len(records) and (end == at or size + _weight(records[end]) <= MAX_BATCH):
                size += _weight(records[end])
                end += 1
            batch = records[at:end]
            try:
                self._apply(batch)
            except lmdb.MapFullError:
                self._make_much_room()
                try:
                    self._apply(batch)
                except lmdb.MapFullError:
                    dropped += sum(isinstance(head, Put) for head, _ in batch)
            at = end
        return dropped

    def _apply(self, records: Iterable[Record]) -> None:
        order, following, written = self._order, self._next, 0
        with self._env.begin(write=True) as txn:
            try:
                for head, body in records:
                    if isinstance(head, Put):
                        written += self._put(txn, head, body)
                    elif isinstance(head, Remove):
                        self._remove(txn, head)
                    elif isinstance(head, Readied):
                        self._keep_ready(txn, head)
                    elif isinstance(head, Used):
                        self._note_used(txn, head)
                if self._order != order:
                    meta = Meta(FORMAT, self._purges, self._order)
                    txn.put(_META_KEY, encode_plain(meta), db=self._meta)
            except BaseException:
                self._order, self._next = order, following
                raise
            self._count(txn)
        self.writes += written

    def _put(self, txn: "Txn", put: Put, body: bytes) -> bool:
        value = seal(put.preamble, body)
        if len(value) > self.largest:
            return False
        variants = self._variants(txn, put.name)
        old = next((each for each in variants if each.variant == put.variant), None)
        if old is not None and old.response_time > put.response_time:
            return False  # another worker's, which is more recent, was faster
        self._make_room(txn, room_for(len(value)))
        if old is None or variants:  # what made room may have stood here
            variants = self._variants(txn, put.name)
        number = self._next
        new = Variant(put.variant, put.names, number, len(value), put.expires, put.response_time)
        kept, gone = with_variant(variants, new)
        for each in gone:
            self._drop_pieces(txn, each.number, each.size)
        entry = Entry(put.name, put.variant, len(value), put.expires)
        txn.put(number_key(number), encode_plain(entry), db=self._entries, append=True)
        txn.cursor(self._pieces).putmulti(pieces(number, value), append=True)
        txn.put(put.name, encode_plain(kept), db=self._index)
        self._next = number + 1
        self._order = max(self._order, put.order)
        return True

    def _remove(self, txn: "Txn", remove: Remove) -> None:
        variants = self._variants(txn, remove.name)
        gone = [each for each in variants if remove.variant is None or each.variant == remove.variant]
        for each in gone:
            self._drop_pieces(txn, each.number, each.size)
        self._keep_variants(txn, remove.name, [each for each in variants if each not in gone])

    def _keep_ready(self, txn: "Txn", readied: Readied) -> None:
        """Nothing where it is gone meanwhile, was replaced, or has got company."""
        if not self._readiable(txn, readied):
            return
        self._make_room(txn, 2 * len(readied.ready))
        variants = self._readiable(txn, readied)  # what made room may have stood here
        if variants:
            self._keep_variants(txn, readied.name, [structs.replace(variants[0], ready=readied.ready)])

    def _readiable(self, txn: "Txn", readied: Readied) -> list[Variant]:
        variants = self._variants(txn, readied.name)
        only = len(variants) == 1 and variants[0].variant == readied.variant
        return variants if only and variants[0].response_time == readied.response_time else []

    def _note_used(self, txn: "Txn", used: Used) -> None:
        for name, variant in used.variants:
            self._used.update(each.number for each in self._variants(txn, name) if each.variant == variant)

    def _variants(self, txn: "Txn", name: bytes) -> list[Variant]:
        found = txn.get(name, db=self._index)
        return decode_variants(found) if found is not None else []

    def _keep_variants(self, txn: "Txn", name: bytes, variants: list[Variant]) -> None:
        if variants:
            txn.put(name, encode_plain(variants), db=self._index)
        else:
            txn.delete(name, db=self._index)

    def _drop(self, txn: "Txn", number: int, entry: Entry) -> None:
        """Remove what stands at a number, from all tables."""
        self._drop_pieces(txn, number, entry.size)
        variants = self._variants(txn, entry.name)
        self._keep_variants(txn, entry.name, [each for each in variants if each.number != number])

    def _drop_pieces(self, txn: "Txn", number: int, size: int) -> None:
        for place in range(piece_count(size)):
            txn.delete(piece_key(number, place), db=self._pieces)
        txn.delete(number_key(number), db=self._entries)
        self._used.discard(number)

    # --- room

    def _pages(self, txn: "Txn") -> int:
        pages = 0
        for table in (self._index, self._entries, self._pieces):
            stat = txn.stat(table)
            pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages

    def _count(self, txn: "Txn") -> None:
        self.bytes = self._pages(txn) * PAGE
        self.responses = txn.stat(self._entries)["entries"]

    def _make_room(self, txn: "Txn", size: int) -> None:
        allowed = self._budget - -(-size // PAGE)
        while self._pages(txn) > allowed and self._evict(txn):
            self.evictions += 1

    def _make_much_room(self) -> None:
        """The map is full all the same: give up a tenth, and let go of the pages in two steps."""
        with self._env.begin(write=True) as txn:
            self._make_room(txn, self._budget * PAGE - int(self.bytes * 0.9))
            self._count(txn)
        with self._env.begin(write=True) as txn:
            txn.put(_META_KEY, encode_plain(Meta(FORMAT, self._purges, self._order)), db=self._meta)

    def _evict(self, txn: "Txn") -> bool:
        """Remove one that was not used since the hand passed it last; False when there is none left."""
        with txn.cursor(self._entries) as cursor:
            there = cursor.set_range(number_key(self._hand)) or cursor.first()
            while there:
                number = number_of(cursor.key())
                self._hand = number + 1
                if number not in self._used:
                    self._drop(txn, number, decode_entry(cursor.value()))
                    return True
                self._used.discard(number)
                there = cursor.next() or cursor.first()
        return False

    def sweep(self, now: float) -> int:
        """Remove what is expired at wall time `now` among the next entries; how many that were."""
        dead = 0
        with self._env.begin(write=True) as txn:
            due = [(number, entry) for number, entry in self._next_entries(txn) if entry.expires <= now]
            for number, entry in due:
                self._drop(txn, number, entry)
                dead += 1
            self._count(txn)
        return dead

    def _next_entries(self, txn: "Txn") -> Iterator[tuple[int, Entry]]:
        with txn.cursor(self._entries) as cursor:
            there = cursor.set_range(number_key(self._swept))
            for _ in range(SWEEP):
                if not there:
                    self._swept = 0
                    return
                self._swept = number_of(cursor.key()) + 1
                yield self._swept - 1, decode_entry(cursor.value())
                there = cursor.next()

    def check_readers(self) -> int:
        """Free the pages that readers held which are gone; how many those were."""
        return self._env.reader_check()


def _weight(record: Record) -> int:
    """About how many bytes it has written: a ready answer at most a page of its own."""
    head, body = record
    return PAGE if isinstance(head, Readied) else len(body)
