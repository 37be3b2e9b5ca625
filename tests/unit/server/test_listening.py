"""What the connections of one listener share: whom to trust, whom to let in."""

import asyncio
import ipaddress
from typing import Any, cast

import pytest

from edgeproxy.clock import SteadyClock
from edgeproxy.server.limits import ClientLimits, client_limits
from edgeproxy.server.listening import Listening
from edgeproxy.wire.limits import HeadLimits
from tests.plane import plane


def listening(trusted: tuple[str, ...] = (), **limits: int) -> Listening:
    nothing = cast("Any", None)
    return Listening(
        scheme=b"http",
        limits=ClientLimits(HeadLimits(), **limits),
        fast=nothing,
        fast_trusted=nothing,
        serve=nothing,
        take=nothing,
        refusal=nothing,
        refused=nothing,
        hits=None,
        identify=nothing,
        trusted=tuple(ipaddress.ip_network(network) for network in trusted),
        loop=cast("asyncio.AbstractEventLoop", None),
        clock=SteadyClock(),
    )


class Peer:
    """As much of a connection as is counted."""

    def __init__(self, peer: bytes = b"1.1.1.1") -> None:
        self.peer = peer


TRUST = [
    ((), b"10.0.0.1", False),
    ((), b"unix", False),
    (("10.0.0.0/8",), b"10.0.0.1", True),
    (("10.0.0.0/8",), b"11.0.0.1", False),
    (("10.0.0.0/8",), b"::ffff:10.0.0.1", True),
    (("10.0.0.0/8",), b"unix", True),
    (("10.0.0.0/8",), b"nonsense", False),
    (("fd00::/8",), b"fd00::1", True),
    (("fd00::/8",), b"10.0.0.1", False),
]


@pytest.mark.parametrize(("networks", "peer", "trusted"), TRUST)
def test_trust_goes_by_network(networks: tuple[str, ...], peer: bytes, trusted: bool) -> None:
    assert listening(networks).trusts(peer) is trusted


def test_refused_connections_do_not_count() -> None:
    shared = listening(connections=2)
    peers = cast("list[Any]", [Peer(b"%d" % number) for number in range(4)])
    refusals = [shared.admit(peer) for peer in peers]
    assert [refusal and refusal.status for refusal in refusals] == [None, None, 503, 503]
    assert (len(shared.connections), len(shared.turned_away)) == (2, 2)
    for peer in peers[1:]:
        shared.forget(peer)
        shared.forget(peer)
    assert shared.admit(peers[3]) is None
    assert not shared.turned_away


def test_each_address_has_its_own_bound() -> None:
    shared = listening(per_client=1)
    one, two, other = cast("list[Any]", [Peer(), Peer(), Peer(b"2.2.2.2")])
    assert shared.admit(one) is None
    refusal = shared.admit(two)
    assert refusal is not None
    assert refusal.status == 429
    assert shared.admit(other) is None
    shared.forget(one)
    assert shared.admit(two) is None
    assert not shared.crowded


def test_a_crowd_of_refused_ones_gets_no_more_time() -> None:
    shared = listening(connections=1)
    for _ in range(3):
        shared.admit(cast("Any", Peer()))
    assert shared.crowded


@pytest.mark.parametrize(("workers", "share"), [(1, 10_000), (3, 3334)])
async def test_workers_share_the_node_s_limits(workers: int, share: int) -> None:
    async with plane(o="http://127.0.0.1:1") as proxy:
        assert client_limits(proxy.config, workers, 1 << 20).connections == share
        assert client_limits(proxy.config, workers).per_client == 0
