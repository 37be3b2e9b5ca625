"""Knows what the tiers have in common: how a variant is asked for, and what a tier counts.

Must not know how or where any tier keeps what it keeps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from edgeproxy.caching.stored import StoredResponse

Names = tuple[bytes, ...]
"""Names of the selecting fields of one stored response, in the order in which it was digested."""

Buffer = bytes | memoryview

VariantOf = Callable[[Names], bytes]
"""Gives the variant key of the presented request for these names of selecting fields (RFC 9111 §4.1)."""


class Readable(Protocol):
    """What stored responses can be looked for in; a fault is a miss, never an exception."""

    async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None: ...


class SharedTier(Readable, Protocol):
    """A tier that other workers or nodes see too."""

    def put(self, stored: StoredResponse, ttl: float) -> None: ...
    async def remove(self, key: bytes) -> list[bytes]: ...
    def discard(self, key: bytes, variant: bytes) -> None: ...


class Fault(StrEnum):
    """Why a shared tier did not do what it was asked; label of log and metric."""

    UNREACHABLE = "unreachable"  # refused, reset, name not found, not allowed in
    TIMEOUT = "timeout"
    BUSY = "busy"  # our own bound on commands in flight
    REFUSED = "refused"  # the server answered with an error
    FULL = "full"  # the server is at its memory limit
    DAMAGED = "damaged"  # a value that is not ours, or not whole
    NEWER = "newer"  # written by a later version of edgeproxy
    DROPPED = "dropped"  # a write that was not sent, because the queue or the breaker said so
    TOO_LARGE = "too_large"


@dataclass(slots=True)
class TierStats:
    """What a tier has counted since it was made; `faults` by reason.

    A look-up is one of `hits`, `misses`, `skipped`, or a fault; all but the first are a miss to who asked.
    """

    hits: int = 0
    misses: int = 0
    writes: int = 0
    removals: int = 0
    skipped: int = 0  # look-ups that the open breaker answered at once
    faults: dict[Fault, int] = field(default_factory=dict)

    def fault(self, fault: Fault) -> None:
        """Count one fault."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def count(self, fault: Fault) -> int:
        """How often that fault was counted."""
        return self.faults.get(fault, 0)

    @property
    def fault_total(self) -> int:
        """All faults together."""
        return sum(self.faults.values())
