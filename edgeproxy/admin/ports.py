"""What the admin API asks of the node.

Must not know processes, sockets or Redis.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from edgeproxy.config.model import Config
from edgeproxy.wire.fields import RawField


@dataclass(frozen=True, slots=True)
class PurgeOrder:
    """What to purge: the union of what is named; `wait` in seconds for the rest of the fleet.

    `dry_run` only tells what would go; `rate`, URLs a second, lets a soft purge drip.
    """

    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefix: str | None = None
    host: str | None = None
    everything: bool = False
    soft: bool = False
    wait: float = 2.0
    dry_run: bool = False
    rate: float | None = None


class UnknownOrigin(LookupError):
    """No upstream, or no origin in it, of that name."""


class Node(Protocol):
    """The node, as far as operators deal with it."""

    name: str

    @property
    def config(self) -> Config:
        """What is in force."""
        ...

    def not_ready(self) -> list[str]:
        """Why the node should get no traffic; empty: it should."""
        ...

    def health(self) -> dict[str, dict[str, bool]]:
        """Upstream to origin to whether active checks find it healthy."""
        ...

    def purge_log(self) -> dict[str, object]:
        """How the purge log stands."""
        ...

    def metrics(self) -> bytes:
        """Prometheus text."""
        ...

    async def workers(self) -> list[dict[str, Any]]:
        """One entry a worker."""
        ...

    async def nodes(self) -> list[dict[str, Any]]:
        """The fleet's nodes, this one first."""
        ...

    async def purge(self, order: PurgeOrder) -> dict[str, Any]:
        """Purge, and tell the outcome. Raises BadRequest where nothing was purged."""
        ...

    async def explain(self, url: str, fields: list[RawField]) -> dict[str, Any]:
        """Why a URL is, or is not, answered from a store. Raises BadRequest, ControlError."""
        ...

    async def upstreams(self) -> dict[str, Any]:
        """Each upstream with its origins, all workers together."""
        ...

    async def steer(self, upstream: str, origin: str, state: str) -> dict[str, Any]:
        """Drain an origin, take it down or up again. Raises UnknownOrigin."""
        ...


class Reloads(Protocol):
    """How the configuration is read again."""

    async def reload(self) -> Any:
        """What changed, and what needs a restart; raises an error with `mistakes`."""
        ...
