"""What is stored that a fetch may build on, and what the origin is asked for its sake.

Must not know connections, nor what comes of it (`caching.on_response`). RFC 9111 §3.4, §4.3.1.
"""

from dataclasses import dataclass

from edgeproxy.caching.parts import missing, strong_validator
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import offered_fields
from edgeproxy.wire.fields import RawField

FUTILE = frozenset((Reason.NONE_OF_THESE, Reason.NO_MATCHING_PART))
"""Why to ask again says that the next one may spare itself the first question."""


@dataclass(frozen=True, slots=True)
class Aid:
    """What is stored that a fetch may build on: other variants, or a part of the representation."""

    others: tuple[StoredResponse, ...] = ()
    completes: StoredResponse | None = None

    @property
    def fields(self) -> tuple[RawField, ...]:
        """What the origin is asked for the sake of it (RFC 9111 §3.4, §4.3.1)."""
        if self.completes is None:
            return offered_fields(self.others)
        validator = strong_validator(self.completes.fields)
        wanted: tuple[RawField, ...] = ((b"Range", missing(self.completes) or b""),)
        return wanted if validator is None else (*wanted, (b"If-Range", validator))


NO_AID = Aid()
