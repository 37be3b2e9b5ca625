"""The packed head: everything but key, variant and body."""

import msgspec
import pytest

from edgeproxy.store.packed import pack, unpack
from tests.unit.store.responses import stored


def test_packed_and_unpacked_is_the_same() -> None:
    response = stored(variant=b"v", names=(b"accept", b"cookie"))
    assert unpack(pack(response), response.key, response.variant, response.body) == response


def test_members_of_a_later_minor_format_are_passed_over() -> None:
    response = stored()
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(pack(response)), b"added later"])
    assert unpack(longer, response.key, response.variant, response.body) == response


def test_what_pack_did_not_make_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        unpack(b"\xc1", b"k", b"", ())
