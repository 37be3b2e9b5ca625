"""What upstreams tell telemetry, through an interface of their own.

Must not know metrics.
"""

from typing import Protocol


class Recorder(Protocol):
    """Counts requests to origins and what befalls origins."""

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        """One try ended: with a status, or an error's type of RFC 9209; seconds until then."""

    def ejected(self, upstream: str, origin: str, why: str) -> None:
        """An address of an origin was left out: for failures, error_rate, latency or outrun."""

    def out(self, upstream: str, origin: str, out: bool) -> None:
        """All addresses of an origin are left out; or no longer."""

    def panic(self, upstream: str, on: bool) -> None:
        """So few are healthy that all are used; or no longer."""

    def retried(self, upstream: str, taken: bool) -> None:
        """A request was tried again; or would have been, had the budget not been spent."""

    def hedged(self, upstream: str, won: bool) -> None:
        """A second copy of a request was sent, and was answered first; or was not."""

    def overloaded(self, upstream: str) -> None:
        """A request was refused, because no origin bears one more."""

    def concurrency(self, upstream: str, origin: str, limit: int) -> None:
        """So many requests at once the origin is given now."""


class NoRecorder:
    """Counts nothing."""

    def origin_request(self, upstream: str, origin: str, code: int | str, seconds: float) -> None:
        return

    def ejected(self, upstream: str, origin: str, why: str) -> None:
        return

    def out(self, upstream: str, origin: str, out: bool) -> None:
        return

    def panic(self, upstream: str, on: bool) -> None:
        return

    def retried(self, upstream: str, taken: bool) -> None:
        return

    def hedged(self, upstream: str, won: bool) -> None:
        return

    def overloaded(self, upstream: str) -> None:
        return

    def concurrency(self, upstream: str, origin: str, limit: int) -> None:
        return
