"""A stored response (RFC 9111 §2) and the stamp that purges are judged by."""

from dataclasses import dataclass, field

from edgeproxy.wire.fields import Fields


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where the purge log stood when the fetch began; never wall time.

    `position` counts the fleet's log `log`; `local` counts the node's own purges made
    while the fleet's log was out of reach (or when there is none), and means something
    only to the node run `run` that gave it.
    """

    log: bytes = b""
    position: int = 0
    run: bytes = b""
    local: int = 0


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """RFC 9111's stored response: what a reuse decision needs, and the body.

    `key` is the primary cache key; `variant` the digest of `selecting` (empty without Vary);
    times are wall seconds; `body` is in segments that joined are `size` bytes long;
    `origin_seconds` is what the origin took, credited to each hit; `learnt` the lifetime in seconds
    that validations taught (0: none yet); `coded_here` says that its content coding is this cache's work.
    """

    key: bytes
    variant: bytes
    method: bytes
    status: int
    reason: bytes
    fields: Fields
    body: tuple[bytes, ...]
    size: int
    request_time: float
    response_time: float
    selecting: tuple[tuple[bytes, bytes | None], ...] = ()
    tags: tuple[bytes, ...] = ()
    stamp: Stamp = field(default_factory=Stamp)
    origin_seconds: float = 0.0
    request_authorized: bool = False
    learnt: float = 0.0
    coded_here: bool = False
