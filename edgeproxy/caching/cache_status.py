"""One member of Cache-Status, written.

Must not know how the outcome came about. RFC 9211 §2.
"""

import re
from functools import lru_cache

from edgeproxy.caching.reasons import Fwd

_TOKEN = re.compile(rb"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*\Z")
_UNPRINTABLE = re.compile(rb"[^ -~]")
_ESCAPED = re.compile(rb'(["\\])')


def member(
    name: bytes,
    *,
    hit: bool = False,
    fwd: Fwd | None = None,
    fwd_status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    ttl: int | None = None,
    key: bytes | None = None,
    detail: bytes | None = None,
) -> bytes:
    """The member that this cache appends; `ttl` in seconds, negative when stale.

    Raises ValueError for both or neither of `hit` and `fwd`, which exclude each other (§2.2).
    """
    if hit == (fwd is not None):
        raise ValueError("one of hit and fwd, and not both")
    parts = [_bare(name), b"hit" if fwd is None else b"fwd=" + fwd.encode()]
    if fwd_status is not None:
        parts.append(b"fwd-status=%d" % fwd_status)
    if ttl is not None:
        parts.append(b"ttl=%d" % ttl)
    if stored:
        parts.append(b"stored")
    if collapsed:
        parts.append(b"collapsed")
    if key is not None:
        parts.append(b"key=" + _string(key))
    if detail is not None:
        parts.append(b"detail=" + _bare(detail))
    return b"; ".join(parts)


@lru_cache(maxsize=512)
def _bare(value: bytes) -> bytes:
    """A Token where it can be one, else a String."""
    return value if _TOKEN.match(value) else _string(value)


def _string(value: bytes) -> bytes:
    return b'"' + _ESCAPED.sub(rb"\\\1", _UNPRINTABLE.sub(b"?", value)) + b'"'
