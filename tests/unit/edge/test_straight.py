"""Hits in the node's tier that stay there: what they answer, when memory takes them, what they cost."""

import sys
from pathlib import Path
from types import FrameType

import msgspec
import pytest

from edgeproxy.config.load import load_text
from edgeproxy.edge.straight import Seen, Straight, Told
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.server.hit_log import end_of
from edgeproxy.store.node_format import name_of
from edgeproxy.store.node_records import Readied, Used
from edgeproxy.store.tier import Fault
from tests.unit.edge.node_rig import NodeRig
from tests.unit.edge.rig import PLAIN, asks, says

FRESH = says("Cache-Control: max-age=60", "Surrogate-Key: a", "Age: 3")
EDITED = PLAIN.replace("upstream: o}", "upstream: o, response_headers: {set: {X-Edge: here}}}")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with NodeRig(tmp_path, monkeypatch) as made:
        yield made


def make_ready(rig: NodeRig, data: bytes | None = None) -> None:
    """The first hit prepares the others."""
    assert rig.answer(data or asks()) is not None
    rig.forget()


def straight(rig: NodeRig, data: bytes | None = None) -> bytes | None:
    """The answer that leaves memory as it was."""
    answer = rig.answer(data or asks())
    stays = rig.memory.responses == 0
    rig.forget()
    return answer if stays else None


@pytest.mark.parametrize("size", [0, 5, 3_990, 4_100, 20_000, 100_000])
@pytest.mark.parametrize("status", [200, 404])
def test_the_answer_is_byte_for_byte_that_of_memory(rig: NodeRig, size: int, status: int) -> None:
    rig.store(asks(), says(*_lines(FRESH), status=status), b"x" * size, 1.25)
    make_ready(rig)
    for seconds in (0.0, 0.25, 1.0, 30.0):
        rig.advance(seconds)
        rig.fast._straight._seen = Seen()
        answer = straight(rig)
        assert answer is not None
        assert answer == rig.slow(asks())
        assert rig.answer(asks()) == answer  # from memory, where the slow way took it
        rig.forget()


def _lines(head) -> list[str]:
    return [f"{name.decode()}: {value.decode()}" for name, value in head.fields.raw]


def test_what_is_stale_or_purged_is_not_answered(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    make_ready(rig)
    rig.purges.apply(PurgeRule(PurgeKind.TAG, b"other"))
    assert straight(rig) is not None
    rig.advance(57)
    assert straight(rig) is None
    assert rig.answer(asks()) is None


@pytest.mark.parametrize(
    "rule",
    [
        PurgeRule(PurgeKind.TAG, b"a"),
        PurgeRule(PurgeKind.URL, b"shop.test/"),
        PurgeRule(PurgeKind.URL, b"shop.test/", soft=True),
        PurgeRule(PurgeKind.EVERYTHING, b""),
    ],
)
def test_each_kind_of_purge_holds_at_once(rig: NodeRig, rule: PurgeRule) -> None:
    rig.store(asks(), FRESH)
    make_ready(rig)
    rig.purges.apply(rule)
    assert rig.answer(asks()) is None
    rig.store(asks(), FRESH, b"later")
    make_ready(rig)
    assert (straight(rig) or b"").endswith(b"later")


def test_other_rules_are_not_answered_by(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    make_ready(rig)
    rig.follow(load_text(EDITED, {}))
    assert straight(rig) is None  # the long way, which prepares it anew
    answer = straight(rig)
    assert answer is not None
    assert b"X-Edge: here" in answer
    rig.follow(load_text(PLAIN, {}))
    answer = rig.answer(asks())
    assert answer is not None
    assert b"X-Edge" not in answer


def test_what_replaces_a_response_is_answered_from_then_on(rig: NodeRig) -> None:
    rig.store(asks(), FRESH, b"first")
    make_ready(rig)
    rig.advance(1)
    rig.store(asks(), FRESH, b"second")
    assert (rig.answer(asks()) or b"").endswith(b"second")
    rig.forget()
    assert (straight(rig) or b"").endswith(b"second")
    rig.store(asks("/", "GET", "Cookie: a=b"), says("Cache-Control: max-age=60", "Vary: cookie"), b"third")
    assert straight(rig) is None  # there are two now


def test_what_is_asked_for_again_soon_is_taken_into_memory(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    make_ready(rig)
    for number in range(4):  # so many are in memory
        super(NodeRig, rig).store(asks(f"/{number}"), FRESH)
    assert rig.answer(asks()) is not None
    assert rig.memory.get(b"http://shop.test/") is None
    assert rig.answer(asks()) is not None
    assert rig.memory.get(b"http://shop.test/") is not None


def test_while_memory_has_room_it_is_filled_and_nothing_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NodeRig(tmp_path, monkeypatch, room=True) as rig:
        rig.store(asks(), FRESH)
        assert rig.answer(asks()) is not None
        assert rig.memory.responses == 1
        assert rig.queue.taken() == []


def test_keys_asked_for_lately_are_bounded_and_known() -> None:
    seen = Seen()
    keys = [b"%d" % number for number in range(100)]
    assert not any(seen.again(key, 50) for key in keys)
    assert seen.again(keys[-1], 50)
    assert not seen.again(keys[-1], 50)
    assert not seen.again(keys[0], 50)
    assert len(seen._young) + len(seen._old) <= 52


@pytest.mark.parametrize("line", ["Range: bytes=0-1", 'If-None-Match: "x"', "Cache-Control: no-cache"])
def test_what_is_not_plain_goes_the_long_way(rig: NodeRig, line: str) -> None:
    rig.store(asks(), says("Cache-Control: max-age=60", 'ETag: "x"'))
    make_ready(rig)
    for data in (asks("/", "GET", line), asks("/", "HEAD")):
        assert straight(rig, data) is None


@pytest.mark.parametrize("text", ["compress: [gzip]", "esi: {}"])
def test_routes_that_change_what_is_stored_prepare_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    with NodeRig(tmp_path, monkeypatch, PLAIN.replace("upstream: o}", f"upstream: o, {text}}}")) as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        assert not [head for head, _ in rig.queue.taken() if isinstance(head, Readied)]


def test_hits_are_counted_where_they_were(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    make_ready(rig)
    rig.fast.fold()
    before = {name: _counts(rig)[name] for name in _counts(rig)}
    assert straight(rig) is not None
    rig.fast.fold()
    after = _counts(rig)
    grown = {name: after[name] - before[name] for name in after}
    assert grown == {
        "requests": 1,
        "node": 1,
        "memory hits": 0,
        "memory misses": 1,
        "bytes": 5,
        "saved": 0.25,
    }
    rig.tier.tell_used()
    assert [head for head, _ in rig.queue.taken()] == [Used([(name_of(b"http://shop.test/"), b"")])]


def _counts(rig: NodeRig) -> dict[str, float]:
    tiers = "edgeproxy_tier_requests_total"
    saved = rig.counters.total("edgeproxy_origin_seconds_saved_total", "all")
    return {
        "requests": rig.count("edgeproxy_requests_total", "all", "hit", "200"),
        "node": rig.count(tiers, "node", "hit"),
        "memory hits": rig.count(tiers, "memory", "hit"),
        "memory misses": rig.count(tiers, "memory", "miss"),
        "bytes": rig.count("edgeproxy_response_bytes_total", "all", "cache"),
        "saved": rig.counters.floats[saved],
    }


def test_the_access_log_is_told_and_keeps_no_body(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    make_ready(rig)
    assert straight(rig) is not None
    told = rig.fast.last
    assert isinstance(told, Told)
    assert told.wire == b""
    line = msgspec.json.decode(b"{" + end_of(asks(), told))
    assert (line["status"], line["bytes"], line["route"], line["outcome"]) == (200, 5, "all", "hit")


async def test_damage_is_a_miss_and_a_count(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    rig.answer(asks())
    for record in rig.queue.records:
        record[1] = bytes(record[1]).replace(b"HTTP/1.1 200", b"HTTP/1.1 404")
    rig.forget()
    assert (rig.answer(asks()) or b"").startswith(b"HTTP/1.1 200")  # by the long way
    assert rig.tier.stats.count(Fault.DAMAGED) == 1


def test_a_hit_that_stays_there_costs_a_bounded_number_of_calls(rig: NodeRig) -> None:
    rig.store(asks(), FRESH, b"x" * 1024)
    make_ready(rig)
    rig.answer(asks())
    rig.fast._straight._seen = Seen()
    called: list[str] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        assert rig.fast.answer(asks()) is not None
    finally:
        sys.setprofile(None)
    called = called[called.index("answer") :]
    assert len(called) <= 19, called


def test_a_worker_without_a_node_tier_looks_nowhere(rig: NodeRig) -> None:
    rig.store(asks(), FRESH)
    rig.lookup.shared = None
    none = Straight(rig.lookup, rig.purges, rig.counters, rig.ledger)
    none.follow(rig.plan.heads)
    assert none.take(b"http://shop.test/", rig.router.routes[0], rig.clock.now) is None


@pytest.mark.parametrize("ready", [True, False])
def test_what_comes_from_the_future_of_a_clock_set_back_since_answers_nothing(
    rig: NodeRig, ready: bool
) -> None:
    rig.store(asks(), FRESH)
    if ready:
        make_ready(rig)
    rig.fast._straight._seen = Seen()
    rig.advance(-3600)
    assert rig.answer(asks()) is None
    rig.advance(3600)
    assert rig.answer(asks()) is not None
