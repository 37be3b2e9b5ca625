"""Bodies on their way to a client, each at the client's own pace.

Must not know heads, caching or where bytes come from.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeproxy.edge.ports import Downstream

if TYPE_CHECKING:
    from edgeproxy.edge.fill import Fill


class Reader:
    """One client's cursor in the chunks of a growing fill."""

    __slots__ = ("at", "fill", "out")

    def __init__(self, fill: "Fill", out: Downstream) -> None:
        self.fill = fill
        self.out = out
        self.at = 0

    def __repr__(self) -> str:
        return f"<Reader at={self.at}/{self.fill.end}>"

    def pump(self) -> None:
        """Write what has come and the client can take."""
        out, fill = self.out, self.fill
        while self.at < fill.end and out.writable:
            data = fill.chunk(self.at)
            self.at += 1
            out.write(data)
        if self.at == fill.end:
            if fill.complete:
                fill.leave(self)
                out.end(fill.trailers)
            elif fill.error is not None:
                fill.leave(self)
                out.abort()

    def writable(self) -> None:
        """The client takes more."""
        self.pump()
        self.fill.balance()

    def gone(self) -> None:
        """The client left."""
        self.fill.leave(self)


class Pour:
    """Writes the segments of a whole body as fast as the client takes them."""

    __slots__ = ("_next", "_out", "_segments")

    def __init__(self, segments: Sequence[bytes | memoryview], out: Downstream) -> None:
        self._segments = segments
        self._out = out
        self._next = 0

    def __repr__(self) -> str:
        return f"<Pour {self._next}/{len(self._segments)}>"

    def pump(self) -> None:
        """Write on until the client is full or the body at its end."""
        out, segments = self._out, self._segments
        while self._next < len(segments) and out.writable:
            self._next += 1
            out.write(segments[self._next - 1])
        if self._next == len(segments):
            out.end()


def pour(segments: Sequence[bytes | memoryview], out: Downstream) -> None:
    """Start writing a whole body; goes on by `on_writable`."""
    flow = Pour(segments, out)
    out.on_writable = flow.pump
    flow.pump()
