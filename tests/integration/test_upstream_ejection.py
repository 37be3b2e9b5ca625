"""Passive ejection, its cap, panic, slow start and bounded loads, with origins made of raw sockets."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgeproxy.upstream.health import HealthChecker
from edgeproxy.upstream.settings import (
    Balance,
    Ejection,
    HealthCheck,
    OriginSettings,
    Retries,
    UpstreamSettings,
)
from edgeproxy.upstream.upstream import Upstream
from tests.integration.raw_origins import RawOrigin, Records, Script, Talk, origin, until, upstream
from tests.integration.test_upstream_exchange import HELLO, always, fetch
from tests.unit.upstream.helpers import get

OOPS = b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n"
ONCE = Retries(0)


class Moody:
    """Answers as told: good, or every n-th one with 503; after a while if told so."""

    def __init__(self, bad_every: int = 0, delay: float = 0.0) -> None:
        self.bad_every = bad_every
        self.delay = delay
        self.count = 0

    async def __call__(self, talk: Talk) -> None:
        while True:
            await talk.head()
            self.count += 1
            bad = self.bad_every and self.count % self.bad_every == 0
            await asyncio.sleep(self.delay)
            await talk.send(OOPS if bad else HELLO)


@contextlib.asynccontextmanager
async def origins(*scripts: Script) -> AsyncIterator[list[RawOrigin]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(origin(script)) for script in scripts]


def states(proxy: Upstream) -> list[str]:
    return [each["state"] for each in proxy.snapshot()]


async def ask(proxy: Upstream, count: int) -> Counter[int]:
    return Counter([(await fetch(proxy)).status for _ in range(count)])


async def test_an_origin_that_fails_now_and_then_is_left_out_by_its_rate() -> None:
    records = Records()
    ejection = Ejection(5, 600.0, error_rate=0.4, min_requests=10)
    async with origins(Moody(), Moody(bad_every=2), Moody()) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, records=records, ejection=ejection, retries=ONCE) as proxy:
            assert (await ask(proxy, 60))[503] == 10
            assert states(proxy) == ["up", "up", "up"]  # never five in a row
            proxy._judge(proxy._clock())
            assert states(proxy) == ["up", "ejected", "up"]
            assert records.ejections == [(up[1].address, "error_rate")]
            assert await ask(proxy, 30) == {200: 30}


async def test_an_origin_slower_than_the_others_is_left_out() -> None:
    records = Records()
    ejection = Ejection(5, 600.0, slower_than=3, min_requests=5)
    async with origins(Moody(), Moody(), Moody(delay=0.1)) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, records=records, ejection=ejection) as proxy:
            await ask(proxy, 18)
            proxy._judge(proxy._clock())
            assert records.ejections == [(up[2].address, "latency")]
            assert states(proxy) == ["up", "up", "ejected"]


async def test_the_sweep_judges_by_itself() -> None:
    records = Records()
    ejection = Ejection(0, 600.0, error_rate=0.9, min_requests=5)
    async with origins(Moody(), always(OOPS)) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, records=records, ejection=ejection, retries=ONCE) as proxy:
            await ask(proxy, 20)
            await until(lambda: records.ejections == [(up[1].address, "error_rate")])


async def test_no_more_than_the_cap_are_left_out_though_all_fail() -> None:
    records = Records()
    ejection = Ejection(2, 600.0, max_ejected=0.5)
    async with origins(*[always(OOPS)] * 4) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, records=records, ejection=ejection, retries=ONCE) as proxy:
            assert await ask(proxy, 40) == {503: 40}
            assert states(proxy).count("ejected") == 2
            assert [why for _, why in records.ejections] == ["failures"] * 2


async def test_in_a_panic_all_are_used_and_it_ends_with_what_comes_back() -> None:
    records = Records()
    async with origins(*[Moody() for _ in range(4)]) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, records=records, panic_below=0.5) as proxy:
            for each in up[:3]:
                proxy.set_active(each.address, False)
            proxy._judge(proxy._clock())
            await ask(proxy, 16)
            assert [each.connections > 0 for each in up] == [True] * 4
            assert [each["panic"] for each in proxy.snapshot()] == [True] * 4
            assert records.panics[-1]
            proxy.set_active(up[0].address, True)
            proxy._judge(proxy._clock())
            assert not records.panics[-1]
            assert states(proxy) == ["up", "unhealthy", "unhealthy", "up"]


async def test_an_origin_that_returns_gets_little_at_first() -> None:
    now = [0.0]
    async with origins(Moody(), Moody()) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, slow_start=30.0) as proxy:
            real = proxy._clock
            proxy._clock = lambda: real() + now[0]
            proxy.steer(up[0].address, "drain")
            proxy.steer(up[0].address, "up")
            scripts = [each.script for each in up]
            counts = []
            for later in (0.0, 15.0, 31.0):
                now[0] = later
                proxy._judge(proxy._clock())
                before = [script.count for script in scripts]  # type: ignore[attr-defined]
                await ask(proxy, 44)
                counts.append(scripts[0].count - before[0])  # type: ignore[attr-defined]
            assert 2 <= counts[0] <= 5  # a tenth of the other's
            assert 13 <= counts[1] <= 16  # half
            assert counts[2] in (21, 22, 23)
            assert [each["share_of_weight"] for each in proxy.snapshot()] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("balance", "least"),
    [(Balance.CONSISTENT_HASH, 5), (Balance.LEAST_REQUESTS, 20), (Balance.RANDOM_TWO, 12)],
)
async def test_a_burst_for_one_key_over_new_connections_is_shared_out(balance: Balance, least: int) -> None:
    release = asyncio.Event()

    async def held(talk: Talk) -> None:
        while True:
            await talk.head()
            await release.wait()
            await talk.send(HELLO)

    async with origins(held, held, held) as up:
        urls = [each.url for each in up]
        async with upstream(*urls, balance=balance, hash_bound=1.25) as proxy:
            tasks = [asyncio.create_task(fetch(proxy, get(b"/hot"))) for _ in range(60)]
            await until(lambda: sum(each["active"] for each in proxy.snapshot()) == 60)
            loads = sorted(each["active"] for each in proxy.snapshot())
            release.set()
            assert {(await task).status for task in tasks} == {200}
            assert [origin.opening for origin in proxy._roster.origins] == [0, 0, 0]
    assert loads[-1] <= 1.25 * 20 + 1
    assert loads[0] >= least


# --- active checks


class Reports:
    """What a checker told."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def __call__(self, upstream: str, origin: str, healthy: bool) -> None:
        self.told.append(healthy)


@pytest.mark.parametrize(
    ("how", "answer", "healthy"),
    [
        ({}, b"204 No Content\r\n\r\n", True),
        ({"status": ((200, 200),)}, b"204 No Content\r\n\r\n", False),
        ({"status": ((200, 200), (204, 206))}, b"204 No Content\r\n\r\n", True),
        ({"status": ((503, 503),)}, b"503 Oops\r\nContent-Length: 0\r\n\r\n", True),
        ({"body": "ready"}, b"200 OK\r\nContent-Length: 14\r\n\r\nI am ready now", True),
        ({"body": "ready"}, b"200 OK\r\nContent-Length: 5\r\n\r\nsorry", False),
        ({"body": "ready"}, b"204 No Content\r\n\r\n", False),
        ({"body": "ready"}, b"500 Oops\r\nContent-Length: 5\r\n\r\nready", False),
        ({"body": "ready"}, b"200 OK\r\nContent-Length: 9\r\n\r\nready", False),  # cut
        ({"body": "e"}, b"200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 69999 + b"e", False),
        ({"body": "e"}, b"200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 60000 + b"e" * 10000, True),
    ],
)
async def test_a_check_is_good_by_its_status_and_its_body(
    how: dict[str, Any], answer: bytes, healthy: bool
) -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(b"HTTP/1.1 " + answer)

    reports = Reports()
    check = HealthCheck(interval=0.05, timeout=2.0, unhealthy_after=1, healthy_after=1, jitter=0.5, **how)
    async with origin(script) as served:
        settings = UpstreamSettings("shop", (OriginSettings(served.url),), health_check=check)
        checker = HealthChecker([settings], reports)
        await checker.start()
        await until(lambda: bool(reports.told))
        await checker.close()
    assert reports.told[0] is healthy
