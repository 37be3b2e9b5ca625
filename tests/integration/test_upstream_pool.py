"""Connections under load and failure: limits, queues, retries, ejection, steering."""

import asyncio
import time
from typing import Any

import pytest

from edgeproxy.errors import (
    BadResponse,
    ConnectionLost,
    ConnectRefused,
    FirstByteTimeout,
    NoHealthyOrigin,
    PoolExhausted,
)
from edgeproxy.upstream.settings import Balance, Ejection, OriginSettings, Retries, Timeouts
from tests.integration.raw_origins import RawOrigin, Records, Script, Talk, origin, until, upstream
from tests.integration.test_upstream_exchange import HELLO, OK, QUICK, Fetched, always, fetch, once
from tests.loops import both_loops
from tests.unit.upstream.helpers import GivenBody, get


def held(release: asyncio.Event) -> Script:
    """Answers once `release` is set."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.head()
            await release.wait()
            await talk.send(HELLO)

    return script


async def refused_port() -> int:
    """A port on which nothing listens."""
    async with origin(always(HELLO)) as served:
        return served.port


# --- limits


@both_loops
async def test_no_more_connections_than_the_limit_and_the_rest_wait() -> None:
    release = asyncio.Event()
    async with origin(held(release)) as served, upstream(served.url, max_connections=2) as proxy:
        asking = [asyncio.create_task(fetch(proxy)) for _ in range(7)]
        await until(lambda: served.open == 2)
        await until(lambda: proxy.snapshot()[0]["waiting"] == 5)
        release.set()
        assert [sink.body for sink in await asyncio.gather(*asking)] == [b"hello"] * 7
        assert served.connections == 2


@both_loops
async def test_a_full_queue_refuses_at_once() -> None:
    release = asyncio.Event()
    async with (
        origin(held(release)) as served,
        upstream(served.url, max_connections=1, max_pending=1) as proxy,
    ):
        asking = [asyncio.create_task(fetch(proxy)) for _ in range(2)]
        await until(lambda: proxy.snapshot()[0]["waiting"] == 1)
        with pytest.raises(PoolExhausted, match="1 requests waiting"):
            await proxy.exchange(get(), Fetched())
        release.set()
        await asyncio.gather(*asking)


@both_loops
async def test_waiting_too_long_is_pool_exhausted() -> None:
    release = asyncio.Event()
    timeouts = Timeouts(queue=0.1)
    async with (
        origin(held(release)) as served,
        upstream(served.url, max_connections=1, timeouts=timeouts) as proxy,
    ):
        first = asyncio.create_task(fetch(proxy))
        await until(lambda: served.open == 1)
        with pytest.raises(PoolExhausted, match="came free"):
            await proxy.exchange(get(), Fetched())
        assert proxy.snapshot()[0]["waiting"] == 0
        release.set()
        await first


@both_loops
async def test_one_who_waits_and_leaves_holds_nothing_back() -> None:
    release = asyncio.Event()
    async with origin(held(release)) as served, upstream(served.url, max_connections=1) as proxy:
        first = asyncio.create_task(fetch(proxy))
        await until(lambda: served.open == 1)
        leaving = asyncio.create_task(fetch(proxy))
        staying = asyncio.create_task(fetch(proxy))
        await until(lambda: proxy.snapshot()[0]["waiting"] == 2)
        leaving.cancel()
        release.set()
        assert (await first).body == (await staying).body == b"hello"
        assert leaving.cancelled()


@both_loops
async def test_one_who_leaves_at_the_moment_it_is_served_gives_back() -> None:
    release = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await release.wait()
        await talk.send(HELLO)
        await talk.head()
        await talk.send(HELLO)

    async with origin(script) as served, upstream(served.url, max_connections=1) as proxy:
        leaving: list[asyncio.Task[Fetched]] = []

        class Leaving(Fetched):
            def on_end(self, trailers: Any) -> None:  # the connection was just handed to the waiter
                super().on_end(trailers)
                leaving[0].cancel()

        sink = Leaving()
        first = asyncio.create_task(proxy.exchange(get(), sink))
        await until(lambda: served.open == 1)
        leaving.append(asyncio.create_task(fetch(proxy)))
        await until(lambda: proxy.snapshot()[0]["waiting"] == 1)
        release.set()
        await first
        await asyncio.wait(leaving)
        assert (await fetch(proxy)).body == b"hello"
        assert served.connections == 1


@both_loops
async def test_a_closed_connection_makes_room_for_one_who_waits() -> None:
    release = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await release.wait()
        await talk.send(OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")

    async with origin(script) as served, upstream(served.url, max_connections=1) as proxy:
        asking = [asyncio.create_task(fetch(proxy)) for _ in range(3)]
        await until(lambda: proxy.snapshot()[0]["waiting"] == 2)
        release.set()
        await asyncio.gather(*asking)
        assert served.connections == 3


@both_loops
async def test_a_full_origin_is_passed_over_for_one_with_room() -> None:
    release = asyncio.Event()
    async with (
        origin(held(release)) as busy,
        origin(always(HELLO)) as free,
        upstream(busy.url, free.url, max_connections=1) as proxy,
    ):
        stuck = asyncio.create_task(fetch(proxy))
        await until(lambda: busy.open == 1)
        for _ in range(4):
            assert (await fetch(proxy)).body == b"hello"
        release.set()
        await stuck
        assert (busy.connections, free.connections) == (1, 1)


@both_loops
async def test_an_old_connection_is_not_used_again() -> None:
    async with origin(always(HELLO)) as served, upstream(served.url, max_age=0.05) as proxy:
        await fetch(proxy)
        await asyncio.sleep(0.1)
        await fetch(proxy)
        assert served.connections == 2


@both_loops
async def test_an_origin_that_tells_its_keep_alive_is_left_before_it_ends() -> None:
    told = OK + b"Keep-Alive: timeout=1, max=100\r\nContent-Length: 5\r\n\r\nhello"
    async with origin(always(told)) as served, upstream(served.url, keepalive=30.0) as proxy:
        await fetch(proxy)
        await asyncio.sleep(0.6)
        await fetch(proxy)
        assert served.connections == 2


# --- retries


def dying(deaths: int) -> Script:
    """Each of the first connections serves one request, then dies at the next without an answer."""

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(HELLO)
        if talk.number <= deaths:
            await talk.head()
            return
        while True:
            await talk.head()
            await talk.send(HELLO)

    return script


@both_loops
@pytest.mark.filterwarnings("error")
async def test_a_reused_connection_that_dies_unanswered_is_retried_on_a_new_one() -> None:
    records = Records()
    async with origin(dying(1)) as served:
        settings: dict[str, Any] = {"retries": Retries(0, 0.0), "records": records}
        async with upstream(served.url, **settings) as proxy:
            await fetch(proxy)
            assert (await fetch(proxy)).body == b"hello"
            assert served.connections == 2
            assert proxy.snapshot()[0]["addresses"][0]["failures"] == 0


@both_loops
async def test_a_post_on_a_reused_connection_that_dies_is_not_sent_twice() -> None:
    async with origin(dying(1)) as served, upstream(served.url) as proxy:
        await fetch(proxy)
        body = GivenBody([b"x"], 1)
        with pytest.raises(ConnectionLost):
            await proxy.exchange(get(method=b"POST", body=body), Fetched())
        assert served.connections == 1


@both_loops
async def test_a_post_whose_body_was_not_touched_is_sent_again() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(HELLO)
        head = await talk.head()
        if talk.number > 1:
            await talk.reader.readexactly(1)
            await talk.send(HELLO)
        assert head.startswith(b"POST") or talk.number > 1

    async with origin(script) as served, upstream(served.url) as proxy:
        await fetch(proxy)
        body = GivenBody(length=1, complete=False)
        sink = Fetched()
        asking = asyncio.create_task(proxy.exchange(get(method=b"POST", body=body), sink))
        await until(lambda: served.connections == 2)
        body.push(b"x")
        body.finish()
        await asking
        assert sink.status == 200


@both_loops
async def test_what_cannot_be_sent_twice_asks_the_kernel_whether_the_connection_lives() -> None:
    served_once = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(HELLO)
        if talk.number == 1:
            await served_once.wait()
            return
        await talk.head()
        await talk.send(HELLO)

    async with origin(script) as served, upstream(served.url) as proxy:
        await fetch(proxy)
        served_once.set()
        await until(lambda: served.open == 0)
        time.sleep(0.05)  # our loop does not hear of the end before it sends
        sink = await fetch(proxy, get(method=b"POST", body=GivenBody([b""], 0)))
        assert sink.body == b"hello"


@both_loops
async def test_a_refused_connection_goes_to_another_origin() -> None:
    records = Records()
    gone = f"http://127.0.0.1:{await refused_port()}"
    async with origin(always(HELLO)) as served, upstream(gone, served.url, records=records) as proxy:
        for _ in range(4):
            assert (await fetch(proxy, get(method=b"POST", body=GivenBody([b"x"], 1)))).body == b"hello"
        assert set(records.codes) == {"connection_refused", 200}


@both_loops
@pytest.mark.parametrize(
    "answer",
    [pytest.param(b"", id="lost"), pytest.param(b"SSH-2.0\r\n", id="junk"), pytest.param(None, id="hangs")],
)
async def test_a_get_that_fails_goes_to_another_origin(answer: bytes | None) -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        if answer is None:
            await talk.ended()
        else:
            await talk.send(answer)

    async with (
        origin(script) as bad,
        origin(always(HELLO)) as good,
        upstream(bad.url, good.url, timeouts=QUICK) as proxy,
    ):
        for _ in range(3):
            assert (await fetch(proxy)).body == b"hello"
        assert bad.connections > 0


@both_loops
@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(once(b""), ConnectionLost, id="lost"),
        pytest.param(once(b"SSH-2.0\r\n"), BadResponse, id="junk"),
    ],
)
async def test_a_post_that_was_sent_is_never_sent_elsewhere(script: Script, error: type) -> None:
    async with origin(script) as bad, origin(script) as other, upstream(bad.url, other.url) as proxy:
        with pytest.raises(error):
            await proxy.exchange(get(method=b"POST", body=GivenBody([b"x"], 1)), Fetched())
        assert bad.connections + other.connections == 1


@both_loops
async def test_attempts_bound_the_retries() -> None:
    async with (
        origin(once(b"")) as a,
        origin(once(b"")) as b,
        origin(once(b"")) as c,
        upstream(a.url, b.url, c.url, retries=Retries(attempts=1)) as proxy,
    ):
        with pytest.raises(ConnectionLost):
            await proxy.exchange(get(), Fetched())
        assert a.connections + b.connections + c.connections == 2


@both_loops
async def test_without_a_budget_nothing_is_retried_elsewhere() -> None:
    async with (
        origin(once(b"")) as a,
        origin(once(b"")) as b,
        upstream(a.url, b.url, retries=Retries(2, 0.0)) as proxy,
    ):
        with pytest.raises(ConnectionLost):
            await proxy.exchange(get(), Fetched())
        assert a.connections + b.connections == 1


@both_loops
async def test_a_body_partly_sent_is_not_sent_again() -> None:
    async with origin(once(b"")) as a, origin(once(b"")) as b, upstream(a.url, b.url) as proxy:
        with pytest.raises(ConnectionLost):
            await proxy.exchange(get(method=b"PUT", body=GivenBody([b"x"], 1)), Fetched())
        assert a.connections + b.connections == 1


# --- health


@both_loops
async def test_an_origin_that_keeps_failing_is_ejected_and_comes_back() -> None:
    ejection = Ejection(consecutive_failures=2, seconds=0.3)
    served = RawOrigin(always(HELLO))
    await served.start()
    port = served.port
    async with upstream(served.url, ejection=ejection) as proxy:
        await fetch(proxy)
        await served.stop()
        await until(lambda: proxy.connections == 0)
        for _ in range(2):
            with pytest.raises(ConnectRefused):
                await proxy.exchange(get(), Fetched())
        assert not proxy.available()
        with pytest.raises(NoHealthyOrigin):
            await proxy.exchange(get(), Fetched())
        await served.start(port=port)
        try:
            await asyncio.sleep(0.35)
            assert (await fetch(proxy)).body == b"hello"
            assert proxy.available()
        finally:
            await served.stop()


def silent_then(release: asyncio.Event | None) -> Script:
    """Never answers its first connection; the later ones once `release` is set, never without it."""

    async def script(talk: Talk) -> None:
        await talk.head()
        if talk.number == 1 or release is None:
            await talk.ended()
            return
        await release.wait()
        await talk.send(HELLO)

    return script


@both_loops
async def test_after_its_time_one_request_alone_tries_an_ejected_origin() -> None:
    release = asyncio.Event()
    settings: dict[str, Any] = {"ejection": Ejection(1, 0.2), "timeouts": Timeouts(first_byte=0.2)}
    async with origin(silent_then(release)) as served, upstream(served.url, **settings) as proxy:
        with pytest.raises(FirstByteTimeout):
            await proxy.exchange(get(), Fetched())
        await asyncio.sleep(0.25)
        trying = asyncio.create_task(proxy.exchange(get(), Fetched()))
        await until(lambda: served.connections == 2)
        with pytest.raises(NoHealthyOrigin):
            await proxy.exchange(get(), Fetched())
        with pytest.raises(FirstByteTimeout):
            await trying
        assert not proxy.available()
        release.set()
        await asyncio.sleep(0.25)
        assert (await fetch(proxy)).body == b"hello"
        assert proxy.available()


@both_loops
async def test_one_who_leaves_while_trying_lets_the_next_try() -> None:
    release = asyncio.Event()
    settings: dict[str, Any] = {"ejection": Ejection(1, 5.0), "timeouts": Timeouts(first_byte=0.2)}
    async with origin(silent_then(release)) as served, upstream(served.url, **settings) as proxy:
        with pytest.raises(FirstByteTimeout):
            await proxy.exchange(get(), Fetched())
        await asyncio.sleep(5.1)
        trying = asyncio.create_task(proxy.exchange(get(), Fetched()))
        await until(lambda: served.connections == 2)
        trying.cancel()
        await asyncio.wait([trying])
        release.set()
        assert (await fetch(proxy)).body == b"hello"


@both_loops
async def test_bodies_cut_short_count_as_failures() -> None:
    cut = OK + b"Content-Length: 9\r\n\r\nshort"
    async with (
        origin(once(cut)) as bad,
        origin(always(HELLO)) as good,
        upstream(bad.url, good.url, ejection=Ejection(3, 30)) as proxy,
    ):
        failed = 0
        for _ in range(10):
            failed += (await fetch(proxy)).error is not None
        assert failed == 3
        assert [row["state"] for row in proxy.snapshot()] == ["ejected", "up"]


@both_loops
async def test_gateway_errors_eject_an_origin_unless_it_is_the_last() -> None:
    ejection = Ejection(consecutive_failures=2, seconds=30)
    bad = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    async with (
        origin(always(bad)) as first,
        origin(always(bad)) as second,
        upstream(first.url, second.url, ejection=ejection) as proxy,
    ):
        for _ in range(10):
            assert (await fetch(proxy)).status == 503
        assert sorted(row["state"] for row in proxy.snapshot()) == ["ejected", "up"]


@both_loops
async def test_a_server_error_of_the_application_ejects_nothing() -> None:
    bad = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    async with (
        origin(always(bad)) as first,
        origin(always(bad)) as second,
        upstream(first.url, second.url, ejection=Ejection(1, 30)) as proxy,
    ):
        for _ in range(6):
            assert (await fetch(proxy)).status == 500
        assert [row["state"] for row in proxy.snapshot()] == ["up", "up"]


@both_loops
async def test_active_checks_and_the_operator_take_an_origin_out_and_back() -> None:
    async with (
        origin(always(HELLO)) as first,
        origin(always(HELLO)) as second,
        upstream(first.url, second.url) as proxy,
    ):
        assert proxy.set_active(first.address, False)
        assert proxy.steer(second.address, "drain")
        assert [row["state"] for row in proxy.snapshot()] == ["unhealthy", "drain"]
        with pytest.raises(NoHealthyOrigin):
            await proxy.exchange(get(), Fetched())
        assert proxy.set_active(first.address, True)
        for _ in range(3):
            await fetch(proxy)
        assert (first.connections, second.connections) == (1, 0)
        assert proxy.steer(first.address, "down")
        await until(lambda: first.open == 0)
        assert proxy.steer(first.address, "up")
        await fetch(proxy)
        assert not proxy.steer("nobody:80", "up")
        assert not proxy.set_active("nobody:80", True)
        with pytest.raises(ValueError, match="sideways"):
            proxy.steer(first.address, "sideways")


@both_loops
async def test_a_passed_check_ends_an_ejection() -> None:
    settings: dict[str, Any] = {"ejection": Ejection(1, 30), "timeouts": QUICK}
    async with origin(silent_then(None)) as served, upstream(served.url, **settings) as proxy:
        with pytest.raises(FirstByteTimeout):
            await proxy.exchange(get(), Fetched())
        assert not proxy.available()
        proxy.set_active(served.address, True)
        assert proxy.available()


# --- balancing over real origins


@both_loops
async def test_weights_are_kept_and_a_reserve_serves_when_others_are_down() -> None:
    async with origin(always(HELLO)) as a, origin(always(HELLO)) as b, origin(always(HELLO)) as reserve:
        records = Records()
        origins = [OriginSettings(a.url, 2), OriginSettings(b.url, 1), OriginSettings(reserve.url, 0)]
        async with upstream(*origins, records=records) as proxy:
            for _ in range(9):
                await fetch(proxy)
            assert [key for key, _ in records.tries].count(a.address) == 6
            assert reserve.connections == 0
            proxy.steer(a.address, "down")
            proxy.steer(b.address, "down")
            await fetch(proxy)
            assert reserve.connections == 1


@both_loops
async def test_least_requests_avoids_the_busy_one() -> None:
    release = asyncio.Event()
    async with (
        origin(held(release)) as slow,
        origin(always(HELLO)) as fast,
        upstream(slow.url, fast.url, balance=Balance.LEAST_REQUESTS) as proxy,
    ):
        tasks = [asyncio.create_task(fetch(proxy)) for _ in range(2)]
        await until(lambda: slow.open == 1 and any(task.done() for task in tasks))
        for _ in range(5):
            await fetch(proxy)
        assert slow.connections == 1
        release.set()
        await asyncio.gather(*tasks)


@both_loops
async def test_a_hang_at_one_origin_is_a_timeout_where_there_is_no_other() -> None:
    async def script(talk: Talk) -> None:
        await talk.ended()

    async with origin(script) as served, upstream(served.url, timeouts=QUICK) as proxy:
        started = time.monotonic()
        with pytest.raises(FirstByteTimeout):
            await proxy.exchange(get(), Fetched())
        assert time.monotonic() - started < 5
        assert served.connections == 1
