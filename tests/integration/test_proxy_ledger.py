"""What is logged and counted of each exchange; what becomes of errors within, and of a drain."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.telemetry.access_log import AccessLog
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, count, field, requests
from tests.plane import plane, request

FRESH = "Cache-Control: max-age=60"


def read(log: AccessLog, path: Path) -> list[dict[str, Any]]:
    log.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_the_log_s_request_id_was_the_client_s_and_not_the_origin_s(tmp_path: Path) -> None:
    shop = Shop(FRESH)
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    async with origin(shop) as raw, plane(caching(), access_log=log, o=raw.url) as proxy:
        await proxy.get("/a?b", {"X-Request-Id": "forged", "User-Agent": "test", "Referer": "http://r.test/"})
        sent = field(shop.last, b"x-request-id") or b""
        await proxy.get("/a?b")
        await proxy.ask(request("/p", "POST", body=b"x"))
        posted = field(shop.last, b"x-request-id") or b""
        await proxy.ask(b"nonsense\r\n\r\n")
    miss, hit, post, refused = read(log, path)
    assert miss["request_id"] == sent.decode()
    assert sent != b"forged"
    assert post["request_id"] == posted.decode()
    assert (miss["outcome"], miss["status"], miss["bytes"], miss["route"]) == ("miss", 200, 5, "all")
    assert (miss["upstream"], miss["origin"]) == ("o", raw.address)
    assert (miss["path"], miss["user_agent"], miss["reason"]) == ("/a?b", "test", "nothing-stored")
    assert (hit["outcome"], hit["reason"], hit["bytes"]) == ("hit", "fresh", 5)
    assert (post["outcome"], post["method"], post["reason"]) == ("bypass", "POST", "method")
    assert (refused["outcome"], refused["status"], refused["route"]) == ("error", 400, "-")


async def test_metrics_of_every_outcome() -> None:
    shop = Shop(FRESH, 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.get("/a")
        await proxy.get("/a", {"Range": "bytes=0-1"})
        await proxy.advance(61)
        await proxy.get("/a")
        await proxy.ask(request("/a", "POST", body=b"x"))
        await proxy.get("/b")
        await proxy.advance(61)
        await raw.stop()
        await proxy.get("/b")
        await proxy.get("/c")
        assert requests(proxy) == {
            ("all", "miss", "200"): 2,
            ("all", "hit", "200"): 1,
            ("all", "hit", "206"): 1,
            ("all", "validated", "200"): 1,
            ("all", "bypass", "200"): 1,
            ("all", "stale", "200"): 1,
            ("all", "error", "502"): 1,
        }
        assert count(proxy, "edgeproxy_response_bytes_total", "all", "cache") == 5 + 2 + 5 + 5
        assert count(proxy, "edgeproxy_response_bytes_total", "all", "origin") == 5 + 5 + 5
        duration = proxy.counters.histogram("edgeproxy_request_duration_seconds", "all", "hit")
        buckets = range(duration.first_bucket, duration.first_bucket + len(duration.bounds) + 1)
        assert sum(proxy.counters.ints[slot] for slot in buckets) == 2
        saved = proxy.counters.total("edgeproxy_origin_seconds_saved_total", "all")
        assert proxy.counters.floats[saved] > 0


async def test_gauges_tell_how_things_are() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy, proxy.client() as client:
        await client.ask(request("/a"))
        proxy.plane._fold()
        gauges = {
            (series.metric, *series.labels): proxy.counters.floats[series.floats]
            for series in proxy.counters.series()
            if series.kind == "gauge"
        }
        memory = proxy.plane.snapshot()["memory"]
        assert gauges[("edgeproxy_cache_responses", "memory")] == 1
        assert gauges[("edgeproxy_cache_bytes", "memory")] == memory["bytes"] > 0
        assert gauges[("edgeproxy_connections", "downstream")] == 1
        assert gauges[("edgeproxy_connections", "upstream")] == 1


async def test_an_error_within_is_answered_logged_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:

        def broken(*_: object) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(type(proxy.plane._lookup), "in_memory", broken)
        with caplog.at_level(logging.ERROR):
            answer = await proxy.get("/a")
        assert (answer.status, b"secret" in answer.body) == (500, False)
        assert "internal error while serving http://shop.test/a" in caplog.text
        assert requests(proxy) == {("all", "error", "500"): 1}


async def test_a_drain_cuts_what_does_not_finish_in_time() -> None:
    shop = Shop("Cache-Control: no-store")
    async with origin(shop) as raw, plane(caching(), drain=0.0, o=raw.url) as proxy:
        shop.gate.clear()
        async with proxy.client() as client:
            await client.send(request("/a"))
            await until(lambda: shop.waiting == 1)
            await proxy.plane.drain(0.0)
            assert await client.closed()
        assert proxy.leftovers == []


async def test_a_drain_lets_what_is_under_way_finish() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), drain=0.0, o=raw.url) as proxy:
        async with proxy.client() as client, proxy.client() as idle:
            await idle.ask(request("/b"))
            shop.gate.clear()
            await client.send(request("/a"))
            await until(lambda: shop.waiting == 1)
            draining = asyncio.create_task(proxy.plane.drain(10.0))
            assert await idle.closed()
            shop.gate.set()
            answer = await client.answer()
            assert (answer.body, answer.get("connection")) == (b"hello", b"close")
        await draining
