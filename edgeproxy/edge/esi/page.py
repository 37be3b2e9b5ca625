"""Which responses are pages to be put together, and the heads on all sides of one.

Must not know fetching or how a page is put together.
"""

from collections.abc import Iterable
from dataclasses import replace

from edgeproxy.caching.directives import parse
from edgeproxy.edge.outgoing import CONDITIONALS
from edgeproxy.edge.ports import Client
from edgeproxy.edge.routing import Route
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.target import Target

MEDIA_TYPES = frozenset((b"text/html", b"text/xml", b"application/xml", b"application/xhtml+xml"))
CACHE_CONTROL = b"private, no-cache"
"""What the assembled answer says to caches on its way.

Its fragments may be one client's own, or live shorter than the page: no shared cache may keep it, and
a private one asks again.
"""

_ENCODING = b"accept-encoding"
# What described the page as it is stored; none of it holds for what is made of it.
_OF_THE_STORED = frozenset(
    b"content-length etag last-modified content-md5 digest content-digest repr-digest"
    b" accept-ranges content-range trailer surrogate-control cdn-cache-control".split()
)
_LIFETIMES = frozenset((b"cache-control", b"expires", b"pragma"))
_KEPT_DIRECTIVES = (b"no-store", b"no-transform")
# What was said about the page's own request, not about the client.
_OF_THE_REQUEST = CONDITIONALS | frozenset(
    b"host accept-encoding expect upgrade te trailer max-forwards http2-settings".split()
)
# Any other may be a credential, as X-Api-Key is.
_FOR_ANYBODY = frozenset(
    b"accept accept-language user-agent cdn-loop via x-request-id traceparent tracestate"
    b" cache-control".split()
)


def is_page(status: int, fields: Fields) -> bool:
    """Whether a response on a route with `esi` is put together: markup, answered with 200, not encoded."""
    return is_markup(status, fields) and not is_encoded(fields)


def is_markup(status: int, fields: Fields) -> bool:
    """Whether a response would be a page if nothing encoded it."""
    media_type = (fields.get(b"content-type") or b"").partition(b";")[0].strip(b" \t").lower()
    return status == 200 and media_type in MEDIA_TYPES


def is_encoded(fields: Fields) -> bool:
    """Whether a content coding hides what a response says (RFC 9110 §8.4)."""
    return (fields.get(b"content-encoding") or b"identity").strip(b" \t").lower() != b"identity"


def unencoded(head: RequestHead) -> RequestHead:
    """The request of a client on a route with `esi`: for what it brings must be readable here."""
    return replace(head, fields=head.fields.without((_ENCODING,))) if _ENCODING in head.fields else head


def whole(head: RequestHead) -> RequestHead:
    """The same without ranges and conditions, which a page that is put together can not answer.

    Those of an unsafe method are for the origin, and stay.
    """
    if head.method not in (b"GET", b"HEAD") or CONDITIONALS.isdisjoint(head.fields.index):
        return head
    return replace(head, fields=head.fields.without(CONDITIONALS))


def asked_of(head: RequestHead, route: Route, status: int, fields: Fields) -> RequestHead:
    """The request by which a response is selected in part, or not at all: by none where it is a page."""
    return whole(head) if route.esi is not None and is_page(status, fields) else head


def assembled_fields(fields: Iterable[RawField], route: Route) -> list[RawField]:
    """The fields of the page as its client gets it: put together, framed by chunks, not to be reused.

    What the operator sets for clients stays as it is set.
    """
    ours = _LIFETIMES - route.response_edits.drop
    drop = _OF_THE_STORED | ours | frozenset(route.policy.targeted)
    lines: list[RawField] = []
    said: list[bytes] = []
    for line in fields:
        name = line[0].lower()
        if name not in drop and not _of_another_cache(name):
            lines.append(line)
        elif name == b"cache-control":
            said.append(line[1])
    if b"cache-control" in ours:
        directives = parse(b", ".join(said))
        kept = [directive for directive in _KEPT_DIRECTIVES if directive in directives]
        lines.append((b"Cache-Control", b", ".join((CACHE_CONTROL, *kept))))
    return lines


def _of_another_cache(name: bytes) -> bool:
    """Whether a field tells some cache beyond how long to keep a response, whatever Cache-Control says."""
    return name.endswith(b"-cache-control") or name in (b"x-accel-expires", b"surrogate-control")


def fragment_head(page: RequestHead, target: Target) -> RequestHead:
    """The request for a fragment of a page: the client's, as far as it speaks of the client.

    What it proves to the page's authority is told to no other.
    """
    own = target.authority == page.target.authority
    lines = [line for line in page.fields.raw if _goes_along(line[0].lower(), own)]
    lines.append((b"Host", target.authority))
    return RequestHead(b"GET", target, 1, Fields(lines), target.origin_form)


def _goes_along(name: bytes, own: bool) -> bool:
    if not own:
        return name in _FOR_ANYBODY
    return name not in _OF_THE_REQUEST and not name.startswith(b"content-")


def fragment_client(client: Client, page: Target, target: Target) -> Client:
    """Who asks for a fragment: the page's client, by the scheme and host that the page names.

    Else what an origin answers to a request over http might be stored for https.
    """
    if page.scheme == target.scheme and page.authority == target.authority:
        return client
    host = client.forwarded_host if page.authority == target.authority else None
    return replace(client, scheme=target.scheme, forwarded_host=host)
