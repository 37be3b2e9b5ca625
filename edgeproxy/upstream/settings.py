"""What an upstream is told: plain values, durations in seconds, sizes in bytes.

Must not know YAML or pydantic: `build` fills these from the configuration.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from edgeproxy.wire.limits import HeadLimits


class Balance(StrEnum):
    """How an origin is chosen among those that are available."""

    ROUND_ROBIN = "round_robin"
    LEAST_REQUESTS = "least_requests"
    RANDOM_TWO = "random_two"
    CONSISTENT_HASH = "consistent_hash"


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """One origin: `http://host[:port][/prefix]`, `https://...` or `unix:/path`."""

    url: str
    weight: int = 1
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: `connect` (TLS included), `first_byte` until the head is whole, `between_bytes` of a body.

    `idle` replaces `between_bytes` for event streams and tunnels; `queue` bounds the wait for a
    connection when all are busy.
    """

    connect: float = 1.0
    first_byte: float = 30.0
    between_bytes: float = 30.0
    idle: float = 3600.0
    queue: float = 1.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is tried again, and the share of all requests that retries may make up.

    Answers with a `status` are tried again too. Seconds from choosing an origin to its head, without a
    request's body: `per_try` for each try, `total` for all of them (None: no such bound).
    """

    attempts: int = 2
    budget: float = 0.2
    status: frozenset[int] = frozenset()
    per_try: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Hedge:
    """A second copy of a GET without a head `after` so many seconds, or this `percentile` (0 to 1)."""

    after: float | None = None
    percentile: float = 0.95


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Requests in flight at one origin: between `least` and `most`, this worker's share.

    Fewer, while the time to the head is more than `tolerance` times its minimum.
    """

    least: int = 1
    most: int = 256
    tolerance: float = 2.0


@dataclass(frozen=True, slots=True)
class Ejection:
    """Passive health: out after so many failures in a row, for so many seconds; 0 failures: never.

    Each time in a row that it is still failing then, twice as long, up to `longest`.

    Also out, judged over `window` seconds with at least `min_requests`: where `error_rate` of them
    failed, or their mean time is `slower_than` times that of the others (None: not judged).
    `max_ejected` bounds the share that is out though it still answers.
    """

    consecutive_failures: int = 5
    seconds: float = 10.0
    error_rate: float | None = None
    slower_than: float | None = None
    window: float = 10.0
    min_requests: int = 20
    max_ejected: float = 0.5
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Active health: GET `path` every `interval` seconds, spread by `jitter` of it; `timeout` in seconds.

    Good is a status within one of the ranges `status`, and a body that has `body` in it.
    """

    path: str = "/healthz"
    interval: float = 5.0
    timeout: float = 1.0
    unhealthy_after: int = 3
    healthy_after: int = 2
    status: tuple[tuple[int, int], ...] = ((200, 399),)
    body: str | None = None
    jitter: float = 0.1


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """This worker's share of what may be refetched: `rate` a second, `burst` at once.

    `queue` fetches may wait, each for `wait` seconds.
    """

    rate: float = 200.0
    burst: float = 50.0
    queue: int = 1000
    wait: float = 5.0


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS towards origins: PEM file paths; `server_name` for SNI and verification instead of the host."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Everything of one upstream.

    `max_connections` to each origin and `max_pending` requests that wait for one are this worker's
    share; `keepalive` is how long an idle connection is kept (below the origins' own), `max_age`
    after how long a connection is not used again, both in seconds; `resolver` is the address
    of a DNS server, `dns_interval` the seconds between resolutions where no TTL is known;
    `hash_bound` bounds loads under consistent hashing (0: no bound); `slow_start` is how many
    seconds an origin that returns takes to come back to its weight; with less than the share
    `panic_below` of the addresses healthy, all are used; `hedge` and `concurrency` are off where None.
    """

    name: str
    origins: tuple[OriginSettings, ...]
    balance: Balance = Balance.ROUND_ROBIN
    hash_bound: float = 1.25
    slow_start: float = 0.0
    panic_below: float = 0.0
    host_header: str = "preserve"
    health_check: HealthCheck | None = None
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    hedge: Hedge | None = None
    concurrency: Concurrency | None = None
    ejection: Ejection = Ejection()
    admission: AdmissionSettings | None = None
    max_connections: int = 256
    max_pending: int = 1024
    keepalive: float = 4.0
    max_age: float | None = 600.0
    lenient: frozenset[str] = frozenset()
    tls: TlsSettings = TlsSettings()
    resolver: str | None = None
    dns_interval: float = 30.0
    head_limits: HeadLimits = field(default=HeadLimits(max_head=64 * 1024, max_fields=256))
