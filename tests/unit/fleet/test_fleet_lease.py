"""Leases in Redis: given once, left to who comes next, and in the slot of what is stored."""

import pytest
from redis.crc import key_slot

from edgeproxy.fleet.fleet_lease import REFUSED, TOO_LARGE, FleetLeases, Taken
from edgeproxy.store.redis_tier import RedisTier
from tests.redis_server import RedisServer
from tests.unit.store.responses import stored

KEY, NAME = b"GET http://shop.example/", b"n" * 16


@pytest.mark.parametrize("prefix", ["edge:", "{edge}:", ""])
async def test_a_lease_lies_in_the_slot_of_what_is_stored(prefix: str) -> None:
    leases = FleetLeases(RedisTier("redis://127.0.0.1:1/0", key_prefix=prefix), "n1")
    name, lease = leases._names(NAME, KEY)
    assert lease.startswith(prefix.encode())
    assert key_slot(name) == key_slot(lease)


async def test_who_was_not_answered_in_time_asks_again_and_has_what_it_was_given_meanwhile() -> None:
    with RedisServer() as server:
        tiers = [RedisTier(server.url, timeout=timeout) for timeout in (0.2, 5.0)]
        late, other = FleetLeases(tiers[0], "n1"), FleetLeases(tiers[1], "n2")
        for tier in tiers:
            await tier.start()
        assert await tiers[0].ask("PING") is not None
        server.pause()
        taken, token = await late.take(NAME, KEY, looks=True)
        server.resume()
        assert taken is Taken.UNREACHABLE
        await tiers[0].variants(KEY)  # comes after it
        assert (await other.take(NAME, KEY, looks=True))[0] is Taken.ANOTHERS
        assert await late.take(NAME, KEY, looks=True) == (Taken.UNREACHABLE, b"")  # who waited already
        assert await late.take(NAME, KEY, looks=True, token=token, insist=True) == (Taken.OURS, token)
        for tier in tiers:
            await tier.close(0.0)


async def test_what_is_queued_behind_a_put_finds_it_there_though_redis_lacks_the_script() -> None:
    with RedisServer() as server:
        tier = RedisTier(server.url, timeout=5.0)
        await tier.start()
        kept = stored()
        tier.put(kept, 60.0)
        there = "return redis.call('SET', 'there', redis.call('EXISTS', KEYS[1]))"
        tier.later(kept.key, ("EVAL", there, 1, tier.name_of(kept.key)))
        await tier.flush()
        assert await tier.ask("GET", "there") == b"1"
        await tier.close(0.0)


async def test_one_has_it_until_it_lets_go_and_what_it_leaves_is_known_to_all() -> None:
    with RedisServer() as server:
        tiers = [RedisTier(server.url, timeout=5.0) for _ in range(2)]
        one, other = FleetLeases(tiers[0], "n1"), FleetLeases(tiers[1], "n2")
        for tier in tiers:
            await tier.start()
        taken, token = await one.take(NAME, KEY, looks=True)
        assert taken is Taken.OURS
        assert (await other.take(NAME, KEY, looks=True))[0] is Taken.ANOTHERS
        other.release(NAME, KEY, b"another's token")
        one.renew(NAME, KEY, token)
        await tiers[1].flush()
        assert (await other.take(NAME, KEY, looks=True, succeeds=True))[0] is Taken.ANOTHERS
        one.release(NAME, KEY, token)
        await tiers[0].flush()
        taken, token = await other.take(NAME, KEY, looks=True)
        assert taken is Taken.OURS
        # a sibling that has the node's lease knows that who had the fleet's is dead
        heir = FleetLeases(tiers[0], "n2")
        assert (await heir.take(NAME, KEY, looks=True))[0] is Taken.ANOTHERS
        taken, token = await heir.take(NAME, KEY, looks=True, succeeds=True)
        assert taken is Taken.OURS
        heir.release(NAME, KEY, token, REFUSED)
        await tiers[0].flush()
        assert (await other.take(NAME, KEY, looks=True))[0] is Taken.REFUSED
        taken, token = await one.take(b"m" * 16, KEY, looks=True)
        one.release(b"m" * 16, KEY, token, TOO_LARGE)
        await tiers[0].flush()
        assert (await other.take(b"m" * 16, KEY, looks=True))[0] is Taken.APART
        # what is stored is told whoever holds the lease: letting go of it may have been lost
        assert (await one.take(NAME, KEY, looks=False))[0] is Taken.REFUSED
        taken, token = await one.take(b"o" * 16, KEY, looks=True)
        assert await tiers[1].ask("HSET", tiers[1].name_of(KEY), b"v", b"...") == 1
        assert (await other.take(b"o" * 16, KEY, looks=True))[0] is Taken.THERE
        assert (await other.take(b"o" * 16, KEY, looks=True, variant=b"de"))[0] is Taken.ANOTHERS
        server.kill()
        taken, token = await one.take(NAME, KEY, looks=True)
        assert taken is Taken.UNREACHABLE
        assert token  # it may have been given
        assert await one.take(NAME, KEY, looks=True) == (Taken.UNREACHABLE, b"")  # not asked
        for tier in tiers:
            await tier.close(0.0)
