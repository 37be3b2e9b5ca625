"""Purges as they stand in the fleet's log: versioned, readable by the nodes of a rolling upgrade.

Must not know Redis nor epochs.

A node writes `Purge` in MessagePack; any other service writes an `Event` of plain fields and values,
such as `tag product-17`.
"""

from dataclasses import dataclass

import msgspec

from edgeproxy.fleet.rules import PurgeKind, PurgeRule

VERSION = 1
MAX_NAMED = 1000  # rules of one event
_YES, _NO = frozenset(("1", "true", "yes")), frozenset(("0", "false", "no", ""))


@dataclass(frozen=True, slots=True)
class Purge:
    """Rules that were given together; `time` is wall seconds, for people.

    Without rules it is a mark: a later purge that names it in `since` spares what was fetched after it.
    `count`: nodes are to tell how much they removed.
    """

    id: str
    node: str
    time: float
    rules: tuple[PurgeRule, ...]
    count: bool = False
    since: str = ""


class _Wire(msgspec.Struct, array_like=True, frozen=True):
    """New members are appended with a default, so that both neighbours of a version read each other."""

    version: int
    id: str
    node: str
    time: float
    rules: list[tuple[str, bytes, bool]]
    count: bool = False
    since: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode
_decode_event = msgspec.msgpack.Decoder(list[str]).decode


def encode(purge: Purge) -> bytes:
    """A purge as bytes."""
    rules = [(str(rule.kind), rule.value, rule.soft) for rule in purge.rules]
    return _encode(_Wire(VERSION, purge.id, purge.node, purge.time, rules, purge.count, purge.since))


def decode(data: bytes) -> Purge | None:
    """The purge in these bytes, or None for what this version does not understand."""
    try:
        wire = _decode(data)
        if wire.version != VERSION:
            return None
        rules = tuple(PurgeRule(PurgeKind(kind), value, soft) for kind, value, soft in wire.rules)
    except (msgspec.MsgspecError, ValueError):
        return None
    return Purge(wire.id, wire.node, wire.time, rules, wire.count, wire.since)


@dataclass(frozen=True, slots=True)
class Event:
    """What another service asks to be purged: the union of what is named."""

    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False


def decode_event(data: bytes) -> Event:
    """The event in the packed fields of an inbox entry. Raises ValueError that says what is wrong."""
    if not data:
        raise ValueError("it is too large")
    try:
        parts = _decode_event(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError("it is no text in UTF-8") from error
    named: dict[str, list[str]] = {"url": [], "tag": [], "prefix": [], "host": []}
    flags = {"everything": False, "soft": False}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        if name in named:
            if not value:
                raise ValueError(f"{name} is empty")
            named[name].append(value)
        elif name in flags:
            flags[name] = _flag(name, value)
        elif name != "note":
            raise ValueError(f"{name[:40]!r} is none of url, tag, prefix, host, everything, soft, note")
    if not any(named.values()) and not flags["everything"]:
        raise ValueError("it names nothing to purge")
    if sum(map(len, named.values())) > MAX_NAMED:
        raise ValueError(f"it names more than {MAX_NAMED} things")
    url, tag, prefix, host = (tuple(values) for values in named.values())
    return Event(url, tag, prefix, host, flags["everything"], flags["soft"])


def _flag(name: str, value: str) -> bool:
    value = value.lower()
    if value not in _YES | _NO:
        raise ValueError(f"{name} is {value[:40]!r}; write 1 or 0")
    return value in _YES
