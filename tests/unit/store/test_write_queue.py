"""What waits to be written is bounded in number and bytes."""

from edgeproxy.store.write_queue import Discard, Put, WriteQueue
from tests.unit.store.responses import stored


def put(number: int, size: int = 10) -> Put:
    return Put(stored(number, body=b"x" * size), deadline=1.0)


def test_first_in_first_out() -> None:
    queue = WriteQueue(10, 1000)
    writes = [put(1), Discard(b"k", None), put(2)]
    for write in writes:
        assert queue.add(write) == 0
    assert queue.take(10, 1000) == writes
    assert queue.take(10, 1000) == []
    assert queue.bytes == 0


def test_oldest_is_dropped_beyond_the_number() -> None:
    queue = WriteQueue(2, 1000)
    assert [queue.add(put(number)) for number in range(3)] == [0, 0, 1]
    assert [write.key for write in queue.take(9, 999)] == [stored(1).key, stored(2).key]
    assert queue.dropped == 1


def test_oldest_are_dropped_beyond_the_bytes() -> None:
    queue = WriteQueue(100, 100)
    for number in range(5):
        queue.add(put(number, 20))
    assert queue.add(put(9, 60)) == 3
    assert (len(queue), queue.bytes) == (3, 100)


def test_one_beyond_all_bytes_is_dropped_itself() -> None:
    queue = WriteQueue(100, 100)
    assert queue.add(put(1, 101)) == 1
    assert (len(queue), queue.bytes) == (0, 0)


def test_batches_are_bounded_but_never_empty() -> None:
    queue = WriteQueue(100, 1000)
    for number in range(4):
        queue.add(put(number, 60))
    assert len(queue.take(2, 1000)) == 2
    assert len(queue.take(9, 10)) == 1
    assert len(queue.take(9, 1000)) == 1


def test_removed_key_is_not_written() -> None:
    queue = WriteQueue(100, 1000)
    for number in (1, 2, 1):
        queue.add(put(number))
    queue.forget(stored(1).key)
    queue.forget(b"unknown")
    assert [write.key for write in queue.take(9, 999)] == [stored(2).key]
    assert queue.bytes == 0
