"""The primary cache key: the canonical URI as a GET would be routed, after the route's query policy.

Must not know variants. RFC 9111 §2.
"""

import re
from fnmatch import translate
from functools import lru_cache

from edgeproxy.caching.policy import KeyPolicy
from edgeproxy.wire.target import Target

PIECE = b"\n"


def cache_key(target: Target, key_policy: KeyPolicy) -> bytes:
    """The key of every response for `target`, whatever the method, scheme and host included."""
    query = target.query
    if query is None:
        return target.uri
    prefix = target.scheme + b"://" + target.authority + target.path
    query = _under(query, key_policy)
    return prefix if query is None else prefix + b"?" + query


def part_key(key: bytes, piece: bytes) -> bytes:
    """The key of a piece of what `key` names, purged with it; no key of a whole has the separator."""
    return key + PIECE + piece


def whole_key(key: bytes) -> bytes:
    """The key of the whole of which `key` may name a piece."""
    return key.partition(PIECE)[0]


def _under(query: bytes, key_policy: KeyPolicy) -> bytes | None:
    """The query as the policy leaves it; None where nothing is left of it."""
    if key_policy.query_only is None and not key_policy.query_ignore and not key_policy.query_sort:
        return query
    pairs = [pair for pair in query.split(b"&") if pair]
    if key_policy.query_only is not None:
        only = _globs(key_policy.query_only)
        pairs = [pair for pair in pairs if only.fullmatch(_name(pair))]
    if key_policy.query_ignore:
        ignore = _globs(key_policy.query_ignore)
        pairs = [pair for pair in pairs if not ignore.fullmatch(_name(pair))]
    if key_policy.query_sort:
        # By name only, and stably: the order of one name's values may mean something.
        pairs.sort(key=_name)
    return b"&".join(pairs) or None


def _name(pair: bytes) -> bytes:
    return pair.partition(b"=")[0]


@lru_cache(maxsize=256)
def _globs(globs: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """One pattern for all of them; that of no glob matches nothing."""
    patterns = [translate(glob.decode("latin-1")) for glob in globs]
    return re.compile("|".join(patterns).encode("latin-1") if patterns else rb"(?!)")
