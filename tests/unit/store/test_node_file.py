"""The node's file as its writer keeps it: stored, replaced, removed, expired, evicted; whose it is."""

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from edgeproxy.errors import TierFault
from edgeproxy.store.node_file import NodeFile
from edgeproxy.store.node_format import decode_variants, name_of
from edgeproxy.store.node_records import Readied, Remove, Used
from tests.unit.store.node_things import PURGES, SIZE, record, stored


@pytest.fixture
def file(tmp_path: Path) -> Iterator[NodeFile]:
    made = NodeFile(str(tmp_path / "tier"), SIZE, PURGES, 100)
    yield made
    made.close(sync=False)


def held(file: NodeFile, key: bytes) -> list[bytes]:
    """The variants under a key."""
    with file._env.begin() as txn:
        found = txn.get(name_of(key), db=file._index)
    return [] if found is None else [each.variant for each in decode_variants(found)]


def key(at: int) -> bytes:
    return b"http://h/%d" % at


def test_what_is_stored_is_counted_and_found(file: NodeFile) -> None:
    assert file.apply([record(stored(key(at), 5000)) for at in range(10)]) == 0
    assert file.responses == file.writes == 10
    assert file.bytes >= 50_000
    assert held(file, key(3)) == [b""]


def test_the_more_recent_of_two_workers_responses_stays(file: NodeFile) -> None:
    file.apply([record(stored(response_time=5.0)), record(stored(response_time=4.0))])
    assert file.writes == 1
    file.apply([record(stored(response_time=6.0))])
    assert (file.writes, file.responses) == (2, 1)


def test_variants_stand_beside_each_other_and_go_alone_or_all(file: NodeFile) -> None:
    one = stored()
    file.apply([record(stored(variant=name)) for name in (b"a", b"b", b"c")])
    file.apply([(Remove(name_of(one.key), b"b"), b"")])
    assert held(file, one.key) == [b"c", b"a"]
    file.apply([(Remove(name_of(one.key), None), b""), (Remove(b"nothing", None), b"")])
    assert held(file, one.key) == []
    assert file.responses == 0


def test_what_answers_at_once_stands_beside_the_one_it_was_made_for(file: NodeFile) -> None:
    one, name = stored(response_time=5.0), name_of(stored().key)
    file.apply(
        [record(one), (Readied(name, b"", 4.0, b"late"), b""), (Readied(b"n", b"", 5.0, b"gone"), b"")]
    )
    assert readied(file, one.key) == [b""]
    file.apply([(Readied(name, b"", 5.0, b"ready"), b"")])
    assert readied(file, one.key) == [b"ready"]
    file.apply([record(stored(variant=b"v", response_time=6.0)), (Readied(name, b"", 5.0, b"no"), b"")])
    assert readied(file, one.key) == [b"", b""]


def test_what_answers_at_once_is_counted_and_makes_room(file: NodeFile) -> None:
    count = 2000
    file.apply([record(stored(key(at), 1000)) for at in range(count)])
    for first in range(0, count, 50):
        mine = range(first, first + 50)
        file.apply([(Readied(name_of(key(at)), b"", 1.0, bytes(2000)), b"") for at in mine])
    assert file.bytes <= SIZE * 0.8 + 4 * 4096
    assert 0 < file.responses < count
    assert readied(file, key(count - 1)) == [bytes(2000)]


def readied(file: NodeFile, key: bytes) -> list[bytes]:
    with file._env.begin() as txn:
        found = txn.get(name_of(key), db=file._index)
    return [] if found is None else [each.ready for each in decode_variants(found)]


def test_bytes_stay_within_the_budget_and_what_is_used_stays(file: NodeFile) -> None:
    popular = [key(at) for at in range(20)]
    for at in range(1500):
        file.apply([record(stored(key(at), 3000))])
        if at % 50 == 49:
            file.apply([(Used([(name_of(each), b"") for each in popular]), b"")])
    assert file.bytes <= SIZE * 0.8
    assert file.evictions > 500
    assert [each for each in popular if held(file, each)] == popular


def test_all_used_yet_room_is_made(file: NodeFile) -> None:
    for at in range(1000):
        file.apply([record(stored(key(at), 3000)), (Used([(name_of(key(at)), b"")]), b"")])
    assert file.bytes <= SIZE * 0.8
    assert file.responses > 100


def test_large_and_small_ones_in_turn_find_room_and_none_is_refused(file: NodeFile) -> None:
    sizes = (200, 350_000, 5_000, 60_000, 3_900)
    assert sum(file.apply([record(stored(key(at), sizes[at % 5]))]) for at in range(500)) == 0
    assert file.responses > 10


def test_what_is_larger_than_its_share_is_not_stored(file: NodeFile) -> None:
    assert file.apply([record(stored(size=file.largest + 1))]) == 0
    assert file.responses == 0


def test_what_is_expired_is_swept(file: NodeFile) -> None:
    file.apply([record(stored(key(at)), expires=float(at)) for at in range(10)])
    assert file.sweep(5.0) == 6
    assert file.responses == 4
    file.sweep(5.0)
    assert file.sweep(100.0) == 4
    assert held(file, key(9)) == []


def test_it_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    path = str(tmp_path / "tier")
    first = NodeFile(path, SIZE, PURGES, 100)
    first.apply([record(stored(key(at)), order=7) for at in range(5)])
    first.close(sync=True)
    second = NodeFile(path, SIZE, PURGES, 7)
    assert second.responses == 5
    second.apply([record(stored(key(9)))])
    assert second.responses == 6
    second.close(sync=True)
    with pytest.raises(TierFault, match="older"):
        NodeFile(path, SIZE, PURGES, 6)
    with pytest.raises(TierFault, match="lost"):
        NodeFile(path, SIZE, b"q" * 16, 100)


def test_a_file_that_is_no_database_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "tier"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"\xff" * 65536)
    with pytest.raises(lmdb.Error):
        NodeFile(str(folder), SIZE, PURGES, 0)


def test_readers_that_are_gone_are_looked_for(file: NodeFile) -> None:
    assert file.check_readers() == 0
    assert "0 responses" in repr(file)
