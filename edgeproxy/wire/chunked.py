"""The chunked transfer coding, both ways, without IO.

Must not know whose body it is. RFC 9112 §7.1.
"""

import re
from enum import Enum

from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.hop_by_hop import HOP_BY_HOP
from edgeproxy.wire.serialise import field_lines

LAST_CHUNK = b"0\r\n\r\n"

_MAX_LINE = 256  # of a size and its extensions
_MAX_EXTENSIONS = 16384  # of all extensions of a body: else one byte of content could cost 250
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_EXTENSION = rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:" + _EXTENSION + rb")*+)")
_PLAIN_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_TRAILER_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*+([\t -~\x80-\xff]*+)")
# In a trailer these come too late, or would change what was decided already (RFC 9110 §6.5.1).
_NOT_IN_TRAILERS = HOP_BY_HOP | frozenset(
    b"age authorization cache-control cdn-cache-control content-encoding content-length content-range"
    b" content-type cookie date expires host location max-forwards pragma range set-cookie"
    b" surrogate-control trailer vary via www-authenticate".split()
)


class FramingError(ValueError):
    """A body that is not framed as it says."""


class _State(Enum):
    SIZE = "size"
    DATA = "data"
    DATA_END = "data-end"
    TRAILER = "trailer"
    DONE = "done"


class ChunkedDecoder:
    """Takes a chunked body apart, however it is cut into pieces.

    `max_trailer` bounds the trailer section, in bytes. Once `done`, `trailers` holds the trailer
    fields but for those that must not come so late. RFC 9112 §7.1.
    """

    __slots__ = ("_extensions", "_held", "_left", "_lines", "_state", "_trailer_room", "trailers")

    def __init__(self, max_trailer: int = 8192) -> None:
        self._state = _State.SIZE
        self._left = 0  # bytes of this chunk yet to come
        self._held = b""  # start of a line whose end is yet to come
        self._extensions = 0
        self._trailer_room = max_trailer
        self._lines: list[RawField] = []
        self.trailers = Fields()

    def __repr__(self) -> str:
        return f"<ChunkedDecoder {self._state.value} left={self._left} held={self._held!r}>"

    @property
    def done(self) -> bool:
        """Whether the end of the body was reached."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> tuple[list[bytes], bool, bytes]:
        """The content in `data`, whether the body is complete, and what came after its end.

        Raises FramingError; nothing that follows can then be trusted.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        content: list[bytes] = []
        position = 0
        while True:
            state = self._state
            if state is _State.DATA:
                end = position + self._left
                piece = data[position:end]
                if not piece:
                    return content, False, b""
                content.append(piece)
                self._left -= len(piece)
                if self._left:
                    return content, False, b""
                self._state = _State.DATA_END
                position = end
            elif state is _State.DONE:
                return content, True, data[position:]
            else:
                if state is _State.SIZE:
                    position = _whole_chunks(data, position, content)
                after = self._line(data, position)
                if after < 0:
                    self._held = data[position:]
                    return content, False, b""
                position = after

    def _line(self, data: bytes, position: int) -> int:
        """Take the line that begins at `position`; where the next begins, or -1 if it is incomplete."""
        if self._state is _State.DATA_END:
            mark = data[position : position + 2]
            if mark == b"\r\n":
                self._state = _State.SIZE
                return position + 2
            if mark and mark != b"\r":
                raise FramingError("chunk longer than its size")
            return -1
        trailer = self._state is _State.TRAILER
        room = self._trailer_room if trailer else _MAX_LINE
        end = data.find(b"\r\n", position, position + room + 2)
        if end < 0:
            if len(data) - position > room:
                raise FramingError("trailer section too large" if trailer else "chunk size line too long")
            if data.find(b"\n", position) >= 0:
                raise FramingError("bare LF in a chunked body")
            return -1
        if trailer:
            self._trailer(data[position:end])
        else:
            self._size(data[position:end])
        return end + 2

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise FramingError("malformed chunk size")
        digits, extensions = match.groups()
        self._extensions += len(extensions)
        if self._extensions > _MAX_EXTENSIONS:
            raise FramingError("too many chunk extensions")
        self._left = int(digits, 16)
        self._state = _State.DATA if self._left else _State.TRAILER

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.trailers = Fields(self._lines)
            self._state = _State.DONE
            return
        match = _TRAILER_LINE.fullmatch(line)
        if match is None:
            raise FramingError("malformed trailer field")
        self._trailer_room -= len(line) + 2
        name, value = match.groups()
        if name.lower() not in _NOT_IN_TRAILERS:
            self._lines.append((name, value.rstrip(b" \t")))


def _whole_chunks(data: bytes, position: int, content: list[bytes]) -> int:
    """Take the chunks that lie whole and plain in `data`: no state, half the time. Where they end."""
    while match := _PLAIN_SIZE_LINE.match(data, position):
        start = match.end()
        end = start + int(match[1], 16)
        if end == start or data[end : end + 2] != b"\r\n":
            break
        content.append(data[start:end])
        position = end + 2
    return position


def chunk_prefix(size: int) -> bytes:
    """What comes before a chunk of that many bytes (at least one); CRLF comes after it."""
    return b"%x\r\n" % size


def encode_chunk(data: bytes) -> bytes:
    """One chunk; nothing for empty data, which would end the body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def encode_last(trailers: Fields | None = None) -> bytes:
    """The end of a chunked body; raises ValueError where a trailer would break its line."""
    return b"0\r\n%s\r\n" % field_lines(trailers) if trailers else LAST_CHUNK
