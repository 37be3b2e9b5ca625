"""Reload in two phases: what is stored stays and is judged by the new policy; connections stay."""

import asyncio
from pathlib import Path

import pytest
import trustme

from edgeproxy.config.load import load_text
from edgeproxy.server.plans import UnusableConfig
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching, requests
from tests.plane import Proxy, plane, request
from tests.redis_server import RedisServer

FRESH = "Cache-Control: max-age=60"


def reload(proxy: Proxy, text: str, url: str) -> None:
    proxy.plane.switch(proxy.plane.prepare(load_text(text, {"o": url})))


async def test_what_is_stored_stays_and_is_judged_by_the_new_policy() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
        reload(proxy, caching("override_ttl: 5m", server="name: edge"), raw.url)
        assert (await proxy.get("/a")).cache_status == b"edge; hit; ttl=300"
        reload(proxy, caching("enabled: false"), raw.url)
        assert b"fwd=bypass" in (await proxy.get("/a")).cache_status
        reload(proxy, caching(route="response_headers: {set: {X-New: here}}"), raw.url)
        answer = await proxy.get("/a")
        assert (answer.get("x-new"), b"hit" in answer.cache_status) == (b"here", True)
        reload(proxy, caching("override_ttl: 0s"), raw.url)
        assert b"fwd=stale" in (await proxy.get("/a")).cache_status
        assert b"fwd=uri-miss" in (await proxy.get("/a")).cache_status


async def test_a_response_stored_by_another_key_is_not_used() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        await proxy.get("/a", {"X-Tenant": "t1"})
        await proxy.get("/a", {"X-Tenant": "t1"})
        reload(proxy, caching("key: {headers: [X-Tenant]}"), raw.url)
        assert b"fwd=vary-miss" in (await proxy.get("/a", {"X-Tenant": "t2"})).cache_status


async def test_an_unchanged_upstream_keeps_its_connections() -> None:
    shop = Shop("Cache-Control: no-store")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy, proxy.client() as client:
        await client.ask(request("/a"))
        reload(proxy, caching("override_ttl: 5m"), raw.url)
        await client.ask(request("/a"))
        assert raw.connections == 1


async def test_a_changed_upstream_finishes_what_it_has_in_flight() -> None:
    shop, other = Shop(FRESH), Shop(FRESH, body=b"other")
    async with origin(shop) as raw, origin(other) as raw2, plane(caching(), o=raw.url) as proxy:
        shop.gate.clear()
        waiting = asyncio.create_task(proxy.get("/a"))
        await until(lambda: shop.waiting == 1)
        reload(proxy, caching(), raw2.url)
        assert (await proxy.get("/b")).body == b"other"
        shop.gate.set()
        assert (await waiting).body == b"hello"
        await until(lambda: raw.open == 0)


async def test_steering_and_health_outlive_a_reload_that_makes_the_upstream_anew() -> None:
    shop = Shop("Cache-Control: no-store")
    text = caching()
    async with origin(shop) as raw, plane(text, o=raw.url) as proxy:
        key = next(iter(proxy.plane.snapshot()["upstreams"]["o"]))["origin"]
        proxy.plane.set_health("o", key, False)
        assert (await proxy.get("/a")).status == 503
        changed = text.replace('origins: ["${o}"]', 'origins: ["${o}"], max_connections: 7')
        reload(proxy, changed, raw.url)
        assert (await proxy.get("/a")).status == 503
        proxy.plane.set_health("o", key, True)
        assert (await proxy.get("/a")).status == 200
        proxy.plane.steer("o", key, "down")
        reload(proxy, text, raw.url)
        assert (await proxy.get("/a")).status == 503
        proxy.plane.steer("o", key, "up")
        proxy.plane.steer("nowhere", key, "up")
        proxy.plane.set_health("nowhere", key, True)
        assert (await proxy.get("/a")).status == 200


async def test_preparing_changes_nothing() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        proxy.plane.prepare(load_text(caching("enabled: false"), {"o": "http://127.0.0.1:1"}))
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
        assert (await proxy.get("/b")).status == 200
        assert len(requests(proxy)) == 2


async def test_a_configuration_that_cannot_be_put_in_force_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    shop, ca = Shop(FRESH), tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca))
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        text = caching().replace('["${o}"]', f'["https://x.test"], tls: {{ca: "{ca}"}}')
        config = load_text(text, {})
        ca.unlink()
        with pytest.raises(UnusableConfig, match=r"upstreams\.o"):
            proxy.plane.prepare(config)
        assert (await proxy.get("/a")).status == 200


async def test_redis_comes_goes_and_moves_by_reload(redis_server: RedisServer) -> None:
    shop = Shop(FRESH)
    with_redis = caching(tiers=f'redis: {{url: "{redis_server.url}", timeout: 2s}}')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        reload(proxy, with_redis, raw.url)
        first = proxy.plane._tiers.redis
        assert first is not None
        await until(lambda: first._keeper is not None)
        await first.wait_available()
        await proxy.get("/a")
        await first.flush()
        proxy.plane._memory.clear()
        assert b"hit" in (await proxy.get("/a")).cache_status
        reload(proxy, with_redis.replace("2s", "1s"), raw.url)
        second = proxy.plane._tiers.redis
        assert second is not None
        assert second is not first
        await until(lambda: second._keeper is not None)
        await second.wait_available()
        proxy.plane._memory.clear()
        assert b"hit" in (await proxy.get("/a")).cache_status
        reload(proxy, caching(), raw.url)
        proxy.plane._memory.clear()
        assert b"uri-miss" in (await proxy.get("/a")).cache_status
        await until(lambda: second._keeper is None)


async def test_a_smaller_budget_evicts_at_once() -> None:
    shop = Shop(FRESH, body=b"x" * 50_000)
    async with origin(shop) as raw, plane(caching(tiers="memory: {max_size: 4MiB}"), o=raw.url) as proxy:
        for number in range(40):
            await proxy.get(f"/{number}")
        reload(proxy, caching(tiers="memory: {max_size: 1MiB}"), raw.url)
        memory = proxy.plane.snapshot()["memory"]
        assert memory["bytes"] <= memory["budget"] == 1 << 20
