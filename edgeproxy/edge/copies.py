"""Coded copies in memory beside the stored response that they were made of.

Must not know how they are made, nor tiers beyond memory.
"""

from collections.abc import Sequence

from edgeproxy.caching.compression import (
    coded_variant,
    coding_of,
    compressible,
    identity_variant,
    same_but_coding,
)
from edgeproxy.caching.negotiation import ACCEPT_ENCODING, IDENTITY
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.store.memory import MemoryTier, Node, Primary
from edgeproxy.wire.heads import RequestHead


def plain_node(
    primary: Primary, names: Sequence[bytes], request: RequestHead, policy: CachePolicy
) -> Node | None:
    """What answers `request` for want of the coding that it prefers, and may be coded for the next one."""
    if ACCEPT_ENCODING not in names:
        return None
    node = primary.find(identity_variant(request, names, policy))
    return node if node is not None and node.live and compressible(node.stored, policy) else None


def plain_of(memory: MemoryTier, copy: StoredResponse) -> Node | None:
    """The plain stored response beside a coded copy."""
    primary = memory.get(copy.key)
    return None if primary is None else primary.find(coded_variant(copy, IDENTITY))


def copies_of(memory: MemoryTier, stored: StoredResponse) -> list[StoredResponse]:
    """The coded copies beside a stored response of that key, whatever it is selected by."""
    primary = memory.get(stored.key)
    if primary is None:
        return []
    beside = [node.stored for node in primary.variants.values() if ACCEPT_ENCODING in node.names]
    return [copy for copy in beside if copy.coded_here and same_but_coding(copy, stored)]


def drop_copies(memory: MemoryTier, stored: StoredResponse) -> None:
    """Remove the coded copies beside a stored response that is gone or replaced."""
    for copy in copies_of(memory, stored):
        memory.remove_variant(copy.key, copy.variant)


def drop_outdated(memory: MemoryTier, stored: StoredResponse) -> None:
    """`stored` comes into memory: coded copies of what was there before are out of date."""
    if stored.coded_here or coding_of(stored) != IDENTITY:
        return
    for copy in copies_of(memory, stored):
        if copy.response_time < stored.response_time:
            memory.remove_variant(copy.key, copy.variant)
