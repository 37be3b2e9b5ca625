"""Refusals and hits of the fast path in the access log."""

from pathlib import Path

import msgspec

from edgeproxy.telemetry.access_log import AccessLog
from tests.integration.raw_origins import origin, until
from tests.plane import Seen, plane, request


async def test_hits_and_refusals_are_logged_pipelined_or_not(tmp_path: Path) -> None:
    """A hit that was pipelined left no line."""
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    seen = Seen(fields=("Cache-Control: max-age=100",))
    async with origin(seen) as raw, plane(access_log=log, o=raw.url) as proxy, proxy.client() as client:
        fields = {"User-Agent": "me", "Referer": "there"}
        await client.ask(request("/a", fields=fields))
        await client.send(
            request("/a?", fields=fields) + request("/a", fields=fields) * 2 + b"nonsense\r\n\r\n"
        )
        for status in (200, 200, 200, 400):
            assert (await client.answer()).status == status
        await client.rest()
    log.close()
    await until(lambda: len(path.read_bytes().splitlines()) == 5)
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    found = [line for line in lines if line["outcome"] == "hit"]
    assert [(line["status"], line["path"], line["host"]) for line in found] == [(200, "/a", "shop.test")] * 2
    assert [(line["user_agent"], line["referer"], line["bytes"]) for line in found] == [
        ("me", "there", 5)
    ] * 2
    (refused,) = [line for line in lines if line["status"] == 400]
    assert (refused["outcome"], refused["client"]) == ("error", "127.0.0.1")
    assert "not an HTTP/1 request" in refused["reason"] or "malformed" in refused["reason"]
