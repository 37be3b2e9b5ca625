"""Knows which node of a Redis Cluster holds which slot, from what the nodes say.

Must not know connections.
"""

from bisect import bisect_right
from collections.abc import Sequence

from redis.crc import key_slot

Node = tuple[str, int]
"""Host and port."""

_KEY_AT = {"EVAL": 3, "EVALSHA": 3}


def slot_of(command: Sequence[bytes | str | int]) -> int | None:
    """The slot of the first key that a command of ours names; None for one without a key."""
    at = _KEY_AT.get(str(command[0]), 1)
    if len(command) <= at:
        return None
    key = command[at]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


class ClusterMap:
    """Ranges of slots and their masters; immutable but for single slots that were told to have moved."""

    def __init__(self, ranges: Sequence[tuple[int, int, Node]] = ()) -> None:
        ordered = sorted(ranges)
        self._starts = [start for start, _, _ in ordered]
        self._ranges = ordered
        self._moved: dict[int, Node] = {}
        self.nodes = frozenset(node for _, _, node in ordered)

    def __repr__(self) -> str:
        return f"<ClusterMap {len(self.nodes)} nodes, {len(self._ranges)} ranges>"

    def __bool__(self) -> bool:
        return bool(self._ranges or self._moved)

    def master_of(self, slot: int) -> Node | None:
        """Who holds that slot; None where nobody does."""
        if self._moved and slot in self._moved:
            return self._moved[slot]
        at = bisect_right(self._starts, slot) - 1
        if at < 0 or slot > self._ranges[at][1]:
            return None
        return self._ranges[at][2]

    def move(self, slot: int, node: Node) -> None:
        """A node said that this slot is another's."""
        self._moved[slot] = node


def read_slots(reply: object, asked: Node) -> ClusterMap:
    """The map from an answer to CLUSTER SLOTS of the node `asked`; raises ValueError on anything else."""
    ranges: list[tuple[int, int, Node]] = []
    try:
        for start, end, master, *_ in reply:  # type: ignore[attr-defined]
            host = (master[0] or b"").decode()
            # A node that does not know its own address, or was told not to say it, names none.
            ranges.append(
                (int(start), int(end), (host if host not in ("", "?") else asked[0], int(master[1])))
            )
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"no answer to CLUSTER SLOTS: {error}") from error
    return ClusterMap(ranges)
