"""Asking the origin whether a stored response still holds, and taking over what it answers.

Must not know when to ask. RFC 9111 §3.2, §4.3.1, §4.3.4, §4.3.5.
"""

from collections.abc import Sequence
from dataclasses import replace

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.storability import withheld_fields
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.caching.tags import tags_of
from edgeproxy.caching.vary import selecting, variant_key
from edgeproxy.wire.dates import format_date, parse_date
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.hop_by_hop import strip_hop_by_hop

# They describe the stored content, which a 304 leaves alone (§3.2); a Trailer's section is not stored.
_OF_CONTENT = frozenset(
    {
        b"content-length",
        b"content-encoding",
        b"content-range",
        b"content-md5",
        b"content-digest",
        b"trailer",
    }
)
_CLOCK = frozenset({b"date", b"age"})


def conditional_fields(stored: StoredResponse) -> tuple[RawField, ...]:
    """The fields that make a request conditional on `stored`; empty without a validator (§4.3.1).

    A stored 5xx is not asked about: an error is no representation.
    """
    if stored.status >= 500:
        return ()
    lines: list[RawField] = []
    tag = entity_tag(stored.fields)
    if tag:
        lines.append((b"If-None-Match", tag))
    modified = stored.fields.get_all(b"last-modified")
    if modified and parse_date(modified[0]) is not None:
        lines.append((b"If-Modified-Since", modified[0]))
    return tuple(lines)


def offered_fields(others: Sequence[StoredResponse]) -> tuple[RawField, ...]:
    """The field that asks whether one of these other variants of the key would do (§4.3.1); or none."""
    tags = [tag for tag in (entity_tag(stored.fields) for stored in others if _may_be_offered(stored)) if tag]
    return ((b"If-None-Match", b", ".join(dict.fromkeys(tags))),) if tags else ()


def _may_be_offered(stored: StoredResponse) -> bool:
    return 200 <= stored.status <= 299 and stored.status != 206


def entity_tag(fields: Fields) -> bytes | None:
    """The ETag as it came, of several lines the first."""
    lines = fields.get_all(b"etag")
    return lines[0] if lines and lines[0] else None


def weakly_equal(one: bytes, other: bytes) -> bool:
    """Weak comparison (RFC 9110 §8.8.3.2)."""
    return one.removeprefix(b"W/") == other.removeprefix(b"W/")


def identified(head: ResponseHead, others: Sequence[StoredResponse]) -> StoredResponse | None:
    """Which of the variants that were offered a 304 means, by its entity tag (§4.3.4)."""
    tag = entity_tag(head.fields)
    if tag is None:
        return None
    tagged = ((entity_tag(stored.fields), stored) for stored in others if _may_be_offered(stored))
    return next((stored for own, stored in tagged if own and weakly_equal(own, tag)), None)


def freshens(stored: StoredResponse, head: ResponseHead) -> bool:
    """Whether the fields of a 304 are those of `stored`, by its validators (§4.3.4).

    A 304 that names another representation still says that what it was asked about holds: mod_deflate,
    for one, drops its suffix from the tag. Then only the age starts anew.
    """
    tag, own = entity_tag(head.fields), entity_tag(stored.fields)
    if tag is not None:
        return weakly_equal(own, tag) if own is not None else tag.startswith(b"W/")
    modified, ours = head.fields.get_all(b"last-modified"), stored.fields.get_all(b"last-modified")
    return not (modified and ours) or modified[0] == ours[0]


def freshen(
    stored: StoredResponse,
    head: ResponseHead,
    request_time: float,
    response_time: float,
    policy: CachePolicy,
    request: RequestHead | None = None,
    stamp: Stamp | None = None,
) -> StoredResponse:
    """`stored` as a 304, or a 200 to HEAD, leaves it: fields updated, age counted anew (§3.2, §4.3.4).

    Times are wall seconds. With the presented `request` a changed Vary gives a new variant; without, Vary
    stays as it was. `stamp` is where the purge log stood when the validation began.
    """
    update = strip_hop_by_hop(head.fields)
    if freshens(stored, head):
        drop = _OF_CONTENT if request else _OF_CONTENT | {b"vary"}
        if not policy.allow_set_cookie:
            drop |= {b"set-cookie"}
        update = update.without(drop)
    else:
        update = Fields(line for line in update if line[0].lower() in _CLOCK)
    if b"date" not in update:
        update = update.plus((b"Date", format_date(response_time)))
    # The Age that came with the old response belongs to the old response_time.
    fields = merge(stored.fields.without((b"age",)), update)
    fields = fields.without(withheld_fields(fields, policy))
    selected = selecting(request, fields, policy) if request else stored.selecting
    return replace(
        stored,
        fields=fields,
        request_time=request_time,
        response_time=response_time,
        selecting=selected,
        variant=variant_key(selected) if request else stored.variant,
        tags=tags_of(fields, policy, request.target) if request else stored.tags,
        stamp=stored.stamp if stamp is None else stamp,
        request_authorized=stored.request_authorized
        or (request is not None and b"authorization" in request.fields),
    )


def merge(fields: Fields, update: Fields) -> Fields:
    """`fields` with each field of `update` in place of the lines of that name (§3.2)."""
    fresh = update.index
    lines: list[RawField] = []
    placed: set[bytes] = set()
    for line in fields:
        name = line[0].lower()
        if name not in fresh:
            lines.append(line)
        elif name not in placed:
            placed.add(name)
            lines.extend(new for new in update if new[0].lower() == name)
    lines.extend(new for new in update if new[0].lower() not in placed)
    return Fields(lines)


def same_as_head(stored: StoredResponse, head: ResponseHead) -> bool:
    """Whether a 200 to HEAD speaks of the stored response: validators and length agree (§4.3.5).

    It never speaks of a stored redirection or error: that is what the target is no longer.
    """
    if not 200 <= stored.status <= 299:
        return False
    for name in (b"etag", b"last-modified"):
        received = head.fields.get(name)
        if received is not None and received != stored.fields.get(name):
            return False
    length = head.fields.get(b"content-length")
    return length is None or (length.isdigit() and int(length) == stored.size)
