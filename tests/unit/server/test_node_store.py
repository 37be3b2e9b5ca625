"""The node's tier as the supervisor keeps it, with a real writer process."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.config.model import Config
from edgeproxy.server import node_store
from edgeproxy.server.node_place import memory_share
from edgeproxy.server.node_store import NodeStore
from tests.integration.raw_origins import until
from tests.unit.config.yaml_texts import loaded


def config(cache: str) -> Config:
    return loaded(f"cache: {{{cache}}}")


class Rig:
    def __init__(self, text: str, workers: int = 2) -> None:
        self.told: list[tuple[str, Any]] = []
        self.store = NodeStore(config(text), workers, lambda *what: self.told.append(what))

    def generation(self) -> int:
        hello = self.store.hello(0)
        return 0 if hello is None else hello.generation


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(f"disk: {{path: '{tmp_path}', max_size: 16MiB}}")
    await made.store.start()
    yield made
    await made.store.close()
    made.store.purges.close()


async def test_workers_are_given_the_file_and_a_way_to_its_writer_each(rig: Rig, tmp_path: Path) -> None:
    one, other = rig.store.hello(0), rig.store.hello(1)
    assert one is not None
    assert other is not None
    assert one.path == other.path == str(tmp_path / "tier")
    assert (one.memory, one.size) == (0, 16 << 20)
    assert rig.store.fds(0) == [one.fd, *one.leases]
    assert one.fd != other.fd
    assert set(one.leases) & set(other.leases)
    assert one.leases != other.leases


async def test_a_file_that_a_worker_found_damaged_is_begun_anew_once(rig: Rig, tmp_path: Path) -> None:
    rig.store.damaged(1, "bad page")
    rig.store.damaged(1, "bad page")
    assert rig.generation() == 0
    await until(lambda: rig.generation() == 2)
    rig.store.damaged(1, "late news of the first one")
    assert rig.generation() == 2
    assert rig.told[-1] == ("node_tier", 2)
    assert (tmp_path / "tier.aside").is_dir()
    assert (tmp_path / "tier" / "data.mdb").exists()


async def test_one_that_fails_again_and_again_is_off_for_good(rig: Rig) -> None:
    for generation in (1, 2, 3):
        await until(lambda generation=generation: rig.generation() == generation)
        rig.store.damaged(generation, "bad page")
    await until(lambda: rig.told[-1] == ("node_tier", 0))
    await until(lambda: rig.store.pid is None)
    assert rig.store.fds(0) == []
    assert rig.store.hello(0) is None


async def test_a_killed_writer_is_replaced_and_the_file_stays(rig: Rig, tmp_path: Path) -> None:
    pid = rig.store.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: rig.store.pid not in (None, pid))
    assert rig.generation() == 1
    assert not (tmp_path / "tier.aside").exists()


async def test_a_writer_that_crashed_leaves_its_file_aside(rig: Rig, tmp_path: Path) -> None:
    pid = rig.store.pid
    assert pid is not None
    os.kill(pid, signal.SIGBUS)
    await until(lambda: rig.generation() == 2)
    assert (tmp_path / "tier.aside").is_dir()


async def test_a_worker_s_end_means_something_only_where_memory_was_to_blame(rig: Rig) -> None:
    await rig.store.worker_ended(-signal.SIGKILL)
    await rig.store.worker_ended(1)
    assert rig.generation() == 1
    await rig.store.worker_ended(-signal.SIGSEGV)
    assert rig.generation() == 0
    await rig.store.worker_ended(-signal.SIGSEGV)


async def test_a_writer_that_cannot_start_turns_the_tier_off(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(node_store, "WRITER", (str(tmp_path / "none"),))
    monkeypatch.setattr(node_store, "MOST_FAILURES", 2)
    rig = Rig(f"disk: {{path: '{tmp_path / 'disk'}', max_size: 16MiB}}")
    await rig.store.start()
    assert rig.generation() == 0
    assert "the node tier is off" in caplog.text
    await rig.store.close()
    rig.store.purges.close()


async def test_without_siblings_or_room_there_is_none_and_nothing_is_said(caplog) -> None:
    for rig in (Rig("memory: {max_size: 64MiB}", 1), Rig("memory: {max_size: 4MiB}", 2)):
        await rig.store.start()
        assert rig.generation() == 0
        assert rig.store.fds(0) == []
        await rig.store.close()
        rig.store.purges.close()
    assert caplog.text == ""


async def test_siblings_without_a_disk_share_a_part_of_their_memory() -> None:
    rig = Rig("memory: {max_size: 64MiB}")
    await rig.store.start()
    hello = rig.store.hello(0)
    assert hello is not None
    assert hello.memory == hello.size == 16 << 20
    root = Path(hello.path).parent
    assert root.is_dir()
    await rig.store.close()
    assert not root.exists()
    rig.store.purges.close()


def test_the_share_is_none_beside_a_disk_or_alone() -> None:
    assert memory_share(config("memory: {max_size: 64MiB}"), 2) == 16 << 20
    assert memory_share(config("memory: {max_size: 64MiB}"), 1) == 0
    assert memory_share(config("memory: {max_size: 64MiB}, disk: {path: /x}"), 2) == 0
