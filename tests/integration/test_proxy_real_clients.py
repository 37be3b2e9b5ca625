"""Clients that people use, through the whole proxy: requests with a private cache, curl, aiohttp."""

import asyncio
import shutil
import subprocess

import aiohttp
import pytest
import requests
from cachecontrol import CacheControl

from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, caching
from tests.plane import plane

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Connection": "keep-alive",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Priority": "u=0, i",
}


async def test_a_private_cache_downstream_reuses_counts_our_age_and_validates_with_us() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        url = f"{proxy.url}/a"

        def browse() -> tuple[requests.Response, requests.Response, requests.Response]:
            with CacheControl(requests.Session()) as session:
                first = session.get(url)
                kept = session.get(url)
                reloaded = session.get(url, headers={"Cache-Control": "max-age=0"})
                return first, kept, reloaded

        first, kept, reloaded = await asyncio.to_thread(browse)
        assert (first.text, kept.text, reloaded.text) == ("hello", "hello", "hello")
        assert "fwd=uri-miss" in first.headers["Cache-Status"]
        assert getattr(kept, "from_cache", False)
        assert not getattr(first, "from_cache", True)
        # The reload went through both caches to the origin as a validation.
        assert len(shop.heads) == 2
        assert b"if-none-match" in shop.heads[1].lower()


async def test_a_second_private_cache_behind_us_does_not_trouble_the_origin() -> None:
    shop = Shop("Cache-Control: max-age=60")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:

        def browse() -> str:
            with CacheControl(requests.Session()) as session:
                return str(session.get(f"{proxy.url}/a").headers["Cache-Status"])

        assert "fwd=uri-miss" in await asyncio.to_thread(browse)
        assert "; hit; ttl=" in await asyncio.to_thread(browse)
        assert len(shop.heads) == 1


async def test_a_browser_keeps_its_connection_over_pages_uploads_and_validations() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"')
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(proxy.url, headers=BROWSER, connector=connector) as session:
            for turn in range(3):
                async with session.get("/page") as page:
                    assert (page.status, await page.text()) == (200, "hello")
                    assert ("; hit" in page.headers["Cache-Status"]) is (turn > 0)
            async with session.get("/page", headers={"If-None-Match": '"v1"'}) as same:
                assert (same.status, await same.read()) == (304, b"")
            async with session.post("/page", data=b"x" * 100_000) as posted:
                assert posted.status == 200
            async with session.get("/page") as again:  # the POST made the stored page void
                assert "fwd=" in again.headers["Cache-Status"]
            assert proxy.connections == 1
        assert shop.bodies[-2] == b"x" * 100_000


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_gets_heads_ranges_and_uploads() -> None:
    shop = Shop("Cache-Control: max-age=60", 'ETag: "v1"', body=b"0123456789")
    async with origin(shop) as raw, plane(caching(), o=raw.url) as proxy:

        async def curl(*options: str) -> str:
            command = ["curl", "-sS", "--max-time", "10", *options, f"{proxy.url}/a"]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=True
            )
            return done.stdout

        assert await curl() == "0123456789"
        assert "cache-status: edgeproxy; hit" in (await curl("-I")).lower()
        assert await curl("-r", "2-4") == "234"
        assert await curl("--http1.0") == "0123456789"
        assert "HTTP/1.1 200" in await curl("-i", "-H", "Expect: 100-continue", "-d", "k=v")
        assert shop.bodies[-1] == b"k=v"
