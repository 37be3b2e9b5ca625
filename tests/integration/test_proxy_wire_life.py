"""Client connections through the whole proxy: keep-alive, HTTP/1.0, pipelining, HEAD, closing."""

from tests.integration.raw_origins import origin
from tests.plane import Seen, plane, request


async def test_one_connection_serves_one_request_after_another() -> None:
    seen = Seen()
    async with origin(seen) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
        for number in range(5):
            answer = await client.ask(request(f"/{number}"))
            assert (answer.status, answer.body, answer.version) == (200, b"hello", b"HTTP/1.1")
            assert answer.get("connection") is None
        assert raw.connections == 1
        assert seen.targets == [b"/0", b"/1", b"/2", b"/3", b"/4"]
