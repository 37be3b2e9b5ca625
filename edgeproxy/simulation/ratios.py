"""Knows hit ratios, and how those of a sample become those of the whole.

Must not know how they are found.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Ratio(NamedTuple):
    """Hit ratio by requests and by bytes, 0 to 1."""

    requests: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The `share` of the URLs that a trace holds (0 to 1), and how much of their share they were asked for.

    `requests` and `bytes` are 1 where that share of the URLs got that share of the requests. They are off by
    the few most popular URLs, which are in the sample or not.
    """

    share: float = 1.0
    requests: float = 1.0
    bytes: float = 1.0

    def whole(self, ratio: Ratio) -> Ratio:
        """The hit ratio of the whole: what is missing or too much are hits, being popular (SHARDS-adj)."""
        requests = 1 - self.requests * (1 - ratio.requests)
        of_bytes = 1 - self.bytes * (1 - ratio.bytes)
        return Ratio(max(0.0, requests), max(0.0, of_bytes))


WHOLE = Sample()
