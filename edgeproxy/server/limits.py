"""Limits of a client connection, as plain numbers a worker can compare with.

Must not know sockets.
"""

import ipaddress
from dataclasses import dataclass

from edgeproxy.config.model import Config
from edgeproxy.server.descriptors import open_files, room_for_clients
from edgeproxy.wire.limits import HeadLimits


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Sizes in bytes, durations in seconds; 0 switches `per_client` off.

    `linger` bytes of a request's body are read past its response to keep the connection, and for
    `linger_timeout` one that ends is read on so that the client gets its last answer.
    `connections` and `per_client` are this worker's share.
    """

    head: HeadLimits
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    write_timeout: float = 60.0
    connections: int = 10_000
    per_client: int = 0
    pipelined: int = 64 * 1024
    linger: int = 256 * 1024
    linger_timeout: float = 5.0


def connections_wanted(config: Config, workers: int) -> tuple[int, int]:
    """One worker's share of the connections that the configuration allows: of clients, and to origins."""
    origins = sum(
        len(each.origins) * -(-each.max_connections // workers) for each in config.upstreams.values()
    )
    return -(-config.server.limits.max_connections // workers), origins


def client_limits(config: Config, workers: int, files: int | None = None) -> ClientLimits:
    """The limits of one of `workers` that share the node's, with so many open files a process."""
    limits = config.server.limits
    clients, origins = connections_wanted(config, workers)
    room = room_for_clients(open_files() if files is None else files, origins)
    return ClientLimits(
        head=HeadLimits(limits.max_target_size, limits.max_head_size, limits.max_fields),
        header_timeout=limits.header_timeout,
        body_timeout=limits.body_timeout,
        idle_timeout=limits.idle_timeout,
        write_timeout=limits.write_timeout,
        connections=min(clients, room),
        per_client=-(-limits.max_connections_per_client // workers),
        pipelined=limits.max_pipelined_bytes,
    )


def trusted_networks(config: Config) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """The networks whose word about clients is taken."""
    return tuple(ipaddress.ip_network(network, strict=False) for network in config.server.trusted_proxies)
