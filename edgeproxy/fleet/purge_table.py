"""Knows which stored responses are purged: epochs in memory shared by supervisor and workers.

Must not know how rules arrive (`purge_log`) nor where responses are stored.

Each rule applied gets the next `order`, this run's own count. A response that this run
fetched is stamped with the order at the *start* of its fetch, and is dead once a rule that
names it has a later one. A response from elsewhere (Redis, an earlier run) is judged by
positions in the fleet's log instead; a rule that the log does not hold yet counts as
infinitely late for it.

A table in a file outlives its run: the orders in it go on, so that what the node keeps on its disk is judged
by them after a restart as before.

Rules sit in buckets of eight by hash of (kind, value). A full bucket folds its oldest rule
into a floor that holds for all that hash there: purging too much, never too little, and a
million rules need no more memory than one. Supervisors alone write: two while one takes over from the other.
"""

import mmap
import os
import secrets
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from edgeproxy.caching.stored import Stamp
from edgeproxy.errors import EdgeProxyError
from edgeproxy.fleet.one_writer import in_turn
from edgeproxy.fleet.purge_places import (
    BUCKET,
    BUCKETS,
    FIRST_BUCKET,
    FLOOR,
    HEADER,
    RULES,
    WAYS,
    base_of,
    place,
    places,
)
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

UNSETTLED = 2**64 - 1
"""The position of a rule that the fleet's log does not hold yet."""

# words of the header
_SEQ, _ORDER, _POSITION, _FIRST, _LENGTHS_MOVED = 1, 2, 3, 4, 5
_RUN, _LOG, _EVERYTHING, _WIDE, _TAGGED, _LENGTHS, _NAME, _DOUBT = 6, 8, 10, 14, 15, 16, 144, 146
_LENGTH_WORDS = 128
_SIZE = 8 * (FIRST_BUCKET + BUCKETS * BUCKET)
_MAGIC = 0x3154_5045

# words of an epoch: the order and the position of the last hard and of the last soft rule
_HARD, _SOFT = 0, 2
_NEVER = (0, 0, 0, 0)
Epoch = tuple[int, int, int, int]


class Verdict(Enum):
    """What the purges say of a stored response."""

    LIVE = "live"
    SOFT = "soft"  # to be treated as stale
    DEAD = "dead"


class TableDamaged(EdgeProxyError):
    """A file that is no table of purges, or not a whole one."""


class PurgeTable:
    """The purges that count, one map for all processes of a node.

    `seq[0]` moves with every change; while it is the number a caller saw at its last
    verdict on a response, that verdict still holds.
    """

    def __init__(self, fd: int, *, recovered: bool = False) -> None:
        self.fd = fd
        self.shared = False  # with another process that writes
        self.recovered = recovered
        """Whether an earlier run left it."""
        self._map = mmap.mmap(fd, _SIZE)
        self._bytes = memoryview(self._map)
        self._words: memoryview[int] = self._bytes.cast("Q")
        self.seq: memoryview[int] = self._words[_SEQ : _SEQ + 1]
        if self._words[0] != _MAGIC:
            for word in (_RUN, _NAME):
                self._bytes[8 * word : 8 * word + 16] = secrets.token_bytes(16)
            self._words[0] = _MAGIC
        self.run = bytes(self._bytes[8 * _RUN : 8 * _RUN + 16])
        self._lengths: tuple[int, ...] = ()
        self._lengths_seen = 0
        self._stamp = Stamp()  # the last one, and the words that it was made of
        self._stamped: tuple[int, ...] = ()

    @classmethod
    def create(cls, name: str = "edgeproxy-purges") -> "PurgeTable":
        """A new, empty table in a memfd of its own."""
        fd = os.memfd_create(name)
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    @classmethod
    def make(cls, path: Path) -> "PurgeTable":
        """A new, empty table in a file, whose room is taken at once. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(fd, 0, _SIZE)  # else a full disk would be a SIGBUS at some later rule
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    @classmethod
    def reopen(cls, path: Path) -> "PurgeTable":
        """The table that an earlier run left, for a new run. Raises OSError, or TableDamaged."""
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            _check(fd, path)
            os.posix_fallocate(fd, 0, _SIZE)  # a copy may have holes
            os.pwrite(fd, secrets.token_bytes(16), 8 * _RUN)
            os.pwrite(fd, bytes(8), 8 * _DOUBT)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, recovered=True)

    @classmethod
    def inherit(cls, fd: int) -> "PurgeTable":
        """The table of another process of this node, which still writes it. Raises TableDamaged."""
        _check(fd, "what the other process hands over")
        table = cls(fd, recovered=True)
        table.shared = True
        return table

    def __repr__(self) -> str:
        return (
            f"<PurgeTable seq={self.seq[0]} order={self._words[_ORDER]} "
            f"log={self.log.hex() or None} position={self.position} first={self._words[_FIRST]}>"
        )

    def close(self) -> None:
        """Give the memory and the descriptor back."""
        for view in (self.seq, self._words, self._bytes):
            view.release()
        self._map.close()
        os.close(self.fd)

    # reading: any process

    @property
    def log(self) -> bytes:
        """The identity of the fleet's log that was replayed; empty while there is none."""
        log = bytes(self._bytes[8 * _LOG : 8 * _LOG + 16])
        return log if any(log) else b""

    @property
    def position(self) -> int:
        """The last position of the fleet's log that was applied here."""
        return self._words[_POSITION]

    @property
    def name(self) -> bytes:
        """What names this table over all runs that it served."""
        return bytes(self._bytes[8 * _NAME : 8 * _NAME + 16])

    @property
    def order(self) -> int:
        """How many rules were applied, over all runs."""
        return self._words[_ORDER]

    @property
    def wide(self) -> int:
        """Moves with each hard rule that may name many responses: any but of a URL."""
        return self._words[_WIDE]

    def stamp(self) -> Stamp:
        """Where the purges stand: to be taken before a request leaves for an origin."""
        words = self._words
        while True:
            seen = words[_ORDER], words[_LOG], words[_LOG + 1], words[_POSITION]
            if seen == self._stamped:
                return self._stamp
            order, log, position = seen[0], self.log, self.position
            if log == self.log:  # else it was being replaced
                self._stamp = Stamp(log=log, position=position if log else 0, run=self.run, local=order)
                if position == seen[3]:
                    self._stamped = seen
                return self._stamp

    def verdict(self, stored_key: bytes, tags: tuple[bytes, ...], stamp: Stamp) -> Verdict:
        """What the purges say of a response by its primary key, its tags and its stamp.

        To keep a verdict, read `seq[0]` before asking.
        """
        own = stamp.run == self.run
        if not own and (not stamp.log or stamp.log != self.log or stamp.position + 1 < self._words[_FIRST]):
            return Verdict.DEAD
        word, since = (0, stamp.local) if own else (1, stamp.position)
        words = self._words
        if words[_EVERYTHING + _HARD + word] > since:
            return Verdict.DEAD
        soft = words[_EVERYTHING + _SOFT + word] > since or words[_DOUBT] > (since if own else 0)
        for latest, mark in places(stored_key, tags, self._prefix_lengths()):
            if words[latest + word] > since:
                epoch = self._find(base_of(latest), mark)
                if epoch[_HARD + word] > since:
                    return Verdict.DEAD
                soft = soft or epoch[_SOFT + word] > since
        return Verdict.SOFT if soft else Verdict.LIVE

    def spared(self, stored_key: bytes, tags: tuple[bytes, ...] | None, stamp: Stamp) -> bool:
        """Whether no purge since `stamp` names a response that is still being fetched.

        `tags` is None until its head has come: then any purge by tag may name it.
        """
        if tags is None and self._words[_TAGGED] > stamp.local:
            return False
        return self.verdict(stored_key, tags or (), stamp) is Verdict.LIVE

    def _prefix_lengths(self) -> tuple[int, ...]:
        moved = self._words[_LENGTHS_MOVED]
        if moved != self._lengths_seen:
            start = 8 * _LENGTHS
            bits = int.from_bytes(self._bytes[start : start + 8 * _LENGTH_WORDS], "little")
            lengths = []
            while bits:
                lowest = bits & -bits
                lengths.append(lowest.bit_length() - 1)
                bits ^= lowest
            self._lengths = tuple(lengths)
            self._lengths_seen = moved
        return self._lengths

    def _find(self, base: int, mark: int) -> Epoch:
        marks = self._words[base : base + WAYS].tolist()
        floor = self._epoch(base + FLOOR)
        if mark not in marks:
            return floor
        found = self._epoch(base + RULES + 4 * marks.index(mark))
        return found if floor == _NEVER else _later(found, floor)

    def _epoch(self, at: int) -> Epoch:
        words = self._words
        return words[at], words[at + 1], words[at + 2], words[at + 3]

    # writing: a supervisor

    @in_turn
    def mark(self) -> int:
        """A moment in this run's order, for `apply`."""
        self._words[_ORDER] += 1
        return self._words[_ORDER]

    @in_turn
    def apply(self, rule: PurgeRule, position: int = UNSETTLED, order: int | None = None) -> None:
        """Let a rule count from now on; `position` is its place in the fleet's log.

        With `order`, that of a mark: as if it had been given then, so that what this run has fetched
        since is spared.
        """
        now = self._words[_ORDER] + (order is None)
        latest, at = self._slot(rule)
        half = _SOFT if rule.soft else _HARD
        self._words[at + half + 1] = max(position, self._words[at + half + 1])
        self._words[at + half] = now if order is None else max(order, self._words[at + half])
        self._note_latest(latest)
        if rule.kind is PurgeKind.TAG:
            self._words[_TAGGED] = now
        if rule.kind is PurgeKind.PREFIX:
            word, bit = divmod(len(rule.value), 64)
            self._words[_LENGTHS + word] |= 1 << bit
            self._words[_LENGTHS_MOVED] += 1
        self._words[_ORDER] = now
        self.seq[0] += 1
        if not rule.soft and rule.kind is not PurgeKind.URL:
            self._words[_WIDE] += 1

    @in_turn
    def doubt(self) -> None:
        """Let all that was stored so far be validated before it is used, until `trust`."""
        self._words[_ORDER] += 1
        self._words[_DOUBT] = self._words[_ORDER]
        self.seq[0] += 1

    @in_turn
    def trust(self) -> None:
        """The fleet's log was replayed: what was stored before is judged by it."""
        if self._words[_DOUBT]:
            self._words[_DOUBT] = 0
            self.seq[0] += 1

    def flush(self) -> None:
        """Return once the table is on the disk, where it is in a file. Raises OSError."""
        self._map.flush()

    @in_turn
    def settle(self, rule: PurgeRule, position: int) -> None:
        """Give a rule of this node, applied before, its place in the fleet's log."""
        latest, at = self._slot(rule)
        self._words[at + (_SOFT if rule.soft else _HARD) + 1] = position
        self._note_latest(latest)

    @in_turn
    def settle_all(self, position: int) -> None:
        """Give every rule that has none yet this place in the fleet's log."""
        self._each_position(lambda old: position if old == UNSETTLED else old)

    @in_turn
    def advance(self, position: int) -> None:
        """Say how far the fleet's log was applied."""
        self._words[_POSITION] = max(position, self._words[_POSITION])

    @in_turn
    def follow(self, log: bytes, first: int, position: int) -> None:
        """Judge responses from elsewhere by this log from now on, applied up to `position`.

        `log` is its identity of 16 bytes, empty for none; responses stamped before `first`,
        the first position that it still holds, are dead.
        """
        if log != self.log:
            self._words[_POSITION] = 0  # before the name: a stamp of the new log must not be late
            if self.log:  # else they are of the log that is about to be followed
                self._each_position(lambda position: position if position == UNSETTLED else 0)
            self._bytes[8 * _LOG : 8 * _LOG + 16] = log.ljust(16, b"\0")
        self._words[_FIRST] = first
        self._words[_POSITION] = position
        self.seq[0] += 1

    def _each_position(self, change: Callable[[int], int]) -> None:
        """Change the positions of all rules, some milliseconds of work."""
        self._change_positions(_EVERYTHING, change)
        for latest in range(HEADER, HEADER + 2 * BUCKETS, 2):
            if self._words[latest]:
                base = base_of(latest)
                for at in (base + FLOOR, *range(base + RULES, base + BUCKET, 4)):
                    self._change_positions(at, change)
                self._note_latest(latest)

    def _change_positions(self, at: int, change: Callable[[int], int]) -> None:
        for word in (at + _HARD + 1, at + _SOFT + 1):
            self._words[word] = change(self._words[word])

    def _note_latest(self, latest: int) -> None:
        """Bring up to date what lets a verdict pass over a bucket."""
        if latest == 0:  # the rule of everything is in none
            return
        base = base_of(latest)
        epochs = [self._epoch(at) for at in (base + FLOOR, *range(base + RULES, base + BUCKET, 4))]
        self._words[latest] = max(max(epoch[0], epoch[2]) for epoch in epochs)
        self._words[latest + 1] = max(max(epoch[1], epoch[3]) for epoch in epochs)

    def _slot(self, rule: PurgeRule) -> tuple[int, int]:
        """What is told of the rule's bucket, and the word at which its epoch is, or now has room."""
        if rule.kind is PurgeKind.EVERYTHING:
            return 0, _EVERYTHING
        latest, mark = place(rule.kind, rule.value)
        base = base_of(latest)
        words = self._words
        marks = words[base : base + WAYS].tolist()
        if mark in marks:
            return latest, base + RULES + 4 * marks.index(mark)
        way = marks.index(0) if 0 in marks else self._make_room(base)
        at = base + RULES + 4 * way
        for word, value in enumerate(_NEVER):
            words[at + word] = value
        words[base + way] = mark
        return latest, at

    def _make_room(self, base: int) -> int:
        """Fold a bucket's oldest rule into its floor, one that the log holds if there is any."""

        def age(way: int) -> tuple[bool, int]:
            epoch = self._epoch(base + RULES + 4 * way)
            return UNSETTLED in (epoch[1], epoch[3]), max(epoch[0], epoch[2])

        oldest = min(range(WAYS), key=age)
        folded = self._epoch(base + RULES + 4 * oldest)
        floor = _later(folded, self._epoch(base + FLOOR))
        for word, value in enumerate(floor):
            self._words[base + FLOOR + word] = value
        self._words[base + oldest] = 0
        return oldest


def _check(fd: int, path: Path | str) -> None:
    head = os.pread(fd, 8, 0)
    if os.fstat(fd).st_size != _SIZE or int.from_bytes(head, "little") != _MAGIC:
        raise TableDamaged(f"{path} is no whole table of purges")


def _later(one: Epoch, other: Epoch) -> Epoch:
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
