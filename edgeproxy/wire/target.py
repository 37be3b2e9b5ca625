"""Request targets, normalised once: the same bytes for routing, cache key and origin.

Must not know routes or keys. RFC 9112 §3.2, RFC 3986 §6.2.
"""

import re

from edgeproxy.errors import BadRequest
from edgeproxy.wire.authority import normalise_authority


class Target:
    """A normalised target URI; not to be changed.

    `authority` is lower-case host, with its port unless it is the scheme's default;
    `query` is None where there is no `?`, and empty for a bare `?`. `origin_form` is path and query, as sent
    in a request line to an origin; `uri` the whole, canonical.
    """

    __slots__ = ("authority", "origin_form", "path", "query", "scheme", "uri")
    __match_args__ = ("scheme", "authority", "path", "query")

    def __init__(self, scheme: bytes, authority: bytes, path: bytes, query: bytes | None = None) -> None:
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.query = query
        self.origin_form = path if query is None else path + b"?" + query
        self.uri = scheme + b"://" + authority + self.origin_form

    def __repr__(self) -> str:
        return f"Target({self.scheme!r}, {self.authority!r}, {self.path!r}, {self.query!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self.uri == other.uri and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.uri)

    @property
    def host(self) -> bytes:
        """The host alone, an IPv6 literal with its brackets."""
        if self.authority.startswith(b"["):
            return self.authority[: self.authority.index(b"]") + 1]
        return self.authority.partition(b":")[0]


_VISIBLE = re.compile(rb"[!-~]+")
# Nothing to do for these: no escape, no empty segment, none that begins with a dot, no backslash.
_PLAIN_PATH = re.compile(rb"/(?:[!\"$&-\-0-9:->@-\[\]-~][!\"$&-.0-9:->@-\[\]-~]*+/?)*+")
_PLAIN_QUERY = re.compile(rb"[!\"$&-~]*+")
_ABSOLUTE = re.compile(rb"(?i:(https?))://([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_SLASHES = re.compile(rb"//+")
# `..` beside an encoded slash, or with parameters, is a dot segment to some origins and not to us:
# a private page fetched as /static/..%2Faccount would be stored under the rules of /static/.
_DISGUISED_DOTS = re.compile(rb"(?:/|%2F|%5C)\.\.?(?:;|%2F|%5C)|(?:%2F|%5C)\.\.?(?:/|\Z)")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPES = {
    text: bytes((code,)) if code in _UNRESERVED else b"%%%02X" % code
    for code in range(1, 256)
    for high in {b"%x" % (code >> 4), b"%X" % (code >> 4)}
    for low in {b"%x" % (code & 15), b"%X" % (code & 15)}
    for text in (high + low,)
}


def normalise(raw_target: bytes, host: bytes | None, scheme: bytes, method: bytes) -> Target:
    """The normalised target of a request, from its request line and its Host field.

    `host` is None where there was no Host field, which leaves the authority empty; `scheme` is that
    of the connection. Raises BadRequest. RFC 9112 §3.2 and §3.3, RFC 3986 §6.2.2.
    """
    authority = b"" if host is None else normalise_authority(host, scheme)
    if raw_target.startswith(b"/"):
        path, mark, query = raw_target.partition(b"?")
        return Target(scheme, authority, normalise_path(path), normalise_query(query) if mark else None)
    if raw_target == b"*":
        if method != b"OPTIONS":
            raise BadRequest("the target * is for OPTIONS only")
        return Target(scheme, authority, b"*")
    target = _absolute(raw_target, method)
    if target.scheme != scheme:
        # Else a client on a plain connection could fill the cache for https.
        raise BadRequest("the target's scheme is not that of the connection")
    return target


def parse_uri(uri: bytes) -> Target:
    """The normalised target of an absolute http or https URI, as an operator types it.

    Bytes outside ASCII are taken as UTF-8 and encoded, a fragment is dropped, for that is what a
    browser does with what is pasted into it. Raises BadRequest.
    """
    uri = uri.strip().partition(b"#")[0]
    if not uri.isascii():
        uri = _from_unicode(uri)
    return _absolute(uri.replace(b" ", b"%20"), b"GET")


def normalise_path(path: bytes) -> bytes:
    """An absolute path without dot segments, empty segments and needless escapes; raises BadRequest."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    _check_visible(path)
    if b"\\" in path:
        raise BadRequest("backslash in the path")
    path = _SLASHES.sub(b"/", _ESCAPE.sub(_unescape, path))
    if b"/." not in path and b"%" not in path:
        return path
    if _DISGUISED_DOTS.search(path):
        raise BadRequest("disguised dot segment in the path")
    return _remove_dot_segments(path)


def normalise_query(query: bytes) -> bytes:
    """A query without needless escapes; raises BadRequest."""
    if _PLAIN_QUERY.fullmatch(query):
        return query
    _check_visible(query)
    return _ESCAPE.sub(_unescape, query)


def _absolute(uri: bytes, method: bytes) -> Target:
    match = _ABSOLUTE.fullmatch(uri)
    if match is None:
        raise BadRequest("malformed request target")
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower()
    authority = normalise_authority(authority, scheme)
    if not path:
        path = b"*" if method == b"OPTIONS" and query is None else b"/"  # RFC 9112 §3.2.4
    if path != b"*":
        path = normalise_path(path)
    return Target(scheme, authority, path, None if query is None else normalise_query(query))


def _check_visible(part: bytes) -> None:
    if not _VISIBLE.fullmatch(part):
        raise BadRequest("blank, control or non-ASCII byte in the target")
    if b"#" in part:
        raise BadRequest("fragment in the target")


def _unescape(match: re.Match[bytes]) -> bytes:
    replacement = _ESCAPES.get(match[1])
    if replacement is None:
        raise BadRequest("malformed or null escape in the target")
    return replacement


def _remove_dot_segments(path: bytes) -> bytes:
    """RFC 3986 §5.2.4, for an absolute path without empty segments."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _from_unicode(uri: bytes) -> bytes:
    match = re.fullmatch(rb"([^/]*//)([^/?]*)(.*)", uri, re.DOTALL)
    if match is None:
        raise BadRequest("malformed URL")
    scheme, authority, rest = match.groups()
    host, colon, port = authority.partition(b":")
    try:
        host = host.decode().encode("idna")
    except UnicodeError as error:
        raise BadRequest("malformed host name in the URL") from error
    encoded = b"".join(b"%%%02X" % byte if byte > 0x7E else b"%c" % byte for byte in rest)
    return scheme + host + colon + port + encoded
