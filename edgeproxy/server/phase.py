"""What a client connection waits for.

Must not know how long: `listening` has the timeouts.
"""

from enum import Enum


class Phase(Enum):
    """What the connection waits for; each has its own timeout."""

    FRESH = "no byte yet"
    IDLE = "between requests"
    HEAD = "inside a head"
    EXCHANGE = "inside an exchange"
    LINGER = "past the response, inside the request's body"
    CLOSED = "closed"
