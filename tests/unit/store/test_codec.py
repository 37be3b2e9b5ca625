"""The bytes of a stored response: whole and ours, or refused."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store import codec
from edgeproxy.store.codec import NewerVersion, decode, encode
from edgeproxy.wire.fields import Fields
from tests.unit.store.responses import stored

seconds = st.floats(min_value=0, max_value=4e9)
responses = st.builds(
    lambda body, **parts: StoredResponse(body=(body,) if body else (), size=len(body), **parts),
    body=st.binary(max_size=2000),
    key=st.binary(max_size=100),
    variant=st.binary(max_size=16),
    method=st.sampled_from([b"GET", b"POST"]),
    status=st.integers(100, 999),
    reason=st.binary(max_size=20),
    fields=st.lists(st.tuples(st.binary(), st.binary()), max_size=12).map(Fields),
    request_time=seconds,
    response_time=seconds,
    selecting=st.lists(st.tuples(st.binary(), st.none() | st.binary()), max_size=4).map(tuple),
    tags=st.lists(st.binary(), max_size=4).map(tuple),
    stamp=st.builds(Stamp, st.binary(), st.integers(0, 2**63), st.binary(), st.integers(0, 2**63)),
    origin_seconds=seconds,
    request_authorized=st.booleans(),
)


@given(responses)
def test_gives_back_what_it_was_given(response: StoredResponse) -> None:
    assert decode(encode(response), response.key, response.variant) == response


def test_body_in_segments_comes_back_in_one() -> None:
    response = stored(body=(b"one", b"", b"two"))
    again = decode(encode(response), response.key, response.variant)
    assert again.body == (b"onetwo",)
    assert again.size == 6


def test_response_without_body_has_no_segment() -> None:
    response = stored(body=b"")
    assert decode(encode(response), response.key, b"").body == ()


@pytest.mark.parametrize(
    ("key", "variant"),
    [(b"http://shop.example/other", b""), (stored().key, b"other")],
    ids=["key", "variant"],
)
def test_value_of_another_is_refused(key: bytes, variant: bytes) -> None:
    with pytest.raises(TierFault, match="asked for"):
        decode(encode(stored()), key, variant)


@given(st.data())
def test_any_altered_byte_is_noticed(data: st.DataObject) -> None:
    response = stored(body=b"body")
    value = bytearray(encode(response))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TierFault):
        decode(bytes(value), response.key, response.variant)


@given(st.integers(0, len(encode(stored(body=b"body"))) - 1))
def test_any_cut_is_noticed(length: int) -> None:
    with pytest.raises(TierFault):
        decode(encode(stored(body=b"body"))[:length], stored().key, b"")


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(TierFault):
        decode(data, b"k", b"")


def test_later_version_is_told_from_damage() -> None:
    value = bytearray(encode(stored()))
    value[len(codec.MAGIC)] = codec.VERSION + 1
    with pytest.raises(NewerVersion, match="reads up to"):
        decode(bytes(value), stored().key, b"")


def test_version_that_never_was_is_damage() -> None:
    value = bytearray(encode(stored()))
    value[len(codec.MAGIC)] = 0
    with pytest.raises(TierFault, match="never was"):
        decode(bytes(value), stored().key, b"")


def sealed(rest: bytes) -> bytes:
    """A value with a right digest over whatever it holds: written by a faulty writer, not damaged later."""
    return codec.MAGIC + bytes((codec.PLAIN,)) + blake2b(rest, digest_size=16).digest() + rest


@pytest.mark.parametrize(
    "rest",
    [
        b"\x05\x00\x00\x00hello",
        b"\xff\xff\xff\xff",
        b"\x04\x00\x00\x00\x93\xa1a\xa1a",
        b"\x0a\x00\x00\x00\x93\xc4\x01k\xc4\x00\xc4\x01\x90b",
    ],
    ids=["preamble-not-messagepack", "length-beyond-end", "preamble-cut", "head-too-short"],
)
def test_sealed_nonsense_is_refused(rest: bytes) -> None:
    with pytest.raises(TierFault, match="does not decode"):
        decode(sealed(rest), b"k", b"")


def test_size_that_is_not_the_bodys_is_refused() -> None:
    value = encode(stored(body=b"12345"))
    rest = value[codec._LENGTH_AT :]
    with pytest.raises(TierFault, match="instead of 5"):
        decode(sealed(rest + b"6"), stored().key, b"")
