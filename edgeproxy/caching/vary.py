"""Which stored response of a key a request selects: Vary, and what the route adds to the variant.

Must not know freshness rules of its own. RFC 9111 §4.1.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from edgeproxy.caching.age import date_value
from edgeproxy.caching.negotiation import ACCEPT_LANGUAGE, by_preference, normalise
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead

SelectingFields = tuple[tuple[bytes, bytes | None], ...]

_COOKIE = b"cookie:"  # a name that no field can have: ":" is no token character
_NO_NAMES: frozenset[bytes] = frozenset()
_NEVER_THE_SAME = frozenset(
    {b"*", b"x-forwarded-for", b"forwarded", b"x-request-id", b"traceparent", b"tracestate", b"cdn-loop"}
)
_IN_THE_KEY = frozenset({b"x-forwarded-proto", b"x-forwarded-host", b"host"})
"""What origins get under these names follows from the cache key already."""
_NORMALISED_FOR_ORIGINS = frozenset({b"accept-encoding", b"accept-language"})


def vary_names(fields: Fields) -> frozenset[bytes]:
    """The lower-case members of Vary."""
    lines = fields.index.get(b"vary")
    if lines is None:
        return _NO_NAMES
    return frozenset(name.strip(b" \t").lower() for line in lines for name in line.split(b",")) - {b""}


def never_the_same(fields: Fields) -> frozenset[bytes]:
    """The members of Vary by which no two requests are alike: `*`, and what each request gets anew."""
    return _NEVER_THE_SAME & vary_names(fields)


def varies_on_everything(fields: Fields) -> bool:
    """Whether no request ever selects this response: Vary has `*`, or names what each request gets anew.

    What a proxy writes into a request for its origin is not what the client presented.
    """
    return bool(never_the_same(fields))


def selecting_names(response_fields: Fields, policy: CachePolicy) -> tuple[bytes, ...]:
    """The names of what selects this response, in order: from Vary, and the route's headers and cookies.

    A cookie stands as `cookie:NAME`.
    """
    key = policy.key
    if not key.headers and not key.cookies and b"vary" not in response_fields.index:
        return ()
    cookies = (_COOKIE + name for name in key.cookies)
    names = {*vary_names(response_fields), *key.headers, *cookies} - _IN_THE_KEY - {b"*"}
    return tuple(sorted(names))


def selecting_by_names(request: RequestHead, names: Iterable[bytes], policy: CachePolicy) -> SelectingFields:
    """Each of these names with the request's normalised value, None where the request lacks it."""
    return tuple((name, _value(request, name, policy)) for name in names)


def selecting(request: RequestHead, response_fields: Fields, policy: CachePolicy) -> SelectingFields:
    """The selecting fields of `request` for a response with these fields; empty where nothing selects."""
    return selecting_by_names(request, selecting_names(response_fields, policy), policy)


def variant_key(selecting_fields: SelectingFields) -> bytes:
    """A digest of the selecting fields, every part with its length; empty for none."""
    if not selecting_fields:
        return b""
    digest = blake2b(digest_size=16)
    for name, value in selecting_fields:
        size = -1 if value is None else len(value)
        digest.update(b"%d:%s%d:%s" % (len(name), name, size, value or b""))
    return digest.digest()


def variant_of(request: RequestHead, names: Sequence[bytes], policy: CachePolicy) -> bytes:
    """The variant key that `request` selects among responses selected by `names`."""
    return variant_key(selecting_by_names(request, names, policy))


def matches(stored: StoredResponse, request: RequestHead, policy: CachePolicy) -> bool:
    """Whether `request` selects `stored`, by the route's policy of now."""
    if varies_on_everything(stored.fields):
        return False
    presented = selecting(request, stored.fields, policy)
    return presented == stored.selecting or _language_suits(stored, presented)


def preferred(suitable: Iterable[StoredResponse]) -> StoredResponse | None:
    """Of the stored responses that a request selects the one to use: the most recent, by Date (§4.1).

    One without Vary comes after those that have it: it may be the default answer of a resource that forgets
    Vary there.
    """
    return max(suitable, key=_recency, default=None)


def normalised_fields(request: RequestHead, policy: CachePolicy) -> Fields:
    """The request's fields for the origin, with the fields of `vary.normalize` as they select.

    The origin must see what the variant stands for: a client that takes only `br` would else get
    the `gzip` that another one's longer list brought in.
    """
    fields = request.fields
    for name, _ in policy.vary_normalize:
        if name not in _NORMALISED_FOR_ORIGINS:
            continue
        value = normalise(name, fields.get(name), policy)
        if value is None:
            fields = fields.without((name,))
        elif fields.get(name) != value:
            fields = fields.replaced(_written(name), value)
    return fields


def cookie(fields: Fields, name: bytes) -> bytes | None:
    """The value of the first cookie of that name (RFC 6265 §5.4)."""
    for line in fields.get_all(b"cookie"):
        for pair in line.split(b";"):
            found, separator, value = pair.strip(b" \t").partition(b"=")
            if separator and found == name:
                return value
    return None


def _value(request: RequestHead, name: bytes, policy: CachePolicy) -> bytes | None:
    if name.startswith(_COOKIE):
        return cookie(request.fields, name[len(_COOKIE) :])
    return normalise(name, request.fields.get(name), policy)


def _language_suits(stored: StoredResponse, presented: SelectingFields) -> bool:
    """Whether they differ in Accept-Language only, and what is wanted most is what is stored."""
    if len(presented) != len(stored.selecting):
        return False
    wanted: bytes | None = None
    for ours, theirs in zip(presented, stored.selecting, strict=True):
        if ours == theirs:
            continue
        if ours[0] != ACCEPT_LANGUAGE or theirs[0] != ACCEPT_LANGUAGE or ours[1] is None:
            return False
        wanted = ours[1]
    content_language = stored.fields.get(b"content-language")
    if wanted is None or content_language is None:
        return False
    ranked = by_preference(wanted)
    if not ranked or ranked[0][1] == 0 or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return False
    return ranked[0][0] == content_language.strip(b" \t").lower()


def _recency(stored: StoredResponse) -> tuple[bool, float, float]:
    varies = b"vary" in stored.fields
    return varies, date_value(stored.fields, stored.response_time), stored.response_time


def _written(name: bytes) -> bytes:
    return b"-".join(part.capitalize() for part in name.split(b"-"))
