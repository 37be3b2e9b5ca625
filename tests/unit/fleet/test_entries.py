import msgspec
import pytest

from edgeproxy.fleet.entries import Event, Purge, decode, decode_event, encode
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


def test_an_earlier_version_left_out_what_came_later():
    purge = decode(wire(rules=[["tag", b"t", False]]))
    assert (purge.count, purge.since) == (False, "")


@pytest.mark.parametrize(
    ("parts", "event"),
    [
        (["tag", "a", "tag", "b"], Event(tags=("a", "b"))),
        (["url", "http://a/", "soft", "1"], Event(urls=("http://a/",), soft=True)),
        (
            ["prefix", "http://a/x", "host", "b"],
            Event(prefixes=("http://a/x",), hosts=("b",)),
        ),
        (["tag", "a", "note", "order 7"], Event(tags=("a",))),
        (["everything", "TRUE", "soft", "no"], Event(everything=True)),
    ],
)
def test_an_event_is_what_its_fields_name(parts, event):
    assert decode_event(msgspec.msgpack.encode(parts)) == event


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too large"),
        (b"\xc1", "no text"),
        (msgspec.msgpack.encode(["tag", 7]), "no text"),
        (b"\x92\xa3tag\xa1\xff", "no text"),
        (msgspec.msgpack.encode(["tag"]), "zip"),
        (msgspec.msgpack.encode(["soft", "1"]), "names nothing"),
        (msgspec.msgpack.encode(["everything", "0"]), "names nothing"),
        (msgspec.msgpack.encode(["tag", ""]), "tag is empty"),
        (msgspec.msgpack.encode(["tag", "a", "soft", "maybe"]), "write 1 or 0"),
        (msgspec.msgpack.encode(["Tag", "a"]), "'Tag' is none of"),
        (msgspec.msgpack.encode(["tag", "a"] * 1001), "more than 1000"),
    ],
)
def test_an_event_that_is_none_says_why(data, why):
    with pytest.raises(ValueError, match=why):
        decode_event(data)
