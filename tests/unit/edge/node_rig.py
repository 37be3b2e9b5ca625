"""The rig with a node's tier behind its memory: a real file, written at once instead of by a process."""

from pathlib import Path

import pytest

from edgeproxy.edge import straight
from edgeproxy.store.layers import Layers, layers
from edgeproxy.store.memory import Node
from edgeproxy.store.node_file import NodeFile
from edgeproxy.store.node_records import Joiner, Record
from edgeproxy.store.node_tier import NodeAccess, NodeTier
from edgeproxy.store.tier import Buffer
from edgeproxy.wire.heads import ResponseHead
from tests.unit.edge.rig import PLAIN, Rig
from tests.unit.store.node_things import PURGES, SIZE

FULL = 1 << 40


class Queue:
    """What waits for the writer: in the test's hands."""

    depth = dropped = 0

    def __init__(self) -> None:
        self.records: list[list[Buffer]] = []

    def add(self, record: list[Buffer]) -> bool:
        self.records.append(record)
        return True

    def taken(self) -> list[Record]:
        data = b"".join(bytes(part) for record in self.records for part in record)
        self.records.clear()
        joiner = Joiner()
        joiner._buffer += data
        return list(joiner._records())


class NodeRig(Rig):
    """Memory counts as full, unless `room`: what is asked for once stays where it is."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = PLAIN, *, room: bool = False
    ) -> None:
        self.path = str(folder / "tier")
        self.queue = Queue()
        self._open_file().close(sync=False)
        if not room:
            monkeypatch.setattr(straight, "ROOM", FULL)
        super().__init__(text)

    def behind(self) -> Layers | None:
        access = NodeAccess(self.path, SIZE, SIZE // 8)
        self.tier = NodeTier(
            access,
            self.queue,  # type: ignore[arg-type]
            run=self.purges.run,
            wall=self.clock.wall,
        )
        self.tier.open()
        return layers(("node", self.tier))

    def _open_file(self) -> NodeFile:
        return NodeFile(self.path, SIZE, PURGES, 1 << 40)

    def write(self) -> None:
        """As the writer does; one at a time may have the file open in a process."""
        records = self.queue.taken()
        if records:
            self.tier.shut()
            file = self._open_file()
            file.apply(records)
            file.close(sync=False)
            self.tier.open()

    def store(
        self, request: bytes, head: ResponseHead, body: bytes = b"hello", delay: float = 0.0
    ) -> Node | None:
        """In the node's tier alone."""
        node = super().store(request, head, body, delay)
        if node is not None:
            self.tier.put(node.stored, 1e6)
            self.write()
            self.memory.clear()
        return node

    def forget(self) -> None:
        """As if others had come into memory since; what is to be written is written."""
        self.write()
        self.memory.clear()

    def close(self) -> None:
        super().close()
        self.tier.shut()
