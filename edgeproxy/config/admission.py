"""The section `admission` of an upstream: how fast what was lost may be fetched again.

Knows no origin. Each key's default, unit and sentence stand here and nowhere else.
"""

from pydantic import Field

from edgeproxy.config.base import Settings
from edgeproxy.config.kinds import Count, Duration, Rate


class Admission(Settings):
    """Refetches of routes with a cache at a bounded rate, popular keys first; all for the whole node."""

    rate: Rate = Field(
        default=200.0, gt=0, description="Misses and revalidations that go to the upstream, by this node."
    )
    burst: Count = Field(
        default=50, ge=1, le=100_000, description="So many at once after a pause, before the rate holds."
    )
    queue: Count = Field(
        default=1000, ge=0, le=100_000, description="Fetches that may wait; more: the least popular get 503."
    )
    wait: Duration = Field(default=5.0, gt=0, le=60, description="How long one may wait; then 503.")
