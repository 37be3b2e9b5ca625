"""What upstreams tell telemetry, through an interface of their own.

Must not know metrics.
"""

from typing import Protocol


class Recorder(Protocol):
    """Counts requests to origins."""

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        """One try ended: with a status, or an error's type of RFC 9209; seconds until then."""


class NoRecorder:
    """Counts nothing."""

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        return
