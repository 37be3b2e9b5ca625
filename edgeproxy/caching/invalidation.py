"""What a successful unsafe request makes outdated.

Must not know keys, tiers or purges. RFC 9111 §4.4, RFC 9875 §3.
"""

from edgeproxy.caching.tags import CACHE_GROUP_INVALIDATION, group_names, scoped
from edgeproxy.caching.uris import resolve, same_origin
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.target import Target

# Registered as safe; a method that is not known here may change anything (§4.4).
SAFE_METHODS = frozenset(
    {b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT", b"SEARCH", b"QUERY", b"PRI"}
)


def invalidates(request: RequestHead, response_head: ResponseHead) -> bool:
    """Whether this answer invalidates anything: a non-error one to an unsafe method."""
    return request.method not in SAFE_METHODS and 200 <= response_head.status <= 399


def invalidated_targets(request: RequestHead, response_head: ResponseHead) -> tuple[Target, ...]:
    """The targets to invalidate: the request's, and Location and Content-Location of the same origin."""
    if not invalidates(request, response_head):
        return ()
    targets = [request.target]
    for name in (b"location", b"content-location"):
        for reference in response_head.fields.get_all(name):
            target = resolve(reference, request.target)
            # Another origin's responses are not this one's to remove (§4.4, §7.1).
            if target is not None and same_origin(target, request.target) and target not in targets:
                targets.append(target)
    return tuple(targets)


def invalidated_tags(request: RequestHead, response_head: ResponseHead) -> tuple[bytes, ...]:
    """The tags to invalidate by Cache-Group-Invalidation, within the request's origin only."""
    if not invalidates(request, response_head):
        return ()
    groups = group_names(response_head.fields.get(CACHE_GROUP_INVALIDATION) or b"")
    return tuple(dict.fromkeys(scoped(group, request.target) for group in groups))
