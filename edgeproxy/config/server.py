"""The sections `server`, `admin`, `log` and `cache`: what belongs to the node, not to a route.

Knows no upstream and no route. Each key's default, unit and sentence stand here and nowhere else.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, ValidationInfo, WithJsonSchema

from edgeproxy.config.addresses import split_address
from edgeproxy.config.base import Settings
from edgeproxy.config.kinds import (
    TOKEN,
    Address,
    Count,
    Duration,
    FilePath,
    Flag,
    MaybeText,
    Network,
    OneOrMany,
    Size,
    SizeOrNone,
    SizeOrOff,
    refuse,
    resolve_path,
)
from edgeproxy.config.redis_url import RedisUrl
from edgeproxy.config.scalars import Trap, as_plain, show

RESTART: dict[str, JsonValue] = {"restart": True}
MOST_CPU = 4095
"""The highest number of a CPU; what the machine has is not known here."""
_AFFINITY_SCHEMA: dict[str, JsonValue] = {
    "anyOf": [
        {"enum": ["auto", "off", False]},
        {"type": "integer", "minimum": 0, "maximum": MOST_CPU},
        {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MOST_CPU}, "minItems": 1},
    ]
}


class ListenerTls(Settings):
    """The certificate that a listener shows."""

    certificate: FilePath = Field(description="PEM file: the certificate and its chain.")
    key: FilePath = Field(description="PEM file: the private key.")


def _listener(value: object) -> object:
    if isinstance(value, int):
        return {"address": str(value)}
    return {"address": value} if isinstance(value, str) else value


class Listener(Settings):
    """Where clients connect; a plain `HOST:PORT` is a listener without TLS."""

    address: Address = Field(
        description="HOST:PORT; 0.0.0.0 and [::] are all interfaces, port 0 is any free port."
    )
    tls: ListenerTls | None = Field(
        default=None, description="Certificate and key; without it the listener is plain."
    )

    @property
    def host(self) -> str:
        """Name or address, IPv6 without brackets."""
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        """Port number; 0: any free one."""
        return split_address(self.address)[1]


class Limits(Settings):
    """What a client may take; each number is the node's, shared out among its workers."""

    max_head_size: Size = Field(
        default=32 * 1024, ge=1024, le=2**20, description="Of a request's head; more: 431."
    )
    max_target_size: Size = Field(
        default=8 * 1024, ge=256, le=2**20, description="Of a request's target; more: 414."
    )
    max_fields: Count = Field(
        default=100, ge=8, le=10_000, description="Lines in a request's head; more: 431."
    )
    max_body_size: SizeOrNone = Field(
        default=2**30, description="Of a request's body; more: 413. 0 or none: no limit. A route may differ."
    )
    header_timeout: Duration = Field(
        default=10.0, gt=0, description="From a request's first byte to the end of its head; later: 408."
    )
    body_timeout: Duration = Field(default=30.0, gt=0, description="Between two pieces of a request's body.")
    idle_timeout: Duration = Field(default=75.0, gt=0, description="Keep-alive connection without a request.")
    write_timeout: Duration = Field(
        default=60.0, gt=0, description="A client that takes nothing of its response."
    )
    max_connections: Count = Field(
        default=10_000, ge=1, description="Client connections; more are closed at once."
    )
    max_connections_per_client: Count = Field(
        default=0, ge=0, description="The same for one client address. 0: off."
    )
    max_pipelined_bytes: Size = Field(
        default=64 * 1024, ge=1024, description="Requests read ahead while one is being answered."
    )


class CacheStatusSettings(Settings):
    """What Cache-Status (RFC 9211) tells clients beyond hit or miss."""

    key: Flag = Field(default=False, description="Show the cache key.")
    detail: Flag = Field(default=False, description="Show the rule that decided.")


def _is_off(value: object) -> bool:
    """Whether it is `off` unquoted: a boolean in YAML 1.1, here the word."""
    return (isinstance(value, Trap) and value.text == "off") or value is False


def _workers(value: object) -> object:
    value = as_plain(value)
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 256):
        return value
    return refuse(f"{show(value)} is no number of workers", "write 1 to 256, or auto for one per core")


def _affinity(value: object) -> object:
    if _is_off(value):
        return "off"
    value = as_plain(value)
    if value in ("auto", "off"):
        return value
    cpus = [as_plain(cpu) for cpu in value] if isinstance(value, (list, tuple)) else [value]
    for cpu in cpus:
        if isinstance(cpu, bool) or not isinstance(cpu, int) or not 0 <= cpu <= MOST_CPU:
            refuse(f"{show(cpu)} is no CPU", "write auto, off or the numbers of CPUs, such as [0, 1]")
    if not cpus:
        refuse("no CPU is named", "write auto, off or the numbers of CPUs, such as [0, 1]")
    return tuple(cpus)


def _name(value: str) -> str:
    if not (TOKEN.fullmatch(value) and value[0].isalpha()):
        refuse(
            f"{show(value)} is no name for Via", "write letters, digits and dashes, beginning with a letter"
        )
    return value


class Server(Settings):
    """The side towards clients."""

    listen: Annotated[
        tuple[Annotated[Listener, BeforeValidator(_listener)], ...], Field(strict=False), OneOrMany
    ] = Field(
        default=(Listener(address="127.0.0.1:8080"),),
        min_length=1,
        description="HOST:PORT, or {address, tls: {certificate, key}}; several are listed.",
        json_schema_extra=RESTART,
    )
    workers: Annotated[int | Literal["auto"], BeforeValidator(_workers)] = Field(
        default="auto", description="Worker processes; auto: one per core.", json_schema_extra=RESTART
    )
    cpu_affinity: Annotated[
        Literal["auto", "off"] | Annotated[tuple[int, ...], Field(strict=False)],
        BeforeValidator(_affinity),
        WithJsonSchema(_AFFINITY_SCHEMA),
    ] = Field(
        default="off",
        description="Pins each worker to one CPU: auto takes those that the process may use in turn, [0, 1] "
        "these in turn.",
        json_schema_extra=RESTART,
    )
    name: Annotated[str, AfterValidator(_name)] = Field(
        default="edgeproxy", description="The pseudonym in Via and Cache-Status."
    )
    node: MaybeText = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="This node's own name in a fleet. Not set: host name and 8 hex digits.",
        json_schema_extra=RESTART,
    )
    drain_timeout: Duration = Field(
        default=8.0, description="At SIGTERM: how long requests in flight may take to finish."
    )
    trusted_proxies: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=(), description="Networks whose X-Forwarded-*, X-Request-Id and traceparent are believed."
    )
    forwarded: Flag = Field(default=False, description="Send Forwarded (RFC 7239) to origins too.")
    cache_status: CacheStatusSettings = Field(
        default=CacheStatusSettings(), description="What Cache-Status tells clients beyond hit or miss."
    )
    limits: Limits = Field(default=Limits(), description="What a client may take.")


class Admin(Settings):
    """The admin API."""

    listen: Address = Field(
        default="127.0.0.1:9900", description="HOST:PORT of the admin API.", json_schema_extra=RESTART
    )
    token: str = Field(
        default="",
        pattern=r"^[\x21-\x7e]*$",
        repr=False,
        description="Bearer token. Empty: only allowed on a loopback address.",
        json_schema_extra={"secret": True},
    )

    @property
    def host(self) -> str:
        """Name or address, IPv6 without brackets."""
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """Port number; 0: any free one."""
        return split_address(self.listen)[1]


def _access(value: Any) -> Any:
    return "off" if _is_off(value) else value


def _access_path(value: str, info: ValidationInfo) -> str:
    if value in ("off", "stdout"):
        return value
    return resolve_path(value, info)


class Log(Settings):
    """What is written about the work."""

    access: Annotated[
        str,
        BeforeValidator(_access),
        AfterValidator(_access_path),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"const": False}]}),
    ] = Field(
        default="off",
        description="Access log as JSON lines: off, stdout, or the path of a file.",
        json_schema_extra=RESTART,
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least weight of the lines for operators: debug, info, warning or error."
    )


class Memory(Settings):
    """The memory tier."""

    max_size: Size = Field(
        default=256 * 2**20, ge=2**20, description="The node's total, shared out among its workers."
    )


class Disk(Settings):
    """The node tier, shared by the workers and kept over restarts."""

    path: FilePath = Field(
        description="Directory; relative to this file.", json_schema_extra=RESTART, examples=["./var/cache"]
    )
    max_size: Size = Field(
        default=2 * 2**30,
        ge=16 * 2**20,
        description="What it may take on the disk.",
        json_schema_extra=RESTART,
    )


class Redis(Settings):
    """The fleet's tier."""

    url: RedisUrl = Field(
        repr=False,
        description="redis://HOST:6379/0, unix:///PATH?db=0, redis+sentinel://HOST,HOST/MASTER/0 or"
        " redis+cluster://HOST,HOST; rediss... for TLS; USER:PASSWORD@ before the hosts.",
        examples=["redis://127.0.0.1:6379/0"],
        json_schema_extra={"secret": "url"},
    )
    timeout: Duration = Field(
        default=0.05,
        gt=0,
        le=10,
        description="For each command, connecting included; then the tier counts as a miss.",
    )
    key_prefix: str = Field(
        default="edge:",
        max_length=100,
        pattern=r"^[\x21-\x7e]*$",
        description="Begins the name of every key in Redis; nodes with the same prefix are one fleet.",
    )
    max_object_size: Size = Field(
        default=4 * 2**20,
        le=64 * 2**20,
        description="Larger bodies stay out: one has to arrive within `timeout`, and holds up all others"
        " on the way (4 MiB take 34 ms at 1 Gbit/s).",
    )
    compress_above: SizeOrOff = Field(
        default=4096,
        description="Larger bodies that no coding has made small are kept compressed where that saves an"
        " eighth; off: none.",
    )


class Cache(Settings):
    """The tiers that responses are stored in."""

    memory: Memory = Field(default=Memory(), description="The memory tier.")
    disk: Disk | None = Field(default=None, description="The node tier, kept over restarts. Not set: off.")
    redis: Redis | None = Field(default=None, description="The fleet's tier. Not set: off.")
