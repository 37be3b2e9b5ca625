"""Looking up: which of several stored responses, and what purges and policies leave of them."""

from edgeproxy.config.load import load_text
from edgeproxy.edge.lookup import NOTHING, Found
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.unit.edge.rig import PLAIN, Rig, asks, says

FRESH = says("Cache-Control: max-age=60")
VARIED = says("Cache-Control: max-age=60", "Vary: accept-language")
KEY = b"http://shop.test/"


def look(rig: Rig, *lines: str) -> Found:
    policy = rig.router.routes[0].policy
    return rig.lookup.in_memory(KEY, rig.parse(asks("/", "GET", *lines)), policy)


def test_nothing_known_is_nothing_found_and_counted_as_a_miss() -> None:
    with Rig() as rig:
        assert look(rig) is NOTHING
        assert rig.count("edgeproxy_tier_requests_total", "memory", "miss") == 1


def test_a_hit_is_counted_and_spares_the_node() -> None:
    with Rig() as rig:
        node = rig.store(asks(), FRESH)
        found = look(rig)
        assert node is not None
        assert (found.node, found.tier, found.soft_purged, node.visited) == (node, "memory", False, True)
        assert rig.count("edgeproxy_tier_requests_total", "memory", "hit") == 1


def test_peeking_leaves_no_trace() -> None:
    with Rig() as rig:
        node = rig.store(asks(), FRESH)
        assert node is not None
        rig.lookup.peek(KEY, rig.parse(asks()), rig.router.routes[0].policy)
        assert not node.visited
        assert rig.count("edgeproxy_tier_requests_total", "memory", "hit") == 0


def test_of_several_that_suit_the_most_recent_is_found() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH, b"first")
        rig.advance(1)
        rig.store(asks(), VARIED, b"second")
        stored = look(rig).stored
        assert stored is not None
        assert stored.body == (b"second",)
        rig.advance(1)
        rig.store(asks(), VARIED, b"third")
        stored = look(rig).stored
        assert stored is not None
        assert stored.body == (b"third",)


def test_other_variants_are_told_with_one_s_own_variant_key() -> None:
    with Rig() as rig:
        node = rig.store(asks("/", "GET", "Accept-Language: de"), VARIED)
        assert node is not None
        found = look(rig, "Accept-Language: en")
        assert (found.stored, found.others) == (None, True)
        assert found.variant not in (None, b"", node.variant)


def test_what_a_purge_took_is_removed_on_the_way() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.purges.apply(PurgeRule(PurgeKind.EVERYTHING))
        found = look(rig)
        assert (found.stored, found.others) == (None, False)
        assert rig.memory.responses == 0


def test_what_a_soft_purge_names_is_found_and_told() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.purges.apply(PurgeRule(PurgeKind.EVERYTHING, soft=True))
        assert look(rig).soft_purged


def test_what_was_stored_by_another_key_is_passed_over() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        text = PLAIN.replace("upstream: o}", "upstream: o, cache: {key: {headers: [x-tenant]}}}")
        rig.follow(load_text(text, {}))
        found = look(rig)
        assert (found.stored, found.others) == (None, True)
