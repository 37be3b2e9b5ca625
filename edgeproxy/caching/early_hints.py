"""What of a stored response may be told ahead of the next one: RFC 8297.

Must not know when.
"""

import re

from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead

_HINT = re.compile(
    rb";[ \t]*rel[ \t]*=[ \t]*+\"?+(?:[^\";,]*[ \t])?(?:preload|modulepreload|preconnect|dns-prefetch)"
    rb"(?=[ \t\";,]|\Z)",
    re.IGNORECASE,
)


def early_hints(stored: Fields) -> ResponseHead | None:
    """A 103 with the stored Link fields that help a client to fetch ahead; None where there are none."""
    lines = [line for line in stored if line[0].lower() == b"link" and _HINT.search(line[1])]
    return ResponseHead(103, b"Early Hints", 1, Fields(lines)) if lines else None
