"""Which stored responses this cache compresses, and what they are then: fields, validators, variant.

Must not know how bytes are compressed, nor when. RFC 9110 §7.7, §8.4, §8.8.1, §12.5.3; RFC 9111 §4.1.

On a route that compresses, what may be compressed is stored as the variant `identity` of
Accept-Encoding, whoever asked for it; each coding made of it is one more variant, its coded copy.
"""

from collections.abc import Iterable
from dataclasses import replace

from edgeproxy.caching.directives import of_request, parse
from edgeproxy.caching.negotiation import ACCEPT_ENCODING, IDENTITY, normalise
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.targeted import binding
from edgeproxy.caching.vary import (
    SelectingFields,
    selecting_by_names,
    selecting_names,
    variant_key,
    varies_on_everything,
    vary_names,
)
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead

Normalisation = tuple[tuple[bytes, tuple[bytes, ...]], ...]

CONTENT_ENCODING = b"content-encoding"
NO_TRANSFORM = b"no-transform"
WORTH = 0.95
"""A coded body larger than this share of the plain one is not worth its decoding."""
_CODED_OR_PART = frozenset({CONTENT_ENCODING, b"content-range"})
# They speak of the bytes as the origin sent them. Parts of a coded copy are not to be had: its bytes
# may differ from one compressor to the next, so that no two of them may be combined.
_OF_PLAIN_CONTENT = frozenset(
    {b"content-length", b"content-md5", b"content-digest", b"repr-digest", b"digest", b"accept-ranges"}
)


def negotiated(normalised: Normalisation, compress: tuple[bytes, ...]) -> Normalisation:
    """`vary.normalize` of a route: where it compresses, Accept-Encoding comes down to one of its codings.

    What the operator says of that field stands.
    """
    if not compress or any(name == ACCEPT_ENCODING for name, _ in normalised):
        return normalised
    return (*normalised, (ACCEPT_ENCODING, compress))


def compressible(
    response: ResponseHead | StoredResponse, policy: CachePolicy, size: int | None = None
) -> bool:
    """Whether the route compresses this response, of so many bytes where that is known.

    A page with Edge Side Includes is another one each time.
    """
    if not policy.compress or policy.esi or response.status != 200:
        return False
    if isinstance(response, StoredResponse):
        if response.coded_here:
            return False
        size = response.size
    if size is not None and size < max(1, policy.compress_min_size):
        return False
    fields = response.fields
    return (
        _CODED_OR_PART.isdisjoint(fields.index)
        and _of_listed_type(fields, policy)
        and not varies_on_everything(fields)
        and NO_TRANSFORM not in parse(fields.get(b"cache-control"))
        and NO_TRANSFORM not in binding(fields, policy).directives
    )


def as_kept(stored: StoredResponse, request: RequestHead, policy: CachePolicy) -> StoredResponse:
    """`stored` as a route that compresses keeps it: with the selecting fields that it then needs.

    What came coded from an origin that forgot Vary is selected by Accept-Encoding all the same.
    """
    if not policy.compress or stored.coded_here:
        return stored
    if compressible(stored, policy):
        return _selected_by(stored, IDENTITY)
    fields = stored.fields
    if CONTENT_ENCODING in fields and not vary_names(fields) & {ACCEPT_ENCODING, b"*"}:
        return _selected_by(stored, normalise(ACCEPT_ENCODING, request.fields.get(ACCEPT_ENCODING), policy))
    return stored


def agreed_names(
    response: ResponseHead | StoredResponse, policy: CachePolicy, size: int | None = None
) -> tuple[bytes, ...]:
    """The selecting fields in which clients must agree that share one answer of the origin.

    What will be kept as `identity` suits every Accept-Encoding.
    """
    names = selecting_names(response.fields, policy)
    if not policy.compress:
        return names
    if compressible(response, policy, size):
        return tuple(name for name in names if name != ACCEPT_ENCODING)
    if CONTENT_ENCODING in response.fields:
        return tuple(sorted({*names, ACCEPT_ENCODING}))
    return names


def identity_variant(request: RequestHead, names: Iterable[bytes], policy: CachePolicy) -> bytes:
    """The variant that `request` would select if it took no coding, among those selected by `names`."""
    presented = selecting_by_names(request, names, policy)
    return variant_key(
        tuple((name, IDENTITY if name == ACCEPT_ENCODING else value) for name, value in presented)
    )


def coded_variant(stored: StoredResponse, coding: bytes) -> bytes:
    """The variant key of the copy of `stored` in that coding."""
    return variant_key(_with_accept_encoding(stored.selecting, coding))


def coding_of(stored: StoredResponse) -> bytes | None:
    """The Accept-Encoding by which a stored response is selected; None where it is selected without."""
    return dict(stored.selecting).get(ACCEPT_ENCODING)


def wanted(request: RequestHead, stored: StoredResponse, policy: CachePolicy) -> bytes:
    """The coding in which `request` would rather have the plain `stored`; empty where it is right as it is.

    A client's own no-transform is honoured (RFC 9111 §5.2.1.6).
    """
    if not policy.compress or coding_of(stored) != IDENTITY or NO_TRANSFORM in of_request(request.fields):
        return b""
    coding = normalise(ACCEPT_ENCODING, request.fields.get(ACCEPT_ENCODING), policy)
    return coding if coding in policy.compress and compressible(stored, policy) else b""


def coded(stored: StoredResponse, coding: bytes, body: tuple[bytes, ...] | None) -> StoredResponse:
    """The copy of the plain `stored` in that coding.

    `body` is the coded one; None where coding it did not pay: the copy is then the same content, and
    there so that nobody tries again.
    """
    copy = replace(_selected_by(stored, coding), coded_here=True)
    if body is None:
        return copy
    fields = _coded_fields(copy.fields).plus((b"Content-Encoding", coding))
    return replace(copy, fields=fields, body=body, size=sum(map(len, body)))


def recoded(freshened: StoredResponse, copy: StoredResponse) -> StoredResponse:
    """A coded copy that was validated by itself, with the fields of the 304 and its own validator kept weak.

    The origin spoke of what the copy was made of.
    """
    fields = freshened.fields
    if CONTENT_ENCODING in copy.fields:
        fields = _coded_fields(fields)
    return _selected_by(replace(freshened, fields=fields), coding_of(copy))


def made_of(copy: StoredResponse, plain: StoredResponse) -> bool:
    """Whether that coded copy was made of that very response, and is as fresh."""
    return (copy.response_time, copy.request_time) == (plain.response_time, plain.request_time)


def same_but_coding(one: StoredResponse, other: StoredResponse) -> bool:
    """Whether two stored responses of a key are selected alike, but for Accept-Encoding."""
    return _with_accept_encoding(one.selecting, None) == _with_accept_encoding(other.selecting, None)


def may_be_offered(stored: StoredResponse, request: RequestHead, policy: CachePolicy) -> bool:
    """Whether the origin may be asked if this other variant will do for `request` (RFC 9111 §4.3.1).

    Not where it is coded for another Accept-Encoding: codings share a weak entity tag (RFC 9110 §8.8.3.3),
    so that a 304 would send a body to who cannot read it. Nor a copy that the origin never made, nor what was
    made for one client: an entity tag of a record's version knows nothing of who looks at it.
    """
    if stored.coded_here or stored.request_authorized or _tells_people_apart(stored, policy):
        return False
    if CONTENT_ENCODING not in stored.fields:
        return True
    return coding_of(stored) == normalise(ACCEPT_ENCODING, request.fields.get(ACCEPT_ENCODING), policy)


def _tells_people_apart(stored: StoredResponse, policy: CachePolicy) -> bool:
    names = {name for name, _ in stored.selecting}
    return not names.isdisjoint((b"cookie", b"authorization", *policy.key.headers)) or any(
        b":" in name for name in names
    )


def _of_listed_type(fields: Fields, policy: CachePolicy) -> bool:
    lines = fields.get_all(b"content-type")
    if len(lines) != 1:
        return False
    media = lines[0].partition(b";")[0].strip(b" \t").lower()
    kind, slash, _ = media.partition(b"/")
    return media in policy.compress_types or kind + slash + b"*" in policy.compress_types


def _selected_by(stored: StoredResponse, accept_encoding: bytes | None) -> StoredResponse:
    fields = stored.fields
    if ACCEPT_ENCODING not in vary_names(fields):
        fields = fields.plus((b"Vary", b"Accept-Encoding"))
    selecting = _with_accept_encoding(stored.selecting, accept_encoding)
    return replace(stored, fields=fields, selecting=selecting, variant=variant_key(selecting))


def _with_accept_encoding(selecting: SelectingFields, value: bytes | None) -> SelectingFields:
    return tuple(sorted({**dict(selecting), ACCEPT_ENCODING: value}.items()))


def _coded_fields(fields: Fields) -> Fields:
    """The fields of a coded copy: its entity tag is weak, for its bytes are not those of the origin's."""
    return Fields(
        (name, _weak(value)) if name.lower() == b"etag" else (name, value)
        for name, value in fields.without(_OF_PLAIN_CONTENT)
    )


def _weak(tag: bytes) -> bytes:
    return tag if not tag or tag.startswith(b"W/") else b"W/" + tag
