"""Watched requests: second copies, answers tried again, times for tries, limits, one probe at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgeproxy.errors import ConnectRefused, FirstByteTimeout, NoHealthyOrigin, Overloaded, UpstreamError
from edgeproxy.upstream.settings import Concurrency, Ejection, Hedge, Retries, Timeouts
from edgeproxy.upstream.upstream import Upstream
from tests.integration.raw_origins import RawOrigin, Records, Script, Talk, origin, until, upstream
from tests.integration.test_upstream_ejection import OOPS, Moody, origins, states
from tests.integration.test_upstream_exchange import HELLO, always, fetch
from tests.unit.upstream.helpers import GivenBody, get

QUICK = Timeouts(connect=1.0, first_byte=0.3, queue=1.0)
NEVER = Ejection(consecutive_failures=0)
SOON = Hedge(0.02)


class Held:
    """Answers nothing until told, and knows how many ask at once."""

    def __init__(self, answer: bytes = HELLO) -> None:
        self.go = asyncio.Event()
        self.answer = answer
        self.count = self.now = self.most = self.cut = 0

    async def __call__(self, talk: Talk) -> None:
        while True:
            await talk.head()
            self.count += 1
            self.now += 1
            self.most = max(self.most, self.now)
            ended = asyncio.create_task(talk.reader.read(1))
            going = asyncio.create_task(self.go.wait())
            try:
                await asyncio.wait((ended, going), return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    self.cut += 1
                    return
            finally:
                self.now -= 1
                ended.cancel()
                going.cancel()
                await asyncio.gather(ended, going, return_exceptions=True)
            await talk.send(self.answer)


async def reset(talk: Talk) -> None:
    await talk.head()
    talk.reset()


async def outcomes(proxy: Upstream, count: int, **how: Any) -> list[Any]:
    """What so many requests at once come to: a status, or an error."""

    async def one() -> Any:
        try:
            return (await fetch(proxy, get(**how))).status
        except UpstreamError as error:
            return error

    return await asyncio.gather(*[one() for _ in range(count)])


@contextlib.asynccontextmanager
async def watched(
    *scripts: Script, **settings: Any
) -> AsyncIterator[tuple[Upstream, list[RawOrigin], Records]]:
    records = Records()
    async with contextlib.AsyncExitStack() as stack:
        up = await stack.enter_async_context(origins(*scripts))
        urls = [each.url for each in up]
        yield await stack.enter_async_context(upstream(*urls, records=records, **settings)), up, records


# --- one of three fails


@pytest.mark.parametrize("way", ["refuses", "hangs", "resets", "503"])
async def test_no_client_sees_that_one_of_three_origins_fails(way: str) -> None:
    scripts: dict[str, Script] = {"refuses": reset, "hangs": Held(), "resets": reset, "503": always(OOPS)}
    retries = Retries(status=frozenset({503}), per_try=0.8)
    async with watched(Moody(), scripts[way], Moody(), retries=retries) as (proxy, up, records):
        if way == "refuses":
            await up[1].stop()
        for _ in range(10):
            assert await outcomes(proxy, 12) == [200] * 12
        assert states(proxy) == ["up", "ejected", "up"]
        assert 5 <= sum(records.retries) == len(records.retries) < 50


async def test_where_all_hang_the_tries_stay_within_the_budget() -> None:
    held = [Held() for _ in range(3)]
    retries = Retries(attempts=9, budget=1.0, per_try=0.2)
    async with watched(*held, retries=retries, ejection=NEVER, hedge=SOON) as (proxy, _, records):
        found = await outcomes(proxy, 120)
        assert all(isinstance(each, FirstByteTimeout) for each in found)
        assert 120 < sum(each.count for each in held) <= 240
        assert records.hedges.count(True) == 0


# --- second copies


async def test_a_slow_origin_is_outrun_and_its_connection_closed() -> None:
    slow = Held()
    async with watched(slow, Moody(), hedge=Hedge(0.1), ejection=NEVER) as (proxy, up, records):
        for _ in range(20):
            assert (await fetch(proxy)).status == 200
        assert records.hedges.count(True) >= 8
        await until(lambda: slow.cut == slow.count)
        assert up[1].connections <= 2  # the winners' are kept
        assert all(each["active"] == 0 for each in proxy.snapshot())


async def test_an_origin_that_is_outrun_time_and_again_is_left_out_and_its_probe_too() -> None:
    slow = Held()
    ejection = Ejection(3, 0.1, longest=0.1)
    async with watched(slow, Moody(), hedge=SOON, ejection=ejection) as (proxy, up, records):
        while not records.ejections:
            await fetch(proxy)
        assert records.ejections == [(up[0].address, "outrun")]
        before = slow.count
        assert before >= 3
        while slow.count == before:
            assert (await fetch(proxy)).status == 200
        assert states(proxy) == ["ejected", "up"]


async def test_the_first_head_wins_whoever_gave_it() -> None:
    first, second = Held(), Held()
    async with watched(first, second, hedge=SOON) as (proxy, _, records):
        asking = asyncio.create_task(fetch(proxy))
        await until(lambda: first.count + second.count == 2)
        first.go.set()
        assert (await asking).status == 200
        assert len(records.hedges) == 1
        await until(lambda: second.cut == 1)


async def test_a_client_that_leaves_takes_both_copies_with_it() -> None:
    first, second = Held(), Held()
    async with watched(first, second, hedge=SOON) as (proxy, _, records):
        asking = asyncio.create_task(fetch(proxy))
        await until(lambda: first.count + second.count == 2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: first.cut + second.cut == 2)
        assert proxy.connections == 0
        assert records.hedges == [False]


async def test_an_error_of_one_copy_is_nothing_while_the_other_is_under_way() -> None:
    slow = Held()

    async def answers_badly(talk: Talk) -> None:
        await talk.head()
        slow.go.set()
        await talk.send(OOPS)
        await talk.ended()

    async with watched(slow, answers_badly, hedge=SOON) as (proxy, _, records):
        assert (await fetch(proxy)).status == 200
        assert records.hedges == [False]


@pytest.mark.parametrize("how", [{"method": b"HEAD"}, {"body": GivenBody([], 0)}], ids=["HEAD", "body"])
async def test_only_a_plain_get_gets_a_second_copy(how: dict[str, Any]) -> None:
    slow = Held()
    async with watched(slow, Moody(), hedge=SOON, timeouts=QUICK, retries=Retries(0)) as (proxy, _, records):
        (error,) = await outcomes(proxy, 1, **how)
        assert isinstance(error, FirstByteTimeout)
        assert records.hedges == []


async def test_without_a_budget_or_another_origin_there_is_no_second_copy() -> None:
    for count, retries in ((1, Retries(0)), (2, Retries(0, 0.0))):
        held = [Held() for _ in range(count)]
        async with watched(*held, hedge=SOON, timeouts=QUICK, retries=retries) as (proxy, _, records):
            await outcomes(proxy, 1)
            assert records.hedges == []
            assert sum(each.count for each in held) == 1


async def test_a_percentile_of_the_last_answers_is_waited_for() -> None:
    async with watched(Moody(), Moody(), hedge=Hedge(percentile=0.9)) as (proxy, _, _):
        for _ in range(19):
            await fetch(proxy)
        assert [each["hedge_after"] for each in proxy.snapshot()] == [None, None]
        await fetch(proxy)
        assert 0 < proxy.snapshot()[0]["hedge_after"] < 5


# --- answers tried again


async def test_an_answered_status_is_tried_elsewhere_and_its_connection_kept() -> None:
    retries = Retries(1, status=frozenset({503}))
    async with watched(always(OOPS), Moody(), retries=retries, ejection=NEVER) as (proxy, up, records):
        for _ in range(6):
            assert (await fetch(proxy)).body == b"hello"
        assert records.retries == [True] * 3
        assert [each.connections for each in up] == [1, 1]


async def test_where_all_answer_badly_the_last_answer_arrives() -> None:
    retries = Retries(5, status=frozenset({503}))
    async with watched(*[always(OOPS)] * 3, retries=retries, ejection=NEVER) as (proxy, _, records):
        assert (await fetch(proxy)).log == ["head 503", "end"]
        assert records.codes == [503] * 3


@pytest.mark.parametrize("how", [{"method": b"POST"}, {"method": b"PUT", "body": GivenBody([b"x"], 1)}])
async def test_what_cannot_be_sent_again_is_not(how: dict[str, Any]) -> None:
    retries = Retries(5, status=frozenset({503}))
    async with watched(always(OOPS), always(OOPS), retries=retries) as (proxy, _, records):
        assert await outcomes(proxy, 1, **how) == [503]
        assert records.codes == [503]


async def test_a_large_bad_answer_is_not_waited_for() -> None:
    endless = b"HTTP/1.1 503 Oops\r\nContent-Length: 9999999\r\n\r\nx"
    retries = Retries(1, status=frozenset({503}))
    async with watched(always(endless), Moody(), retries=retries) as (proxy, up, _):
        for _ in range(2):
            assert (await fetch(proxy)).body == b"hello"
        await until(lambda: up[0].open == 0)


# --- time


async def test_all_tries_together_end_in_time() -> None:
    held = [Held() for _ in range(3)]
    retries = Retries(9, per_try=0.6, total=1.0)
    async with watched(*held, retries=retries) as (proxy, _, records):
        (error,) = await outcomes(proxy, 1)
        assert isinstance(error, FirstByteTimeout)
        assert sum(each.count for each in held) == 2
        # the second had less than half of the time: that is not its fault
        assert sorted(each["addresses"][0]["failures"] for each in proxy.snapshot()) == [0, 0, 1]
        assert records.codes == ["http_response_timeout"] * 2


async def test_an_upload_has_the_time_that_it_takes() -> None:
    retries = Retries(0, per_try=0.05, total=0.1)
    async with watched(Moody(delay=0.3), retries=retries) as (proxy, _, _):
        assert await outcomes(proxy, 1, method=b"POST", body=GivenBody([], 0)) == [200]


# --- limits


async def test_no_origin_has_more_in_flight_than_its_limit_and_the_rest_is_told_at_once() -> None:
    held = [Held(), Held()]
    limits = Concurrency(3, 3)
    async with watched(*held, concurrency=limits) as (proxy, _, records):
        asking = asyncio.create_task(outcomes(proxy, 20))
        await until(lambda: records.overloads == 14 and sum(each.now for each in held) == 6)
        for each in held:
            each.go.set()
        found = await asking
        assert found.count(200) == 6
        assert sum(isinstance(each, Overloaded) for each in found) == 14
        assert [each.most for each in held] == [3, 3]
        assert set(records.limits.values()) == {3}


async def test_timeouts_lower_the_limit_and_answers_raise_it() -> None:
    held = Held()
    limits = Concurrency(2, 64)
    async with watched(held, concurrency=limits, timeouts=QUICK, ejection=NEVER) as (proxy, up, records):
        await outcomes(proxy, 16)
        assert records.limits[up[0].address] == 11
        assert proxy.snapshot()[0]["limit"] == 11
        held.go.set()
        while records.limits[up[0].address] < 16:
            await outcomes(proxy, 10)


# --- the circuit


async def test_a_dead_last_origin_is_tried_by_one_at_a_time_and_ever_less_often() -> None:
    silent = Held()
    ejection = Ejection(2, 0.3, longest=10.0)
    async with watched(silent, ejection=ejection, timeouts=QUICK, retries=Retries(0)) as (proxy, _, _):
        await outcomes(proxy, 2)
        assert silent.count == 2
        found: list[Any] = []
        while silent.count < 3:
            found += await outcomes(proxy, 1)
            await asyncio.sleep(0)
        assert isinstance(found[0], NoHealthyOrigin)
        await outcomes(proxy, 1)
        circuit = proxy._roster.origins[0].endpoints[0].circuit
        assert circuit.state in ("open", "half_open")
        address = proxy.snapshot()[0]["addresses"][0]
        assert address["state"] == "ejected"
        assert address["retry_in"] is not None
        assert circuit._tripped >= 2


async def test_while_a_probe_is_under_way_nobody_else_waits() -> None:
    silent = Held()
    ejection = Ejection(1, 0.02)
    timeouts = Timeouts(connect=1.0, first_byte=5.0)
    async with watched(silent, ejection=ejection, timeouts=timeouts, retries=Retries(0)) as (proxy, _, _):
        proxy._roster.failed(proxy._roster.origins[0].endpoints[0], proxy._clock(), connecting=True)
        await asyncio.sleep(0.03)
        asking = [asyncio.create_task(outcomes(proxy, 1)) for _ in range(5)]
        await until(lambda: sum(each.done() for each in asking) == 4 and silent.count == 1)
        await asyncio.sleep(0.05)  # more than the time that it is left out
        assert isinstance((await outcomes(proxy, 1))[0], NoHealthyOrigin)
        assert proxy.snapshot()[0]["addresses"][0]["circuit"] == "half_open"
        silent.go.set()
        await asyncio.gather(*asking)
        assert proxy.snapshot()[0]["addresses"][0]["circuit"] == "closed"
        assert silent.count == 1


async def test_a_refused_second_copy_harms_nobody() -> None:
    slow = Held()
    async with origin(slow) as one, origin(Moody()) as other:
        await other.stop()
        records = Records()
        async with upstream(one.url, other.url, records=records, hedge=SOON, retries=Retries(1)) as proxy:
            asking = asyncio.create_task(fetch(proxy))
            await until(lambda: ConnectRefused.proxy_error in records.codes and slow.count == 1)
            slow.go.set()
            assert (await asking).status == 200
