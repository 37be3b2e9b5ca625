"""The node's tier as a worker has it: read from a real file, written through a real socket."""

import asyncio
import logging
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edgeproxy.caching.stored import Stamp
from edgeproxy.store.memory import MemoryTier
from edgeproxy.store.node_file import NodeFile
from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_popular import STEP, Popular
from edgeproxy.store.node_records import FRAME, FRAME_HEADER, Head, Joiner, Put, Remove, Used
from edgeproxy.store.node_sender import NodeSender
from edgeproxy.store.node_tier import IN_THREAD, OF_THIS_NODE, REMOVED_WITHIN, NodeAccess, NodeTier
from edgeproxy.store.tier import Fault, Names
from tests.unit.store.node_things import PURGES, RUN, SIZE, stored

NOW = 1000.0


def plain(names: Names) -> bytes:
    return b"" if not names else b"v"


class Rig:
    """A tier, and the writer's side of it in the test's hands; one file at a time may be open here."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "tier")
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setblocking(False)
        self.joiner = Joiner()
        self.damage: list[str] = []
        self.sender = NodeSender(ours, max_bytes=4 * SIZE, max_records=50)
        access = NodeAccess(self.path, SIZE, SIZE // 8)
        self.tier = NodeTier(access, self.sender, run=RUN, wall=lambda: NOW, damaged=self.damage.append)
        NodeFile(self.path, SIZE, PURGES, 100).close(sync=False)

    async def sent(self) -> list[tuple[Head, bytes]]:
        """What the tier sends, to the last of it."""
        got: list[tuple[Head, bytes]] = []
        loop = asyncio.get_running_loop()
        while self.sender.depth:
            frame = await loop.sock_recv(self.theirs, FRAME + FRAME_HEADER.size)
            got += self.joiner.feed(frame)
        with suppress(BlockingIOError):
            while True:
                got += self.joiner.feed(self.theirs.recv(FRAME + FRAME_HEADER.size))
        return got

    async def write(self) -> None:
        """As the writer does, while the tier is shut."""
        records = await self.sent()
        self.tier.shut()
        file = NodeFile(self.path, SIZE, PURGES, 100)
        file.apply(records)
        file.close(sync=False)
        self.tier.open()


@pytest.fixture
async def rig(tmp_path: Path):
    made = Rig(tmp_path)
    made.tier.open()
    yield made
    await made.tier.close(0.0)
    made.theirs.close()


@pytest.mark.parametrize("size", [0, 1, 10_000, IN_THREAD + 1])
async def test_what_one_worker_stores_another_reads(rig: Rig, size: int) -> None:
    one = stored(size=size, stamp=Stamp(b"l" * 16, 4, RUN, 5))
    rig.tier.put(one, 60.0)
    await rig.write()
    assert await rig.tier.get(one.key, plain) == one
    assert await rig.tier.get(b"http://h/other", plain) is None
    assert (rig.tier.stats.hits, rig.tier.stats.misses, rig.tier.stats.writes) == (1, 1, 1)


async def test_stamps_of_this_node_outlive_its_run_and_others_stay_as_they_are(rig: Rig) -> None:
    own = stored(b"http://h/own", stamp=Stamp(run=RUN, local=9))
    other = stored(b"http://h/other", stamp=Stamp(b"l" * 16, 4, b"o" * 16, 5))
    rig.tier.put(own, 60.0)
    rig.tier.put(other, 60.0)
    await rig.write()
    later = NodeTier(NodeAccess(rig.path, SIZE, SIZE), rig.sender, run=b"later", wall=lambda: NOW)
    rig.tier.shut()
    later.open()
    found = await later.get(own.key, plain)
    assert found is not None
    assert found.stamp == Stamp(run=b"later", local=9)
    assert await later.get(other.key, plain) == other
    later.shut()


async def test_the_writer_is_told_the_latest_order_of_this_node_only(rig: Rig) -> None:
    rig.tier.put(stored(stamp=Stamp(run=RUN, local=9)), 60.0)
    rig.tier.put(stored(stamp=Stamp(run=b"other", local=90)), 60.0)
    orders = [head.order for head, _ in await rig.sent() if isinstance(head, Put)]
    assert orders == [9, 0]


async def test_what_is_alone_plain_and_small_is_taken_at_once(rig: Rig) -> None:
    for name, size, variant in ((b"a", 5, b""), (b"large", IN_THREAD, b""), (b"varies", 5, b"v")):
        rig.tier.put(stored(name, size, variant, stamp=Stamp(run=RUN, local=1)), 60.0)
    await rig.write()
    assert rig.tier.take(b"a") == stored(b"a", 5, stamp=Stamp(run=RUN, local=1))
    assert [rig.tier.take(name) for name in (b"large", b"varies", b"none")] == [None] * 3
    assert (rig.tier.stats.hits, rig.tier.stats.misses) == (1, 0)
    rig.tier._wall = lambda: NOW + 61.0
    assert rig.tier.take(b"a") is None
    rig.tier.shut()
    assert rig.tier.take(b"a") is None
    assert rig.tier.ready(b"a", NOW) is None


async def test_what_was_just_looked_for_in_vain_is_not_looked_for_again(rig: Rig) -> None:
    key = bytes(bytearray(b"none"))
    for look in (rig.tier.take, lambda key: rig.tier.ready(key, NOW)):
        assert look(key) is None
        file, rig.tier._file = rig.tier._file, "not asked"  # type: ignore[assignment]
        assert not rig.tier.holds(key)
        rig.tier._file, file = file, None
    rig.tier.put(stored(key, stamp=Stamp(run=RUN, local=1)), 60.0)
    await rig.write()
    assert rig.tier.holds(key)  # once only


async def test_of_variants_that_suit_it_is_the_one_received_last(rig: Rig) -> None:
    rig.tier.put(stored(response_time=5.0), 60.0)
    rig.tier.put(stored(variant=b"v", response_time=6.0), 60.0)
    rig.tier.put(stored(variant=b"w", response_time=7.0), 60.0)
    await rig.write()
    found = await rig.tier.get(b"http://h/a", plain)
    assert found is not None
    assert (found.variant, found.response_time) == (b"v", 6.0)
    assert await rig.tier.get(b"http://h/a", lambda names: b"none") is None


async def test_what_is_expired_or_of_no_use_is_not_there(rig: Rig) -> None:
    rig.tier.put(stored(), 0.0)
    assert await rig.sent() == []
    rig.tier.put(stored(), 0.001)
    await rig.write()
    rig.tier._wall = lambda: NOW + 1.0
    assert await rig.tier.get(b"http://h/a", plain) is None


async def test_removals_are_sent_and_waited_for(rig: Rig) -> None:
    one = stored(variant=b"v")
    assert await rig.tier.remove(one.key) == []
    rig.tier.discard(one.key, b"v")
    heads = [head for head, _ in await rig.sent()]
    assert heads == [Remove(name_of(one.key), None), Remove(name_of(one.key), b"v")]
    rig.tier.put(one, 60.0)
    await rig.write()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await rig.tier.remove(one.key) == [b"v"]  # by a writer that does nothing
    assert loop.time() - began >= REMOVED_WITHIN
    assert rig.tier.stats.removals == 1


async def test_hits_are_told_to_the_writer_once(rig: Rig) -> None:
    rig.tier.put(stored(), 60.0)
    await rig.write()
    for _ in range(3):
        await rig.tier.get(b"http://h/a", plain)
    rig.tier.tell_used()
    rig.tier.tell_used()
    assert [head for head, _ in await rig.sent()] == [Used([(name_of(b"http://h/a"), b"")])]


async def test_what_memory_answers_is_told_too(rig: Rig) -> None:
    memory = MemoryTier(100 * 1024 * 1024)
    for at in range(STEP + 10):
        node = memory.put(stored(b"k%d" % at))
        assert node is not None
        node.visited = at % 100 == 7
    popular = Popular(memory, rig.tier)
    for _ in range(4):
        popular.step()
    rig.tier.tell_used()
    ((head, _),) = await rig.sent()
    assert isinstance(head, Used)
    assert set(head.variants) >= {(name_of(b"k%d" % at), b"") for at in (7, 107, 207)}
    assert len(head.variants) < 10


async def test_too_much_at_once_is_dropped_and_counted(rig: Rig) -> None:
    for at in range(60):
        rig.tier.put(stored(b"k%d" % at), 60.0)
    rig.tier.put(stored(size=SIZE // 8 + 1), 60.0)
    assert rig.tier.stats.count(Fault.DROPPED) == rig.tier.dropped == 10
    assert rig.tier.stats.count(Fault.TOO_LARGE) == 1
    assert len(await rig.sent()) == 50
    rig.tier.put(stored(b"later"), 60.0)
    assert len(await rig.sent()) == 1


async def test_a_writer_that_takes_nothing_stops_nobody(rig: Rig) -> None:
    for at in range(10):
        rig.tier.put(stored(b"k%d" % at, size=SIZE // 8), 60.0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert rig.sender.depth > 0
    got = await rig.sent()
    assert [len(body) for _, body in got] == [SIZE // 8] * 10


async def test_without_a_file_every_look_up_is_skipped_and_nothing_written(tmp_path: Path, caplog) -> None:
    rig = Rig(tmp_path)
    rig.tier._access = replace(rig.tier._access, path=str(tmp_path / "nothing"))
    with caplog.at_level(logging.WARNING):
        rig.tier.open()
    assert "node tier: not read" in caplog.text
    assert not rig.tier.available
    rig.tier.put(stored(), 60.0)
    rig.tier.discard(b"k", b"")
    assert await rig.tier.get(b"k", plain) is None
    assert await rig.tier.remove(b"k") == []
    assert rig.tier.stats.skipped == 1
    assert rig.sender.depth == 0
    await rig.tier.close(0.0)
    rig.theirs.close()


async def test_a_value_that_was_altered_is_a_miss(rig: Rig, caplog) -> None:
    rig.tier.put(stored(size=9000), 60.0)
    await rig.write()
    rig.tier.shut()
    data = Path(rig.path) / "data.mdb"
    content = data.read_bytes()
    piece = bytes(at % 251 for at in range(200))
    assert piece in content
    data.write_bytes(content.replace(piece, piece[::-1]))
    rig.tier.open()
    assert await rig.tier.get(b"http://h/a", plain) is None
    assert rig.tier.stats.count(Fault.DAMAGED) == 1
    assert "checksum" in caplog.text


async def test_a_file_that_is_damaged_is_let_go_of_and_reported(rig: Rig) -> None:
    rig.tier.shut()
    (Path(rig.path) / "data.mdb").write_bytes(b"\xff" * 65536)
    rig.tier.open()
    assert not rig.tier.available
    assert len(rig.damage) == 1


async def test_a_read_under_way_ends_well_when_the_file_is_let_go_of(rig: Rig) -> None:
    one = stored(size=IN_THREAD + 1, stamp=Stamp(run=OF_THIS_NODE))
    rig.tier.put(one, 60.0)
    await rig.write()
    reading = asyncio.ensure_future(rig.tier.get(one.key, plain))
    await asyncio.sleep(0)
    rig.tier.shut()
    found = await reading
    assert found is None or found.body == one.body


async def test_a_socket_that_is_gone_ends_the_sending(rig: Rig) -> None:
    rig.theirs.close()
    rig.tier.put(stored(), 60.0)
    await rig.sender.flush(5.0)
    assert rig.sender.gone
    rig.tier.put(stored(), 60.0)
    assert rig.tier.stats.count(Fault.DROPPED) == 1
