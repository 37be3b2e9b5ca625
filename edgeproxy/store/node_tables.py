"""Knows the node tier's file as one opens it to read: its tables, and what errors say of it.

Must not know what is looked for, nor who writes.
"""

from dataclasses import dataclass
from itertools import islice

import lmdb

from edgeproxy.store.node_format import INDEX, PIECES, Variant, piece_count, piece_key

DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    lmdb.NotFoundError,  # a table that every file has
)
"""Errors that say that the file is not what it was written as."""


@dataclass(frozen=True, slots=True)
class Tables:
    """An open file and its tables; closed with the last who holds this."""

    env: lmdb.Environment
    index: "lmdb._Database"
    pieces: "lmdb._Database"


def open_tables(path: str, size: int) -> Tables:
    """Open the file whose map has so many bytes, which its writer has made; raises `lmdb.Error`."""
    env = lmdb.open(path, map_size=size, readonly=True, create=False, max_dbs=4, readahead=False)
    return Tables(env, env.open_db(INDEX, create=False), env.open_db(PIECES, create=False))


def joined(txn: "lmdb.Transaction[bytes]", pieces: "lmdb._Database", found: Variant) -> bytes | None:
    """A value of several pieces; None where it went."""
    with txn.cursor(pieces) as cursor:
        there = cursor.set_key(piece_key(found.number, 0))
        return b"".join(islice(cursor.iternext(keys=False), piece_count(found.size))) if there else None
