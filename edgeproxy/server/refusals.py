"""Answers to what never became an exchange.

Must not know routes.
"""

from edgeproxy.clock import Clock
from edgeproxy.edge.heads import Heads, reason_of
from edgeproxy.edge.ledger import NO_ROUTE, Ledger, Outcome
from edgeproxy.errors import BadRequest
from edgeproxy.server.protocol import ClientConnection
from edgeproxy.telemetry.access_log import AccessLog, Record
from edgeproxy.wire.serialise import response_head_bytes


class Refusals:
    """Counts and words for requests that have no exchange."""

    def __init__(self, ledger: Ledger, access_log: AccessLog | None, clock: Clock, heads: Heads) -> None:
        self._ledger = ledger
        self._log = access_log
        self._clock = clock
        self._heads = heads

    def answer(self, error: BadRequest) -> bytes:
        """The whole answer to a request that is refused unread."""
        lines, body = self._heads.error(error, self._clock.wall())
        lines.append((b"Connection", b"close"))
        return response_head_bytes(error.status, reason_of(error.status), lines) + body

    def note(self, connection: ClientConnection, error: BadRequest) -> None:
        """Count a refusal, and log it."""
        self._ledger.refused(error.status)
        if self._log is not None:
            self._log.add(
                Record(
                    time=self._clock.wall(),
                    client=connection.peer,
                    method=b"",
                    host=b"",
                    path=b"",
                    status=error.status,
                    bytes=0,
                    duration=0.0,
                    route=NO_ROUTE,
                    outcome=Outcome.ERROR.value,
                    reason=str(error),
                )
            )
