"""A crowd asks the shared tiers once; who wants another variant than was found asks for itself."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from edgeproxy.edge.asking import CROWD, Asking
from edgeproxy.edge.lookup import NOTHING, Found


class Shared:
    """A look-up that answers when told to, and counts."""

    def __init__(self, found: Found) -> None:
        self.shared = SimpleNamespace(near=False)
        self.found = found
        self.asked = 0
        self.go = asyncio.Event()

    async def in_shared(self, *asked: Any) -> Found:
        self.asked += 1
        await self.go.wait()
        return self.found

    def peek(self, *asked: Any) -> Found:
        return NOTHING


@pytest.mark.parametrize(("found", "asked"), [(NOTHING, 1 + CROWD), (Found(variant=b"v", others=True), 20)])
async def test_a_crowd_asks_once_where_there_is_nothing(found: Found, asked: int) -> None:
    lookup = Shared(found)
    asking = Asking(lookup)  # type: ignore[arg-type]
    crowd = [
        asyncio.ensure_future(asking.in_shared(b"k", None, None, NOTHING))  # type: ignore[arg-type]
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    assert lookup.asked == 1 + CROWD
    lookup.go.set()
    await asyncio.gather(*crowd)
    assert lookup.asked == asked
