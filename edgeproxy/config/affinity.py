"""The sections `sticky` and `canary` of a route: which client's requests go where.

Knows no upstream. Each key's default, unit and sentence stand here and nowhere else.
"""

from typing import Literal

from pydantic import Field

from edgeproxy.config.base import Settings
from edgeproxy.config.kinds import HeaderName, Share


class Sticky(Settings):
    """A client stays with an origin, by a cookie that tells nobody which; for routes without a cache."""

    secret: str = Field(
        min_length=16,
        max_length=1024,
        description="Makes the cookie's value; the same on all nodes. 16 characters or more.",
        json_schema_extra={"secret": True},
        examples=["${EDGEPROXY_STICKY_SECRET}"],
    )
    cookie: HeaderName = Field(
        default="edgeproxy_origin", description="The cookie's name; it is HttpOnly and SameSite=Lax."
    )


class Canary(Settings):
    """Some clients are served by another upstream; for routes without a cache."""

    upstream: str = Field(min_length=1, description="Name of the other upstream.", examples=["shop-next"])
    weight: Share = Field(
        default=0.0, ge=0, le=1, description="The share that it gets; with no origin up, it gets none."
    )
    by: Literal["client", "random"] = Field(
        default="client",
        description="client: always the same client addresses; random: any request.",
    )
