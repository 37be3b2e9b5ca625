"""A route with ESI, requests on it, and a cycle whose answers a test writes.

Must not know what is tested.
"""

import asyncio
from dataclasses import replace
from typing import Any

from edgeproxy.config.model import Esi
from edgeproxy.edge.esi.fragments import Fragment
from edgeproxy.edge.inner import Inners
from edgeproxy.edge.ports import Client, Downstream
from edgeproxy.edge.routing import Route
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.target import parse_uri
from tests.unit.edge.doubles import Out
from tests.unit.edge.rig import Rig, StillClock

CLIENT = Client(b"192.0.2.1", b"http", forwarded_host=b"shop.test")


def esi_route(**more: Any) -> Route:
    with Rig() as rig:
        return replace(rig.router.routes[0], esi=Esi(max_depth=2, max_includes=5), **more)


def asked(*lines: str, uri: bytes = b"http://shop.test/dir/page", method: bytes = b"GET") -> RequestHead:
    pairs = (line.partition(": ") for line in lines)
    return RequestHead(method, parse_uri(uri), 1, Fields((a.encode(), b.encode()) for a, _, b in pairs))


class Answers:
    """In a cycle's place: keeps the fragments that are asked for, for a test to answer."""

    def __init__(self) -> None:
        self.fragments: list[Fragment] = []
        self.inners = Inners(self._serve, StillClock())

    async def _serve(self, out: Downstream, received: float) -> None:
        assert isinstance(out, Fragment)
        self.fragments.append(out)
        await out.done

    @property
    def paths(self) -> list[bytes]:
        return [fragment.head.target.origin_form for fragment in self.fragments]


class PageClient(Out):
    """A client of one page."""

    def __init__(self, head: RequestHead, room: int = 1 << 40) -> None:
        super().__init__(room)
        self.head = head
        self.client = CLIENT
        self.counted = True
        self.body = None
        self.status = self.sent = 0
        self.done = asyncio.get_running_loop().create_future()
        self.fields: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.switched: list[object] = []

    def start(self, status: int, reason: bytes, fields: Any, length: int | None) -> None:
        self.started = True
        self.status, self.fields, self.length = status, list(fields), length

    def switch(self, head: object) -> None:
        self.switched.append(head)

    def take_over(self) -> object:
        return self.switched


async def turns(count: int = 5) -> None:
    """Let every task go as far as it can."""
    for _ in range(count):
        await asyncio.sleep(0)
