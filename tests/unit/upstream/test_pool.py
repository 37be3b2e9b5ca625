"""The pool does no IO: plain values stand for connections."""

from dataclasses import dataclass

import pytest

from edgeproxy.errors import PoolExhausted
from edgeproxy.upstream.origin import Endpoint, Origin
from edgeproxy.upstream.pool import Grant, Pool, Waiter
from tests.unit.upstream.helpers import make_origin


@dataclass(eq=False)
class Held:
    endpoint: Endpoint
    usable_until: float = 100.0


class Waiting:
    """A waiter that may have left."""

    def __init__(self, *tried: Origin, here: bool = True) -> None:
        self.grants: list[Grant] = []
        self.here = here
        self.waiter = Waiter(self.take, tried)

    def take(self, grant: Grant) -> bool:
        if self.here:
            self.grants.append(grant)
        return self.here


def opened(pool: Pool, endpoint: Endpoint, until: float = 100.0) -> Held:
    assert pool.reserve(endpoint)
    connection = Held(endpoint, until)
    pool.opened(connection)
    return connection


def test_the_connection_used_last_is_used_first() -> None:
    pool, origin = Pool(5, 5), make_origin()
    endpoint = origin.endpoints[0]
    first, second = opened(pool, endpoint), opened(pool, endpoint)
    assert pool.reuse(endpoint, 0) is None
    assert pool.release(first, 0)
    assert pool.release(second, 0)
    assert pool.reuse(endpoint, 0) is second
    assert pool.reuse(endpoint, 0) is first
    assert repr(endpoint) == "<Endpoint 127.0.0.1:80 in, 2 connections, 0 idle, 0 opening>"


def test_connections_that_are_too_old_are_told_once_to_be_closed() -> None:
    pool, origin = Pool(5, 5), make_origin()
    endpoint = origin.endpoints[0]
    old, young = opened(pool, endpoint, 10), opened(pool, endpoint, 20)
    pool.release(young, 0)
    pool.release(old, 0)
    assert pool.reuse(endpoint, 15) is young
    assert pool.dead() == [old]
    assert pool.dead() == []


def test_what_expires_in_idleness_is_found_by_the_sweep() -> None:
    pool, origin = Pool(5, 5), make_origin()
    endpoint = origin.endpoints[0]
    old, young = opened(pool, endpoint, 10), opened(pool, endpoint, 20)
    pool.release(old, 0)
    pool.release(young, 0)
    assert pool.expired(origin, 15) == [old]
    assert endpoint.idle == [young]


def test_the_limit_is_the_origins_over_all_its_addresses() -> None:
    pool, origin = Pool(2, 5), make_origin(addresses=3)
    first, second, third = origin.endpoints
    kept = opened(pool, first)
    assert pool.reserve(second)
    assert not pool.reserve(third)
    assert not pool.has_room(origin)
    pool.release(kept, 0)
    assert pool.has_room(origin)
    assert pool.reuse_any(origin, 0) is kept
    assert pool.reuse_any(origin, 0) is None
    pool.cancelled(second, 0)
    assert pool.reserve(third)
    assert (origin.held, third.busy) == (2, 1)


def test_a_freed_connection_goes_to_the_first_who_waits() -> None:
    pool, origin = Pool(1, 5), make_origin()
    connection = opened(pool, origin.endpoints[0])
    first, second = Waiting(), Waiting()
    pool.wait(first.waiter)
    pool.wait(second.waiter)
    assert pool.release(connection, 0)
    assert (first.grants, second.grants, pool.waiting) == ([connection], [], 1)


def test_who_has_left_or_has_tried_that_origin_is_passed_over() -> None:
    pool, origin = Pool(1, 5), make_origin()
    connection = opened(pool, origin.endpoints[0])
    left, tried, here = Waiting(here=False), Waiting(origin), Waiting()
    for waiting in (left, tried, here):
        pool.wait(waiting.waiter)
    assert pool.release(connection, 0)
    assert here.grants == [connection]
    assert pool.waiting == 1
    pool.leave(tried.waiter)
    pool.leave(tried.waiter)
    assert repr(pool) == "<Pool limit=1 waiting=0/5>"


def test_with_nobody_to_take_it_a_freed_connection_idles() -> None:
    pool, origin = Pool(1, 5), make_origin()
    connection = opened(pool, origin.endpoints[0])
    pool.wait(Waiting(origin).waiter)
    assert pool.release(connection, 0)
    assert origin.endpoints[0].idle == [connection]


def test_a_closed_connection_makes_a_place_for_who_waits() -> None:
    pool, origin = Pool(1, 5), make_origin()
    endpoint = origin.endpoints[0]
    connection = opened(pool, endpoint)
    left, here = Waiting(here=False), Waiting()
    pool.wait(left.waiter)
    pool.wait(here.waiter)
    pool.closed(connection, 0)
    pool.closed(connection, 0)
    assert here.grants == [endpoint]
    assert (origin.held, endpoint.opening) == (1, 1)


def test_an_idle_connection_that_closes_is_no_longer_idle() -> None:
    pool, origin = Pool(1, 5), make_origin()
    connection = opened(pool, origin.endpoints[0])
    pool.release(connection, 0)
    pool.closed(connection, 0)
    assert (origin.endpoints[0].idle, origin.held) == ([], 0)


def test_no_place_is_offered_at_an_origin_that_is_out_or_was_tried() -> None:
    pool, origin = Pool(1, 5), make_origin()
    tried = Waiting(origin)
    pool.wait(tried.waiter)
    pool.offer(origin, 0)
    origin.checked = False
    pool.wait(Waiting().waiter)
    pool.offer(origin, 0)
    assert (origin.held, pool.waiting) == (0, 2)


def test_the_queue_is_bounded() -> None:
    pool = Pool(1, 1)
    pool.wait(Waiting().waiter)
    with pytest.raises(PoolExhausted, match="1 requests waiting"):
        pool.wait(Waiting().waiter)


@pytest.mark.parametrize("why", ["retired", "old"])
def test_a_connection_not_worth_keeping_is_not_kept(why: str) -> None:
    pool, origin = Pool(1, 5), make_origin()
    connection = opened(pool, origin.endpoints[0])
    if why == "retired":
        origin.resolved([])
    else:
        connection.usable_until = 5.0
    assert not pool.release(connection, 5.0)
