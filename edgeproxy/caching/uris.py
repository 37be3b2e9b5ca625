"""URI references in response fields, resolved against the target URI.

Must not know what is done with them. RFC 3986 §5.
"""

import re

from edgeproxy.errors import BadRequest
from edgeproxy.wire.target import Target, parse_uri

_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")


def resolve(reference: bytes, base: Target) -> Target | None:
    """The normalised target of `reference`, or None where it is no http(s) URI."""
    reference = reference.partition(b"#")[0]
    if not reference:
        return base
    origin = base.scheme + b"://" + base.authority
    if _SCHEME.match(reference):
        uri = reference
    elif reference.startswith(b"//"):
        uri = base.scheme + b":" + reference
    elif reference.startswith(b"/"):
        uri = origin + reference
    elif reference.startswith(b"?"):
        uri = origin + base.path + reference
    else:
        uri = origin + base.path[: base.path.rfind(b"/") + 1] + reference
    try:
        return parse_uri(uri)
    except BadRequest:
        return None


def same_origin(one: Target, other: Target) -> bool:
    """Whether scheme, host and port are the same (RFC 9110 §4.3.1)."""
    return one.scheme == other.scheme and one.authority == other.authority
