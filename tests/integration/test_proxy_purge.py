"""Purges through the whole proxy: by URL, tag, prefix, host, everything; hard and soft; unsafe methods."""

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.wire.fields import RawField
from tests.integration.raw_origins import origin, until
from tests.integration.shop_origin import Shop, StandingClock, caching
from tests.plane import Proxy, plane, request

FRESH = "Cache-Control: max-age=60"
TARGETS = ("/a/1", "/a/2", "/b", "/b?q=1")
HOSTS = ("shop.test", "other.test", "shop.test:8080")


class Tagged(Shop):
    """Tags each answer by its path."""

    def answer(self, head: bytes) -> bytes:
        path = head.split(b" ")[1].decode()
        self.lines = (FRESH, f"Surrogate-Key: all{path.replace('/', '-')}", "Vary: Accept-Language")
        return super().answer(head)


async def fill(proxy: Proxy) -> None:
    for host in HOSTS:
        for target in TARGETS:
            for language in ("de", "en"):
                await proxy.get(target, {"Host": host, "Accept-Language": language})


async def missing(proxy: Proxy, how: bytes = b"fwd=") -> set[tuple[str, str]]:
    """Which (host, target) are not answered by a fresh hit, whatever the language."""
    gone = set()
    for host in HOSTS:
        for target in TARGETS:
            told = {
                b"; hit; ttl=60" in (await ask(proxy, host, target, language)) for language in ("de", "en")
            }
            assert len(told) == 1, (host, target)
            if told == {False}:
                gone.add((host, target))
    return gone


async def ask(proxy: Proxy, host: str, target: str, language: str) -> bytes:
    return (await proxy.get(target, {"Host": host, "Accept-Language": language})).cache_status


RULES = [
    (PurgeKind.URL, b"shop.test/b", {("shop.test", "/b")}),
    (PurgeKind.URL, b"shop.test/b?q=1", {("shop.test", "/b?q=1")}),
    (PurgeKind.TAG, b"all-a-1", {(host, "/a/1") for host in HOSTS}),
    (PurgeKind.PREFIX, b"shop.test/a/", {("shop.test", "/a/1"), ("shop.test", "/a/2")}),
    (PurgeKind.HOST, b"other.test", {("other.test", target) for target in TARGETS}),
    (PurgeKind.HOST, b"shop.test", {(host, target) for host in (HOSTS[0], HOSTS[2]) for target in TARGETS}),
    (PurgeKind.HOST, b"shop.test:8080", {("shop.test:8080", target) for target in TARGETS}),
    (PurgeKind.EVERYTHING, b"", {(host, target) for host in HOSTS for target in TARGETS}),
    (PurgeKind.TAG, b"none", set()),
]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("kind", "value", "gone"), RULES)
async def test_a_purge_takes_what_it_names_with_all_variants_and_nothing_else(
    kind: PurgeKind, value: bytes, gone: set[tuple[str, str]], soft: bool
) -> None:
    shop = Tagged()
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await fill(proxy)
        assert await missing(proxy) == set()  # serialised now
        proxy.purges.apply(PurgeRule(kind, value, soft))
        assert await missing(proxy) == gone
        assert await missing(proxy) == set()


async def test_what_a_hard_purge_took_is_not_even_served_when_the_origin_is_gone() -> None:
    shop = Shop(FRESH)
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a"))
        await raw.stop()
        assert (await proxy.get("/a")).status == 502


async def test_what_a_soft_purge_made_stale_is_validated_and_served_when_the_origin_is_gone() -> None:
    shop = Shop(FRESH, 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        proxy.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/a", soft=True))
        validated = await proxy.get("/a")
        assert validated.cache_status == b"edgeproxy; fwd=stale; fwd-status=304; ttl=60; stored"
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
        proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING, soft=True))
        await raw.stop()
        stale = await proxy.get("/a")
        assert (stale.status, stale.cache_status) == (200, b"edgeproxy; fwd=stale; ttl=-1")


async def test_a_soft_purge_within_the_window_is_served_stale_and_fetched_in_the_background() -> None:
    shop = Shop("Cache-Control: max-age=60, stale-while-revalidate=30")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        proxy.purges.apply(PurgeRule(PurgeKind.TAG, b"none", soft=True))
        proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING, soft=True))
        shop.body = b"new"
        stale = await proxy.get("/a")
        assert (stale.body, stale.cache_status) == (b"hello", b"edgeproxy; hit; ttl=-1")
        await until(lambda: not len(proxy.plane._revalidations) and not proxy.plane._fetcher.fills)
        assert (await proxy.get("/a")).body == b"new"


async def test_removing_by_key_names_every_variant_that_was_there() -> None:
    shop = Tagged()
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        await fill(proxy)
        removed = await proxy.plane.remove([b"http://shop.test/b", b"http://shop.test/none"])
        assert len(removed) == 2
        assert all(name.startswith("http://shop.test/b ") for name in removed)
        assert b"fwd=uri-miss" in await ask(proxy, "shop.test", "/b", "de")


async def test_a_get_under_way_while_an_unsafe_method_succeeds_is_not_stored() -> None:
    shop = Shop(FRESH, body=b"old")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:

        async def node(keys: list[bytes], tags: list[bytes], answer: object) -> None:
            for key in keys:
                proxy.purges.apply(PurgeRule(PurgeKind.URL, key.partition(b"://")[2]))

        proxy.plane._fetcher._invalidate = node
        shop.gate.clear()
        async with proxy.client() as reader:
            await reader.send(request("/a"))
            await until(lambda: shop.waiting == 1)
            shop.passes = b"PUT "
            assert (await proxy.ask(request("/a", "PUT", body=b"new"))).status == 200
            shop.gate.set()
            assert (await reader.answer()).body == b"old"
        shop.body = b"new"
        assert (await proxy.get("/a")).body == b"new"


async def test_explain_tells_what_a_request_would_get_and_leaves_no_trace() -> None:
    shop = Shop(FRESH, "Surrogate-Key: a")
    text = caching(route="match: {host: shop.test}")
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        fields: list[RawField] = []
        cold = await proxy.plane.explain(b"http://shop.test/a", fields)
        assert (cold["route"], cold["stored"], cold["outcome"], cold["fwd"]) == (
            "all",
            False,
            "miss",
            "uri-miss",
        )
        await proxy.get("/a")
        await proxy.advance(10)
        warm = await proxy.plane.explain(b"http://shop.test/a", fields)
        assert (warm["outcome"], warm["ttl"], warm["current_age"], warm["tier"]) == ("hit", 50, 10, "memory")
        assert (warm["freshness_source"], warm["freshness_lifetime"]) == ("max-age", 60)
        assert (warm["tags"], warm["key"]) == (["a"], "http://shop.test/a")
        asked = await proxy.plane.explain(b"http://shop.test/a", [(b"Cache-Control", b"no-cache")])
        assert (asked["outcome"], asked["reason"]) == ("validated", "request-no-cache")
        lone = await proxy.plane.explain(b"http://shop.test/x", [(b"Cache-Control", b"only-if-cached")])
        assert lone["would"] == "get 504: only-if-cached"
        assert (await proxy.plane.explain(b"http://else.test/", fields))["reason"] == "no-route"
        proxy.purges.apply(PurgeRule(PurgeKind.TAG, b"a", soft=True))
        soft = await proxy.plane.explain(b"http://shop.test/a", fields)
        assert (soft["soft_purged"], soft["reason"]) == (True, "soft-purged")
        assert shop.count == 1
