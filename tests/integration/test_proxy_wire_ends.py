"""Ends that nobody wished for: clients that leave, origins that break off, and a drain."""

import asyncio
import os

import pytest

from tests.integration.raw_origins import Talk, origin, until
from tests.plane import PLAIN, UNCACHED, Proxy, Seen, limited, plane, read_request, request

CACHEABLE = "Cache-Control: max-age=100"
HEAD = b"HTTP/1.1 200 OK\r\n" + CACHEABLE.encode() + b"\r\n"


class Endless:
    """An origin that sends without end, and tells when it is rid of that."""

    def __init__(self, head: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.head = head
        self.freed = asyncio.Event()

    async def __call__(self, talk: Talk) -> None:
        try:
            await talk.head()
            await talk.send(self.head)
            while True:
                await talk.send(b"x" * 10_000)
                await asyncio.sleep(0)
        finally:
            self.freed.set()


class Silent:
    """An origin that takes a request, never answers, and tells when it is rid of that."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.freed = asyncio.Event()

    async def __call__(self, talk: Talk) -> None:
        await talk.head()
        self.asked.set()
        await talk.ended()
        self.freed.set()


def nothing_stored(proxy: Proxy) -> bool:
    return proxy.plane.snapshot()["memory"]["responses"] == 0


class TestClientsThatLeave:
    async def test_before_the_answer(self) -> None:
        script = Silent()
        async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy:
            async with proxy.client() as client:
                await client.send(request())
                await script.asked.wait()
                client.reset()
                await script.freed.wait()
            await proxy.quiet()
            assert (proxy.busy_origins, proxy.connections) == (0, 0)

    async def test_before_the_answer_of_what_could_be_stored(self) -> None:
        """The fetch belongs to nobody: it goes on, and is bounded by the origin's own timeouts."""
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await go.wait()
            await talk.send(HEAD + b"Content-Length: 5\r\n\r\nhello")
            await talk.ended()

        async with origin(script) as raw, plane(o=raw.url) as proxy:
            async with proxy.client() as client:
                await client.send(request())
                await until(lambda: raw.connections == 1)
                client.reset()
            await until(lambda: proxy.connections == 0)
            go.set()
            await proxy.quiet()
            assert b"hit" in (await proxy.get()).cache_status

    async def test_in_the_middle_of_the_answer(self) -> None:
        for text in (UNCACHED, PLAIN):
            script = Endless()
            async with origin(script) as raw, plane(text, o=raw.url) as proxy:
                async with proxy.client() as client:
                    await client.send(request())
                    await client.head()
                    await client.chunk()
                await script.freed.wait()
                await proxy.quiet()
                assert proxy.busy_origins == 0

    async def test_one_of_two_who_read_the_same_fill(self) -> None:
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(HEAD + b"Content-Length: 10\r\n\r\nhello")
            await go.wait()
            await talk.send(b"world")
            await talk.ended()

        async with (
            origin(script) as raw,
            plane(o=raw.url) as proxy,
            proxy.client() as leader,
            proxy.client() as follower,
        ):
            await leader.send(request())
            await leader.head()
            await follower.send(request())
            await follower.head()
            leader.reset()
            await until(lambda: proxy.connections == 1)
            go.set()
            assert await follower.exactly(10) == b"helloworld"
            assert raw.connections == 1

    async def test_in_the_middle_of_their_body(self) -> None:
        script = Silent()
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            for leave in ("close", "reset"):
                script.asked.clear()
                script.freed.clear()
                async with proxy.client() as client:
                    await client.send(request("/", "POST", {"Content-Length": "100"}) + b"x" * 50)
                    await script.asked.wait()
                    if leave == "reset":
                        client.reset()
                await script.freed.wait()
                await proxy.quiet()
                assert proxy.busy_origins == 0

    async def test_what_they_ordered_before_they_left_still_invalidates(self) -> None:
        """The answer to a DELETE was given up with its client, and what it deleted was served on."""
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            while True:
                head, _ = await read_request(talk)
                if head.startswith(b"DELETE"):
                    await go.wait()
                await talk.send(HEAD + b"Content-Length: 5\r\n\r\nhello")

        async with origin(script) as raw, plane(o=raw.url) as proxy:
            await proxy.get("/a")
            async with proxy.client() as client:
                await client.send(request("/a", "DELETE"))
                await until(lambda: proxy.busy_origins == 1)
                client.reset()
            await until(lambda: proxy.connections == 0)
            go.set()
            await proxy.quiet()
            assert b"fwd=uri-miss" in (await proxy.get("/a")).cache_status

    async def test_many_of_them_leave_nothing_behind(self) -> None:
        script = Endless()
        async with origin(script) as raw, plane(o=raw.url) as proxy:
            async with asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(self._look_and_leave(proxy, f"/{number % 5}"))
            await proxy.quiet()
            await until(lambda: raw.open == 0 and proxy.connections == 0)
            assert proxy.busy_origins == 0

    @staticmethod
    async def _look_and_leave(proxy: Proxy, target: str) -> None:
        async with proxy.client() as client:
            await client.send(request(target))
            await client.head()


TRUNCATED = {
    "short-of-its-length": (HEAD + b"Content-Length: 10\r\n\r\nhello", "close"),
    "short-of-its-length-by-reset": (HEAD + b"Content-Length: 10\r\n\r\nhello", "reset"),
    "without-its-last-chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close"),
    "inside-a-chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\nhello", "close"),
    "inside-the-trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n", "close"),
    "broken-chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "keep"),
    "until-the-close-by-reset": (HEAD + b"\r\nhello", "reset"),
}


class TestOriginsThatBreakOff:
    @pytest.mark.parametrize(("data", "how"), TRUNCATED.values(), ids=TRUNCATED.keys())
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    @pytest.mark.parametrize("text", [PLAIN, UNCACHED], ids=["cached", "uncached"])
    async def test_the_client_sees_a_cut_and_nothing_is_stored(
        self, data: bytes, how: str, version: str, text: str
    ) -> None:
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(data)
            await go.wait()
            if how == "reset":
                talk.reset()
            elif how == "keep":
                await talk.ended()

        if how == "keep":
            go.set()
        async with origin(script) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            await client.send(f"GET / HTTP/{version}\r\nHost: shop.test\r\n\r\n".encode())
            # A body that breaks in its first segment may cut even the head: never a clean end.
            got = b""
            try:
                while piece := await client.reader.read(1000):
                    got += piece
                    if b"hello" in got:
                        go.set()
            except ConnectionResetError:
                pass
            else:
                assert version == "1.1", "a body that ends with its connection has come to a clean end"
            assert not got.endswith(b"0\r\n\r\n")
            assert nothing_stored(proxy)
            assert proxy.busy_origins == 0

    async def test_all_readers_of_a_fill_are_cut(self) -> None:
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.head()
            await talk.send(HEAD + b"Content-Length: 10\r\n\r\nhello")
            await go.wait()

        async with (
            origin(script) as raw,
            plane(o=raw.url) as proxy,
            proxy.client() as one,
            proxy.client() as two,
        ):
            for client in (one, two):
                await client.send(request())
                await client.head()
                assert await client.exactly(5) == b"hello"
            go.set()
            for client in (one, two):
                assert await client.closed()
            assert nothing_stored(proxy)


class TestMoreThanMayBeStored:
    """A head that came with more body than fits was taken for one that nobody wants: its client was cut."""

    @pytest.mark.parametrize("framing", ["chunked", "length"])
    async def test_too_large_for_its_route(self, framing: str) -> None:
        text = PLAIN.replace("upstream: o}", "upstream: o, cache: {max_object_size: 1KiB}}")
        if framing == "length":
            data = HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000
        else:
            data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n"
        async with origin(Seen(raw=data)) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                assert (await client.ask(request())).body == b"x" * 5000
            assert nothing_stored(proxy)

    async def test_too_large_for_the_memory_there_is(self) -> None:
        text = "cache: {memory: {max_size: 1MiB}}\n" + PLAIN
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (1_200_000, b"x" * 1_200_000)
        data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        async with origin(Seen(raw=data)) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            for _ in range(2):
                assert (await client.ask(request())).body == b"x" * 1_200_000
            assert nothing_stored(proxy)


class TestDrain:
    async def test_what_is_in_flight_is_finished_and_told_that_it_is_the_last(self) -> None:
        go = asyncio.Event()

        async def script(talk: Talk) -> None:
            while True:
                await talk.head()
                await go.wait()
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        async with (
            origin(script) as raw,
            plane(o=raw.url) as proxy,
            proxy.client() as busy,
            proxy.client() as idle,
        ):
            await busy.send(request())
            go.set()
            await busy.answer()
            await idle.ask(request("/idle"))
            go.clear()
            await busy.send(request("/last"))
            await until(lambda: proxy.busy_origins == 1)
            draining = asyncio.ensure_future(proxy.plane.drain(5))
            assert await idle.closed()
            go.set()
            answer = await busy.answer()
            assert (answer.body, answer.get("connection")) == (b"hello", b"close")
            assert await busy.closed()
            await draining

    async def test_a_request_that_lies_in_the_socket_is_answered(self) -> None:
        async with (
            origin(Seen(fields=(CACHEABLE,))) as raw,
            plane(o=raw.url) as proxy,
            proxy.client() as client,
            proxy.client() as fresh,
        ):
            await client.ask(request())
            await until(lambda: proxy.connections == 2)
            sock = client.writer.get_extra_info("socket")
            other = fresh.writer.get_extra_info("socket")
            # Sent by the kernel at once, while the loop is busy with the drain.
            for descriptor in (sock.fileno(), other.fileno()):
                assert os.write(descriptor, request()) == len(request())
            proxy.plane._listenings[b"http"].drain()
            draining = asyncio.ensure_future(proxy.plane.drain(5))
            for each in (client, fresh):
                answer = await each.answer()
                assert (answer.body, answer.get("connection")) == (b"hello", b"close")
                assert await each.closed()
            await draining

    async def test_pipelined_requests_are_all_answered(self) -> None:
        async with origin(Seen()) as raw, plane(o=raw.url) as proxy, proxy.client() as client:
            await client.send(b"".join(request(f"/{number}") for number in range(20)))
            await client.answer()
            draining = asyncio.ensure_future(proxy.plane.drain(5))
            rest = [await client.answer() for _ in range(19)]
            assert [answer.status for answer in rest] == [200] * 19
            assert await client.closed()
            await draining

    async def test_what_does_not_end_is_cut_at_the_deadline(self) -> None:
        script = Silent()
        async with origin(script) as raw, plane(UNCACHED, o=raw.url) as proxy, proxy.client() as client:
            await client.send(request())
            await script.asked.wait()
            await proxy.plane.drain(0.05)
            assert await client.closed()
            await script.freed.wait()

    async def test_a_client_that_never_asked_does_not_hold_it_for_long(self) -> None:
        text = limited(PLAIN, header_timeout="1s")
        async with origin(Seen()) as raw, plane(text, o=raw.url) as proxy, proxy.client() as client:
            await until(lambda: proxy.connections == 1)
            draining = asyncio.ensure_future(proxy.plane.drain(20))
            assert await client.closed()
            await draining
