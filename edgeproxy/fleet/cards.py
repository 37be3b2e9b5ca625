"""Knows what a node tells of itself to others, and how GET /nodes shows it.

Must not know where it is told.
"""

from typing import Any

import msgspec


class NodeCard(msgspec.Struct, frozen=True):
    """What a node tells of itself; `since` is wall seconds.

    Two nodes of one `place` cannot live at the same time (they would listen on the same address), so
    that a node strikes off whoever was there before it. Empty: cannot be told.
    """

    version: str = ""
    since: float = 0.0
    workers: int = 0
    place: str = ""


NO_CARD = NodeCard()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(NodeCard).decode


def encode_card(card: NodeCard) -> bytes:
    """A card as bytes."""
    return _encode(card)


def decode_card(data: bytes) -> NodeCard:
    """The card in these bytes; an empty one for what is not understood."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NodeCard()


def entry(name: str, card: NodeCard, last_seen: float, position: int | None) -> dict[str, Any]:
    """A node as GET /nodes shows it; times in wall seconds."""
    return {
        "node": name,
        "since": card.since,
        "last_seen": last_seen,
        "position": position,
        "version": card.version,
        "workers": card.workers,
    }
