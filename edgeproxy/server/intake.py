"""The bytes of a client connection that belong to no request yet, and the heads cut off them.

Must not know sockets or what a request means. RFC 9112 §2.2, §3.
"""

from edgeproxy.errors import BadRequest
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import find_head_end, looks_hopeless

EMPTY_LINES = 2
"""So many empty lines before a request line are forgiven (RFC 9112 §2.2)."""


class Intake:
    """What has come and was not taken; `buffer` is to be looked at only."""

    __slots__ = ("_scanned", "buffer")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._scanned = 0  # bytes of it known to hold no end of a head

    def __repr__(self) -> str:
        return f"<Intake {len(self.buffer)} bytes>"

    def __len__(self) -> int:
        return len(self.buffer)

    def add(self, data: bytes) -> None:
        """Keep what came."""
        self.buffer += data

    def all(self) -> bytes:
        """Take everything."""
        data = bytes(self.buffer)
        self.buffer.clear()
        self._scanned = 0
        return data

    def head(self, limits: HeadLimits) -> bytes | None:
        """Cut one head off; None while none is whole.

        Raises BadRequest: 414, 431, or 400 for what cannot become a head any more.
        """
        buffer = self.buffer
        if buffer.startswith(b"\r\n"):
            skipped = 0
            while skipped < EMPTY_LINES and buffer.startswith(b"\r\n"):
                del buffer[:2]
                skipped += 1
            self._scanned = 0
        if not buffer:
            return None
        end = find_head_end(buffer, 0, self._scanned)
        if 0 < end <= limits.max_head:
            self._scanned = 0
            head = bytes(buffer[:end])
            del buffer[:end]
            return head
        if end > 0 or len(buffer) > limits.max_head:
            if buffer.find(b"\r\n", 0, limits.max_target + 32) < 0:
                raise BadRequest(f"request line over {limits.max_target} bytes", 414)
            raise BadRequest(f"request head over {limits.max_head} bytes", 431)
        if looks_hopeless(buffer):
            raise BadRequest("not an HTTP/1 request")
        self._scanned = len(buffer)
        return None
