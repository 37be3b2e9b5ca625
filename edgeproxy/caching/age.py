"""How old a stored response is.

Must not know how long it stays fresh. RFC 9111 §4.2.3.
"""

from math import floor

from edgeproxy.caching.directives import MAX_SECONDS
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.dates import parse_date
from edgeproxy.wire.fields import Fields

AHEAD = 10.0
"""Seconds by which clocks that stamp responses may differ."""


def from_the_future(response_time: float, now: float) -> bool:
    """Whether it came at a wall second yet to be: the clock was set back, and nobody knows its age."""
    return response_time > now + AHEAD


def age_value(fields: Fields) -> int:
    """The Age that came with a response, in seconds, or 0.

    Of a list the first member counts, an invalid one is ignored: RFC 9111 §5.1.
    """
    lines = fields.get_all(b"age")
    if not lines:
        return 0
    first = lines[0].partition(b",")[0].strip(b" \t")
    if not first.isdigit():
        return 0
    return min(int(first), MAX_SECONDS) if len(first) <= 20 else MAX_SECONDS


def date_value(fields: Fields, response_time: float) -> float:
    """When the response was generated, in wall seconds: its Date, or when it came (RFC 9110 §6.6.1)."""
    lines = fields.get_all(b"date")
    date = parse_date(lines[0], response_time) if lines else None
    return response_time if date is None else date


def corrected_initial_age(fields: Fields, request_time: float, response_time: float) -> float:
    """Its age in seconds when it came."""
    # Date is cut to whole seconds, and so is this: else every response would come half a second old,
    # which is half the life of one that lives a second.
    apparent_age = max(0.0, floor(response_time) - date_value(fields, response_time))
    response_delay = max(0.0, response_time - request_time)
    return max(apparent_age, age_value(fields) + response_delay)


def current_age(stored: StoredResponse, now: float) -> float:
    """Its age in seconds at wall time `now`; a clock that stepped back adds nothing."""
    resident_time = max(0.0, now - stored.response_time)
    return corrected_initial_age(stored.fields, stored.request_time, stored.response_time) + resident_time
