"""A purge rule: what it names. Knows how rules and stored responses meet as bytes.

Must not know epochs (`purge_table`) or how rules travel (`purge_log`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_PREFIX = 8191  # bytes after the scheme; no target is longer


class PurgeKind(StrEnum):
    """What a purge rule names; also the label of `edgeproxy_purges_total`."""

    URL = "url"
    TAG = "tag"
    PREFIX = "prefix"
    HOST = "host"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class PurgeRule:
    """One purge: `soft` makes stale, else stored responses are never used again.

    `value` is, for a URL or a prefix, what `without_scheme` gives (so http and https are
    purged together); for a host its lower-case name, with a port only if just that port
    is meant; for a tag the tag.
    """

    kind: PurgeKind
    value: bytes = b""
    soft: bool = False

    def __post_init__(self) -> None:
        if self.kind is PurgeKind.PREFIX and len(self.value) > MAX_PREFIX:
            raise ValueError(f"a prefix of more than {MAX_PREFIX} bytes matches nothing")


def without_scheme(uri: bytes) -> bytes:
    """What follows `://` in a URI, or all of it."""
    _, found, rest = uri.partition(b"://")
    return rest if found else uri


def authority_of(rest: bytes) -> bytes:
    """The authority that `rest`, a URI without its scheme, begins with."""
    return rest.partition(b"/")[0]


def host_of(authority: bytes) -> bytes:
    """An authority without its port, an IPv6 literal with its brackets."""
    if authority.startswith(b"["):
        return authority.partition(b"]")[0] + b"]"
    return authority.partition(b":")[0]


def rules_from(dumped: list[list[Any]]) -> tuple[PurgeRule, ...]:
    """The rules that `dump_rules` gave."""
    return tuple(PurgeRule(PurgeKind(kind), value, soft) for kind, value, soft in dumped)


def dump_rules(rules: Sequence[PurgeRule]) -> list[list[Any]]:
    """Rules as they are sent to another process of this node."""
    return [[str(rule.kind), rule.value, rule.soft] for rule in rules]
