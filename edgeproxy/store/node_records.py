"""Knows how a worker tells the node's writer what to store and remove: records, cut into frames.

Must not know sockets nor files. A stream of records goes into frames of bounded size, so that large bodies
pass a socket of messages; each frame says who sends it, which one it is and where its first record begins.
A reader that lost one, or whose writer was replaced, goes on with the next record that it sees begin.

    frame:  sender 8 | number 4 | first record's offset 4 (all ones: none begins) | bytes
    record: length 4 | length of head 4 | head | body
"""

from collections.abc import Iterator, Sequence
from struct import Struct

import msgspec

from edgeproxy.store.tier import Buffer, Names

FRAME = 60_000
"""Bytes of a frame beyond its header: three fit a socket's buffer as systems come."""
MAX_RECORD = 1 << 30
NONE_BEGINS = 2**32 - 1
FRAME_HEADER = Struct("<QII")
_LENGTHS = Struct("<II")


class Put(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """Store this; the body follows the head. `order` is the stamp's, if the node gave it."""

    name: bytes
    variant: bytes
    names: Names
    expires: float
    response_time: float
    order: int
    preamble: bytes


class Remove(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Remove one variant of a key, or all (None)."""

    name: bytes
    variant: bytes | None


class Used(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """These variants were used: (name, variant) each."""

    variants: list[tuple[bytes, bytes]]


class Readied(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """What answers at once from a variant that came then (wall seconds) and is the only one of its key."""

    name: bytes
    variant: bytes
    response_time: float
    ready: bytes


class Echo(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Say so when what came before this is done: its sender, and which one it is."""

    sender: int
    number: int


ECHO = Struct("<QQ")
"""What is sent back for an `Echo`."""

Head = Put | Remove | Used | Readied | Echo
Record = tuple[Head, bytes]
"""A head, and the body that follows it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Head).decode


def encode_record(head: Head, body: Sequence[Buffer] = (), size: int = 0) -> list[Buffer]:
    """The parts of a record; the body, `size` bytes long, is not copied."""
    packed = _encode(head)
    return [_LENGTHS.pack(len(packed) + size, len(packed)), packed, *body]


class Joiner:
    """Frames of one sender after the other, back into records."""

    __slots__ = ("_buffer", "_next", "_sender", "lost")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._sender = -1
        self._next = 0
        self.lost = 0
        """How often frames were missing."""

    def __repr__(self) -> str:
        return f"<Joiner {len(self._buffer)} bytes wait, lost={self.lost}>"

    def feed(self, frame: bytes) -> Iterator[Record]:
        """The records that this frame completes; nonsense is left out."""
        if len(frame) < FRAME_HEADER.size:
            return
        sender, number, begins = FRAME_HEADER.unpack_from(frame)
        content = memoryview(frame)[FRAME_HEADER.size :]
        if sender != self._sender or number != self._next:
            self.lost += sender == self._sender
            self._sender = sender
            self._buffer.clear()
            content = content[begins:] if begins != NONE_BEGINS else content[:0]
            if begins == NONE_BEGINS:
                self._next = -1  # nothing until a record begins
                return
        self._next = (number + 1) & 0xFFFFFFFF
        self._buffer += content
        yield from self._records()

    def _records(self) -> Iterator[Record]:
        at, buffer = 0, self._buffer
        while len(buffer) - at >= _LENGTHS.size:
            length, head_length = _LENGTHS.unpack_from(buffer, at)
            if length > MAX_RECORD or head_length > length:
                self._next, at = -1, len(buffer)
                break
            start = at + _LENGTHS.size
            if len(buffer) - start < length:
                break
            at = start + length
            try:
                head = _decode(bytes(buffer[start : start + head_length]))
            except msgspec.MsgspecError:
                continue
            yield head, bytes(memoryview(buffer)[start + head_length : at])
        del buffer[:at]
