"""Bodies compressed in a shared tier: when, how they come back, and what damage is."""

import os
from dataclasses import replace

import pytest
import zstandard

from edgeproxy.caching.stored import StoredResponse
from edgeproxy.errors import TierFault
from edgeproxy.store import codec
from edgeproxy.store.value_coding import decompressed, plain_size, worth_trying
from edgeproxy.wire.fields import Fields
from tests.unit.store.responses import stored

TEXT = b"<p>the same again</p>" * 1000


def with_fields(*fields: tuple[bytes, bytes], body: bytes = TEXT) -> StoredResponse:
    return replace(stored(body=body), fields=Fields(fields))


@pytest.mark.parametrize(
    ("fields", "worth"),
    [
        ((), True),
        (((b"Content-Type", b"text/html; charset=utf-8"),), True),
        (((b"Content-Type", b"image/svg+xml"),), True),
        (((b"Content-Type", b"Image/PNG"),), False),
        (((b"Content-Type", b"application/zip"),), False),
        (((b"Content-Encoding", b"br"),), False),
    ],
)
def test_what_is_coded_already_is_left(fields: tuple[tuple[bytes, bytes], ...], worth: bool) -> None:
    response = with_fields(*fields)
    assert worth_trying(response) is worth
    value = codec.encode(response, 4096)
    assert (value[len(codec.MAGIC)] == codec.COMPRESSED) is worth
    assert (len(value) < 1000) is worth
    assert codec.decode(value, response.key, response.variant) == response


@pytest.mark.parametrize(
    ("body", "above"),
    [(TEXT, 0), (TEXT, len(TEXT)), (os.urandom(20_000), 4096)],
    ids=["off", "small", "noise"],
)
def test_it_is_kept_plain_where_that_does_not_pay(body: bytes, above: int) -> None:
    value = codec.encode(with_fields(body=body), above)
    assert value[len(codec.MAGIC)] == codec.PLAIN
    assert codec.work_of(value) == len(value)


def test_several_segments_come_back_as_one() -> None:
    response = stored(body=(TEXT, TEXT))
    value = codec.encode(response, 4096)
    assert codec.decode(value, response.key, b"").body == (TEXT + TEXT,)
    assert codec.work_of(value) == 2 * len(TEXT)


@pytest.mark.parametrize("damage", [b"", b"\x28\xb5\x2f\xfd", zstandard.compress(b"another size")])
def test_damage_is_told(damage: bytes) -> None:
    with pytest.raises(TierFault):
        decompressed(damage, len(TEXT))


def test_frame_cut_short_is_damage() -> None:
    frame = zstandard.compress(TEXT)
    with pytest.raises(TierFault, match="does not decompress"):
        decompressed(frame[:-3], len(TEXT))
    assert plain_size(b"nonsense") == 0
