"""The values that a request head and a response head are parsed into.

Must not know how they are parsed (`request_head`, `response_head`) or framed (`framing`).
"""

from dataclasses import dataclass, field

from edgeproxy.wire.fields import Fields
from edgeproxy.wire.target import Target


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request's head, accepted and normalised (RFC 9112 §3).

    `minor` is the minor version of HTTP/1; `target` is what routing, key and origin use;
    `raw_target` is kept for the access log only.
    """

    method: bytes
    target: Target
    minor: int
    fields: Fields
    raw_target: bytes = b""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A response's head (RFC 9112 §4). `minor` is the minor version of HTTP/1.

    `raw` are its bytes as they came, blank line included, where they are in order as they stand; else empty.
    """

    status: int
    reason: bytes
    minor: int
    fields: Fields
    raw: bytes = field(default=b"", compare=False, repr=False)
