"""Knows how stored responses lie in the node's file: names, pieces, and what finds them.

Must not know LMDB, processes or sockets.

Three tables. `index`: the name of a cache key (BLAKE2b-128) to the variants stored under it. `entries`: a
number, given in order of arrival, to what stands there. `pieces`: that number and a piece's place to at
most 4,000 bytes of a stored response: one page each, so that whatever was freed fits
whatever comes. `meta` says which format that is and whose purges judge it.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from typing import TypeVar
from zlib import crc32

import msgspec
from msgspec import structs

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store.codec import rejoin
from edgeproxy.store.tier import Names

FORMAT = 2
"""Moves with every change of this layout or of what stamps mean; a file of another one is set aside."""
PIECE = 4000
PAGE = 4096
MAX_VARIANTS = 64
MAX_NAME_SETS = 8
"""Distinct tuples of selecting field names under one key; the one stored longest ago goes first."""
MAX_INDEX = 4000
"""Bytes of one entry of the index; variants stored longest ago go first."""
WHOLE = 0x2144DF1C
"""The CRC-32 of whatever ends with its own CRC-32, the lowest byte first."""
IN_PAGE = 2000
"""Values up to this size share pages; larger ones have one for themselves."""

INDEX, ENTRIES, PIECES, META = b"index", b"entries", b"pieces", b"meta"

_T = TypeVar("_T")
_NUMBER = Struct(">Q")
_WORD = Struct("<I")
_PIECE_KEY = Struct(">QI")
number_key = _NUMBER.pack
piece_key = _PIECE_KEY.pack


def number_of(key: bytes) -> int:
    """The number that a key of `entries` stands for."""
    number: int = _NUMBER.unpack(key)[0]
    return number


def name_of(key: bytes) -> bytes:
    """The name of a cache key: LMDB's keys are short."""
    return blake2b(key, digest_size=16).digest()


class Variant(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where one variant lies: `size` in bytes as encoded, `expires` and `response_time` in wall seconds.

    `ready` is what answers from it at once (`node_ready`), for the only one of its key; empty: nothing.
    """

    variant: bytes
    names: Names
    number: int
    size: int
    expires: float
    response_time: float
    ready: bytes = b""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What stands at a number, to find its way back when it goes."""

    name: bytes
    variant: bytes
    size: int
    expires: float


class Meta(msgspec.Struct, frozen=True):
    """Whose file it is: `purges` names the table of purges that judges it, `order` the latest stamp in it."""

    format: int
    purges: bytes
    order: int = 0


_encode = msgspec.msgpack.Encoder().encode
_variants = msgspec.msgpack.Decoder(list[Variant]).decode
_entry = msgspec.msgpack.Decoder(Entry).decode
_meta = msgspec.msgpack.Decoder(Meta).decode


def encode_plain(value: Entry | Meta | Sequence[Variant]) -> bytes:
    """The bytes of an entry, the meta entry, or a key's variants."""
    return _encode(value)


def decode_variants(data: bytes) -> list[Variant]:
    """The variants of a key, the one stored last first. Raises TierFault for what is none of ours."""
    try:
        return _variants(data)  # as `_decoded`, a call less: each hit needs it
    except msgspec.MsgspecError as error:
        raise TierFault(f"the node tier's file holds what is not ours: {error}") from error


def decode_entry(data: bytes) -> Entry:
    """An entry. Raises TierFault for what is none."""
    return _decoded(_entry, data)


def decode_meta(data: bytes) -> Meta:
    """The meta entry. Raises TierFault for what is none."""
    return _decoded(_meta, data)


def _decoded(decoder: Callable[[bytes], _T], data: bytes) -> _T:
    try:
        return decoder(data)
    except msgspec.MsgspecError as error:
        raise TierFault(f"the node tier's file holds what is not ours: {error}") from error


def with_variant(
    variants: Sequence[Variant], new: Variant, most: int = MAX_VARIANTS
) -> tuple[list[Variant], list[Variant]]:
    """The variants of a key with a new one, and those that go for it."""
    kept, gone, sets = [new], [], {new.names}
    size = len(_encode(new)) + 3
    for each in map(without_ready, variants):
        length = len(_encode(each))
        too_many = len(sets | {each.names}) > MAX_NAME_SETS or len(kept) >= most
        if each.variant == new.variant or too_many or size + length > MAX_INDEX:
            gone.append(each)
        else:
            sets.add(each.names)
            kept.append(each)
            size += length
    return kept, gone


def without_ready(variant: Variant) -> Variant:
    """The variant as it is where it is not the only one."""
    return structs.replace(variant, ready=b"") if variant.ready else variant


def pieces(number: int, value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A value in pieces, each with its key."""
    for place, start in enumerate(range(0, len(value), PIECE)):
        yield piece_key(number, place), value[start : start + PIECE]


def seal(preamble: bytes, body: bytes) -> bytes:
    """A value: length of the preamble (4 bytes), preamble, body, CRC-32 of all that (4 bytes).

    A disk errs by chance: a quarter of the digest's price, and the preamble names what it belongs to.
    """
    length = _WORD.pack(len(preamble))
    crc = crc32(body, crc32(preamble, crc32(length)))
    return b"".join((length, preamble, body, _WORD.pack(crc)))


def unseal(value: bytes, key: bytes, variant: bytes) -> StoredResponse:
    """The stored response in a value. Raises TierFault where it is damaged, or of another key or variant."""
    if len(value) < 2 * _WORD.size or crc32(value) != WHOLE:
        raise TierFault("the checksum does not match: cut short or altered")
    body_at = _WORD.size + _WORD.unpack_from(value)[0]
    return rejoin(memoryview(value)[_WORD.size : body_at], value[body_at : -_WORD.size], key, variant)


def body_of(value: bytes, key: bytes) -> bytes:
    """The body in a value. Raises TierFault where that is damaged, or of another key."""
    if crc32(value) != WHOLE:
        raise TierFault("the checksum does not match: cut short or altered")
    # The preamble is an array that begins with the key: a byte, and the key's length in two to five.
    length = len(key)
    if not value.startswith(key, 7 if length < 256 else 8 if length < 65536 else 10):
        raise TierFault(f"asked for {key!r}, got another")
    return value[4 + int.from_bytes(value[:4], "little") : -4]


def piece_count(size: int) -> int:
    """In how many pieces a value of that size lies."""
    return -(-size // PIECE)


def room_for(size: int) -> int:
    """Bytes of pages that a value of that size takes, its entries in all tables included."""
    whole, tail = divmod(size, PIECE)
    last = PAGE if tail > IN_PAGE else tail + tail // 2
    return whole * (PAGE + 64) + last + 512
