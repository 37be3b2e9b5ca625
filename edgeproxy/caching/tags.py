"""The tags of a response, by which it can be purged together with others.

Must not know purge rules. RFC 9875 for Cache-Groups.
"""

import re
from functools import lru_cache
from typing import cast

import http_sf

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.target import Target

CACHE_GROUPS = b"cache-groups"
CACHE_GROUP_INVALIDATION = b"cache-group-invalidation"

_SEPARATORS = {b"surrogate-key": re.compile(rb"\s+"), b"cache-tag": re.compile(rb"\s*,\s*")}
_ANY_SEPARATOR = re.compile(rb"[\s,]+")


def tags_of(fields: Fields, policy: CachePolicy, target: Target) -> tuple[bytes, ...]:
    """Every tag of the response once, in order.

    A cache group stands twice: as the operator names it in a purge, and with its origin, within which
    alone a response may invalidate it (RFC 9875 §2.2).
    """
    tags: list[bytes] = []
    for name in policy.tag_headers:
        if name not in fields:
            continue
        value = fields.get(name) or b""
        if name == CACHE_GROUPS:
            groups = group_names(value)
            tags += groups
            tags += [scoped(group, target) for group in groups]
        else:
            tags += [tag for tag in _SEPARATORS.get(name, _ANY_SEPARATOR).split(value.strip()) if tag]
    return tuple(dict.fromkeys(tags))


def scoped(group: bytes, target: Target) -> bytes:
    """The tag of a cache group within the origin of `target`."""
    return target.scheme + b"://" + target.authority + b"/" + group


@lru_cache(maxsize=512)
def group_names(value: bytes) -> tuple[bytes, ...]:
    """The Strings of a Cache-Groups list; none where its syntax is wrong, other types passed over."""
    try:
        members = cast(list[tuple[object, object]], http_sf.parse(value, tltype="list"))
    except ValueError:
        return ()
    return tuple(item.encode() for item, _ in members if type(item) is str)
