"""The memory of answers that were not stored: small, bounded, and without secrets."""

from typing import Any, cast

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.edge.fill import FillFor
from edgeproxy.edge.unstored import LONGEST_KEY, LONGEST_VALUE, MOST_LINES, NOTE_EVERY, UnstoredAnswers
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.target import parse_uri


class Job:
    """As much of a FillFor as is looked at."""

    def __init__(self, key: bytes, *asked: tuple[bytes, bytes], method: bytes = b"GET") -> None:
        self.key = key
        self.route = self
        self.policy = CachePolicy(targeted=(b"surrogate-control",))
        self.request = RequestHead(method, parse_uri(b"http://a/"), 1, Fields(asked))


def note(memory: UnstoredAnswers, job: Job, *said: tuple[bytes, bytes]) -> None:
    head = ResponseHead(200, b"OK", 1, Fields(said))
    memory.note(cast("FillFor", cast("Any", job)), head, Reason.PRIVATE, 7.0)


def test_what_caching_reads_is_kept_and_nothing_else() -> None:
    memory = UnstoredAnswers()
    job = Job(b"k", (b"Cache-Control", b"no-cache"), (b"Authorization", b"secret"), (b"Cookie", b"secret"))
    note(memory, job, (b"Set-Cookie", b"secret"), (b"Surrogate-Control", b"max-age=1"), (b"Link", b"x"))
    last = memory.last(b"k")
    assert last is not None
    assert (last.reason, last.time, last.head.status) == (Reason.PRIVATE, 7.0, 200)
    assert last.request.fields == Fields([(b"Cache-Control", b"no-cache"), (b"Authorization", b"")])
    assert last.head.fields == Fields([(b"Set-Cookie", b""), (b"Surrogate-Control", b"max-age=1")])


def test_lines_values_and_keys_are_bounded() -> None:
    memory = UnstoredAnswers()
    note(memory, Job(b"k"), *[(b"Vary", b"x" * 9999)] * 99)
    note(memory, Job(b"k" * (LONGEST_KEY + 1)))
    last = memory.last(b"k")
    assert last is not None
    assert [len(value) for _, value in last.head.fields] == [LONGEST_VALUE] * MOST_LINES
    assert len(memory) == 1


def test_the_key_refused_longest_ago_goes_first() -> None:
    memory = UnstoredAnswers(most=2)
    for key in (b"a", b"b", b"a", b"c"):
        note(memory, Job(key))
    assert [memory.last(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    assert repr(memory) == "<UnstoredAnswers 2>"


def test_a_key_whose_answer_was_stored_is_forgotten() -> None:
    memory = UnstoredAnswers()
    note(memory, Job(b"a"))
    memory.forget(b"a")
    memory.forget(b"b")
    assert memory.last(b"a") is None


def test_only_answers_to_get_are_remembered() -> None:
    memory = UnstoredAnswers()
    note(memory, Job(b"a", method=b"HEAD"))
    assert len(memory) == 0


def test_the_same_of_a_key_is_noted_now_and_then_and_news_at_once() -> None:
    memory = UnstoredAnswers()
    job = cast("FillFor", cast("Any", Job(b"k")))
    head = ResponseHead(200, b"OK", 1, Fields())
    for time, reason, noted in (
        (7.0, Reason.PRIVATE, 7.0),
        (7.0 + NOTE_EVERY - 0.1, Reason.PRIVATE, 7.0),
        (7.0 + NOTE_EVERY, Reason.PRIVATE, 7.0 + NOTE_EVERY),
        (7.1 + NOTE_EVERY, Reason.NO_STORE, 7.1 + NOTE_EVERY),
    ):
        memory.note(job, head, reason, time)
        last = memory.last(b"k")
        assert last is not None
        assert last.time == noted
