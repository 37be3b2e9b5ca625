"""The last answer of each key that could have been stored and was not: what explains it later.

Must not decide anything, nor keep what is one client's: of credentials and cookies only that they came.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.telling import SECRET
from edgeproxy.edge.fill import FillFor
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead, ResponseHead

REMEMBERED = 1000
"""Keys a worker."""
NOTE_EVERY = 5.0
"""Seconds between two notes of the same about a key: what passes through thousands of times is noted once."""
MOST_LINES = 16
LONGEST_VALUE = 512
LONGEST_KEY = 2048

_ASKED = frozenset({b"cache-control", b"pragma", b"authorization", b"range"})
_SAID = frozenset(
    {
        b"cache-control",
        b"expires",
        b"date",
        b"age",
        b"vary",
        b"set-cookie",
        b"etag",
        b"last-modified",
        b"content-type",
        b"content-length",
        b"content-range",
    }
)


@dataclass(frozen=True, slots=True)
class Unstored:
    """An answer that was not stored, as far as caching reads it; `time` in wall seconds."""

    request: RequestHead
    head: ResponseHead
    reason: Reason
    time: float


class UnstoredAnswers:
    """At most so many of them, each small; the key refused longest ago goes first."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._answers: OrderedDict[bytes, Unstored] = OrderedDict()
        self._most = most

    def __repr__(self) -> str:
        return f"<UnstoredAnswers {len(self._answers)}>"

    def __len__(self) -> int:
        return len(self._answers)

    def noted(self, key: bytes, reason: Reason, time: float) -> bool:
        """Whether the same was noted of that key so lately that it is not noted again."""
        before = self._answers.get(key)
        if before is None or before.reason is not reason or time - before.time >= NOTE_EVERY:
            return False
        self._answers.move_to_end(key)
        return True

    def note(self, job: FillFor, answer: ResponseHead | StoredResponse, reason: Reason, time: float) -> None:
        """The answer to that fetch is not stored."""
        if job.request.method != b"GET" or len(job.key) > LONGEST_KEY:
            return
        if self.noted(job.key, reason, time):
            return
        asked = job.request
        request = RequestHead(asked.method, asked.target, asked.minor, _of(asked.fields, _ASKED))
        fields = _of(answer.fields, _SAID.union(job.route.policy.targeted))
        self._answers[job.key] = Unstored(request, ResponseHead(answer.status, b"", 1, fields), reason, time)
        self._answers.move_to_end(job.key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """An answer of this key was stored."""
        self._answers.pop(key, None)

    def last(self, key: bytes) -> Unstored | None:
        """The last answer of this key, if it was not stored and is remembered."""
        return self._answers.get(key)


def _of(fields: Fields, names: Iterable[bytes]) -> Fields:
    lines: list[RawField] = []
    for name, value in fields.raw:
        lower = name.lower()
        if lower in names and len(lines) < MOST_LINES:
            lines.append((name, b"" if lower in SECRET else value[:LONGEST_VALUE]))
    return Fields(lines)
