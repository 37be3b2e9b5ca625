"""The head of a plain request for a stored response, recognised by two regular expressions.

Must not know what is stored. Declines whatever is not surely plain: `parse_request_head` then reads
it, so this only may be narrower, never wider (a property test holds the two together).

Plain is: GET or HEAD, HTTP/1.1, a target and a Host that are normal as they stand, no body, and no
field that could forbid an answer from the store without further thought. RFC 9110, RFC 9111 §4.
"""

import re
from collections.abc import Callable

from edgeproxy.wire.limits import HeadLimits

PlainHead = tuple[bytes, bytes, bytes]

MAX_LINES_BEFORE_HOST = 8

NOT_PLAIN = frozenset(
    b"authorization cache-control content-length expect host http2-settings if-match if-modified-since"
    b" if-none-match if-range if-unmodified-since keep-alive max-forwards pragma proxy-authenticate"
    b" proxy-authentication-info proxy-authorization proxy-connection range te trailer transfer-encoding"
    b" upgrade via".split()
)
"""Fields that send a request the slow way; so does a Connection other than keep-alive."""

# Escapes that normalisation leaves alone: not of unreserved characters, upper-case, not null. In a path,
# an encoded slash or backslash is left to the slow way, which looks for dot segments beside it.
_ESCAPE = rb"%%(?:0[1-9A-F]|1[0-9A-F]|2[0-9A-C%s]|3[A-F]|40|5[B%sDE]|60|7[BCDF]|[89A-F][0-9A-F])"
_IN_PATH = _ESCAPE % (b"", b"")
_IN_QUERY = _ESCAPE % (b"F", b"C")
_CHARACTERS = rb"!\"$&-\-0-9:->@-\[\]-~"  # visible, without # % . / ? and backslash
_PATH = (
    rb"/(?:(?:[" + _CHARACTERS + rb"]|" + _IN_PATH + rb")"
    rb"[." + _CHARACTERS + rb"]*+(?:" + _IN_PATH + rb"[." + _CHARACTERS + rb"]*+)*+/?)*+"
)
_QUERY = _ESCAPE % (b"F", b"C")
_CHARACTERS = rb"!\"$&-\-0-9:->@-\[\]-~"  # visible, without # % . / ? and backslash
_PATH = (
    rb"/(?:(?:[" + _CHARACTERS + rb"]|" + _IN_PATH + rb")"
    rb"(?:[." + _CHARACTERS + rb"]++|" + _IN_PATH + rb")*+/?)*+"
)
_QUERY = rb"\?[!\"$&-~]*+(?:" + _IN_QUERY + rb"[!\"$&-~]*+)*+"
_REQUEST_LINE = re.compile(rb"(GET|HEAD) (" + _PATH + rb"(?:" + _QUERY + rb")?+) HTTP/1\.1\r\n")

# A name whose last label begins with no digit, or an IPv4 address; no default port: which that is
# depends on the scheme.
_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HOST = (
    rb"((?:(?![0-9a-z_\-.]{254})(?:[0-9a-z_\-]{1,63}+\.)*+[a-z_\-][0-9a-z_\-]{0,62}+"
    rb"|(?:" + _OCTET + rb"\.){3}" + _OCTET + rb")"
    rb"(?::(?!80[ \t\r]|443[ \t\r])(?:[1-5][0-9]{4}|6[0-4][0-9]{3}|[1-9][0-9]{0,3}))?+)"
)


def _alternatives(names: list[bytes]) -> bytes:
    """A pattern for one of these names, sharing beginnings: each line tries it, so each branch costs."""
    if names == [b""]:
        return b":"
    tails: dict[bytes, list[bytes]] = {}
    for name in names:
        tails.setdefault(name[:1] or b":", []).append(name[1:])
    parts = [
        re.escape(first) + (b"" if first == b":" else _alternatives(rest)) for first, rest in tails.items()
    ]
    return parts[0] if len(parts) == 1 else b"(?:" + b"|".join(parts) + b")"


_NAME = rb"[!#$%&'*+\-.^_`|~0-9a-z]"
_VALUE = rb":[\t -~\x80-\xff]*+\r\n"
# What browsers send most goes first: it spares them the search through the names.
_LINE = (
    rb"(?:(?:accept|sec-)" + _NAME + rb"*+" + _VALUE + rb"|(?:cookie|user-agent|referer)" + _VALUE + rb"|"
    rb"connection: keep-alive\r\n|"
    rb"(?!" + _alternatives(sorted({*NOT_PLAIN, b"connection"})) + rb")" + _NAME + rb"++" + _VALUE + rb")"
)


def compile_plain(limits: HeadLimits) -> Callable[[bytes], PlainHead | None]:
    """A `match_plain` that keeps within `limits`."""
    max_size = min(limits.max_head, limits.max_target)  # so the target needs no check of its own
    before = min(MAX_LINES_BEFORE_HOST, limits.max_fields - 1)
    after = limits.max_fields - 1 - before
    match_line = _REQUEST_LINE.match
    match_fields = re.compile(
        _LINE + rb"{0,%d}+host:[ \t]*+" % before + _HOST + rb"[ \t]*+\r\n" + _LINE + rb"{0,%d}+\r\n" % after
    ).fullmatch

    def match(data: bytes) -> PlainHead | None:
        if len(data) > max_size or (line := match_line(data)) is None:
            return None
        # Names and host in lower case from here on: letters cost less than classes of two.
        fields = match_fields(data.lower(), line.end())
        if fields is None:
            return None
        return line[1], line[2], fields[1]

    return match


match_plain = compile_plain(HeadLimits())
"""Method, target and host of a plain head, all normalised; None where it is to be read the slow way.

`data` is one head, blank line included. The target is in origin-form."""
