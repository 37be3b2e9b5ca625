"""Sinks, bodies and settings for tests of the upstream room."""

from collections.abc import Iterable

from edgeproxy.errors import UpstreamError
from edgeproxy.upstream.location import parse_location
from edgeproxy.upstream.origin import Address, Origin
from edgeproxy.upstream.ports import BodyConsumer, OriginRequest
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead


class KeepingSink:
    """Keeps all it is told; `log` is the order of events."""

    def __init__(self) -> None:
        self.interims: list[ResponseHead] = []
        self.head: ResponseHead | None = None
        self.body = b""
        self.trailers: Fields | None = None
        self.error: UpstreamError | None = None
        self.log: list[str] = []
        self.over = False

    def on_interim(self, head: ResponseHead) -> None:
        assert self.head is None
        self.interims.append(head)
        self.log.append(f"interim {head.status}")

    def on_head(self, head: ResponseHead, origin: Origin) -> None:
        assert self.head is None
        self.head = head
        self.log.append(f"head {head.status}")

    def on_data(self, data: bytes) -> None:
        assert self.head is not None
        assert not self.over
        assert data
        self.body += data
        self.log.append("data")

    def on_end(self, trailers: Fields | None) -> None:
        assert not self.over
        self.over = True
        self.trailers = trailers
        self.log.append("end")

    def on_error(self, error: UpstreamError) -> None:
        assert self.head is not None
        assert not self.over
        self.over = True
        self.error = error
        self.log.append(f"error {type(error).__name__}")

    @property
    def status(self) -> int:
        return self.head.status if self.head else 0


class GivenBody:
    """A request's body of pieces that the test pushes, or that are all there at once."""

    def __init__(
        self, pieces: Iterable[bytes] = (), length: int | None = None, *, complete: bool = True
    ) -> None:
        self.length = length
        self.consumed = False
        self.complete = complete
        self.paused = False
        self.pauses = 0
        self.trailers: Fields | None = None
        self.consumer: BodyConsumer | None = None
        self.detached = False
        self._pieces = list(pieces)

    def attach(self, consumer: BodyConsumer) -> None:
        self.consumer = consumer
        self.detached = False
        self._flow()

    def detach(self) -> None:
        self.consumer = None
        self.detached = True

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False
        self._flow()

    def push(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._flow()

    def finish(self) -> None:
        self.complete = True
        self._flow()

    def _flow(self) -> None:
        while self._pieces and self.consumer is not None and not self.paused:
            self.consumed = True
            self.consumer.on_body(self._pieces.pop(0))
        if not self._pieces and self.complete and self.consumer is not None:
            consumer, self.consumer = self.consumer, None
            consumer.on_body_end(self.trailers)


def make_origin(
    url: str = "http://origin.test:80", weight: int = 1, addresses: int = 1, priority: int = 0
) -> Origin:
    """An origin with that many addresses."""
    origin = Origin(parse_location(url), weight, priority)
    origin.resolved([Address(2, (f"127.0.0.{index + 1}", 80)) for index in range(addresses)])
    return origin


def get(
    target: bytes = b"/", *fields: RawField, method: bytes = b"GET", body: GivenBody | None = None
) -> OriginRequest:
    """A request for an origin."""
    return OriginRequest(method, target, b"shop.example", b"http", fields, body)
