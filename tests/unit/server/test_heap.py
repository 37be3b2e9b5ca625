"""The heap is trimmed as evictions go on, and not without them."""

from edgeproxy.server.heap import EVICTIONS, Heap


def test_it_is_trimmed_once_for_so_many_evictions() -> None:
    trimmed: list[int] = []

    def trim(pad: int) -> int:
        trimmed.append(pad)
        return 1

    heap = Heap(trim)
    for evictions in (0, 5, EVICTIONS - 1, EVICTIONS, EVICTIONS + 5, 2 * EVICTIONS, 2 * EVICTIONS):
        heap.follow(evictions)
    assert trimmed == [0, 0]


def test_the_c_library_s_own_is_called_where_there_is_one() -> None:
    Heap().follow(EVICTIONS)
