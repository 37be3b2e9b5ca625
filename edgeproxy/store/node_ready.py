"""Knows what stands in the node's file beside a stored response, so that a fresh hit needs but its body.

Must not know how that is come by, nor what the rules are that it was made by: only whether they are the same.
"""

from zlib import crc32

import msgspec

from edgeproxy.errors import TierFault
from edgeproxy.store.node_format import WHOLE

MAX_READY = 2500
"""Bytes of the longest that is kept: it stands in the index, whose entries are short."""


class Ready(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A fresh answer but for what changes with time, as memory has it (`edge.hot.Hot`), times in seconds.

    `rules` says by which rules it was made: by others it is of no use. `own` says that the stamp is of this
    node's own purges.
    """

    rules: bytes
    status: int
    lines: bytes
    before_ttl: bytes
    after_ttl: bytes
    came: float
    initial_age: float
    lifetime: float
    saved: float
    tags: tuple[bytes, ...]
    own: bool
    log: bytes
    position: int
    run: bytes
    local: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ready).decode


def seal_ready(ready: Ready) -> bytes:
    """Its bytes, and their CRC-32 (4 bytes)."""
    packed = _encode(ready)
    return packed + crc32(packed).to_bytes(4, "little")


def unseal_ready(sealed: bytes) -> Ready:
    """The ready answer in those bytes. Raises TierFault where they are damaged."""
    if crc32(sealed) != WHOLE:
        raise TierFault("the checksum of a ready answer does not match")
    try:
        return _decode(sealed[:-4])
    except msgspec.MsgspecError as error:
        raise TierFault(f"a ready answer does not decode: {error}") from error
