"""Whether the rest of a response that broke off may come from elsewhere, and where in it to go on.

Must not know connections, nor who has had the beginning already. RFC 9110 §13.1.5, §14.4.
"""

from dataclasses import dataclass

from edgeproxy.caching.content_range import announced_part
from edgeproxy.caching.parts import same_representation, strong_validator
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

_SAME = (b"content-encoding", b"content-type")
"""Fields that a part shares with its whole; a multipart one does not."""


def asking_for_the_rest(head: ResponseHead, at: int) -> tuple[RawField, ...]:
    """The fields that ask for what follows the first `at` bytes of a response with that head.

    Empty where nothing would tell whether an answer goes on with the same representation.
    """
    validator = strong_validator(head.fields)
    if validator is None:
        return ()
    if head.status == 200:
        return (b"Range", b"bytes=%d-" % at), (b"If-Range", validator)
    part = announced_part(head.fields) if head.status == 206 else None
    if part is None or part.start + at >= part.stop:
        return ()
    return (b"Range", b"bytes=%d-%d" % (part.start + at, part.stop - 1)), (b"If-Range", validator)


@dataclass(frozen=True, slots=True)
class GoesOn:
    """How an answer goes on: after its first `skip` bytes; it must have `size`, where that is known."""

    skip: int
    size: int | None


def goes_on_after(head: ResponseHead, at: int, answer: ResponseHead) -> GoesOn | None:
    """How the answer follows the first `at` bytes of a response with that head.

    None where it is no answer to `asking_for_the_rest`: another representation, or not to its end.
    """
    if not same_representation(head.fields, answer.fields) or len(answer.fields.get_all(b"etag")) > 1:
        return None
    if any(head.fields.get(name) != answer.fields.get(name) for name in _SAME):
        return None
    size, length = _length(head), _length(answer)
    first, stop = 0, size
    if head.status == 206:
        part = announced_part(head.fields)
        if part is None:
            return None
        first, stop, size = part.start, part.stop, part.size
    if answer.status == 200:
        same = length == size or (size is None and length is not None)
        return GoesOn(first + at, length) if same and stop == size else None
    rest = announced_part(answer.fields) if answer.status == 206 else None
    if rest is None or rest.start != first + at or size not in (None, rest.size):
        return None
    if rest.stop != (rest.size if stop is None else stop) or length not in (None, rest.stop - rest.start):
        return None
    return GoesOn(0, rest.stop - rest.start)


def _length(head: ResponseHead) -> int | None:
    length = head.fields.get(b"content-length")
    return None if length is None else int(length)
