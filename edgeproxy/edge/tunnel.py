"""Tunnels: after an upgrade, bytes both ways, each side at the pace of the other.

Must not know HTTP. RFC 9110 §7.8.
"""

import asyncio
from typing import cast

from edgeproxy.clock import Clock

HIGH_WATER = 256 * 1024


class _Side(asyncio.Protocol):
    """One end of a tunnel; what it receives goes to `other`."""

    __slots__ = ("lost", "other", "transport", "tunnel")

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport) -> None:
        self.tunnel = tunnel
        self.transport = transport
        self.other: _Side = self
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.tunnel.active = self.tunnel.tunnels.now
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        if self.other.transport.can_write_eof():
            self.other.transport.write_eof()
            self.tunnel.half_closed += 1
            return self.tunnel.half_closed < 2
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if exc is not None:
            self.other.transport.abort()  # no clean end here, none there
        else:
            self.other.transport.close()
        self.tunnel.tunnels.lost(self.tunnel)

    def pause_writing(self) -> None:
        self.other.pause(True)

    def resume_writing(self) -> None:
        self.other.pause(False)

    def pause(self, paused: bool) -> None:
        """Stop or go on reading from this end."""
        if not self.transport.is_closing() and paused == self.transport.is_reading():
            self.transport.pause_reading() if paused else self.transport.resume_reading()


class Tunnel:
    """Two transports joined; `active` is when bytes last came, in monotonic seconds."""

    __slots__ = ("active", "client", "half_closed", "idle", "origin", "tunnels")

    def __init__(
        self, tunnels: "Tunnels", client: asyncio.Transport, origin: asyncio.Transport, idle: float
    ) -> None:
        self.tunnels = tunnels
        self.idle = idle
        self.active = tunnels.now
        self.half_closed = 0
        self.client = _Side(self, client)
        self.origin = _Side(self, origin)
        self.client.other, self.origin.other = self.origin, self.client

    def __repr__(self) -> str:
        return f"<Tunnel half_closed={self.half_closed} active={self.active:.1f}>"

    @property
    def over(self) -> bool:
        """Whether both ends are gone."""
        return self.client.lost and self.origin.lost

    def close(self) -> None:
        """Close both ends once what is written is out."""
        self.client.transport.close()
        self.origin.transport.close()

    def abort(self) -> None:
        """Close both ends at once."""
        self.client.transport.abort()
        self.origin.transport.abort()


class Tunnels:
    """All tunnels of a worker; `sweep` is to be called once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: set[Tunnel] = set()
        self.now = clock.monotonic()

    def __repr__(self) -> str:
        return f"<Tunnels {len(self._open)}>"

    def __len__(self) -> int:
        return len(self._open)

    def join(
        self,
        client: tuple[asyncio.Transport, bytes],
        origin: tuple[asyncio.Transport, bytes],
        idle: float,
    ) -> None:
        """Join two transports; bytes already read from each go to the other first. `idle` in seconds."""
        tunnel = Tunnel(self, client[0], origin[0], idle)
        self._open.add(tunnel)
        sides = ((tunnel.client, client[1]), (tunnel.origin, origin[1]))
        for side, _ in sides:
            side.transport.set_protocol(cast("asyncio.BaseProtocol", side))
            side.transport.set_write_buffer_limits(HIGH_WATER)
            side.lost = side.transport.is_closing()
        if tunnel.client.lost or tunnel.origin.lost:
            tunnel.abort()
            self.lost(tunnel)
            return
        for side, early in sides:
            side.pause(False)
            if early:
                side.other.transport.write(early)

    def lost(self, tunnel: Tunnel) -> None:
        """An end of a tunnel is gone; the other may have something to write out still."""
        if tunnel.over:
            self._open.discard(tunnel)

    def sweep(self) -> None:
        """Close tunnels through which nothing went for their idle time."""
        self.now = self._clock.monotonic()
        for tunnel in list(self._open):
            if self.now - tunnel.active > tunnel.idle:
                tunnel.abort()

    def close(self) -> None:
        """Close all, whatever is still to be written."""
        for tunnel in list(self._open):
            tunnel.abort()
