"""What a client connection waits for.

Must not know how long: `listening` has the timeouts.
"""

from enum import Enum, IntFlag


class Phase(Enum):
    """What the connection waits for; each has its own timeout."""

    FRESH = "no request yet"
    IDLE = "between requests"
    HEAD = "inside a head"
    EXCHANGE = "inside an exchange"
    LINGER = "past the response, inside the request's body"
    FAREWELL = "past the last response, until the client has read it"
    CLOSED = "closed"


class Hold(IntFlag):
    """Why nothing is read from the client; it is read again once no reason is left."""

    BODY = 1  # whoever consumes the request's body is full
    PIPELINE = 2  # enough requests wait for their turn
    WRITE = 4  # the client asks without taking the answers
    OVER = 8  # nothing more is of use
