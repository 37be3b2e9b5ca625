"""Limits of a client connection, as plain numbers a worker can compare with.

Must not know where they were configured.
"""

from dataclasses import dataclass

from edgeproxy.wire.limits import HeadLimits


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Sizes in bytes, durations in seconds; 0 switches `max_body` and `per_client` off.

    `connections` and `per_client` are this worker's share.
    """

    head: HeadLimits
    max_body: int = 1 << 30
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    write_timeout: float = 60.0
    connections: int = 10_000
    per_client: int = 0
    pipelined: int = 64 * 1024
    linger: int = 256 * 1024
