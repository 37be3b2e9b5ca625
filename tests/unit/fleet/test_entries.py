import msgspec
import pytest

from edgeproxy.fleet.entries import Purge, decode, encode
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

PURGE = Purge(
    "id", "node", 1.5, (PurgeRule(PurgeKind.URL, b"a/\xff"), PurgeRule(PurgeKind.EVERYTHING, b"", True))
)


def test_a_purge_survives_the_log():
    assert decode(encode(PURGE)) == PURGE


def wire(version: object = 1, rules: object = ()) -> bytes:
    return msgspec.msgpack.encode([version, "id", "node", 1.5, rules])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no-messagepack"),
        pytest.param(encode(PURGE)[:-1], id="cut"),
        pytest.param(wire(version=2), id="newer-version"),
        pytest.param(wire(rules=[["moon", b"", False]]), id="unknown-kind"),
        pytest.param(wire(rules=[["url", "text", False]]), id="wrong-type"),
        pytest.param(wire(rules=[["prefix", b"x" * 8192, False]]), id="endless-prefix"),
    ],
)
def test_what_is_not_understood_is_told_apart(data):
    assert decode(data) is None
