from edgeproxy.fleet.cards import NodeCard, decode_card, encode_card
from edgeproxy.fleet.members import Members, replaced_by
from edgeproxy.fleet.redis_log import Roll

CARD = NodeCard("1.0", 5.0, 2, "host/net/127.0.0.1:9900")


def members(**silent: float) -> Members:
    made = Members("me", lease=15, forget=60)
    made.hear(Roll(dict.fromkeys(silent, 7), silent))
    return made


def test_only_nodes_whose_lease_holds_are_shown_and_waited_for():
    known = members(me=0, near=14, far=16)
    assert [each["node"] for each in known.describe({"near": encode_card(CARD)}, 100.0)] == ["near"]
    assert known.others == {"near": 7, "far": 7}, "the other one may live, cut off"
    assert known.awaited(8)
    assert not known.awaited(7)
    assert not members(me=0, far=16).awaited(8)
    assert members(me=0, gone=61).others == {}


def test_nodes_of_a_lost_log_are_remembered_until_they_are_heard_of_again():
    known = members(me=0, near=0, far=0)
    known.log_changed()
    assert known.former == {"near", "far"}
    known.hear(Roll({"near": 0, "me": 0}, {"near": 0.0, "me": 0.0}))
    assert known.former == {"far"}


def test_a_node_takes_the_place_of_who_was_there_before():
    cards = {"old": encode_card(CARD), "me": encode_card(CARD), "odd": b"?", "else": encode_card(NodeCard())}
    assert replaced_by("me", CARD, cards) == ["old"]
    assert replaced_by("me", NodeCard(), cards) == []
    assert decode_card(b"?") == NodeCard()
