"""Message heads to bytes.

Must not know what a field means; refuses only what would break a line.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus

from edgeproxy.wire.fields import RawField

_BREAKS_LINE = re.compile(rb"[\r\n\0]")
_BREAKS_TOKEN = re.compile(rb"[\0-\x20\x7f-\xff:]")
_BREAKS_TARGET = re.compile(rb"[\0-\x20\x7f-\xff]")
_STATUS_LINES = {
    (status.value, status.phrase.encode("ascii"), minor): b"HTTP/1.%d %d %s\r\n"
    % (minor, status.value, status.phrase.encode("ascii"))
    for status in HTTPStatus
    for minor in (0, 1)
}


def request_head_bytes(method: bytes, target: bytes, fields: Iterable[RawField]) -> bytes:
    """The head of an HTTP/1.1 request, blank line included.

    Raises ValueError where a part would end its line or word early. RFC 9112 §3, §5.
    """
    if _BREAKS_TOKEN.search(method) or not method:
        raise ValueError(f"not a method: {method!r}")
    if _BREAKS_TARGET.search(target) or not target:
        raise ValueError(f"not a request target: {target!r}")
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, target, field_lines(fields))


def response_head_bytes(status: int, reason: bytes, fields: Iterable[RawField], minor: int = 1) -> bytes:
    """The head of an HTTP/1 response, blank line included.

    Raises ValueError where a part would end its line early. RFC 9112 §4, §5.
    """
    line = _STATUS_LINES.get((status, reason, minor))
    if line is None:
        if not 100 <= status <= 999 or minor not in (0, 1) or _BREAKS_LINE.search(reason):
            raise ValueError(f"not a status line: {status} {reason!r}")
        line = b"HTTP/1.%d %d %s\r\n" % (minor, status, reason)
    return b"%s%s\r\n" % (line, field_lines(fields))


def field_lines(fields: Iterable[RawField]) -> bytes:
    """The field lines, each with its CRLF; raises ValueError where one would end early."""
    lines = [b": ".join(line) for line in fields]
    if not lines:
        return b""
    joined = b"\r\n".join(lines) + b"\r\n"
    # One count over all, in place of a search a line: a CR, LF or NUL too many betrays itself.
    count = len(lines)
    if joined.count(b"\n") != count or joined.count(b"\r") != count or b"\0" in joined:
        raise ValueError("CR, LF or NUL in a header field")
    return joined
