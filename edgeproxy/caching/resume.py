"""Whether the rest of a response that broke off may come from elsewhere, and where in it to go on.

Must not know connections, nor who has had the beginning already. RFC 9110 §13.1.5, §14.4.
"""

from edgeproxy.caching.content_range import announced_part
from edgeproxy.caching.parts import same_representation, strong_validator
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead


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


def goes_on_after(head: ResponseHead, at: int, answer: ResponseHead) -> int | None:
    """How many bytes of the answer's body to leave out, so that the rest follows the first `at` bytes.

    None where the answer is none to `asking_for_the_rest`: another representation, or not to its end.
    """
    if not same_representation(head.fields, answer.fields):
        return None
    if head.fields.get(b"content-encoding") != answer.fields.get(b"content-encoding"):
        return None
    length = head.fields.get(b"content-length")
    first, stop, size = 0, None, None if length is None else int(length)
    if head.status == 206:
        part = announced_part(head.fields)
        if part is None:
            return None
        first, stop, size = part.start, part.stop, part.size
    if answer.status == 200:
        whole = answer.fields.get(b"content-length")
        same = (None if whole is None else int(whole)) == size
        return first + at if same and stop in (None, size) else None
    rest = announced_part(answer.fields) if answer.status == 206 else None
    if rest is None or rest.start != first + at or size not in (None, rest.size):
        return None
    return 0 if rest.stop == (rest.size if stop is None else stop) else None
