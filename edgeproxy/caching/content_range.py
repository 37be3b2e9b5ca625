"""Content-Range: which bytes of a representation a response says that it carries.

Must not know bodies. RFC 9110 §14.4.
"""

import re
from dataclasses import dataclass

from edgeproxy.wire.fields import Fields

_CONTENT_RANGE = re.compile(rb"bytes[ ](\d{1,18})-(\d{1,18})/(\d{1,18})\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `start` up to, not including, `stop` of a representation of `size` bytes."""

    start: int
    stop: int
    size: int

    @property
    def content_range(self) -> bytes:
        """The value of Content-Range."""
        return b"bytes %d-%d/%d" % (self.start, self.stop - 1, self.size)


def announced_part(fields: Fields) -> Part | None:
    """The part that a response says it carries; None where it does not say, or not clearly."""
    values = fields.get_all(b"content-range")
    match = _CONTENT_RANGE.match(values[0]) if len(values) == 1 else None
    if match is None:
        return None
    first, last, size = (int(number) for number in match.groups())
    return Part(first, last + 1, size) if first <= last < size else None
