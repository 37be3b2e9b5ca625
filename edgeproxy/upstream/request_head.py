"""The head that an origin is sent: its target with the origin's prefix, its Host, its framing.

Must not know connections; all other fields come ready. RFC 9112 §3.2, §6.
"""

from edgeproxy.upstream.location import Location
from edgeproxy.upstream.ports import OriginRequest
from edgeproxy.wire.serialise import request_head_bytes

_EXPECTS_CONTENT = frozenset({b"POST", b"PUT", b"PATCH"})
_NO_CONTENT = (b"Content-Length", b"0")
_CHUNKED = (b"Transfer-Encoding", b"chunked")


class HeadMaker:
    """Writes request heads; `host_header` is preserve, origin, or the name to send."""

    __slots__ = ("_fixed", "_preserve")

    def __init__(self, host_header: str) -> None:
        self._preserve = host_header == "preserve"
        self._fixed = None if host_header in ("preserve", "origin") else host_header.encode("ascii")

    def host(self, authority: bytes, location: Location) -> bytes:
        """The Host that the origin is asked for, where the client asked for `authority`."""
        if self._fixed is not None:
            return self._fixed
        return (authority if self._preserve else b"") or location.authority

    def make(self, request: OriginRequest, location: Location) -> bytes:
        """The head's bytes, blank line included. Raises ValueError where a part would break its line."""
        fields = [(b"Host", self.host(request.authority, location)), *request.fields]
        body = request.body
        if body is None:
            if request.method in _EXPECTS_CONTENT:
                fields.append(_NO_CONTENT)
        elif body.length is None:
            fields.append(_CHUNKED)
        else:
            fields.append((b"Content-Length", b"%d" % body.length))
        if request.upgrade is not None:
            fields += ((b"Connection", b"upgrade"), (b"Upgrade", request.upgrade))
        target = request.target
        if location.prefix:
            target = location.prefix if target == b"*" else location.prefix + target
        return request_head_bytes(request.method, target, fields)
