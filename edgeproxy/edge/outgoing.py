"""The request as an origin gets it: hop-by-hop fields gone, Via and forwarding fields added.

Must not know connections. RFC 9110 §7.6, RFC 7239, RFC 8586 (CDN-Loop), W3C Trace Context,
Edge Architecture Specification (Surrogate-Capability).
"""

import random
import re
from collections.abc import Iterable
from dataclasses import replace

from edgeproxy.edge.ports import Client, Downstream
from edgeproxy.edge.routing import Route
from edgeproxy.errors import LoopDetected
from edgeproxy.upstream.ports import OriginRequest, RequestBody
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.hop_by_hop import HOP_BY_HOP, strip_hop_by_hop
from edgeproxy.wire.target import Target

CONDITIONALS = frozenset(
    (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range", b"range")
)
_OURS = frozenset(
    (
        b"host",
        b"content-length",
        b"expect",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"forwarded",
    )
)
_UNTRUSTED = _OURS | {b"x-request-id"}
_IDENTITY = frozenset((b"x-real-ip", b"true-client-ip"))
_TRACE = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rb"00" + _TRACE + rb"|(?!00|ff)[0-9a-f]{2}" + _TRACE + rb"(?:-.*)?")
_H2C = re.compile(rb"(?:^|[\s,])h2c?(?:$|[\s,;/])", re.IGNORECASE)
# In a plain head: what is dropped from or added to beyond Host and Connection, and names that look like it.
_NEEDS_A_LOOK = re.compile(
    rb"\r\n(?:x-(?:forwarded-|real-ip:|request-id:)|true-client-ip:|forwarded:|trace(?:parent|state):|cdn-loop:"
    rb"|[^:_]*+_)",
    re.IGNORECASE,
)
_GONE = re.compile(rb"\r\n(?:host|connection):[^\r]*+", re.IGNORECASE)
# The same for peers that may speak for others.
_NEEDS_A_LOOK_TRUSTED = re.compile(rb"\r\n(?:trace(?:parent|state)|cdn-loop):", re.IGNORECASE)
_GONE_TRUSTED = re.compile(
    rb"\r\n(?:host|connection|x-forwarded-(?:for|proto|host)|forwarded):[^\r]*+", re.IGNORECASE
)
_REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*+([^\r]*+)", re.IGNORECASE)
_PLAIN_NODE = re.compile(rb"[0-9.]+")


def _speaks_for_another(name: bytes) -> bool:
    """Whether a field says where a request came from, or is read for one that does or that frames it.

    CGI and its heirs take `_` for `-`. What an untrusted client says there would end up in stored
    responses.
    """
    if b"_" in name:
        name = name.replace(b"_", b"-")
        if name in _UNTRUSTED or name in HOP_BY_HOP:
            return True
    return name.startswith(b"x-forwarded-") or name in _IDENTITY


class Outgoing:
    """Makes requests for origins; `name` is the pseudonym in Via, `node` this node's own id."""

    __slots__ = ("_capability", "_esi_capability", "_forwarded", "_loop_token", "_node", "_plain", "_via")

    def __init__(self, name: str, node: str, forwarded: bool = False) -> None:
        self._via = tuple(b"1.%d %s" % (minor, name.encode()) for minor in range(10))
        self._node = re.sub(rb"[^A-Za-z0-9.-]", b"-", node.encode())
        self._loop_token = re.compile(rb"(?:^|[\s,])" + re.escape(self._node) + rb"(?:$|[\s,;])")
        self._forwarded = forwarded
        self._plain = (
            b"GET %%s HTTP/1.1\r\nHost: %%s%%s\r\nVia: %s\r\nCDN-Loop: %s\r\nX-Forwarded-For: %%s\r\n"
            b"X-Forwarded-Proto: %%s\r\nX-Forwarded-Host: %%s%%s\r\n"
            b"traceparent: 00-%%s-%%s-01\r\n\r\n"
        ) % (self._via[1], self._node)
        self._capability = name.encode() + b'="Surrogate/1.0"'
        self._esi_capability = name.encode() + b'="Surrogate/1.0 ESI/1.0"'

    def __repr__(self) -> str:
        return f"<Outgoing node={self._node!r}>"

    def loops(self, head: RequestHead) -> bool:
        """Whether this node sent that request before (RFC 8586): it must not be forwarded again."""
        seen = head.fields.get(b"cdn-loop")
        return seen is not None and self._loop_token.search(seen) is not None

    def check_loop(self, head: RequestHead) -> None:
        """Raise LoopDetected where this node sent that request before."""
        if self.loops(head):
            raise LoopDetected("this request came back to the node that sent it")

    def request(
        self,
        head: RequestHead,
        client: Client,
        route: Route,
        *,
        body: RequestBody | None = None,
        drop: Iterable[bytes] = (),
        add: Iterable[RawField] = (),
        upgrade: bytes | None = None,
        method: bytes | None = None,
    ) -> OriginRequest:
        """The request for the origin. `drop` (lower-case names) and `add` are the caller's own edits."""
        out = _OURS if client.trusted else _UNTRUSTED
        edits = route.request_edits
        dropped = out.union(drop, edits.drop)
        lines = [line for line in strip_hop_by_hop(head.fields).raw if line[0].lower() not in dropped]
        if not client.trusted:
            lines = [line for line in lines if not _speaks_for_another(line[0].lower())]
        ours: list[RawField] = [(b"Via", self._via[head.minor]), (b"CDN-Loop", self._node)]
        self._forwarding(ours, head, client)
        self._tracing(lines, ours, head, client)
        if route.esi is not None:
            ours.append((b"Surrogate-Capability", self._esi_capability))
        elif b"surrogate-control" in route.policy.targeted:
            ours.append((b"Surrogate-Capability", self._capability))
        if edits.drop:  # the operator's word is the last, on what is added here too
            ours = [line for line in ours if line[0].lower() not in edits.drop]
        hops = hops_left(head)
        if hops is not None:
            lines = [line for line in lines if line[0].lower() != b"max-forwards"]
            ours.append((b"Max-Forwards", b"%d" % max(0, hops - 1)))
        lines.extend(ours)
        lines.extend(add)
        if edits.add:
            lines.extend(edits.add)
        target = head.target
        return OriginRequest(
            method=method or head.method,
            target=route.origin_target(target),
            authority=target.authority,
            scheme=target.scheme,
            fields=tuple(lines),
            body=body,
            upgrade=upgrade,
            hash_key=(route.hashed is not None and route.hashed.of(head))
            or target.authority + target.origin_form,
            prefer=None if route.sticky is None else route.sticky.prefers(head),
        )

    def plain_lines(self, data: bytes, client: Client) -> bytes | None:
        """The field lines of a plain head as they go on, each with the CRLF before it; without Host.

        None where fields need more than to be passed on: those that are edited here, and those that read
        like one. `data` is what `wire.fast_head` calls plain.
        """
        if self._forwarded:
            return None
        lines = data[data.find(b"\r\n") : -4]
        if client.trusted:
            return None if _NEEDS_A_LOOK_TRUSTED.search(lines) else _GONE_TRUSTED.sub(b"", lines)
        return None if _NEEDS_A_LOOK.search(lines) else _GONE.sub(b"", lines)

    def plain_head(
        self, path: bytes, host: bytes, lines: bytes, target: Target, client: Client
    ) -> tuple[bytes, bytes]:
        """The head of a GET with these lines, as `request` would make it, and its X-Request-Id."""
        drawn = b"%080x" % (random.getrandbits(320) | 1)
        request_id = drawn[:32]
        chain, asked_for, id_line = client.address, target.authority, b"\r\nX-Request-Id: " + request_id
        if client.trusted:
            asked_for = client.forwarded_host or asked_for
            if client.forwarded_for is not None:
                chain = client.forwarded_for + b", " + chain
            given = _REQUEST_ID.findall(lines)
            if given:
                request_id, id_line = given[-1].rstrip(b" \t"), b""
        head = self._plain % (
            path,
            host,
            lines,
            chain,
            client.scheme,
            asked_for,
            id_line,
            drawn[32:64],
            drawn[64:],
        )
        return head, request_id

    def _forwarding(self, lines: list[RawField], head: RequestHead, client: Client) -> None:
        chain = (
            client.address if client.forwarded_for is None else client.forwarded_for + b", " + client.address
        )
        lines.append((b"X-Forwarded-For", chain))
        lines.append((b"X-Forwarded-Proto", client.scheme))
        host = client.forwarded_host or head.target.authority
        if host:
            lines.append((b"X-Forwarded-Host", host))
        if self._forwarded:
            who = client.address
            node = who if _PLAIN_NODE.fullmatch(who) else b'"[%s]"' % who if b":" in who else b"unknown"
            element = b"for=%s;proto=%s" % (node, client.scheme)
            if host:
                element += b';host="%s"' % host
            before = head.fields.get(b"forwarded") if client.trusted else None
            lines.append((b"Forwarded", element if before is None else before + b", " + element))

    @staticmethod
    def _tracing(lines: list[RawField], ours: list[RawField], head: RequestHead, client: Client) -> None:
        fields = head.fields
        if not client.trusted or b"x-request-id" not in fields:
            ours.append((b"X-Request-Id", b"%032x" % random.getrandbits(128)))
        given = fields.get(b"traceparent")
        if given is None or not client.trusted or not _TRACEPARENT.fullmatch(given):
            lines[:] = [line for line in lines if line[0].lower() not in (b"traceparent", b"tracestate")]
            trace, span = random.getrandbits(128) | 1, random.getrandbits(64) | 1
            ours.append((b"traceparent", b"00-%032x-%016x-01" % (trace, span)))


_FORWARDED_LINE = re.compile(rb"\r\n(x-forwarded-(?:for|proto|host)):[ \t]*([^\r\n]*)", re.IGNORECASE)


def identify(client: Client, head: bytes) -> Client:
    """Whom a trusted peer speaks for, from the bytes of a request's head."""
    found: dict[bytes, list[bytes]] = {}
    for match in _FORWARDED_LINE.finditer(head):
        found.setdefault(match[1].lower(), []).append(match[2].strip())
    if not found:
        return client
    scheme = b"".join(found.get(b"x-forwarded-proto", [])).lower()
    chain = b", ".join(found.get(b"x-forwarded-for", []))
    host = found.get(b"x-forwarded-host", [])
    return Client(
        address=client.address,
        scheme=scheme if scheme in (b"http", b"https") else client.scheme,
        forwarded_for=chain or None,
        forwarded_host=host[0] if len(host) == 1 and host[0] else None,
        trusted=True,
    )


def forwarded_scheme(head: bytes, scheme: bytes) -> bytes:
    """The scheme of the target of a request that a trusted peer sent."""
    return identify(Client(b"", scheme, trusted=True), head).scheme


def request_id(request: OriginRequest) -> bytes:
    """What this request is known by at the origin and in the log; empty where an operator removed it."""
    return next((value for name, value in reversed(request.fields) if name.lower() == b"x-request-id"), b"")


def hops_left(head: RequestHead) -> int | None:
    """How many more times an OPTIONS or TRACE may be forwarded (RFC 9110 §7.6.2), or None."""
    if head.method not in (b"OPTIONS", b"TRACE"):
        return None
    value = head.fields.get(b"max-forwards")
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None


def upgrade_of(downstream: Downstream) -> bytes | None:
    """The protocol that the client asks to switch to (RFC 9110 §7.8), or None."""
    head = downstream.head
    value = head.fields.get(b"upgrade")
    if value is None or head.minor == 0 or head.method != b"GET" or downstream.body is not None:
        return None
    if _H2C.search(value):
        return None  # what would flow then passes no rule of ours
    options = (head.fields.get(b"connection") or b"").lower()
    return value if b"upgrade" in {option.strip() for option in options.split(b",")} else None


def end_to_end(head: RequestHead) -> RequestHead:
    """The request as origins see it: whoever keys by a field must see it as the origin did or not at all."""
    fields = strip_hop_by_hop(head.fields)
    return head if fields is head.fields else replace(head, fields=fields)
