"""What upstreams tell telemetry, through an interface of their own.

Must not know metrics.
"""

from typing import Protocol


class Recorder(Protocol):
    """Counts requests to origins and what befalls origins."""

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        """One try ended: with a status, or an error's type of RFC 9209; seconds until then."""

    def ejected(self, upstream: str, origin: str, why: str) -> None:
        """An address of an origin was left out: for failures, error_rate or latency."""

    def panic(self, upstream: str, on: bool) -> None:
        """So few are healthy that all are used; or no longer."""


class NoRecorder:
    """Counts nothing."""

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        return

    def ejected(self, upstream: str, origin: str, why: str) -> None:
        return

    def panic(self, upstream: str, on: bool) -> None:
        return
