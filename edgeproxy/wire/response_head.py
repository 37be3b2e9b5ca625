"""A response's head: where it ends, whether it is acceptable, and what it says.

Must not know bodies (`framing`) or sockets. RFC 9112 §4 and §5.

llhttp reads the field lines, strictly. Only what it refuses is looked at again: repeated equal
Content-Length lines are made one (RFC 9110 §8.6), and a legacy origin is forgiven what the operator
has listed under `lenient`.
"""

import re
from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from edgeproxy.errors import BadResponse
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead
from edgeproxy.wire.limits import HeadLimits

Buffer = bytes | bytearray

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?\r\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"(?<![ \t])[ \t]*+\r\n[ \t]+")
_SPACE_BEFORE_COLON = re.compile(rb"(?m)^([^:\s]+)[ \t]+:")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LENGTH_LINE = re.compile(rb"(?i)\r\ncontent-length[ \t]*+:([^\r]*+)(?=\r\n)")
_CODING_LINE = re.compile(rb"(?i)\r\ntransfer-encoding[ \t]*:")


class _Lines:
    """Collects the field lines that llhttp reports."""

    __slots__ = ("raw",)

    def __init__(self) -> None:
        self.raw: list[RawField] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.raw.append((name, value))


def find_response_head_end(buffer: Buffer, start: int = 0, scanned: int = 0, bare_lf: bool = False) -> int:
    """Index after the blank line that ends the head beginning at `start`, or -1.

    `scanned` says how much an earlier call has looked at in vain; `bare_lf` lets LF alone end a line.
    """
    start = max(start, scanned - 3)
    if not bare_lf:
        end = buffer.find(b"\r\n\r\n", start)
        return -1 if end < 0 else end + 4
    match = _BLANK_LINE.search(buffer, start)
    return match.end() if match else -1


def parse_response_head(
    data: bytes, limits: HeadLimits, lenient: frozenset[str] = frozenset()
) -> ResponseHead:
    """The response whose head is exactly `data`, blank line included.

    `lenient` names what is forgiven, from LENIENCIES. Raises BadResponse. RFC 9112 §4, §5.
    """
    if len(data) > limits.max_head:
        raise BadResponse("response head too large")
    try:
        return _parse(data, limits)
    except BadResponse:
        repaired = _repair(data, lenient)
        if repaired == data:
            raise
        return _parse(repaired, limits)


def _parse(data: bytes, limits: HeadLimits) -> ResponseHead:
    match = _STATUS_LINE.match(data)
    if match is None:
        raise BadResponse("malformed status line")
    minor, status, reason = match.groups(b"")
    if data.find(b"\r\n\r\n") + 4 != len(data):  # llhttp would take the rest for a body
        raise BadResponse("not one response head")
    lines = _Lines()
    try:
        HttpResponseParser(lines).feed_data(data)
    except HttpParserUpgrade:
        pass  # the head is complete; whether to upgrade is not decided here
    except HttpParserError as error:
        raise BadResponse(f"malformed response: {error}") from error
    raw = lines.raw
    if len(raw) > limits.max_fields:
        raise BadResponse("too many header fields in the response")
    start = match.end()
    if data.find(b" \r\n", start) >= 0 or data.find(b"\t\r\n", start) >= 0:
        raw = [(name, value.rstrip(b" \t")) for name, value in raw]  # llhttp keeps them
    return ResponseHead(int(status), reason, int(minor), Fields(raw))


# --- repairs ----------------------------------------------------------------------


def _end_lines(data: bytes) -> bytes:
    return _BARE_LF.sub(b"\r\n", data)


def _unfold(data: bytes) -> bytes:
    return _FOLD.sub(b" ", data)


def _close_up(data: bytes) -> bytes:
    return _SPACE_BEFORE_COLON.sub(rb"\1:", data)


def _blank_controls(data: bytes) -> bytes:
    return _CONTROL.sub(b" ", data)


def _drop_length(data: bytes) -> bytes:
    """Transfer-Encoding overrides Content-Length (RFC 9112 §6.3)."""
    return _LENGTH_LINE.sub(b"", data) if _CODING_LINE.search(data) else data


_REPAIRS: dict[str, Callable[[bytes], bytes]] = {
    "bare_lf": _end_lines,
    "obs_fold": _unfold,
    "space_before_colon": _close_up,
    "control_characters": _blank_controls,
    "length_with_coding": _drop_length,
}
LENIENCIES = frozenset(_REPAIRS)
"""What an operator may forgive an origin: LF alone as line end; folded lines (§5.2); blanks before
the colon (§5.1); control characters in values, made blanks; Content-Length beside Transfer-Encoding,
dropped (§6.3)."""


def _repair(data: bytes, lenient: frozenset[str]) -> bytes:
    for name, repair in _REPAIRS.items():
        if name in lenient:
            data = repair(data)
    lengths = [length.strip(b" \t") for length in _LENGTH_LINE.findall(data)]
    if len(lengths) > 1 and len(set(lengths)) == 1:
        first = _LENGTH_LINE.search(data)
        assert first is not None
        cut = first.end()
        return data[:cut] + _LENGTH_LINE.sub(b"", data[cut:])
    return data
