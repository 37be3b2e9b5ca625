"""What waiting for somebody else's fetch came to.

Must not know how it is waited.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Served:
    """A follower has its answer."""


@dataclass(frozen=True, slots=True)
class Regroup:
    """A follower waited for another variant than its own, which is this one."""

    variant: bytes


@dataclass(frozen=True, slots=True)
class Alone:
    """A follower waited in vain and fetches for itself."""


Followed = Served | Regroup | Alone
