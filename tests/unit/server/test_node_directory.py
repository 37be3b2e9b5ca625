"""The directory of a node's tier: held by one, believed or not, left in order or not at all."""

import contextlib
import json
import os
from pathlib import Path

import pytest

from edgeproxy.caching.stored import Stamp
from edgeproxy.fleet.purge_table import PurgeTable, Verdict
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.server import node_directory
from edgeproxy.server.node_directory import NodeDirectory, Unusable, open_lasting, open_temporary


def end(directory: NodeDirectory, *, clean: bool = True) -> None:
    directory.close(clean=clean)
    directory.table.close()


def used(folder: Path, *, clean: bool = True) -> Stamp:
    """A run that stored something and purged a tag; the stamp of what it stored before that."""
    directory = open_lasting(str(folder))
    directory.tier.mkdir(exist_ok=True)
    stamp = directory.table.stamp()
    directory.table.apply(PurgeRule(PurgeKind.TAG, b"t"))
    end(directory, clean=clean)
    return stamp


@pytest.mark.parametrize("clean", [True, False])
def test_purges_outlive_a_run_that_ended_on_this_machine(tmp_path: Path, clean: bool) -> None:
    before = used(tmp_path, clean=clean)
    directory = open_lasting(str(tmp_path))
    stamp = Stamp(run=directory.table.run, local=before.local)
    assert directory.table.run != before.run
    assert directory.table.verdict(b"http://h/", (b"t",), stamp) is Verdict.DEAD
    assert directory.table.verdict(b"http://h/", (b"u",), stamp) is Verdict.LIVE
    assert directory.table.verdict(b"http://h/", (b"u",), before) is Verdict.DEAD  # of a run that is over
    assert directory.tier.is_dir()
    end(directory)


def state(folder: Path, **changes: object) -> None:
    file = folder / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("lost", ["crash", "no state", "bad state", "no purges", "short", "magic", "other"])
def test_what_cannot_be_believed_is_dropped(tmp_path: Path, lost: str, caplog) -> None:
    used(tmp_path, clean=lost not in ("crash", "short", "magic"))
    purges = tmp_path / "purges"
    if lost == "crash":
        state(tmp_path, boot="another")
    elif lost == "no state":
        (tmp_path / "state.json").unlink()
    elif lost == "bad state":
        (tmp_path / "state.json").write_text("[1")
    elif lost == "no purges":
        purges.unlink()
    elif lost == "short":
        os.truncate(purges, 1000)
    elif lost == "magic":
        purges.write_bytes(b"x" * purges.stat().st_size)
    else:
        PurgeTable.make(purges).close()
    directory = open_lasting(str(tmp_path))
    assert not directory.tier.exists()
    assert directory.table.order == 0
    assert "is dropped" in caplog.text
    end(directory)


def test_an_end_in_order_is_believed_in_another_boot(tmp_path: Path) -> None:
    used(tmp_path)
    state(tmp_path, boot="another")
    directory = open_lasting(str(tmp_path))
    assert directory.tier.exists()
    end(directory)


def test_a_machine_that_names_no_boot_is_believed_only_in_order(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(node_directory, "_BOOT_ID", tmp_path / "none")
    used(tmp_path / "a", clean=True)
    used(tmp_path / "b", clean=False)
    for name, kept in (("a", True), ("b", False)):
        directory = open_lasting(str(tmp_path / name))
        assert directory.tier.exists() is kept
        end(directory)


def test_one_node_at_a_time(tmp_path: Path) -> None:
    directory = open_lasting(str(tmp_path))
    with pytest.raises(Unusable, match="another node uses"):
        open_lasting(str(tmp_path))
    end(directory)
    end(open_lasting(str(tmp_path)))


def test_a_place_that_is_no_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Unusable, match=str(place)):
            open_lasting(str(place))


def test_one_file_is_kept_aside(tmp_path: Path) -> None:
    directory = open_lasting(str(tmp_path))
    directory.set_aside()  # nothing there yet
    for content in ("first", "second"):
        directory.tier.mkdir()
        (directory.tier / "data.mdb").write_text(content)
        directory.set_aside()
    assert not directory.tier.exists()
    assert (tmp_path / "tier.aside" / "data.mdb").read_text() == "second"
    end(directory)


def test_a_temporary_one_is_removed_and_so_is_what_a_killed_node_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(node_directory, "SHARED_MEMORY", tmp_path)
    left, held = tmp_path / "edgeproxy-node-left", open_temporary(PurgeTable.create(), 1000)
    left.mkdir()
    for old in (left, held.root):
        os.utime(old, (1, 1))
    directory = open_temporary(PurgeTable.create(), 1000)
    assert directory.root.parent == tmp_path
    assert not left.exists()
    assert held.root.exists()
    end(directory)
    end(held)
    assert list(tmp_path.iterdir()) == []


def test_where_shared_memory_is_small_it_is_in_the_directory_for_temporary_files(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(node_directory, "SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr(node_directory.tempfile, "gettempdir", lambda: str(tmp_path))
    directory = open_temporary(PurgeTable.create(), 1000)
    assert directory.root.parent == tmp_path
    end(directory)
    table = PurgeTable.create()
    with pytest.raises(Unusable, match="bytes free"):
        open_temporary(table, 1 << 60)
    table.close()


@pytest.mark.parametrize("text", ["[" * 200_000, "", "null", "\xff"])
def test_what_the_last_run_says_is_read_whatever_it_is(tmp_path: Path, text: str) -> None:
    open_lasting(str(tmp_path)).close(clean=True)
    (tmp_path / "state.json").write_text(text, encoding="latin-1")
    open_lasting(str(tmp_path)).close(clean=True)


def test_a_pipe_in_the_place_of_a_file_does_not_hold_the_start_up(tmp_path: Path) -> None:
    open_lasting(str(tmp_path)).close(clean=True)
    (tmp_path / "state.json").unlink()
    os.mkfifo(tmp_path / "state.json")
    open_lasting(str(tmp_path)).close(clean=True)


@pytest.mark.parametrize("name", ["purges", "state.json.new"])
def test_nothing_is_written_to_where_a_link_leads(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    root = tmp_path / "cache"
    root.mkdir()
    (root / name).symlink_to(victim)
    with contextlib.suppress(Unusable):
        open_lasting(str(root)).close(clean=True)
    assert victim.read_text() == "mine"
