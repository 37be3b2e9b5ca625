"""The Redis tier against a real redis-server: what it keeps, and each way in which Redis can fail it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import redis

from edgeproxy.caching.stored import Stamp
from edgeproxy.store import codec
from edgeproxy.store.breaker import BreakerState
from edgeproxy.store.redis_tier import RedisTier
from edgeproxy.store.tier import Fault
from tests.redis_server import RedisServer, free_port
from tests.unit.store.responses import stored

KEY = stored().key
LONG = 5.0  # a timeout that no test is to reach


def plain(_names: tuple[bytes, ...]) -> bytes:
    return b""


@asynccontextmanager
async def tier_at(url: str, **options: object) -> AsyncIterator[RedisTier]:
    tier = RedisTier(url, **{"timeout": LONG, **options})  # type: ignore[arg-type]
    await tier.start()
    try:
        yield tier
    finally:
        await tier.close()


async def written(tier: RedisTier) -> None:
    """All writes that waited are done with."""
    await asyncio.wait_for(tier.flush(), 10)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until that holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (states of the tier, for which it has no event)
            await asyncio.sleep(0)


async def opened(tier: RedisTier) -> None:
    """Ask until the breaker opens."""
    for _ in range(10):
        await tier.get(KEY, plain)
    assert not tier.breaker.closed


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as direct:
        yield direct


@pytest.fixture
async def tier(redis_server: RedisServer) -> AsyncIterator[RedisTier]:
    async with tier_at(redis_server.url) as made:
        yield made


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """A redis-server that the test may kill, hang or fill."""
    with RedisServer() as server:
        yield server


# --- what it keeps --------------------------------------------------------------


async def test_gives_back_what_was_put(tier: RedisTier) -> None:
    assert await tier.get(KEY, plain) is None
    tier.put(stored(), 60)
    await written(tier)
    assert await tier.get(KEY, plain) == stored()
    assert (tier.stats.misses, tier.stats.hits, tier.stats.writes) == (1, 1, 1)


async def test_large_body_comes_back_whole(tier: RedisTier) -> None:
    body = bytes(range(256)) * 4096
    tier.put(stored(body=(body[:1000], body[1000:])), 60)
    await written(tier)
    found = await tier.get(KEY, plain)
    assert found is not None
    assert found.body == (body,)


async def test_body_over_max_size_stays_out(redis_server: RedisServer) -> None:
    async with tier_at(redis_server.url, max_size=1000) as tier:
        tier.put(stored(body=b"x" * 1001), 60)
        await written(tier)
        assert await tier.get(KEY, plain) is None
        assert tier.stats.count(Fault.TOO_LARGE) == 1


async def test_another_node_finds_it(tier: RedisTier, redis_server: RedisServer) -> None:
    tier.put(stored(), 60)
    await written(tier)
    async with tier_at(redis_server.url) as other:
        assert await other.get(KEY, plain) == stored()


async def test_other_prefix_is_another_cache(tier: RedisTier, redis_server: RedisServer) -> None:
    tier.put(stored(), 60)
    await written(tier)
    async with tier_at(redis_server.url, key_prefix="other:") as other:
        assert await other.get(KEY, plain) is None


async def test_expires_with_the_variant_kept_longest(tier: RedisTier, client: redis.Redis) -> None:
    tier.put(stored(variant=b"a", names=(b"accept",)), 5000)
    tier.put(stored(variant=b"b", names=(b"accept",)), 50)
    await written(tier)
    assert 4900 < client.ttl(tier.name_of(KEY)) <= 5000


@pytest.mark.parametrize("ttl", [0, -1, 0.0001])
async def test_nothing_left_to_keep_is_not_written(tier: RedisTier, client: redis.Redis, ttl: float) -> None:
    tier.put(stored(), ttl)
    await written(tier)
    assert client.dbsize() == 0


async def test_variant_is_chosen_by_the_names_it_lists(tier: RedisTier) -> None:
    for variant in (b"gzip", b"br"):
        tier.put(stored(variant=variant, names=(b"accept-encoding",), body=variant), 60)
    await written(tier)
    asked: list[tuple[bytes, ...]] = []

    def brotli(names: tuple[bytes, ...]) -> bytes:
        asked.append(names)
        return b"br"

    found = await tier.get(KEY, brotli)
    assert found is not None
    assert found.body == (b"br",)
    assert asked == [(b"accept-encoding",)]
    assert await tier.get(KEY, lambda _: b"zstd") is None


async def test_of_several_that_match_the_one_received_last_wins(tier: RedisTier) -> None:
    tier.put(stored(variant=b"by-language", names=(b"accept-language",), response_time=20.0), 60)
    tier.put(stored(response_time=10.0), 60)
    tier.put(stored(variant=b"by-coding", names=(b"accept-encoding",), response_time=15.0), 60)
    await written(tier)
    digests = {(): b"", (b"accept-language",): b"by-language", (b"accept-encoding",): b"by-coding"}
    found = await tier.get(KEY, digests.__getitem__)
    assert found is not None
    assert found.response_time == 20.0


async def test_variants_of_a_key_are_bounded(redis_server: RedisServer, client: redis.Redis) -> None:
    async with tier_at(redis_server.url, max_variants=4) as tier:
        for number in range(20):
            tier.put(stored(variant=b"v%d" % number, names=(b"cookie:session",)), 60)
        await written(tier)
        fields = client.hkeys(tier.name_of(KEY))
        assert len([field for field in fields if field[:1] == b"v"]) == 4
        assert await tier.get(KEY, lambda _: b"v19") is not None


async def test_origin_that_changes_vary_for_ever_starts_anew(tier: RedisTier, client: redis.Redis) -> None:
    for number in range(9):
        tier.put(stored(variant=b"v%d" % number, names=(b"x-%d" % number,)), 60)
    await written(tier)
    assert len(client.hkeys(tier.name_of(KEY))) == 2
    assert await tier.get(KEY, lambda _: b"v8") is not None


async def test_response_that_does_not_encode_holds_up_no_other(tier: RedisTier) -> None:
    tier.put(replace(stored(1), stamp=Stamp(position=1 << 70)), 60)
    tier.put(stored(2), 60)
    await written(tier)
    assert tier.stats.count(Fault.DAMAGED) == 1
    assert await tier.get(stored(2).key, plain) == stored(2)


async def test_remove_takes_all_variants(tier: RedisTier) -> None:
    tier.put(stored(), 60)
    tier.put(stored(variant=b"br", names=(b"accept-encoding",)), 60)
    tier.put(stored(2), 60)
    await written(tier)
    assert sorted(await tier.remove(KEY)) == [b"", b"br"]
    assert await tier.remove(KEY) == []
    assert await tier.get(KEY, plain) is None
    assert await tier.get(stored(2).key, plain) is not None


async def test_remove_takes_what_still_waits_to_be_written(tier: RedisTier, client: redis.Redis) -> None:
    tier.put(stored(), 60)
    assert tier.queue_depth == 1
    assert await tier.remove(KEY) == []
    await written(tier)
    assert client.dbsize() == 0


async def test_remove_overtakes_a_write_that_is_being_encoded(tier: RedisTier, client: redis.Redis) -> None:
    tier.put(stored(body=b"x" * 2_000_000), 60)
    await until(lambda: tier.queue_depth == 0)  # the writer takes it and encodes it in a thread
    await tier.remove(KEY)
    await written(tier)
    assert client.dbsize() == 0


async def test_close_writes_what_waits(redis_server: RedisServer, client: redis.Redis) -> None:
    async with tier_at(redis_server.url) as tier:
        for number in range(200):
            tier.put(stored(number), 60)
    assert client.dbsize() == 200


async def test_close_without_start_is_harmless(redis_server: RedisServer) -> None:
    await RedisTier(redis_server.url).close()


async def test_many_at_once_share_one_connection(tier: RedisTier, client: redis.Redis) -> None:
    for number in range(300):
        tier.put(stored(number, body=b"%d" % number), 60)
    await written(tier)
    found = await asyncio.gather(*(tier.get(stored(number).key, plain) for number in range(300)))
    assert [response.body for response in found if response] == [(b"%d" % number,) for number in range(300)]
    assert len(client.client_list()) <= 3  # reads, writes, and the test's own


async def test_unix_socket(tmp_path: object) -> None:
    with RedisServer(unixsocket=f"{tmp_path}/s") as server:
        async with tier_at(f"unix://{tmp_path}/s") as tier:
            tier.put(stored(), 60)
            await written(tier)
            assert await tier.get(KEY, plain) is not None
        assert server.pid


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "redis://127.0.0.1/0?no_such_option=1",
        "rediss://127.0.0.1/0?ssl_ciphers=no-such",
        "rediss+cluster://127.0.0.1?ssl_ca_certs=/no/such/file",
        "rediss+sentinel://127.0.0.1/m?ssl_certfile=/no/such/file",
    ],
)
def test_bad_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"no URL of a Redis|no_such_option|ssl_ options"):
        RedisTier(url)


# --- Redis not there ------------------------------------------------------------


async def test_absent_redis_is_a_miss_then_answered_at_once() -> None:
    async with tier_at(f"redis://user:secret@127.0.0.1:{free_port()}/0") as tier:
        await opened(tier)
        assert tier.stats.count(Fault.UNREACHABLE) == 3
        assert tier.stats.skipped == 7
        tier.put(stored(), 60)
        assert tier.queue_depth == 0
        assert tier.stats.count(Fault.DROPPED) == 1
        assert await tier.remove(KEY) == []
        assert "secret" not in repr(tier)


async def test_absent_redis_is_used_once_it_appears() -> None:
    port = free_port()
    async with tier_at(f"redis://127.0.0.1:{port}/0") as tier:
        await opened(tier)
        with RedisServer(port):
            await asyncio.wait_for(tier.wait_available(), 10)
            assert tier.breaker.state is BreakerState.CLOSED
            tier.put(stored(), 60)
            await written(tier)
            assert await tier.get(KEY, plain) == stored()


async def test_one_log_line_a_kind_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "edgeproxy.store"):
        async with tier_at(f"redis://user:secret@127.0.0.1:{free_port()}/0") as tier:
            await opened(tier)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "check that it runs and cache.redis.url" in lines[0]
    assert "not asked until it answers" in lines[1]
    assert not any("secret" in line for line in lines)


async def test_wrong_password_is_a_miss() -> None:
    with RedisServer(requirepass="right") as server:
        async with tier_at(server.url.replace("//", "//:wrong@")) as tier:
            await opened(tier)
        async with tier_at(server.url.replace("//", "//:right@")) as tier:
            assert await tier.get(KEY, plain) is None
            assert tier.stats.misses == 1


# --- Redis dies, hangs, comes back ----------------------------------------------


async def test_killed_and_restarted_empty(own: RedisServer) -> None:
    async with tier_at(own.url) as tier:
        tier.put(stored(), 60)
        await written(tier)
        own.kill()
        assert await tier.get(KEY, plain) is None
        await opened(tier)
        own.start()
        await asyncio.wait_for(tier.wait_available(), 10)
        assert await tier.get(KEY, plain) is None
        assert tier.stats.misses == 1
        tier.put(stored(), 60)  # the script is gone too
        await written(tier)
        assert await tier.get(KEY, plain) == stored()


async def test_restart_between_two_requests_costs_no_fault(own: RedisServer) -> None:
    async with tier_at(own.url) as tier:
        tier.put(stored(), 60)
        await written(tier)
        assert await tier.get(KEY, plain) is not None
        own.restart()
        tier.put(stored(), 60)
        await written(tier)
        assert await tier.get(KEY, plain) == stored()
        assert tier.stats.fault_total == 0


async def test_writes_lost_with_a_dying_redis_are_counted(own: RedisServer) -> None:
    async with tier_at(own.url) as tier:
        own.kill()
        tier.put(stored(), 60)
        await written(tier)
        assert tier.stats.count(Fault.UNREACHABLE) == 1
        assert tier.stats.writes == 0


async def test_hung_redis_costs_each_request_the_timeout_at_most_once(own: RedisServer) -> None:
    async with tier_at(own.url, timeout=0.5) as tier:
        await tier.get(KEY, plain)
        own.pause()
        started = time.monotonic()
        answers = await asyncio.gather(*(tier.get(KEY, plain) for _ in range(50)))
        assert answers == [None] * 50
        assert time.monotonic() - started < 5.0  # not 50 times 0.5
        assert not tier.breaker.closed
        assert tier.stats.count(Fault.TIMEOUT) == 50
        started = time.monotonic()
        for _ in range(100):
            assert await tier.get(KEY, plain) is None
            tier.put(stored(), 60)
            assert await tier.remove(KEY) == []
        assert time.monotonic() - started < 5.0  # not 200 times 0.5
        own.resume()
        await asyncio.wait_for(tier.wait_available(), 10)
        assert await tier.get(KEY, plain) is None
        assert tier.stats.misses == 2


async def test_hung_redis_does_not_hold_up_the_end(own: RedisServer) -> None:
    async with tier_at(own.url, timeout=0.05) as tier:
        await tier.get(KEY, plain)
        own.pause()
        await opened(tier)
        started = time.monotonic()
    assert time.monotonic() - started < 5.0


async def test_remove_from_a_hung_redis_is_bounded(own: RedisServer) -> None:
    async with tier_at(own.url, timeout=0.1) as tier:
        await tier.get(KEY, plain)
        own.pause()
        assert await tier.remove(KEY) == []
        assert tier.stats.count(Fault.TIMEOUT) == 1
        own.resume()


async def test_breaker_stays_open_while_the_probe_fails(own: RedisServer) -> None:
    async with tier_at(own.url, timeout=0.05) as tier:
        await tier.get(KEY, plain)
        own.pause()
        await opened(tier)
        first = tier.breaker.wait
        await until(lambda: tier.breaker.wait > first)
        assert not tier.breaker.closed
        own.resume()
        await asyncio.wait_for(tier.wait_available(), 20)


# --- Redis full -----------------------------------------------------------------


async def test_full_redis_refuses_writes_and_still_answers_reads() -> None:
    with RedisServer(maxmemory="3mb", maxmemory_policy="noeviction") as server:
        async with tier_at(server.url) as tier:
            tier.put(stored(), 60)
            await written(tier)
            number = 1
            while not tier.stats.count(Fault.FULL):
                number += 1
                assert number < 1000
                tier.put(stored(number, body=b"x" * 100_000), 60)
                await written(tier)
            assert tier.breaker.closed
            assert await tier.get(KEY, plain) == stored()
            tier.put(stored(5000), 60)  # not even tried for a second
            assert tier.stats.count(Fault.DROPPED) == 1
            assert await tier.remove(stored(2).key) == [b""]


# --- what others left at our keys -----------------------------------------------


async def test_wrong_type_at_our_key_is_a_miss_and_deleted(tier: RedisTier, client: redis.Redis) -> None:
    client.set(tier.name_of(KEY), "somebody's string")
    assert await tier.get(KEY, plain) is None
    assert tier.stats.count(Fault.DAMAGED) == 1
    await written(tier)
    assert client.dbsize() == 0
    tier.put(stored(), 60)
    await written(tier)
    assert await tier.get(KEY, plain) == stored()


async def test_write_to_a_key_of_the_wrong_type_takes_its_place(tier: RedisTier, client: redis.Redis) -> None:
    client.set(tier.name_of(KEY), "somebody's string")
    tier.put(stored(), 60)
    await written(tier)
    assert tier.stats.fault_total == 0
    assert await tier.get(KEY, plain) == stored()
    assert client.ttl(tier.name_of(KEY)) > 50


async def test_removal_takes_whatever_stands_there(tier: RedisTier, client: redis.Redis) -> None:
    client.set(tier.name_of(KEY), "somebody's string")
    assert await tier.remove(KEY) == []
    assert client.dbsize() == 0
    assert tier.breaker.closed


def garbage(_client: redis.Redis, _tier: RedisTier) -> bytes:
    return b"\x00garbage"


def cut_short(client: redis.Redis, tier: RedisTier) -> bytes:
    value = client.hget(tier.name_of(KEY), "v")
    assert value is not None
    return value[:-1]


def of_another_key(client: redis.Redis, tier: RedisTier) -> bytes:
    return codec.encode(stored(2))


def of_another_variant(client: redis.Redis, tier: RedisTier) -> bytes:
    return codec.encode(stored(variant=b"private"))


@pytest.mark.parametrize("make", [garbage, cut_short, of_another_key, of_another_variant])
async def test_value_that_is_not_ours_is_a_miss_counted_and_deleted(
    tier: RedisTier, client: redis.Redis, make: Callable[[redis.Redis, RedisTier], bytes]
) -> None:
    tier.put(stored(), 60)
    await written(tier)
    client.hset(tier.name_of(KEY), "v", make(client, tier))
    assert await tier.get(KEY, plain) is None
    assert tier.stats.count(Fault.DAMAGED) == 1
    await written(tier)
    assert not client.hexists(tier.name_of(KEY), "v")
    assert tier.breaker.closed


async def test_value_of_a_later_version_is_a_miss_and_left_alone(
    tier: RedisTier, client: redis.Redis
) -> None:
    tier.put(stored(), 60)
    await written(tier)
    value = bytearray(codec.encode(stored()))
    value[len(codec.MAGIC)] = codec.VERSION + 1
    client.hset(tier.name_of(KEY), "v", bytes(value))
    assert await tier.get(KEY, plain) is None
    assert tier.stats.count(Fault.NEWER) == 1
    await written(tier)
    assert client.hget(tier.name_of(KEY), "v") == bytes(value)


async def test_names_that_do_not_decode_are_passed_over(tier: RedisTier, client: redis.Redis) -> None:
    tier.put(stored(), 60)
    await written(tier)
    client.hset(tier.name_of(KEY), b"n\xc1garbage", b"")
    client.hset(tier.name_of(KEY), b"?", b"")
    assert await tier.get(KEY, plain) == stored()


# --- requests that give up ------------------------------------------------------


async def test_cancelled_look_up_does_not_shift_the_replies_of_the_next(own: RedisServer) -> None:
    async with tier_at(own.url) as tier:
        for number in range(20):
            tier.put(stored(number, body=b"page of user %d" % number), 60)
        await written(tier)
        for number in range(19):
            own.pause()  # the command is under way, its reply is not
            first = asyncio.create_task(tier.get(stored(number).key, plain))
            for _ in range(5 + number):
                await asyncio.sleep(0)
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            own.resume()
            found = await tier.get(stored(number + 1).key, plain)
            assert found is not None
            assert found.body == (b"page of user %d" % (number + 1),)
        assert tier.stats.fault_total == 0


async def test_timed_out_look_up_does_not_shift_the_replies_of_the_next(own: RedisServer) -> None:
    async with tier_at(own.url, timeout=1.0, threshold=100) as tier:
        for number in range(2):
            tier.put(stored(number, body=b"page of user %d" % number), 60)
        await written(tier)
        assert await tier.get(stored(0).key, plain) is not None
        own.pause()
        assert await tier.get(stored(0).key, plain) is None
        own.resume()
        found = await tier.get(stored(1).key, plain)
        assert found is not None
        assert found.body == (b"page of user 1",)


async def test_timeout_on_a_late_loop_looks_at_the_socket_once_more(own: RedisServer) -> None:
    async with tier_at(own.url, timeout=0.25) as tier:
        tier.put(stored(), 60)
        await written(tier)
        assert await tier.get(KEY, plain) is not None
        asking = asyncio.create_task(tier.get(KEY, plain))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.4)  # the loop, not Redis, is late
        assert await asking is not None
        assert tier.stats.fault_total == 0


async def test_look_ups_beyond_the_bound_are_a_miss_at_once(own: RedisServer) -> None:
    async with tier_at(own.url) as tier:
        await tier.get(KEY, plain)
        own.pause()
        asking = [asyncio.create_task(tier.get(KEY, plain)) for _ in range(2000)]
        await until(lambda: tier.stats.count(Fault.BUSY) > 0)
        assert tier.breaker.closed
        own.resume()
        assert await asyncio.gather(*asking) == [None] * 2000


async def test_write_queue_is_bounded_and_drops_the_oldest(own: RedisServer) -> None:
    async with tier_at(own.url, queue_writes=10) as tier:
        for number in range(15):
            tier.put(stored(number), 60)
        assert tier.queue_depth == 10
        assert tier.stats.count(Fault.DROPPED) == 5
        await written(tier)
        assert await tier.get(stored(4).key, plain) is None
        assert await tier.get(stored(5).key, plain) is not None


async def test_close_while_requests_wait_leaves_none_behind(own: RedisServer) -> None:
    async with tier_at(own.url) as tier:
        await tier.get(KEY, plain)
        own.pause()
        tier.put(stored(), 60)
        waiting: list[Awaitable[object]] = [asyncio.create_task(tier.get(KEY, plain)) for _ in range(10)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(tier.close(drain=0.05))
        assert await asyncio.gather(*waiting) == [None] * 10
        await closing
