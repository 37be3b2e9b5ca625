"""Names, pieces, values and indexes of the node's file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import TierFault
from edgeproxy.store.codec import preamble_of
from edgeproxy.store.node_format import (
    MAX_INDEX,
    MAX_NAME_SETS,
    PIECE,
    Entry,
    Variant,
    body_of,
    decode_entry,
    decode_meta,
    decode_variants,
    encode_plain,
    number_key,
    number_of,
    piece_count,
    piece_key,
    pieces,
    room_for,
    seal,
    unseal,
    with_variant,
)
from tests.unit.store.node_things import stored


def variant(name: bytes, names: tuple[bytes, ...] = (b"accept",), number: int = 1) -> Variant:
    return Variant(name, names, number, 10, 100.0, 1.0)


@given(st.binary(max_size=3 * PIECE + 10))
def test_pieces_joined_are_the_value_and_none_is_longer_than_a_page_holds(value: bytes) -> None:
    cut = list(pieces(7, value))
    assert b"".join(piece for _, piece in cut) == value
    assert len(cut) == piece_count(len(value))
    assert all(len(piece) <= PIECE for _, piece in cut)
    assert [key for key, _ in cut] == [piece_key(7, place) for place in range(len(cut))]


def test_keys_sort_by_number() -> None:
    assert number_key(255) < number_key(256) < number_key(2**40)
    assert number_of(number_key(2**40)) == 2**40
    assert number_key(1) < piece_key(1, 0) < piece_key(1, 1) < number_key(2)


@pytest.mark.parametrize("size", [0, 1, PIECE, 100_000])
def test_a_sealed_value_opens_again(size: int) -> None:
    one = stored(size=size)
    value = seal(preamble_of(one), b"".join(one.body))
    assert unseal(value, one.key, one.variant) == one
    assert room_for(len(value)) > len(value)


def test_what_was_altered_cut_or_is_another_s_does_not_open() -> None:
    one = stored(size=100)
    value = seal(preamble_of(one), one.body[0])
    for at in (0, 5, 9, len(value) - 1):
        with pytest.raises(TierFault):
            unseal(value[:at] + bytes((value[at] ^ 1,)) + value[at + 1 :], one.key, one.variant)
        with pytest.raises(TierFault):
            body_of(value[:at] + bytes((value[at] ^ 1,)) + value[at + 1 :], one.key)
    for short in (b"", bytes(4), value[:7], value[:-1]):
        with pytest.raises(TierFault):
            unseal(short, one.key, one.variant)
        with pytest.raises(TierFault):
            body_of(short, one.key)
    with pytest.raises(TierFault, match="asked for"):
        unseal(value, b"http://other/", one.variant)
    with pytest.raises(TierFault, match="asked for"):
        body_of(value, b"http://other/")
    with pytest.raises(TierFault):
        unseal(value, one.key, b"other")


@pytest.mark.parametrize("length", [1, 31, 32, 255, 256, 65_535, 65_536])
def test_the_body_alone_is_found_behind_a_key_of_any_length(length: int) -> None:
    one = stored(b"k" * length, size=10)
    assert body_of(seal(preamble_of(one), one.body[0]), one.key) == one.body[0]


def test_only_what_is_alone_is_ready() -> None:
    ready, new = Variant(b"a", (), 1, 10, 1.0, 1.0, b"ready"), Variant(b"b", (b"x",), 2, 10, 1.0, 2.0)
    assert [each.ready for each in with_variant([ready], new)[0]] == [b"", b""]


def test_what_is_none_of_ours_is_a_fault() -> None:
    for decode in (decode_entry, decode_meta, decode_variants):
        with pytest.raises(TierFault):
            decode(b"\xc1")
    assert decode_entry(encode_plain(Entry(b"n", b"v", 1, 2.0))) == Entry(b"n", b"v", 1, 2.0)


def test_a_new_variant_comes_first_and_replaces_its_like() -> None:
    kept, gone = with_variant([variant(b"a", number=1), variant(b"b", number=2)], variant(b"b", number=3))
    assert [each.number for each in kept] == [3, 1]
    assert [each.number for each in gone] == [2]


def test_variants_beyond_the_bounds_go_the_oldest_first() -> None:
    many = [variant(b"%d" % at, number=at) for at in range(4)]
    kept, gone = with_variant(many, variant(b"new"), most=3)
    assert [each.variant for each in kept] == [b"new", b"0", b"1"]
    assert [each.variant for each in gone] == [b"2", b"3"]


def test_selecting_names_of_too_many_kinds_go() -> None:
    many = [variant(b"%d" % at, (b"x%d" % at,)) for at in range(MAX_NAME_SETS + 3)]
    kept, gone = with_variant(many, variant(b"new"))
    assert len({each.names for each in kept}) == MAX_NAME_SETS
    assert len(kept) + len(gone) == len(many) + 1


def test_an_index_entry_never_outgrows_a_piece() -> None:
    many = [variant(b"%32d" % at, (b"n" * 100,)) for at in range(60)]
    kept, _ = with_variant(many, variant(b"new"))
    assert 10 < len(kept) < 40
    assert len(encode_plain(kept)) <= MAX_INDEX
