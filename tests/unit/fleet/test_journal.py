import logging
from pathlib import Path

import pytest

from edgeproxy.fleet import journal as module
from edgeproxy.fleet.entries import Purge
from edgeproxy.fleet.journal import PurgeJournal
from edgeproxy.fleet.rules import PurgeKind, PurgeRule


def purge(name: str) -> Purge:
    return Purge(name, "edge-1", 1.5, (PurgeRule(PurgeKind.TAG, name.encode()),), since="mark")


def left(path: Path) -> list[str]:
    return [each.id for each in PurgeJournal(path).load()]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "var" / "purges.unsent"


async def test_what_is_kept_is_found_by_the_next_run_in_order(path):
    journal = PurgeJournal(path)
    assert journal.load() == []
    assert await journal.keep([purge("a")])
    assert await journal.keep([purge("a"), purge("b")])
    assert PurgeJournal(path).load() == [purge("a"), purge("b")]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_the_file_is_emptied_once_all_were_told(path):
    journal = PurgeJournal(path)
    await journal.keep([purge("a"), purge("b")])
    await journal.drop(["a", "unknown"])
    assert left(path) == ["a", "b"], "append only: a again does no harm"
    await journal.drop(["b"])
    assert path.stat().st_size == 0
    await journal.keep([purge("c")])
    assert left(path) == ["c"]


async def test_what_a_crash_cut_short_is_left_out_and_overwritten(path, caplog):
    await PurgeJournal(path).keep([purge("a"), purge("b")])
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"EPJ1\xff", whole[:-3] + b"xyz"):
        path.write_bytes(damaged)
        journal = PurgeJournal(path)
        found = [each.id for each in journal.load()]
        assert found == (["a", "b"] if damaged.startswith(whole) else ["a"])
        assert "damaged and left out" in caplog.text
        caplog.clear()
        assert await journal.keep([purge("c")])
        assert left(path) == [*found, "c"]


async def test_one_may_stand_for_all(path):
    journal = PurgeJournal(path)
    await journal.keep([purge("a"), purge("b")])
    assert await journal.replace(purge("all"))
    assert left(path) == ["all"]
    assert "all" in journal
    assert "a" not in journal


async def test_a_disk_that_fails_is_told_once_and_raises_nothing(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "file").write_text("")
    journal = PurgeJournal(tmp_path / "file" / "below")
    assert journal.load() == []
    assert not await journal.keep([purge("a")])
    assert not await journal.keep([purge("b")])
    assert caplog.text.count("kept in memory only") == 1


async def test_it_does_not_grow_without_bound(path, monkeypatch, caplog):
    monkeypatch.setattr(module, "MAX_SIZE", 200)
    journal = PurgeJournal(path)
    kept = [await journal.keep([purge(f"purge-{number}")]) for number in range(10)]
    assert kept[0]
    assert not kept[-1]
    assert path.stat().st_size <= 200
