"""The memory tier: what it holds, what it gives up, and that its budget holds whatever comes."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.errors import TierFault
from edgeproxy.store import memory
from edgeproxy.store.memory import MemoryTier, Node
from tests.unit.store.responses import stored

KEY = stored().key


def test_gives_back_what_was_put() -> None:
    tier = MemoryTier(1 << 20)
    assert tier.get(KEY) is None
    node = tier.put(stored())
    primary = tier.get(KEY)
    assert primary is not None
    assert primary.find(b"") is node
    assert primary.find(b"other") is None
    assert node is not None
    assert node.stored == stored()
    assert node.live
    assert (tier.responses, tier.bytes, tier.evictions) == (1, node.cost, 0)


def test_look_up_is_the_dictionarys_own() -> None:
    tier = MemoryTier(1 << 20)
    tier.put(stored())
    tier.clear()
    tier.put(stored(2))
    assert tier.get.__self__ is tier._primaries  # type: ignore[attr-defined]
    assert type(tier.get).__name__ == "builtin_function_or_method"
    assert tier.get(stored(2).key) is not None


def test_a_new_node_was_not_hit_yet() -> None:
    node = MemoryTier(1 << 20).put(stored())
    assert node is not None
    assert not node.visited


def test_variants_of_a_key() -> None:
    tier = MemoryTier(1 << 20)
    tier.put(stored(variant=b"g", names=(b"accept-encoding",)))
    primary = tier.get(KEY)
    assert primary is not None
    assert list(primary.variants) == [b"g"]
    assert primary.vary_names == (b"accept-encoding",)
    tier.put(stored(variant=b"b", names=(b"accept-encoding",)))
    tier.put(stored(variant=b"d", names=(b"accept-language",)))
    assert list(primary.variants) == [b"g", b"b", b"d"]
    assert primary.vary_names == (b"accept-encoding", b"accept-language")
    assert primary.name_sets == ((b"accept-language",), (b"accept-encoding",))
    assert len(primary) == 3
    found = primary.find(b"b")
    assert found is not None
    assert found.stored.variant == b"b"
    assert tier.remove_variant(KEY, b"d")
    assert not tier.remove_variant(KEY, b"d")
    assert not tier.remove_variant(b"other", b"d")
    assert primary.name_sets == ((b"accept-encoding",),)


def test_names_stored_last_come_first() -> None:
    tier = MemoryTier(1 << 20)
    for names in ((b"accept",), (b"cookie",), (b"accept",)):
        tier.put(stored(variant=names[0], names=names))
    primary = tier.get(KEY)
    assert primary is not None
    assert primary.name_sets == ((b"accept",), (b"cookie",))


def test_empty_primary_lists_nothing() -> None:
    primary = memory.Primary(KEY)
    assert (primary.variants, primary.name_sets, primary.vary_names, len(primary)) == ({}, (), (), 0)


def test_replaced_is_dead_and_its_place_is_kept() -> None:
    dead: list[Node] = []
    tier = MemoryTier(1 << 20, dead.append)
    old = tier.put(stored(body=b"old"))
    assert old is not None
    old.visited = True
    new = tier.put(stored(body=b"newer"))
    assert new is not None
    assert new.visited
    assert not old.live
    assert dead == [old]
    assert (tier.responses, tier.bytes) == (1, new.cost)
    with pytest.raises(TierFault, match="look it up again"):
        _ = old.stored


def test_replacing_one_of_many_variants() -> None:
    tier = MemoryTier(1 << 20)
    for variant in (b"a", b"b", b"a"):
        tier.put(stored(variant=variant, names=(b"accept",)))
    primary = tier.get(KEY)
    assert primary is not None
    assert list(primary.variants) == [b"b", b"a"]
    assert tier.responses == 2


def test_dead_node_holds_no_body() -> None:
    tier = MemoryTier(1 << 20)
    node = tier.put(stored())
    assert node is not None
    tier.heat(node, object(), 100)
    tier.remove(KEY)
    assert (node.body, node.packed, node.hot) == ((), b"", None)


def test_remove_takes_all_variants() -> None:
    tier = MemoryTier(1 << 20)
    tier.put(stored())
    tier.put(stored(variant=b"b", names=(b"accept",)))
    tier.put(stored(2))
    assert tier.remove(KEY) == [b"", b"b"]
    assert tier.remove(KEY) == []
    assert tier.get(KEY) is None
    assert tier.responses == 1


def test_clear_tells_how_many() -> None:
    tier = MemoryTier(1 << 20)
    nodes = [tier.put(stored(number)) for number in range(10)]
    assert tier.clear() == 10
    assert (tier.bytes, tier.responses, tier.evictions) == (0, 0, 0)
    assert not any(node and node.live for node in nodes)


# --- budget ---------------------------------------------------------------------


def test_too_large_a_share_is_not_admitted() -> None:
    tier = MemoryTier(100_000)
    assert tier.put(stored(body=b"x" * 25_000)) is None
    assert tier.responses == 0


def test_too_large_to_replace_takes_the_outdated_one_away() -> None:
    tier = MemoryTier(100_000)
    old = tier.put(stored())
    assert tier.put(stored(body=b"x" * 25_000)) is None
    assert old is not None
    assert not old.live
    assert tier.get(KEY) is None


def test_budget_holds_and_evictions_are_counted() -> None:
    dead: list[Node] = []
    tier = MemoryTier(100_000, dead.append)
    for number in range(200):
        assert tier.put(stored(number)) is not None
        assert tier.bytes <= tier.budget
    assert tier.evictions == len(dead) == 200 - tier.responses
    assert tier.responses > 30


def test_fills_in_flight_count() -> None:
    tier = MemoryTier(100_000)
    for number in range(60):
        tier.put(stored(number))
    assert tier.reserve(40_000)
    assert tier.bytes + tier.reserved <= tier.budget
    assert not tier.reserve(10_001)
    assert tier.reserved == 40_000
    tier.release(40_000)
    assert tier.reserve(50_000)


def test_resize_evicts_at_once() -> None:
    tier = MemoryTier(100_000)
    for number in range(60):
        tier.put(stored(number))
    tier.resize(20_000)
    assert tier.bytes <= 20_000
    assert tier.responses > 0
    tier.resize(0)
    assert tier.responses == 0


def test_nothing_is_admitted_where_fills_in_flight_take_all() -> None:
    tier = MemoryTier(20_000)
    assert tier.reserve(10_000)
    tier.resize(10_000)
    assert tier.put(stored()) is None
    tier.release(10_000)
    assert tier.put(stored()) is not None


def test_heat_is_counted() -> None:
    tier = MemoryTier(10_000)
    first, second = tier.put(stored(1)), tier.put(stored(2))
    assert first is not None
    assert second is not None
    before = tier.bytes
    hot = object()
    tier.heat(second, hot, 500)
    assert second.hot is hot
    assert tier.bytes == before + 500
    tier.heat(second, hot, 9_000)
    assert not first.live
    assert tier.bytes <= tier.budget
    tier.heat(first, hot, 500)
    assert first.hot is None


def test_of_too_many_variants_one_without_a_hit_goes() -> None:
    tier = MemoryTier(1 << 20)
    for variant in (b"a", b"b", b"c"):
        node = tier.put(stored(variant=variant, names=(b"cookie",)), 3)
        assert node is not None
        node.visited = variant != b"b"
    tier.put(stored(variant=b"d", names=(b"cookie",)), 3)
    primary = tier.get(KEY)
    assert primary is not None
    assert list(primary.variants) == [b"a", b"c", b"d"]


def test_one_variant_allowed_is_the_last() -> None:
    tier = MemoryTier(1 << 20)
    tier.put(stored(variant=b"a", names=(b"cookie",)), 1)
    tier.put(stored(variant=b"b", names=(b"cookie",)), 1)
    primary = tier.get(KEY)
    assert primary is not None
    assert list(primary.variants) == [b"b"]
    assert tier.responses == 1


def test_names_beyond_those_shared_are_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SHARED_NAMES", 2)
    tier = MemoryTier(1 << 20)
    for number in range(4):
        tier.put(stored(number, variant=b"v", names=(b"x-%d" % number,)))
    for number in range(4):
        primary = tier.get(stored(number).key)
        assert primary is not None
        assert primary.name_sets == ((b"x-%d" % number,),)
    assert len(tier._names) == 2


# --- bodies ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ((), 0),
        ((b"x",), 1),
        ((b"x",) * 100, 1),
        ((b"x" * 65536, b"y" * 65536), 2),
        ((b"x" * 1000,) * 200, 4),
        ((b"x" * 30000, b"y" * 40000, b"z" * 65536), 2),
    ],
    ids=["none", "one", "drips", "large-ones", "many-middling", "mixed"],
)
def test_body_is_kept_in_few_segments(body: tuple[bytes, ...], segments: int) -> None:
    node = MemoryTier(1 << 24).put(stored(body=body))
    assert node is not None
    assert len(node.body) == segments
    assert b"".join(node.stored.body) == b"".join(body)


def test_overhead_beyond_the_body_is_at_most_a_kib() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory_overhead", "--responses", "20000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- properties -----------------------------------------------------------------


@settings(max_examples=200)
@given(st.data())
def test_counts_agree_with_what_is_held(data: st.DataObject) -> None:
    dead: list[Node] = []
    tier = MemoryTier(30_000, dead.append)
    latest: dict[tuple[bytes, bytes], bytes] = {}
    for _ in range(data.draw(st.integers(1, 40))):
        number, variant = data.draw(st.integers(0, 4)), data.draw(st.sampled_from([b"", b"a", b"b", b"c"]))
        key = stored(number).key
        match data.draw(
            st.sampled_from(["put", "put", "put", "hit", "heat", "remove", "variant", "resize", "fill"])
        ):
            case "put":
                body = data.draw(st.binary(max_size=6)) * data.draw(st.sampled_from([1, 500, 2000]))
                names = (b"accept",) if variant else ()
                limit = data.draw(st.sampled_from([1, 2, 64]))
                node = tier.put(stored(number, body=body, variant=variant, names=names), limit)
                latest[key, variant] = body
                assert node is None or node.live
            case "hit":
                for node in tier.nodes():
                    if node.primary.key == key:
                        node.visited = True
            case "heat":
                for node in tier.nodes()[:1]:
                    tier.heat(node, "hot", 200)
            case "remove":
                tier.remove(key)
                assert tier.get(key) is None
            case "variant":
                tier.remove_variant(key, variant)
            case "resize":
                tier.resize(data.draw(st.sampled_from([5_000, 30_000])))
            case "fill" if tier.reserve(3_000):
                if data.draw(st.booleans()):
                    tier.release(3_000)
        nodes = tier.nodes()
        assert all(node.live for node in nodes)
        assert not any(node.live for node in dead)
        assert tier.responses == len(nodes)
        assert tier.bytes == sum(node.cost for node in nodes) == tier._policy.bytes
        assert tier.bytes + tier.reserved <= max(tier.budget, tier.reserved)
        for node in nodes:
            primary = tier.get(node.primary.key)
            assert primary is node.primary
            assert primary.find(node.variant) is node
            assert b"".join(node.stored.body) == latest[node.primary.key, node.variant]
