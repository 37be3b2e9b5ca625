"""The section `upstreams`: origins and how they are reached.

Knows no route. Each key's default, unit and sentence stand here and nowhere else.
"""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from edgeproxy.config.admission import Admission
from edgeproxy.config.base import Settings
from edgeproxy.config.health import Ejection, HealthCheck
from edgeproxy.config.kinds import (
    BlankIsUnset,
    Count,
    Duration,
    Flag,
    HeaderName,
    MaybePath,
    MaybeText,
    Share,
    refuse,
)
from edgeproxy.config.origin_url import OriginParts, OriginUrl, split_origin
from edgeproxy.config.resilience import Concurrency, Hedge, Retries
from edgeproxy.config.scalars import show

Balance = Literal["round_robin", "least_requests", "random_two", "consistent_hash"]
Lenient = Literal["bare_lf", "obs_fold", "space_before_colon", "control_characters", "length_with_coding"]


def _origin(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class Origin(Settings):
    """One server of the upstream; a plain URL is an origin of weight 1."""

    url: OriginUrl = Field(
        description="http://HOST[:PORT][/PREFIX], https://..., or unix:/PATH/OF.sock.",
        examples=["http://127.0.0.1:9001"],
    )
    weight: Count = Field(
        default=1, ge=0, le=1000, description="Share of the requests; 0: none, kept in reserve."
    )
    priority: Count = Field(
        default=0,
        ge=0,
        le=100,
        description="Asked only while none of a lower number is up: 1 is a backup of those with 0.",
    )

    @property
    def parts(self) -> OriginParts:
        """Scheme, host, port, path prefix and socket of the URL."""
        return split_origin(self.url)

    @property
    def key(self) -> str:
        """HOST:PORT, or unix:/PATH: the origin's name in metrics and in the admin API."""
        return self.parts.key


class Timeouts(Settings):
    """How long an origin may take."""

    connect: Duration = Field(default=1.0, gt=0, description="For a connection, TLS included.")
    first_byte: Duration = Field(
        default=30.0, gt=0, description="From the end of the request to the response's head."
    )
    between_bytes: Duration = Field(
        default=30.0, gt=0, description="Between two pieces of a response's body."
    )
    idle: Duration = Field(default=3600.0, gt=0, description="The same for event streams and tunnels.")
    queue: Duration = Field(default=1.0, gt=0, description="Waiting for a free connection; later: 503.")
    keepalive: Duration = Field(
        default=4.0,
        description="Idle connections are kept; shorter than the origin keeps them. 0s: not kept.",
    )


class UpstreamTls(Settings):
    """TLS towards https origins."""

    ca: MaybePath = Field(
        default=None, description="PEM file of the authorities to trust. Not set: the system's."
    )
    certificate: MaybePath = Field(default=None, description="PEM file: client certificate and its chain.")
    key: MaybePath = Field(default=None, description="PEM file: the client certificate's private key.")
    verify: Flag = Field(default=True, description="Check the origin's certificate and name.")
    server_name: MaybeText = Field(
        default=None, min_length=1, description="Name in SNI and in the certificate. Not set: the URL's host."
    )


class Hash(Settings):
    """What consistent hashing goes by: the URL unless a field or a cookie is named."""

    header: Annotated[HeaderName | None, BlankIsUnset] = Field(
        default=None, description="This request field's value. Without it in a request: the URL."
    )
    cookie: Annotated[HeaderName | None, BlankIsUnset] = Field(
        default=None, description="This cookie's value, instead of `header`."
    )
    headroom: Annotated[Share | None, BlankIsUnset] = Field(
        default=0.25,
        description="Above its share of the requests in flight by this, an origin leaves the next ones "
        "to others. null: no bound.",
    )


def _host_header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?", value):
        refuse(f"{show(value)} is no host", "write preserve, origin, or a name as shop.internal")
    return value


def _resolver(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = value, "53"
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        valid = port.isdigit() and 0 < int(port) < 65536
    except ValueError:
        valid = False
    if not valid:
        refuse(f"{show(value)} is no DNS server", "write its address, as 10.0.0.53 or 10.0.0.53:5353")
    return value


class Upstream(Settings):
    """A pool of origins that give the same answers."""

    origins: Annotated[tuple[Annotated[Origin, BeforeValidator(_origin)], ...], Field(strict=False)] = Field(
        min_length=1, max_length=1000, description="The servers: a URL, or {url, weight}."
    )
    balance: Balance = Field(
        default="round_robin", description="round_robin, least_requests, random_two or consistent_hash."
    )
    hash: Hash = Field(default=Hash(), description="What balance: consistent_hash goes by. Not set: the URL.")
    slow_start: Duration = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="How long an origin that returns takes to come back to its weight. 0s: at once.",
    )
    panic_below: Share = Field(
        default=0.0,
        ge=0,
        le=1,
        description="With less than this share healthy, all origins are used, but those drained or down. "
        "0%: off.",
    )
    host_header: Annotated[str, AfterValidator(_host_header)] = Field(
        default="preserve", description="Host sent: preserve (the client's), origin (the URL's), or a name."
    )
    health_check: HealthCheck | None = Field(default=None, description="Active health checks. Not set: off.")
    timeouts: Timeouts = Field(default=Timeouts(), description="How long an origin may take.")
    retries: Retries = Field(default=Retries(), description="Second tries of what is safe to send again.")
    hedge: Hedge | None = Field(
        default=None, description="A second copy of a GET that is not answered in time. Not set: off."
    )
    concurrency: Concurrency = Field(
        default=Concurrency(), description="How many requests at once an origin is given."
    )
    ejection: Ejection = Field(
        default=Ejection(), description="Passive health: an origin that fails is left out."
    )
    admission: Admission | None = Field(
        default=None, description="Refetches of what may be stored, paced and by popularity. Not set: off."
    )
    max_connections: Count = Field(
        default=256,
        ge=1,
        le=100_000,
        description="The node's connections to each origin, shared out among workers.",
    )
    max_pending: Count = Field(
        default=1024, ge=0, description="Requests that may wait for a connection, of the node; more: 503."
    )
    max_connection_age: Duration = Field(
        default=600.0,
        gt=0,
        description="After that a connection is not used again, so that DNS changes take hold.",
    )
    lenient: Annotated[tuple[Lenient, ...], Field(strict=False)] = Field(
        default=(),
        description="What is forgiven a legacy origin: bare_lf, obs_fold, space_before_colon, "
        "control_characters, length_with_coding.",
    )
    tls: UpstreamTls = Field(default=UpstreamTls(), description="TLS towards https origins.")
    resolver: Annotated[MaybeText, AfterValidator(lambda v: v if v is None else _resolver(v))] = Field(
        default=None, description="Address of a DNS server, asked by the records' TTL. Not set: the system's."
    )
    dns_interval: Duration = Field(
        default=30.0,
        ge=0.1,
        description="How often names are resolved anew; with `resolver` the records' own TTL counts.",
    )
