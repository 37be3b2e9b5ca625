"""Tiers behind memory, nearest first."""

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.store.layers import Layers, layers
from edgeproxy.store.tier import VariantOf
from tests.unit.store.node_things import stored


class Held:
    """A tier that is a dict."""

    def __init__(self) -> None:
        self.held: dict[tuple[bytes, bytes], StoredResponse] = {}

    async def get(self, key: bytes, variant_of: VariantOf) -> StoredResponse | None:
        return self.held.get((key, variant_of(())))

    def put(self, one: StoredResponse, ttl: float) -> None:
        self.held[one.key, one.variant] = one

    async def remove(self, key: bytes) -> list[bytes]:
        gone = [pair for pair in self.held if pair[0] == key]
        return [self.held.pop(pair).variant for pair in gone]

    def discard(self, key: bytes, variant: bytes) -> None:
        self.held.pop((key, variant), None)


def plain(names: tuple[bytes, ...]) -> bytes:
    return b""


async def test_the_nearest_that_has_it_answers_and_all_are_written() -> None:
    near, far = Held(), Held()
    both = Layers([("node", near), ("redis", far)])
    one, other = stored(b"one"), stored(b"other")
    both.put(one, 1.0)
    assert near.held == far.held != {}
    far.put(other, 1.0)
    assert await both.get(b"other", plain) == other
    both.put_before("redis", other, 1.0)
    assert near.held == far.held
    far.held.clear()
    assert await both.get(b"one", plain) == one
    assert await both.get(b"none", plain) is None


async def test_what_is_removed_is_removed_from_all_and_named_once() -> None:
    near, far = Held(), Held()
    both = Layers([("node", near), ("redis", far)])
    both.put(stored(b"k", variant=b"a"), 1.0)
    far.put(stored(b"k", variant=b"b"), 1.0)
    assert sorted(await both.remove(b"k")) == [b"a", b"b"]
    both.put(stored(b"k"), 1.0)
    both.discard(b"k", b"")
    assert not near.held
    assert not far.held
    assert "Held" in repr(both)


def test_without_any_tier_there_are_no_layers() -> None:
    assert layers(("node", None), ("redis", None)) is None
    only = layers(("node", None), ("redis", Held()))
    assert only is not None
    assert [name for name, _ in only.tiers] == ["redis"]
