"""Where the body of a message ends, and whether its connection may be used again.

Must not know how bytes arrive: `chunked` decodes, the connection counts. RFC 9112 §6 and §9.3.
"""

import re
from dataclasses import dataclass
from enum import Enum

from edgeproxy.errors import BadRequest, BadResponse
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead


class Framing(Enum):
    """How a body ends that has no length: there is none, by its last chunk, by the end of the connection."""

    NONE = "none"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until-close"


@dataclass(frozen=True, slots=True)
class Length:
    """A body of `n` bytes; 0 where Content-Length says so."""

    n: int


BodyFraming = Framing | Length

_DIGITS = re.compile(rb"[0-9]{1,18}")  # 18 digits are a fifth of 2**62: nothing after us overflows
_BODILESS_STATUS = frozenset({204, 304})


def request_framing(head: RequestHead) -> BodyFraming:
    """How the request's body ends.

    Raises BadRequest: 400 for whatever two readers could take differently, 501 for a transfer coding
    other than chunked alone. RFC 9112 §6.1, §6.3.
    """
    index = head.fields.index
    codings = index.get(b"transfer-encoding")
    lengths = index.get(b"content-length")
    if codings is None:
        if lengths is None:
            return Framing.NONE
        if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
            raise BadRequest("malformed or repeated Content-Length")
        return Length(int(lengths[0]))
    if head.minor == 0:
        raise BadRequest("Transfer-Encoding in HTTP/1.0")
    if lengths is not None:
        raise BadRequest("both Content-Length and Transfer-Encoding")
    if [coding.lower() for coding in codings] == [b"chunked"]:
        return Framing.CHUNKED
    names = _codings(codings)
    if names[-1] != b"chunked" or names.count(b"chunked") > 1 or b"" in names:
        raise BadRequest("Transfer-Encoding does not end in chunked, once")
    raise BadRequest("transfer coding not implemented", 501)


def response_framing(
    head: ResponseHead, request_method: bytes, lenient: frozenset[str] = frozenset()
) -> BodyFraming:
    """How the body ends of the answer to a request with that method.

    Raises BadResponse where two readers could differ, or where content is coded in a way we did not
    ask for. `lenient` as for `parse_response_head`: `length_with_coding` lets Transfer-Encoding win.
    RFC 9112 §6.3.
    """
    index = head.fields.index
    codings = index.get(b"transfer-encoding")
    lengths = index.get(b"content-length")
    length = None if lengths is None else _response_length(lengths)
    if codings is not None:
        if head.minor == 0:
            raise BadResponse("Transfer-Encoding in an HTTP/1.0 response")
        if length is not None and "length_with_coding" not in lenient:
            raise BadResponse("both Content-Length and Transfer-Encoding in the response")
    if request_method == b"HEAD" or head.status < 200 or head.status in _BODILESS_STATUS:
        return Framing.NONE
    if codings is not None:
        return _response_coding(codings)
    return Framing.UNTIL_CLOSE if length is None else Length(length)


def connection_options(fields: Fields) -> frozenset[bytes]:
    """What Connection lists, lower-case (RFC 9110 §7.6.1)."""
    values = fields.index.get(b"connection")
    if values is None:
        return frozenset()
    return frozenset(filter(None, (part.strip(b" \t") for part in b",".join(values).lower().split(b","))))


def keep_alive(head: RequestHead | ResponseHead) -> bool:
    """Whether the sender lets the connection live on after this message (RFC 9112 §9.3).

    True needs a body that ends before the connection does.
    """
    if b"connection" not in head.fields.index:
        return head.minor > 0
    options = connection_options(head.fields)
    if b"close" in options:
        return False
    return head.minor > 0 or b"keep-alive" in options


def _codings(values: list[bytes]) -> list[bytes]:
    """Lower-case coding names in order; an empty member or one with parameters matches no known name."""
    return [part.strip(b" \t").lower() for part in b",".join(values).split(b",")]


def _response_length(values: list[bytes]) -> int:
    if len(set(values)) > 1 or not _DIGITS.fullmatch(values[0]):
        raise BadResponse("malformed or differing Content-Length in the response")
    return int(values[0])


def _response_coding(values: list[bytes]) -> BodyFraming:
    names = _codings(values)
    if names[-1] != b"chunked":
        return Framing.UNTIL_CLOSE
    if len(names) > 1:
        # We never ask for another coding; undecoded, it would be handed on as if it were the content.
        raise BadResponse("transfer coding in the response that was not asked for")
    return Framing.CHUNKED
