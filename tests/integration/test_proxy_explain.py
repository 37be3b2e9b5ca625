"""Explanations through the whole proxy: what is remembered, what is told, what is advised; and that
Cache-Status and the access log use the same names."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.telemetry.access_log import AccessLog
from edgeproxy.wire.fields import RawField
from tests.integration.raw_origins import origin
from tests.integration.shop_origin import PIECE, Shop, StandingClock, caching, count
from tests.plane import Proxy, plane

URL = b"http://shop.test/a"
DETAIL = "cache_status: {detail: true}"


async def explained(proxy: Proxy, *fields: RawField, url: bytes = URL) -> dict[str, Any]:
    told = await proxy.plane.explain(url, list(fields))
    assert json.loads(json.dumps(told)) == told
    assert told["steps"][-1]["reason"] is not None
    return told


def rules(told: dict[str, Any], of: str) -> list[str]:
    return [step["rule"] for step in told["steps"] if step["of"] == of]


def say(told: dict[str, Any]) -> list[str]:
    return [each["say"] for each in told["advice"]]


async def test_what_was_never_asked_for_is_said_to_be_unknown() -> None:
    async with origin(Shop()) as raw, plane(caching(), o=raw.url) as proxy:
        told = await explained(proxy)
        assert (told["reason"], rules(told, "last answer")) == ("nothing-stored", [])
        assert [each["at"] for each in told["advice"]] == ["client"]
        assert "request it once" in say(told)[0]


async def test_the_last_answer_that_was_not_stored_is_explained_with_the_way_out() -> None:
    shop = Shop("Cache-Control: private", "Set-Cookie: sid=secret")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(5)
        told = await explained(proxy)
        assert (told["outcome"], told["reason"]) == ("miss", "nothing-stored")
        refusal = told["last_refusal"]
        assert (refusal["reason"], refusal["section"]) == ("private", "RFC 9111 §5.2.2.7")
        assert (refusal["time"], refusal["seconds_ago"]) == ("2025-11-24T16:00:00+00:00", 5)
        assert rules(told, "last answer") == ["request", "status", "method", "private"]
        shared = "send `Cache-Control: max-age=60` instead of `Cache-Control: private`"
        assert say(told) == [f"{shared} and do not send `Set-Cookie`"]
        assert told["advice"][0]["caution"]
        assert "secret" not in json.dumps(told)


async def test_who_follows_the_advice_gets_hits_and_is_advised_no_more_of_it() -> None:
    shop = Shop()
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        told = await explained(proxy)
        assert say(told) == ["send `Cache-Control: max-age=60`", "on route all set `cache.default_ttl: 1m`"]
        shop.lines = (told["advice"][0]["changes"][0]["send"],)
        await proxy.get("/a")
        assert (await proxy.get("/a")).cache_status == b"edgeproxy; hit; ttl=60"
        told = await explained(proxy)
        assert (told["outcome"], "last_refusal" in told) == ("hit", False)
        assert rules(told, "request")[-3:] == ["freshness-lifetime", "freshness", "fresh"]
        assert told["advice"][0]["effect"] == "it is fresh for another 600 s"
        proxy.purges.apply(PurgeRule(PurgeKind.EVERYTHING))
        assert "last_refusal" not in await explained(proxy)


async def test_a_304_that_takes_the_permission_away_is_remembered() -> None:
    shop = Shop("Cache-Control: max-age=5", 'ETag: "v1"')
    text = caching(server=DETAIL)
    async with origin(shop) as raw, plane(text, StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(10)
        shop.lines = ("Cache-Control: private", 'ETag: "v1"')
        assert (await proxy.get("/a")).cache_status.endswith(b"detail=private")
        told = await explained(proxy)
        assert (told["last_refusal"]["reason"], told["last_refusal"]["status"]) == ("private", 200)


async def test_what_outgrew_the_limit_on_the_way_is_remembered() -> None:
    shop = Shop()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
    shop.raw = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PIECE), PIECE)
    async with origin(shop) as raw, plane(caching(cache="max_object_size: 1KiB"), o=raw.url) as proxy:
        await proxy.get("/a")
        told = await explained(proxy)
        assert told["last_refusal"]["reason"] == "too-large"
        assert say(told)[1] == "on route all set `slice: 1MiB`"


async def test_other_variants_are_explained_by_what_they_differ_in() -> None:
    shop = Shop("Cache-Control: max-age=60", "Vary: User-Agent, Accept-Language")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a", {"User-Agent": "one"})
        told = await explained(proxy, (b"User-Agent", b"two"))
        assert (told["reason"], told["other_variants"]) == ("no-variant", True)
        assert say(told) == ["send `Vary: Accept-Language` instead of `Vary: User-Agent, Accept-Language`"]


async def test_what_is_stored_for_another_query_or_as_a_part_is_found_without_a_trace() -> None:
    shop = Shop("Cache-Control: max-age=60", 'No-Vary-Search: params=("utm")')
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a?utm=1")
        before = count(proxy, "edgeproxy_tier_requests_total", "memory", "hit")
        told = await explained(proxy, url=URL + b"?utm=2")
        assert (told["outcome"], told["stored_under"]) == ("hit", "http://shop.test/a?utm=1")
        assert count(proxy, "edgeproxy_tier_requests_total", "memory", "hit") == before
        shop.raw = (
            b'HTTP/1.1 206 Partial Content\r\nETag: "v"\r\nCache-Control: max-age=60\r\n'
            b"Content-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\nhello"
        )
        await proxy.get("/b", {"Range": "bytes=0-4"})
        url = b"http://shop.test/b"
        inside = await explained(proxy, (b"Range", b"bytes=1-2"), url=url)
        assert (inside["outcome"], inside["reason"]) == ("hit", "fresh")
        outside = await explained(proxy, (b"Range", b"bytes=5-6"), url=url)
        assert (outside["reason"], outside["fwd"]) == ("part-stored", "partial")


async def test_what_the_command_asks_with_conditions_is_explained_as_a_request_would_be() -> None:
    shop = Shop("Cache-Control: max-age=5, stale-while-revalidate=9")
    async with origin(shop) as raw, plane(caching(), StandingClock(), o=raw.url) as proxy:
        await proxy.get("/a")
        await proxy.advance(7)
        stale = await explained(proxy)
        assert (stale["outcome"], stale["steps"][-1]["rule"]) == ("stale", "stale-while-revalidate")
        await proxy.advance(20)
        gone = await explained(proxy)
        assert (gone["outcome"], gone["reason"]) == ("validated", "stale")
        lone = await explained(proxy, (b"Cache-Control", b"only-if-cached"))
        assert (lone["outcome"], rules(lone, "request")[-2]) == ("error", "only-if-cached")


async def test_an_uncached_route_says_what_would_cache_it() -> None:
    async with origin(Shop()) as raw, plane(caching(cache="enabled: false"), o=raw.url) as proxy:
        await proxy.get("/a")
        told = await explained(proxy)
        assert (told["reason"], rules(told, "request")) == ("cache-disabled", ["cache-disabled"])
        assert say(told) == ["on route all set `cache.enabled: true`"]


async def test_what_no_route_takes_or_what_is_redirected_has_no_steps() -> None:
    text = caching(route="match: {host: shop.test}").replace(
        "routes: [", "routes: [{name: old, match: {path: /old}, redirect: /new}, "
    )
    async with origin(Shop()) as raw, plane(text, o=raw.url) as proxy:
        for url in (b"http://else.test/", b"http://shop.test/old"):
            told = await proxy.plane.explain(url, [])
            assert (told["steps"], told["advice"]) == ([], [])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("Cache-Control: max-age=60", "Set-Cookie: a=b"), "set-cookie"),
        (("Cache-Control: no-store",), "no-store"),
        (("Cache-Control: max-age=60",), "nothing-stored"),
    ],
)
async def test_detail_and_log_name_the_rule_that_kept_an_answer_from_being_stored(
    lines: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    shop = Shop(*lines)
    text = caching(server=DETAIL)
    async with origin(shop) as raw, plane(text, StandingClock(), access_log=log, o=raw.url) as proxy:
        status = (await proxy.get("/a")).cache_status
        assert status.endswith(b"detail=" + reason.encode())
        assert b"fwd=uri-miss" in status
        if reason != "nothing-stored":
            assert (await explained(proxy))["last_refusal"]["reason"] == reason
    log.close()
    assert [json.loads(line)["reason"] for line in path.read_text().splitlines()] == [reason]
