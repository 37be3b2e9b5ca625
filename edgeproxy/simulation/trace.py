"""Knows a trace of requests in compact form: who was asked for, how large it is, when.

Must not know logs or policies. Four bytes a request (twelve with times), some 150 a distinct URL.
"""

from array import array
from collections.abc import Iterable
from functools import cached_property

from edgeproxy.store.memory import OVERHEAD

BESIDE = OVERHEAD + 240
"""Bytes that a stored response takes beside its body: our objects, and head and key of a usual one."""
NEVER = 1 << 62
"""The next use of what is not asked for again."""


class Trace:
    """Requests in order. `sizes` are bytes of the body by number of the URL, `times` seconds or empty."""

    def __init__(self, beside: int = BESIDE) -> None:
        self.requests = array("I")
        self.sizes = array("Q")
        self.times = array("d")
        self._beside = beside

    def __len__(self) -> int:
        return len(self.requests)

    def __repr__(self) -> str:
        return f"<Trace of {len(self.requests)} requests for {len(self.sizes)} URLs>"

    @classmethod
    def of(cls, requests: Iterable[tuple[int, int]], beside: int = BESIDE) -> "Trace":
        """From pairs of (any number of the URL, bytes)."""
        trace = cls(beside)
        numbers: dict[int, int] = {}
        for name, size in requests:
            number = numbers.setdefault(name, len(numbers))
            if number == len(trace.sizes):
                trace.sizes.append(0)
            trace.ask(number, size)
        return trace

    def ask(self, number: int, size: int) -> None:
        """Append one request; of several sizes of one URL the largest counts (parts and 304 are shorter)."""
        self.requests.append(number)
        if size > self.sizes[number]:
            self.sizes[number] = size

    @cached_property
    def costs(self) -> "array[int]":
        """Bytes that each URL takes in a cache."""
        return array("Q", (size + self._beside for size in self.sizes))

    @cached_property
    def footprint(self) -> int:
        """Bytes of a cache that could hold everything asked for."""
        return sum(self.costs)

    @cached_property
    def asked_bytes(self) -> int:
        """Bytes of the bodies of all requests."""
        sizes = self.sizes
        return sum(sizes[number] for number in self.requests)

    @cached_property
    def next_uses(self) -> "array[int]":
        """For each request the place of the next one for the same URL, or NEVER; eight bytes each."""
        upcoming = [NEVER] * len(self.sizes)
        places = array("q", bytes(8 * len(self.requests)))
        for at in range(len(self.requests) - 1, -1, -1):
            number = self.requests[at]
            places[at] = upcoming[number]
            upcoming[number] = at
        return places
