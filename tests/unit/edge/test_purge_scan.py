import asyncio
from dataclasses import replace

import pytest

from edgeproxy.edge import purge_scan as module
from edgeproxy.edge.pieces import Pieces
from edgeproxy.edge.purge_scan import PurgeScan
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.store.memory import MemoryTier
from tests.unit.store.responses import stored


@pytest.fixture
def table():
    made = PurgeTable.create()
    yield made
    made.close()


@pytest.fixture
def memory(table) -> MemoryTier:
    made = MemoryTier(10**8)
    for number in range(30):
        for variant in (b"", b"v") if number == 7 else (b"",):
            made.put(replace(stored(number, variant=variant), stamp=table.stamp()))
    return made


@pytest.fixture
def scan(memory, table) -> PurgeScan:
    return PurgeScan(memory, table, Pieces())


def rule(kind: PurgeKind, value: bytes = b"") -> PurgeRule:
    return PurgeRule(kind, value)


@pytest.mark.parametrize(
    ("named", "count"),
    [
        (rule(PurgeKind.URL, b"shop.example/products/7"), 2),
        (rule(PurgeKind.URL, b"shop.example/products/70"), 0),
        (rule(PurgeKind.TAG, b"product-8"), 1),
        (rule(PurgeKind.TAG, b"shop"), 31),
        (rule(PurgeKind.PREFIX, b"shop.example/products/1"), 11),
        (rule(PurgeKind.HOST, b"shop.example"), 31),
        (rule(PurgeKind.HOST, b"other.example"), 0),
        (rule(PurgeKind.EVERYTHING), 31),
    ],
)
async def test_it_finds_what_the_purge_would_take(scan, table, named, count, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 3)
    found = await scan.weigh([named])
    assert found.count == count
    assert found.seconds == 0.125 * count
    assert (found.size > 1024 * count) == (count > 0)
    table.apply(named)
    assert (await scan.weigh([named])).count == 0


async def test_what_another_tier_has_is_counted_once(scan):
    sample = await scan.weigh([rule(PurgeKind.URL, b"shop.example/products/7")])
    scan.weigh_variants(sample, b"http://shop.example/products/7", [b"", b"v", b"w"])
    assert sample.count == 3


async def test_other_work_goes_on_during_a_scan(scan, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await scan.weigh([rule(PurgeKind.EVERYTHING)])
    task.cancel()
    assert turns >= 30


async def test_only_what_was_purged_is_freed(scan, memory, table):
    keys = [b"http://shop.example/products/7", b"http://shop.example/products/8", b"http://shop.example/none"]
    assert scan.free(keys) == 0
    table.apply(rule(PurgeKind.URL, b"shop.example/products/7"))
    memory.put(replace(stored(7, variant=b"new"), stamp=table.stamp()))
    assert scan.free(keys) == 2
    assert memory.responses == 30


async def test_what_is_asked_for_meanwhile_is_the_most_popular(scan, memory):
    for node in memory.nodes():
        node.visited = node.primary.key.endswith(b"/3")
    busy = next(node for node in memory.nodes() if node.primary.key.endswith(b"/5"))

    async def hit() -> None:
        while True:
            busy.visited = True
            await asyncio.sleep(0)

    task = asyncio.create_task(hit())
    found = await scan.popularity([rule(PurgeKind.EVERYTHING)], 100, (0.01, 0.02))
    task.cancel()
    assert max(found, key=found.__getitem__) == b"shop.example/products/5"
    assert len(found) == 30
    assert {node.primary.key[-2:] for node in memory.nodes() if node.visited} == {b"/3", b"/5"}
    assert list(await scan.popularity([rule(PurgeKind.EVERYTHING)], 1)) != []
