"""A request's head: where it ends, whether it is acceptable, and what it says.

Must not know bodies (`framing`) or sockets.

llhttp reads the field lines. It lets through what must not pass a proxy (other protocols and
versions, a missing version, no Host or several, a malformed target), so the request line and Host
are read here, strictly. RFC 9112 §2 to §5.
"""

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from edgeproxy.errors import BadRequest
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.target import normalise

Buffer = bytes | bytearray

# What llhttp knows of HTTP; a method that is not here cannot be framed or forwarded with confidence.
METHODS = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH QUERY ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE"
    b" MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SUBSCRIBE"
    b" UNBIND UNLINK UNLOCK UNSUBSCRIBE".split()
)

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/([0-9])\.([0-9])\r\n")
_EMPTY_LINES = re.compile(rb"(?:\r\n){0,2}")
_START = re.compile(rb"(?:\r(?:\n|\Z)){0,2}(?:\Z|" + _TOKEN + rb"(?: [!-~]*(?: [ -~]*\r?)?)?(?:\n|\Z))")


class _Lines:
    """Collects the field lines that llhttp reports."""

    __slots__ = ("raw",)

    def __init__(self) -> None:
        self.raw: list[RawField] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.raw.append((name, value))


def find_head_end(buffer: Buffer, start: int = 0, scanned: int = 0) -> int:
    """Index after the blank line that ends the head beginning at `start`, or -1.

    Up to two empty lines before it belong to the head (RFC 9112 §2.2). `scanned` says how much of
    the buffer an earlier call has looked at in vain.
    """
    if buffer[start : start + 1] == b"\r":
        match = _EMPTY_LINES.match(buffer, start)
        start = match.end() if match else start
    end = buffer.find(b"\r\n\r\n", max(start, scanned - 3))
    return -1 if end < 0 else end + 4


def looks_hopeless(buffer: Buffer, start: int = 0) -> bool:
    """Whether an incomplete head can no longer become a good one: no need to wait for its end.

    True for what does not begin as a request line does (a TLS hello, say), and for a bare CR, a
    bare LF or a NUL anywhere.
    """
    if not _START.match(buffer, start):
        return True
    # Counting is what bytes do fastest, and a head that drips in is looked at for each drop.
    pairs = buffer.count(b"\r\n", start)
    last_cr = buffer.endswith(b"\r", start)
    return (
        buffer.count(b"\n", start) != pairs
        or buffer.count(b"\r", start) != pairs + last_cr
        or buffer.find(b"\0", start) >= 0
    )


def parse_request_head(data: bytes, scheme: bytes, limits: HeadLimits) -> RequestHead:
    """The request whose head is exactly `data`, blank line included.

    `scheme` is that of the connection. Raises BadRequest: 400, 405 for CONNECT, 414, 431, 501 for a
    method unknown here, 505 for a version other than 1.0 and 1.1. RFC 9112 §3, §5.
    """
    if len(data) > limits.max_head:
        raise BadRequest("request head too large", 431)
    if data.startswith(b"\r"):
        data = data[_EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]  # matches nothing too
    method, raw_target, minor = _request_line(data, limits)
    raw = _field_lines(data)
    if len(raw) > limits.max_fields:
        raise BadRequest("too many header fields", 431)
    fields = Fields(raw)
    hosts = fields.index.get(b"host")
    if hosts is None:
        if minor:
            raise BadRequest("no Host field")
        host = None
    elif len(hosts) > 1:
        raise BadRequest("more than one Host field")
    else:
        host = hosts[0]
    return RequestHead(method, normalise(raw_target, host, scheme, method), minor, fields, raw_target)


def _request_line(data: bytes, limits: HeadLimits) -> tuple[bytes, bytes, int]:
    match = _REQUEST_LINE.match(data)
    if match is None:
        if data.find(b"\r\n") > limits.max_target + 64:
            raise BadRequest("request target too long", 414)
        raise BadRequest("malformed request line")
    method, target, major, minor = match.groups()
    if len(target) > limits.max_target:
        raise BadRequest("request target too long", 414)
    if major != b"1" or minor not in b"01":
        raise BadRequest("HTTP version not supported", 505)
    if method not in METHODS:
        if method == b"CONNECT":
            raise BadRequest("CONNECT is not offered", 405)
        raise BadRequest("method not implemented", 501)
    return method, target, int(minor)


def _field_lines(data: bytes) -> list[RawField]:
    if data.find(b"\r\n\r\n") + 4 != len(data):  # llhttp would take the rest for a body
        raise BadRequest("not one request head")
    lines = _Lines()
    try:
        HttpRequestParser(lines).feed_data(data)
    except HttpParserUpgrade:
        pass  # the head is complete; whether to upgrade is not decided here
    except HttpParserError as error:
        raise BadRequest(f"malformed request: {error}") from error
    if b" \r\n" in data or b"\t\r\n" in data:  # llhttp keeps the blanks after a value
        return [(name, value.rstrip(b" \t")) for name, value in lines.raw]
    return lines.raw
