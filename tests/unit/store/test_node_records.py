"""Records through frames, whole, lost and of two senders."""

import random

import pytest

from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_records import FRAME, FRAME_HEADER, NONE_BEGINS, Joiner, Remove, Used, encode_record
from tests.unit.store.node_things import record, stored


def frames(records: list[list[bytes]], sender: int = 1, size: int = FRAME, start: int = 0) -> list[bytes]:
    """As a sender cuts them."""
    whole = [b"".join(parts) for parts in records]
    stream = b"".join(whole)
    begins = [0]
    for one in whole:
        begins.append(begins[-1] + len(one))
    out = []
    for number, at in enumerate(range(0, len(stream), size)):
        first = next((b - at for b in begins[:-1] if at <= b < at + size), NONE_BEGINS)
        out.append(FRAME_HEADER.pack(sender, start + number, first) + stream[at : at + size])
    return out


def encoded(names: list[bytes], size: int = 300) -> list[list[bytes]]:
    made = []
    for name in names:
        head, body = record(stored(name, size))
        made.append(encode_record(head, [body], len(body)))
    return made


def bodies(joiner: Joiner, sent: list[bytes]) -> list[int]:
    return [len(body) for frame in sent for _, body in joiner.feed(frame)]


@pytest.mark.parametrize("size", [64, 1000, FRAME])
def test_records_come_out_as_they_went_in(size: int) -> None:
    heads = [record(stored(b"k%d" % at, at * 97)) for at in range(30)]
    sent = frames([encode_record(head, [body], len(body)) for head, body in heads], size=size)
    joiner = Joiner()
    assert [one for frame in sent for one in joiner.feed(frame)] == heads
    assert joiner.lost == 0


def test_removals_and_uses_pass_too() -> None:
    heads = [Remove(b"n", b"v"), Remove(b"n", None), Used([(b"n", b"v")])]
    joiner = Joiner()
    (frame,) = frames([encode_record(head) for head in heads])
    assert [head for head, _ in joiner.feed(frame)] == heads


def test_after_a_lost_frame_it_goes_on_with_the_next_record_that_begins() -> None:
    sent = frames(encoded([b"k%d" % at for at in range(20)], 300), size=500)
    for lost in range(1, len(sent) - 3):
        joiner = Joiner()
        got = bodies(joiner, sent[:lost] + sent[lost + 1 :])
        assert 17 <= len(got) < 20
        assert set(got) == {300}
        assert joiner.lost == 1


def test_a_frame_in_which_nothing_begins_is_passed_over() -> None:
    sent = frames(encoded([b"a", b"b", b"c"], 2000), size=500)
    for start in range(1, len(sent)):
        assert len(bodies(Joiner(), sent[start:])) <= 2


def test_another_sender_s_first_record_is_not_joined_to_the_rest_of_the_last_one_s() -> None:
    first, second = (frames(encoded([b"a", b"b"], 900), sender=sender, size=500) for sender in (1, 2))
    joiner = Joiner()
    got = [head.name for frame in (*first[:3], *second) for head, _ in joiner.feed(frame)]
    assert got == [name_of(name) for name in (b"a", b"a", b"b")]
    assert joiner.lost == 0


def test_nonsense_brings_nothing_and_ends_nothing() -> None:
    joiner = Joiner()
    chance = random.Random(1)
    for _ in range(300):
        list(joiner.feed(chance.randbytes(chance.randrange(60))))
        list(
            joiner.feed(FRAME_HEADER.pack(3, chance.randrange(4), chance.randrange(9)) + chance.randbytes(40))
        )
    assert bodies(joiner, frames(encoded([b"a"]), sender=9)) == [300]
