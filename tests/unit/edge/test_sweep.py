"""Purged responses leave memory in slices; what was not purged stays, whatever happens meanwhile."""

import asyncio

import pytest

from edgeproxy.edge import sweep as module
from edgeproxy.edge.sweep import SLICE, Sweep
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.unit.edge.rig import Rig, asks, says

COUNT = 10 * SLICE


def fill(rig: Rig, count: int = COUNT, tag: str = "shoes") -> None:
    for number in range(count):
        # every third is of another tag
        named = "hats" if number % 3 == 0 else tag
        rig.store(asks(f"/{tag}/{number}"), says("Cache-Control: max-age=60", f"Cache-Tag: {named}"))


def swept(rig: Rig, sweep: Sweep) -> int:
    """Run it to its end; the most that one turn looked at."""
    turns, most, before = 0, 0, looked.copy()
    more = True
    while more:
        more = sweep.step()
        turns += 1
        most = max(most, looked[0] - before[0])
        before = looked.copy()
        assert turns < 1000
    return most


looked = [0]


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the verdicts asked for, which are the work of a turn."""
    verdict = module.PurgeTable.verdict

    def counted(*args: object) -> object:
        looked[0] += 1
        return verdict(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module.PurgeTable, "verdict", counted)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (PurgeRule(PurgeKind.TAG, b"shoes"), COUNT // 3 + 1),
        (PurgeRule(PurgeKind.HOST, b"shop.test"), 0),
        (PurgeRule(PurgeKind.PREFIX, b"shop.test/shoes/"), 0),
        (PurgeRule(PurgeKind.PREFIX, b"shop.test/boots/"), COUNT),
        (PurgeRule(PurgeKind.EVERYTHING), 0),
        (PurgeRule(PurgeKind.TAG, b"shoes", soft=True), COUNT),
    ],
)
def test_what_a_purge_named_leaves_a_slice_a_turn(rule: PurgeRule, left: int) -> None:
    with Rig() as rig:
        fill(rig)
        before = looked[0]
        sweep = Sweep(rig.memory, rig.purges, rig.loop)
        rig.purges.apply(rule)
        assert looked[0] == before  # the purge itself looks at none
        assert rig.memory.responses == COUNT
        assert swept(rig, sweep) <= SLICE
        assert rig.memory.responses == left


def test_a_purge_of_a_url_or_a_soft_one_begins_no_sweep() -> None:
    with Rig() as rig:
        fill(rig)
        sweep = Sweep(rig.memory, rig.purges, rig.loop)
        before = looked[0]
        rig.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/shoes/1"))
        rig.purges.apply(PurgeRule(PurgeKind.HOST, b"shop.test", soft=True))
        sweep.look()
        assert looked[0] == before
        assert sweep._timer is None


def test_evictions_and_renewals_meanwhile_neither_end_nor_mislead_it() -> None:
    with Rig(budget=2 << 20) as rig:
        fill(rig)
        held = rig.memory.responses
        sweep = Sweep(rig.memory, rig.purges, rig.loop)
        rig.purges.apply(PurgeRule(PurgeKind.TAG, b"shoes"))
        turn, more = 0, True
        while more:
            more = sweep.step()
            for number in range(8):  # fetched after the purge, some of them in the place of others
                rig.store(asks(f"/shoes/{number + turn % 40 * 8}"), says("Cache-Control: max-age=60"))
            turn += 1
            assert turn < 1000
        assert held > 0
        assert not [node for node in rig.memory.nodes() if b"shoes" in node.stored.tags]
        assert [node for node in rig.memory.nodes() if not node.stored.tags]


def test_a_purge_meanwhile_is_swept_for_too() -> None:
    with Rig() as rig:
        fill(rig)
        sweep = Sweep(rig.memory, rig.purges, rig.loop)
        rig.purges.apply(PurgeRule(PurgeKind.TAG, b"shoes"))
        assert sweep.step()
        rig.purges.apply(PurgeRule(PurgeKind.TAG, b"hats"))
        swept(rig, sweep)
        assert rig.memory.responses == 0


def test_it_runs_by_itself_once_it_was_told_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)

    async def run(rig: Rig) -> None:
        sweep = Sweep(rig.memory, rig.purges, asyncio.get_running_loop())
        rig.purges.apply(PurgeRule(PurgeKind.EVERYTHING))
        sweep.look()
        sweep.look()  # one is enough
        async with asyncio.timeout(10):
            while "under way" in repr(sweep):  # noqa: ASYNC110 - it tells nobody when it is done
                await asyncio.sleep(0)
        rig.purges.apply(PurgeRule(PurgeKind.EVERYTHING))
        sweep.look()
        sweep.close()

    with Rig() as rig:
        fill(rig)
        rig.loop.run_until_complete(run(rig))
        assert rig.memory.responses == 0
        assert rig.memory.bytes == 0
