"""What a worker is told when it starts: the first call on its control channel.

Must not know how it is sent.
"""

from typing import Any

import msgspec


class Inherited(msgspec.Struct, frozen=True, array_like=True):
    """A listening socket: of which listener (by its place in the list), whose, and its descriptor."""

    listener: int
    owner: int
    fd: int


class Steered(msgspec.Struct, frozen=True, array_like=True):
    """What the node knows of an origin: `state` as the operator set it, `healthy` by active checks."""

    upstream: str
    origin: str
    healthy: bool = True
    state: str = "up"


class NodeShare(msgspec.Struct, frozen=True, array_like=True):
    """Where the node's tier is: its file, its map's size, the largest value it takes, in bytes; which file in
    turn it is, the socket to its writer, and the bytes that it takes of the workers' memory; and descriptors
    for the leases of those who share it (`fleet.node_lease`), none for one worker alone."""

    path: str
    size: int
    largest: int
    generation: int
    fd: int
    memory: int
    leases: list[int] = []


class Hello(msgspec.Struct, frozen=True):
    """All that a worker needs; descriptors were passed to it when it was executed."""

    index: int
    workers: int
    node: str
    config: dict[str, Any]
    sockets: list[Inherited]
    counters: int
    purges: int
    origins: list[Steered] = []
    node_tier: NodeShare | None = None
    closed: bool = False  # accept nothing until told to adopt one's own sockets
    clock: float | None = None
    """`SteadyClock.anchor` of the node: its workers agree, whatever the machine's clock did meanwhile."""
