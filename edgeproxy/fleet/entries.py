"""A purge as it stands in the fleet's log: versioned, readable by the nodes of a rolling upgrade.

Must not know Redis nor epochs.
"""

from dataclasses import dataclass

import msgspec

from edgeproxy.fleet.rules import PurgeKind, PurgeRule

VERSION = 1


@dataclass(frozen=True, slots=True)
class Purge:
    """Rules that were given together; `time` is wall seconds, for people."""

    id: str
    node: str
    time: float
    rules: tuple[PurgeRule, ...]


class _Wire(msgspec.Struct, array_like=True, frozen=True):
    version: int
    id: str
    node: str
    time: float
    rules: list[tuple[str, bytes, bool]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


def encode(purge: Purge) -> bytes:
    """A purge as bytes."""
    rules = [(str(rule.kind), rule.value, rule.soft) for rule in purge.rules]
    return _encode(_Wire(VERSION, purge.id, purge.node, purge.time, rules))


def decode(data: bytes) -> Purge | None:
    """The purge in these bytes, or None for what this version does not understand."""
    try:
        wire = _decode(data)
        if wire.version != VERSION:
            return None
        rules = tuple(PurgeRule(PurgeKind(kind), value, soft) for kind, value, soft in wire.rules)
    except (msgspec.MsgspecError, ValueError):
        return None
    return Purge(wire.id, wire.node, wire.time, rules)
