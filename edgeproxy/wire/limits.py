"""How large a message head may be.

Must not know sockets: whoever reads bytes asks here whether to go on reading.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of a head: `max_target` and `max_head` in bytes, `max_fields` in lines; each at least 1."""

    max_target: int = 8192
    max_head: int = 32768
    max_fields: int = 100
