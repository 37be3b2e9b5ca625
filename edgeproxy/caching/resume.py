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
    if head.status != 200:
        return ()
    validator = strong_validator(head.fields)
    if validator is None:
        return ()
    return (b"Range", b"bytes=%d-" % at), (b"If-Range", validator)


def goes_on_after(head: ResponseHead, at: int, answer: ResponseHead) -> int | None:
    """How many bytes of the answer's body to leave out, so that the rest follows the first `at` bytes.

    None where the answer is none to `asking_for_the_rest`: another representation, or not to its end.
    """
    if not same_representation(head.fields, answer.fields):
        return None
    if head.fields.get(b"content-encoding") != answer.fields.get(b"content-encoding"):
        return None
    length = head.fields.get(b"content-length")
    if answer.status == 200:
        return at if answer.fields.get(b"content-length") == length else None
    if answer.status != 206:
        return None
    part = announced_part(answer.fields)
    if part is None or part.start != at or part.stop != part.size:
        return None
    return 0 if length is None or int(length) == part.size else None
