"""What the plain requests under way share (`trip`), and what they ask of their clients' connections.

Must not know how a request is taken or carried.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from edgeproxy.clock import Clock
from edgeproxy.edge.cycle import Cycle
from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.ledger import Ledger
from edgeproxy.edge.ports import Downstream

if TYPE_CHECKING:
    from edgeproxy.edge.trip import Trip

Run = Callable[[Coroutine[Any, Any, None]], object]
"""Runs what is left of an exchange, in a task that somebody owns."""


class ExpressClient(Protocol):
    """The client's connection, as far as a trip needs it."""

    @property
    def last_words(self) -> bool: ...
    def write(self, data: bytes | memoryview) -> None: ...
    def write_many(self, data: tuple[bytes | memoryview, ...]) -> None: ...
    def exchange_ended(self, exchange: "Trip") -> None: ...
    def unpack(self, trip: "Trip") -> Downstream: ...


class Lane:
    """What the trips of one worker share."""

    def __init__(self, cycle: Cycle, fetcher: Fetcher, ledger: Ledger, clock: Clock, run: Run) -> None:
        self.cycle = cycle
        self.fetcher = fetcher
        self.ledger = ledger
        self.clock = clock
        self.run = run
        self.trips: set[Trip] = set()
        self.taken = 0
        self.handed_on = 0
        self.closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)} under way>"

    def __len__(self) -> int:
        return len(self.trips)
