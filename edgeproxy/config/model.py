"""The whole configuration as one frozen value, and the names of its sections.

Knows no YAML and no file: see `load`. Durations are seconds, sizes bytes, shares 0 to 1.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from edgeproxy.config.admission import Admission
from edgeproxy.config.affinity import Canary, Sticky
from edgeproxy.config.base import Settings
from edgeproxy.config.health import Ejection, HealthCheck
from edgeproxy.config.kinds import Flag
from edgeproxy.config.mask import masked
from edgeproxy.config.resilience import Concurrency, Hedge, Retries
from edgeproxy.config.routes import (
    Adaptive,
    Esi,
    HeaderEdits,
    Key,
    KeyQuery,
    Match,
    Redirect,
    Route,
    RouteCache,
    Vary,
)
from edgeproxy.config.server import (
    Admin,
    Cache,
    CacheStatusSettings,
    Disk,
    Limits,
    Listener,
    ListenerTls,
    Log,
    Memory,
    Redis,
    Server,
)
from edgeproxy.config.upstreams import (
    Hash,
    Origin,
    Timeouts,
    Upstream,
    UpstreamTls,
)

__all__ = [
    "Adaptive",
    "Admin",
    "Admission",
    "Cache",
    "CacheStatusSettings",
    "Canary",
    "Concurrency",
    "Config",
    "Disk",
    "Ejection",
    "Esi",
    "Hash",
    "HeaderEdits",
    "HealthCheck",
    "Hedge",
    "Key",
    "KeyQuery",
    "Limits",
    "Listener",
    "ListenerTls",
    "Log",
    "Match",
    "Memory",
    "Origin",
    "Redirect",
    "Redis",
    "Retries",
    "Route",
    "RouteCache",
    "Server",
    "Sticky",
    "Timeouts",
    "Upstream",
    "UpstreamTls",
    "Vary",
]

UpstreamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Config(Settings):
    """What edgeproxy does: read once, checked whole, never changed."""

    version: Literal[1] = Field(default=1, description="Of this format.")
    watch: Flag = Field(default=False, description="Reload when this file changes, as SIGHUP does.")
    server: Server = Field(default=Server(), description="The side towards clients.")
    admin: Admin = Field(default=Admin(), description="The admin API.")
    log: Log = Field(default=Log(), description="What is written about the work.")
    cache: Cache = Field(default=Cache(), description="The tiers that responses are stored in.")
    upstreams: dict[UpstreamName, Upstream] = Field(
        min_length=1, max_length=1000, description="Pools of origins, by name."
    )
    routes: Annotated[tuple[Route, ...], Field(strict=False)] = Field(
        min_length=1, max_length=10_000, description="Tried in order, the first match wins."
    )

    def dump(self) -> dict[str, Any]:
        """All values as JSON-able data that `load_mapping` reads back; holds secrets."""
        return self.model_dump(mode="json", by_alias=True)

    def masked(self) -> dict[str, Any]:
        """The same with units and without secrets, for people."""
        return masked(self)
