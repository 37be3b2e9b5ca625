"""Which node holds which slot, from what the nodes say."""

import pytest

from edgeproxy.store.cluster_map import read_slots, slot_of

ASKED = ("10.0.0.1", 7000)


def test_ranges_and_slots_that_moved() -> None:
    found = read_slots(
        [
            [100, 199, [b"b", 2, b"id"], [b"replica", 9, b"id"]],
            [0, 99, [b"", 1, b"id"]],
            [300, 300, [None, 3]],
        ],
        ASKED,
    )
    assert [found.master_of(slot) for slot in (0, 99, 100, 199, 200, 300, 301)] == [
        ("10.0.0.1", 1), ("10.0.0.1", 1), ("b", 2), ("b", 2), None, ("10.0.0.1", 3), None,
    ]  # fmt: skip
    found.move(200, ("c", 4))
    assert found.master_of(200) == ("c", 4)
    assert found.nodes == {("10.0.0.1", 1), ("b", 2), ("10.0.0.1", 3)}


@pytest.mark.parametrize("reply", [b"OK", [[1]], [[1, 2, b"x"]], None, [[b"a", 2, [b"h", 1]]]])
def test_anything_else_is_no_map(reply: object) -> None:
    with pytest.raises(ValueError, match="no answer to CLUSTER SLOTS"):
        read_slots(reply, ASKED)


def test_the_key_of_a_command_is_where_it_stands() -> None:
    assert slot_of(("GET", b"foo")) == slot_of(("EVALSHA", "sha", 1, b"foo", 2)) == 12182
    assert slot_of(("HGET", "{foo}x", "y")) == 12182
    assert slot_of(("PING",)) is None
