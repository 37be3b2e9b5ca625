"""The names of an upstream's origins, and the addresses that they have.

Must not know how a name is resolved (`dns`), or what is sent there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from edgeproxy.errors import DnsFailure
from edgeproxy.upstream.dns import Resolver, SystemResolver, Watch, literal
from edgeproxy.upstream.origin import Address, Origin, unix_address
from edgeproxy.upstream.roster import Roster
from edgeproxy.upstream.settings import UpstreamSettings
from edgeproxy.upstream.supply import Supply


class Names:
    """Keeps the roster's addresses up to date; `close` in the end."""

    def __init__(
        self, settings: UpstreamSettings, resolver: Resolver | None, roster: Roster, supply: Supply
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._roster = roster
        self._supply = supply
        self._watches: dict[Origin, Watch] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Names {len(self._watches)} watched>"

    @property
    def error(self) -> DnsFailure | None:
        """Why none of the origins has an address; None unless that is so for all."""
        errors = [watch.last_error for watch in self._watches.values()]
        return errors[0] if len(errors) == len(self._roster.origins) and all(errors) else None

    def locate(self, origin: Origin) -> None:
        """Find the origin's addresses, and go on looking where it has a name."""
        location = origin.location
        if location.path is not None:
            self._roster.resolved(origin, [unix_address(location.path)])
            return
        address = literal(location.host, location.port)
        if address is not None:
            self._roster.resolved(origin, [address])
            return

        def report(addresses: Sequence[Address]) -> None:
            self._supply.drop_idle(tuple(self._roster.resolved(origin, addresses)))

        resolver = self._resolver or SystemResolver()
        watch = Watch(location.host, location.port, resolver, self._settings.dns_interval, report)
        self._watches[origin] = watch
        self._tasks.append(asyncio.create_task(watch.run(), name=f"dns {location.host}"))

    async def first(self, clock: Callable[[], float]) -> None:
        """Wait until each name was asked for once, or one is known."""
        deadline = clock() + self._settings.timeouts.connect
        for watch in self._watches.values():
            if self._roster.usable:
                return
            await watch.first(max(deadline - clock(), 0.0))

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
