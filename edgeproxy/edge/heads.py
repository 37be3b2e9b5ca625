"""The fields of a response as its client sees them: relayed, from a store, or made here.

Must not know connections. RFC 9111 §5.1 (Age), RFC 9211 (Cache-Status), RFC 9209 (Proxy-Status).
"""

from http import HTTPStatus

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.edge.routing import Route
from edgeproxy.errors import EdgeProxyError, Source
from edgeproxy.wire.dates import format_date
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead
from edgeproxy.wire.hop_by_hop import HOP_BY_HOP, strip_hop_by_hop

CACHE_STATUS = b"Cache-Status"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
ALLOWED = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"
_ONCE = frozenset((b"age", b"content-length"))


def reason_of(status: int) -> bytes:
    """The reason phrase of a status code."""
    return _REASONS.get(status, b"")


class Heads:
    """Makes the fields that clients see; `name` is the pseudonym in Via and Proxy-Status."""

    __slots__ = ("_after", "_name", "_via", "name")

    def __init__(self, name: str) -> None:
        self._name = self.name = name.encode()
        self._via = tuple((b"Via", b"1.%d %s" % (minor, self._name)) for minor in range(10))
        self._after = b"Via: 1.1 " + self._name + b"\r\nCache-Status: "

    def __repr__(self) -> str:
        return f"<Heads {self._name!r}>"

    def relayed(
        self,
        head: ResponseHead,
        route: Route,
        cache_status: bytes,
        now: float,
        withheld: frozenset[bytes] = frozenset(),
    ) -> list[RawField]:
        """An origin's answer on its way through; its own fields stay byte for byte.

        `withheld` are names of fields that are not for this client.
        """
        fields = strip_hop_by_hop(head.fields)
        drop = route.response_edits.drop | withheld
        lines = [line for line in fields.raw if line[0].lower() not in drop] if drop else list(fields.raw)
        if head.status == 204:
            lines = [line for line in lines if line[0].lower() != b"content-length"]  # RFC 9110 §8.6
        if b"date" not in fields:
            lines.append((b"Date", format_date(now)))
        lines.extend(route.response_edits.add)
        lines.append(self._via[head.minor])
        lines.append((CACHE_STATUS, cache_status))
        return lines

    def spliced(self, head: ResponseHead, route: Route, cache_status: bytes) -> bytes | None:
        """The bytes of `relayed`, cut from those that came; None where more is to be done than to append."""
        index = head.fields.index
        edits = route.response_edits
        if (
            not head.raw
            or edits.add
            or head.status == 204
            or b"date" not in index
            or not edits.drop.isdisjoint(index)
            or not HOP_BY_HOP.isdisjoint(index)
        ):
            return None
        return b"%s%s%s\r\n\r\n" % (head.raw[:-2], self._after, cache_status)

    def stored(self, stored: StoredResponse, route: Route) -> Fields:
        """A stored response without what changes from hit to hit: Age and Cache-Status.

        The order of its fields is kept; Content-Length is what is stored.
        """
        drop = _ONCE | route.response_edits.drop
        lines = [line for line in stored.fields.raw if line[0].lower() not in drop]
        if stored.status not in (204, 304):
            lines.append((b"Content-Length", b"%d" % stored.size))
        lines.extend(route.response_edits.add)
        lines.append(self._via[1])
        return Fields(lines)

    @staticmethod
    def from_cache(age: int, cache_status: bytes) -> tuple[RawField, RawField]:
        """What changes from hit to hit."""
        return ((b"Age", b"%d" % age), (CACHE_STATUS, cache_status))

    @staticmethod
    def dated(now: float) -> tuple[RawField, ...]:
        """The Date of an answer made here."""
        return ((b"Date", format_date(now)),)

    def error(self, error: EdgeProxyError, now: float) -> tuple[list[RawField], bytes]:
        """The fields and the short plain body of an answer made here."""
        text = str(error) or _REASONS.get(error.status, b"error").decode()
        if error.status >= 500 and error.source == "internal":
            text = "internal error"
        elif error.source is Source.UPSTREAM:
            text = error.proxy_error.replace("_", " ")  # what it says beyond that names the origin
        body = b"%d %s: %s\n" % (error.status, reason_of(error.status), text.encode("utf-8", "replace"))
        lines: list[RawField] = [
            (b"Date", format_date(now)),
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Cache-Control", b"no-store"),
            (b"Proxy-Status", self._name + b"; error=" + error.proxy_error.encode()),
        ]
        if error.status in (429, 503):
            lines.append((b"Retry-After", b"1"))
        if error.status == 405:
            lines.append((b"Allow", ALLOWED))
        if error.status == 426:
            lines.append((b"Upgrade", b"HTTP/1.1"))
        return lines, body
