"""A site of pages and fragments behind a proxy with ESI routes.

Must not know what is tested with it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.integration.raw_origins import Talk
from tests.plane import read_request

HTML = "Content-Type: text/html"
FRESH = "Cache-Control: max-age=60"
PRIVATE = "Cache-Control: private, no-store"

CONFIG = """
server: {listen: "127.0.0.1:0"}
upstreams: {o: {origins: ["${o}"], timeouts: {first_byte: 2s, between_bytes: 2s}, retries: {attempts: 0}}}
routes:
  - {name: raw, match: {path: "/raw/*"}, upstream: o}
  - {name: short, match: {path: "/short/*"}, upstream: o, cache: {override_ttl: 5s}}
  - {name: moved, match: {path: "/moved"}, redirect: {to: /elsewhere, status: 302}}
  - {name: pages, match: {host: [shop.test, cdn.test]}, upstream: o, esi: {max_depth: 3, max_includes: 8}}
"""
"""Pages and their fragments on the route `pages`, fragments that are no pages on `raw` and `short`."""

Answer = Callable[[Talk, bytes], Awaitable[None]]


def include(src: str, alt: str = "", onerror: str = "") -> str:
    """The tag that puts a fragment in its place."""
    more = f' alt="{alt}"' * bool(alt) + f' onerror="{onerror}"' * bool(onerror)
    return f'<esi:include src="{src}"{more}/>'


class Site:
    """An origin's script: each path has what it says; counts and keeps what it is asked."""

    def __init__(self, **pages: str) -> None:
        self.answers: dict[str, bytes | Answer] = {}
        self.heads: list[bytes] = []
        self.seen: Counter[str] = Counter()
        self.gates: dict[str, asyncio.Event] = {}
        for name, body in pages.items():
            self.has(f"/{name}", body)

    def has(self, path: str, body: str, *lines: str, status: str = "200 OK") -> None:
        """That path answers so from now on; by default HTML, fresh for a minute."""
        said = "".join(f"{line}\r\n" for line in lines or (HTML, FRESH))
        content = body.encode()
        head = f"HTTP/1.1 {status}\r\n{said}Content-Length: {len(content)}\r\n\r\n".encode()
        self.answers[path] = head + content

    def does(self, path: str, answer: Answer) -> None:
        """That path is answered by a script."""
        self.answers[path] = answer

    def gate(self, path: str) -> asyncio.Event:
        """From now on that path answers when the event is set."""
        return self.gates.setdefault(path, asyncio.Event())

    async def __call__(self, talk: Talk) -> None:
        while True:
            head, _ = await read_request(talk)
            method, target, _ = head.split(b" ", 2)
            path = target.decode()
            self.heads.append(head)
            self.seen[path] += 1
            if path in self.gates:
                await self.gates[path].wait()
            answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone")
            if not isinstance(answer, bytes):
                await answer(talk, head)
            else:
                await talk.send(
                    answer if method != b"HEAD" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
                )

    def head(self, path: str) -> bytes:
        """The last request for that path, in lower case."""
        begin = f" {path} ".encode()
        return next(head for head in reversed(self.heads) if begin in head.partition(b"\r\n")[0]).lower()
