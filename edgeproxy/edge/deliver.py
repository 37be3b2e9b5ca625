"""Responses to clients: stored, growing, relayed, or made here; whole, in part, or not modified.

Must not know why: decisions come from `caching.decide` by way of the cycle.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from edgeproxy.caching.build import make_stored
from edgeproxy.caching.cache_status import member
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.preconditions import CONDITIONALS, Precondition, evaluate, not_modified_fields
from edgeproxy.caching.ranges import (
    ByteRange,
    Parts,
    Unsatisfiable,
    Whole,
    multipart_end,
    multipart_fields,
    part_fields,
    part_head,
    select_ranges,
    size_of,
    slice_body,
)
from edgeproxy.caching.reasons import Fwd
from edgeproxy.caching.storability import withheld_fields
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.edge.esi.page import asked_of
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.heads import ALLOWED, Heads, reason_of
from edgeproxy.edge.ports import Downstream
from edgeproxy.edge.reader import pour
from edgeproxy.edge.routing import Route
from edgeproxy.errors import BadRequest, EdgeProxyError
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import ResponseHead

_OF_ERRORS = frozenset((b"date", b"via", b"cache-status"))


@dataclass(frozen=True, slots=True)
class How:
    """How a response came about, for Cache-Status (RFC 9211 §2)."""

    fwd: Fwd | None = None  # None: a hit
    fwd_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl: int | None = None
    detail: str = ""


class Deliver:
    """Starts responses towards clients; bodies flow on by themselves."""

    __slots__ = ("_forwarded", "_heads", "_name")

    def __init__(self, heads: Heads, name: str) -> None:
        self._heads = heads
        self._name = name.encode()
        self._forwarded: dict[tuple[Fwd, int, bool], bytes] = {}

    def __repr__(self) -> str:
        return f"<Deliver {self._name!r}>"

    def cache_status(self, how: How, policy: CachePolicy, key: bytes | None) -> bytes:
        """This cache's member of Cache-Status."""
        return member(
            self._name,
            hit=how.fwd is None,
            fwd=how.fwd,
            fwd_status=how.fwd_status,
            stored=how.stored,
            collapsed=how.collapsed,
            ttl=how.ttl,
            key=key if policy.show_key else None,
            detail=how.detail.encode() if policy.show_detail and how.detail else None,
        )

    def forwarded(
        self, fwd: Fwd, status: int, stored: bool, policy: CachePolicy, key: bytes, reason: str
    ) -> bytes:
        """The same of a plain answer from an origin, remembered where nothing of one response is shown."""
        if policy.show_key or policy.show_detail:
            how = How(fwd=fwd, fwd_status=status, stored=stored, detail=reason)
            return self.cache_status(how, policy, key)
        known = self._forwarded.get((fwd, status, stored))
        if known is None:
            known = self.cache_status(How(fwd=fwd, fwd_status=status, stored=stored), policy, None)
            self._forwarded[(fwd, status, stored)] = known
        return known

    def stored(
        self,
        out: Downstream,
        stored: StoredResponse,
        route: Route,
        age: int,
        how: How,
        private: tuple[RawField, ...] = (),
    ) -> None:
        """Answer from a stored whole response: 200, 206, 304, 412 or 416 (RFC 9110 §13.2.2).

        `private` are fields for this client alone.
        """
        fields = self._heads.stored(stored, route)
        tail = (*private, *self._heads.from_cache(age, self.cache_status(how, route.policy, stored.key)))
        request = asked_of(out.head, route, stored.status, stored.fields)
        precondition = evaluate(request, stored)
        if precondition is not Precondition.PROCEED:
            self.precondition(out, precondition, fields.raw, tail)
            return
        match select_ranges(request, stored):
            case Whole():
                out.start(stored.status, stored.reason, (*fields.raw, *tail), stored.size)
                pour(stored.body if request.method != b"HEAD" else (), out)
            case Unsatisfiable() as unsatisfiable:
                self.unsatisfiable(out, unsatisfiable, fields.raw, tail)
            case Parts() as parts:
                self._parts(out, parts, stored, fields, tail)

    @staticmethod
    def precondition(
        out: Downstream,
        precondition: Precondition,
        lines: Iterable[RawField],
        tail: tuple[RawField, ...] = (),
    ) -> None:
        """Answer 304 or 412 in the place of a response with these fields."""
        if precondition is Precondition.NOT_MODIFIED:
            out.start(304, b"Not Modified", (*not_modified_fields(Fields(lines)).raw, *tail), None)
        else:
            out.start(412, b"Precondition Failed", (*_own(lines), *tail, (b"Content-Length", b"0")), 0)
        out.end()

    @staticmethod
    def unsatisfiable(
        out: Downstream, found: Unsatisfiable, lines: Iterable[RawField], tail: tuple[RawField, ...] = ()
    ) -> None:
        """Answer 416 in the place of a response with these fields."""
        own = [*_own(lines), *tail, (b"Content-Range", found.content_range), (b"Content-Length", b"0")]
        out.start(416, reason_of(416), own, 0)
        out.end()

    @staticmethod
    def _parts(
        out: Downstream, parts: Parts, stored: StoredResponse, fields: Fields, tail: tuple[RawField, ...]
    ) -> None:
        fields, layout = laid_out(parts, fields, size_of(stored))
        segments: list[bytes | memoryview] = []
        for piece in layout:
            segments.extend((piece,) if isinstance(piece, bytes) else slice_body(stored, piece))
        out.start(206, b"Partial Content", (*fields.raw, *tail), sum(map(len, segments)))
        pour(segments, out)

    def growing(self, out: Downstream, fill: Fill, how: How, now: float) -> None:
        """Answer from a fill as it grows, or with a 304 where the client has it already."""
        head = fill.head
        assert head is not None
        route = fill.job.route
        status = self.cache_status(how, route.policy, fill.job.key)
        withheld = withheld_fields(head.fields, route.policy) if how.collapsed else frozenset()
        lines = self._heads.relayed(head, route, status, now, withheld)
        if route.sticky is not None:
            lines.extend(route.sticky.lines(out, fill.origin_key, head.fields))
        asked = asked_of(out.head, route, head.status, head.fields)
        judged_here = fill.job.store and not fill.job.conditionals_forwarded
        if judged_here and not CONDITIONALS.isdisjoint(asked.fields.index):
            job = fill.job
            candidate = make_stored(
                job.request, head, b"", job.request_time, now, route.policy, job.stamp, job.key
            )
            precondition = evaluate(asked, candidate)
            if precondition is not Precondition.PROCEED:
                self.precondition(out, precondition, lines)
                return
        out.start(head.status, head.reason, lines, body_length(head))
        if out.head.method == b"HEAD" or head.status in (204, 304):
            out.end()
        else:
            fill.join(out)

    def error(self, out: Downstream, error: EdgeProxyError, now: float) -> None:
        """Answer with an error made here; where a head is out already, cut the connection."""
        if out.started:
            out.abort()
            return
        lines, body = self._heads.error(error, now)
        out.start(error.status, reason_of(error.status), lines, len(body))
        out.write(body)
        out.end()

    def final_recipient(self, out: Downstream, now: float) -> None:
        """Answer an OPTIONS or TRACE that may go no further (RFC 9110 §7.6.2)."""
        if out.head.method == b"TRACE":  # what it would show is the client's own
            self.error(out, BadRequest("TRACE is not answered here", 405), now)
            return
        lines = [*self._heads.dated(now), (b"Allow", ALLOWED), (b"Content-Length", b"0")]
        out.start(200, reason_of(200), lines, 0)
        out.end()

    def redirect(self, out: Downstream, to: bytes, status: int, now: float) -> None:
        """Send the client elsewhere."""
        body = b"%d %s: %s\n" % (status, reason_of(status), to)
        lines = [
            *self._heads.dated(now),
            (b"Location", to),
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        out.start(status, reason_of(status), lines, len(body))
        out.write(body)
        out.end()


def laid_out(parts: Parts, fields: Fields, size: int) -> tuple[Fields, list[bytes | ByteRange]]:
    """The fields of a 206 with these parts of `size` bytes, and its body: framing, ranges of the whole."""
    fields = fields.without((b"content-range",))
    if len(parts.ranges) == 1:
        return part_fields(fields, parts.ranges[0], size), [parts.ranges[0]]
    boundary = secrets.token_hex(16).encode()
    content_type = fields.get(b"content-type")
    layout: list[bytes | ByteRange] = []
    for wanted in parts.ranges:
        layout += (part_head(wanted, size, content_type, boundary), wanted)
    layout.append(multipart_end(boundary))
    return multipart_fields(fields, parts, size, boundary), layout


def _own(lines: Iterable[RawField]) -> list[RawField]:
    """Of a response's fields those that an error in its place has too."""
    return [line for line in lines if line[0].lower() in _OF_ERRORS]


def body_length(head: ResponseHead) -> int | None:
    """The length that the origin announced, in bytes; None where it is framed otherwise."""
    values = head.fields.get_all(b"content-length")
    if b"transfer-encoding" in head.fields or not values:
        return None
    return int(values[0]) if values[0].isdigit() else None
