"""Which pieces of a representation are stored beside it."""

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.key import part_key, whole_key
from edgeproxy.edge.pieces import Pieces

WHOLE = b"http://a/p"
ONE, TWO = part_key(WHOLE, b"0/4096"), part_key(WHOLE, b"1/4096")


def test_pieces_are_found_by_their_whole_in_order() -> None:
    pieces = Pieces()
    for key in (TWO, ONE, ONE, part_key(b"http://a/q", b"0/4096")):
        pieces.add(key)
    assert pieces.of(WHOLE) == [ONE, TWO]


def test_a_whole_is_no_piece() -> None:
    pieces = Pieces()
    pieces.add(WHOLE)
    assert pieces.of(WHOLE) == []
    assert repr(pieces) == "<Pieces of 0>"


def test_pieces_of_a_piece_there_are_none() -> None:
    pieces = Pieces()
    pieces.add(ONE)
    assert pieces.of(ONE) == []


def test_what_is_dropped_is_found_no_more_and_leaves_nothing() -> None:
    pieces = Pieces()
    pieces.add(ONE)
    pieces.add(TWO)
    pieces.drop(ONE)
    assert pieces.of(WHOLE) == [TWO]
    pieces.drop(ONE)
    pieces.drop(TWO)
    assert pieces.of(WHOLE) == []
    assert repr(pieces) == "<Pieces of 0>"


def test_the_whole_s_going_leaves_its_pieces() -> None:
    pieces = Pieces()
    pieces.add(ONE)
    pieces.drop(WHOLE)
    pieces.drop(b"http://a/unknown")
    assert pieces.of(WHOLE) == [ONE]


KEYS = st.sampled_from([WHOLE, ONE, TWO, b"http://a/q", part_key(b"http://a/q", b"bytes=0-")])


@given(st.lists(st.tuples(st.booleans(), KEYS)))
def test_it_holds_what_was_added_and_not_dropped(steps: list[tuple[bool, bytes]]) -> None:
    pieces, held = Pieces(), set[bytes]()
    for add, key in steps:
        (pieces.add if add else pieces.drop)(key)
        (held.add if add else held.discard)(key)
    for whole in (WHOLE, b"http://a/q"):
        expected = sorted(key for key in held if key != whole and whole_key(key) == whole)
        assert pieces.of(whole) == expected
