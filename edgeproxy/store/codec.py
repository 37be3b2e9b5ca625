"""Knows the bytes in which a stored response leaves this process: versioned, self-describing, checked.

Must not know where they are kept.

    magic 3 | version 1 | digest 16 | length of preamble 4 | preamble | body

The preamble is MessagePack: key, variant, packed head. The digest (BLAKE2b, 16 bytes) covers all that
follows it. Version 1 has the body as it is, version 2 as one Zstandard frame. A reader trusts nothing
that does not name the key and variant that it asked for: a store that mixes up replies must not hand
one user's page to another.
"""

from dataclasses import replace
from hashlib import blake2b
from struct import Struct

import msgspec

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store.packed import pack, unpack
from edgeproxy.store.value_coding import compressed, decompressed, plain_size, worth_trying

MAGIC = b"EP\x00"
PLAIN = 1
COMPRESSED = 2
VERSION = COMPRESSED
"""The latest that is read."""
DIGEST_SIZE = 16
_LENGTH = Struct("<I")
_DIGEST_AT = len(MAGIC) + 1
_LENGTH_AT = _DIGEST_AT + DIGEST_SIZE
_PREAMBLE_AT = _LENGTH_AT + _LENGTH.size

_encode_preamble = msgspec.msgpack.Encoder().encode
_decode_preamble = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes]).decode


class NewerVersion(TierFault):
    """Written by a later version of edgeproxy: a miss here, but not to be deleted."""


def encode(stored: StoredResponse, compress_above: int = 0) -> bytes:
    """The stored response in one bytes value; about 1 ms for each MiB of body, 4 ms where it is compressed.

    Bodies of more than `compress_above` bytes are compressed where that pays; 0: none.
    """
    preamble = preamble_of(stored)
    length = _LENGTH.pack(len(preamble))
    version, body = PLAIN, stored.body
    if 0 < compress_above < stored.size and worth_trying(stored):
        frame = compressed(body, stored.size)
        if frame is not None:
            version, body = COMPRESSED, (frame,)
    digest = blake2b(length, digest_size=DIGEST_SIZE)
    digest.update(preamble)
    for segment in body:
        digest.update(segment)
    return b"".join((MAGIC, bytes((version,)), digest.digest(), length, preamble, *body))


def work_of(data: bytes) -> int:
    """About how many bytes `decode` handles for that value, by its own word: what is compressed grows."""
    if len(data) < _PREAMBLE_AT or data[len(MAGIC)] != COMPRESSED:
        return len(data)
    body_at = _PREAMBLE_AT + _LENGTH.unpack_from(data, _LENGTH_AT)[0]
    return max(len(data), plain_size(data[body_at : body_at + 18]))  # the longest head of a frame


def preamble_of(stored: StoredResponse) -> bytes:
    """All of a stored response but its body."""
    return _encode_preamble((stored.key, stored.variant, pack(stored)))


def decode(data: bytes, key: bytes, variant: bytes) -> StoredResponse:
    """The stored response that `encode` was given, its body in one segment.

    Raises NewerVersion, or TierFault when it is damaged or belongs to another key or variant.
    """
    if len(data) < _PREAMBLE_AT or not data.startswith(MAGIC):
        raise TierFault("not a stored response")
    version = data[len(MAGIC)]
    if version > VERSION:
        raise NewerVersion(f"format {version}, this edgeproxy reads up to {VERSION}")
    if version < 1:
        raise TierFault(f"format {version} never was")
    view = memoryview(data)
    if blake2b(view[_LENGTH_AT:], digest_size=DIGEST_SIZE).digest() != data[_DIGEST_AT:_LENGTH_AT]:
        raise TierFault("the digest does not match: cut short or altered")
    body_at = _PREAMBLE_AT + _LENGTH.unpack_from(data, _LENGTH_AT)[0]
    preamble = view[_PREAMBLE_AT:body_at]
    if version == COMPRESSED:
        stored = _unfold(preamble, b"", key, variant)
        return replace(stored, body=(decompressed(view[body_at:], stored.size),))
    return rejoin(preamble, data[body_at:], key, variant)


def rejoin(preamble: bytes | memoryview, body: bytes, key: bytes, variant: bytes) -> StoredResponse:
    """The stored response of that preamble and body. Raises TierFault as `decode` does."""
    stored = _unfold(preamble, body, key, variant)
    if stored.size != len(body):
        raise TierFault(f"body of {len(body)} bytes instead of {stored.size}")
    return stored


def _unfold(preamble: bytes | memoryview, body: bytes, key: bytes, variant: bytes) -> StoredResponse:
    try:
        found_key, found_variant, packed = _decode_preamble(preamble)
        stored = unpack(packed, found_key, found_variant, (body,) if body else ())
    except msgspec.MsgspecError as error:
        raise TierFault(f"its head does not decode: {error}") from error
    if (found_key, found_variant) != (key, variant):
        raise TierFault(f"asked for {key!r}, got {found_key!r}")
    return stored
