"""What goes to an origin and what comes back: the interfaces between the edge and the upstreams.

Must not know pools, sockets or caching.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgeproxy.errors import UpstreamError
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead

if TYPE_CHECKING:
    from edgeproxy.upstream.origin import Origin


class BodyConsumer(Protocol):
    """Takes a request's body piece by piece."""

    def on_body(self, data: bytes) -> None: ...
    def on_body_end(self, trailers: Fields | None) -> None: ...
    def on_body_error(self, error: Exception) -> None: ...


class RequestBody(Protocol):
    """A request's body that flows once somebody is attached.

    `length` in bytes, None for chunked; `consumed` once any byte was handed out: from then
    on the request cannot be sent again.
    """

    @property
    def length(self) -> int | None: ...
    @property
    def consumed(self) -> bool: ...
    def attach(self, consumer: BodyConsumer) -> None: ...
    def detach(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class ResponseSink(Protocol):
    """Takes a response as it arrives, synchronously.

    `on_head` comes once, with the final head (101 included); then data, and one of
    `on_end` and `on_error`. An error before the head is raised by `Upstream.exchange`.
    """

    def on_interim(self, head: ResponseHead) -> None: ...
    def on_head(self, head: ResponseHead, origin: "Origin") -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self, trailers: Fields | None) -> None: ...
    def on_error(self, error: UpstreamError) -> None: ...


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """A request ready to be sent: `fields` without Host, framing and hop-by-hop fields.

    `target` is in origin-form; `authority` is the Host under `host_header: preserve`;
    `upgrade` is the protocol to ask for; `hash_key` feeds consistent hashing; `prefer` is the key
    (HOST:PORT) of the origin to ask if it is up.
    """

    method: bytes
    target: bytes
    authority: bytes
    scheme: bytes
    fields: tuple[RawField, ...]
    body: RequestBody | None = None
    upgrade: bytes | None = None
    hash_key: bytes = b""
    prefer: str | None = None


PLAIN_GET = OriginRequest(b"GET", b"/", b"", b"http", ())
"""Stands for a request whose head is written elsewhere, until more of it is asked for."""
