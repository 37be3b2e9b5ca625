"""Serialised answers: when their bytes change, when they are no more, what they count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.decide import UseStored
from edgeproxy.edge.hot import Heats, Hot, cool, heats_of, on_evict
from edgeproxy.store.memory import Node
from tests.unit.edge.rig import Rig, asks, says

FRESH = says("Cache-Control: max-age=60", 'ETag: "v1"')


def heated(rig: Rig) -> tuple[Node, Heats]:
    node = rig.store(asks(), FRESH)
    assert node is not None
    for data in (asks(), asks("/", "HEAD"), asks("/", "GET", 'If-None-Match: "v1"')):
        assert rig.answer(data) is not None
    assert isinstance(node.hot, Heats)
    return node, node.hot


def hots(heats: Heats) -> list[Hot]:
    made = [heats.get, heats.head, heats.not_modified]
    assert None not in made
    return [hot for hot in made if hot is not None]


def test_serialised_forms_are_counted_and_given_back() -> None:
    with Rig() as rig:
        node = rig.store(asks(), FRESH)
        before = rig.memory.bytes
        node, heats = heated(rig)
        assert rig.memory.bytes == before + heats.size > before
        cool(rig.memory, node)
        assert rig.memory.bytes == before
        assert all(hot.node is None for hot in hots(heats))
        assert rig.answer(asks()) is not None  # the remembered head leads to what is no more: asked anew


def test_cooling_what_was_never_hot_does_nothing() -> None:
    with Rig() as rig:
        node = rig.store(asks(), FRESH)
        assert node is not None
        cool(rig.memory, node)
        on_evict(node)
        assert node.hot is None


def test_another_generation_starts_anew() -> None:
    with Rig() as rig:
        node, heats = heated(rig)
        assert heats_of(rig.memory, node, heats.generation) is heats
        new = heats_of(rig.memory, node, heats.generation + 1)
        assert new.size == 0
        assert all(hot.node is None for hot in hots(heats))


def test_they_die_with_their_node_and_let_its_body_go() -> None:
    with Rig() as rig:
        node, heats = heated(rig)
        rig.memory.remove(node.primary.key)
        for hot in hots(heats):
            assert not hot.renew(rig.clock.now, rig.purges)
            assert (hot.body, hot.wire) == ((), b"")
            assert repr(hot).endswith("dead>")


def test_repr_tells_size_and_time() -> None:
    with Rig() as rig:
        _, heats = heated(rig)
        assert repr(heats.get).startswith("<Hot 5 bytes, until 17000000")
        assert repr(heats).startswith(f"<Heats of 1, {heats.size} bytes:")


@given(
    delay=st.floats(0, 5),
    lifetime=st.integers(1, 100),
    steps=st.lists(st.floats(0, 3), min_size=1, max_size=12),
)
def test_age_and_ttl_are_those_of_decide_at_every_moment(
    delay: float, lifetime: int, steps: list[float]
) -> None:
    with Rig() as rig:
        rig.store(asks(), says(f"Cache-Control: max-age={lifetime}"), delay=delay)
        for step in steps:
            rig.advance(step)
            decision = rig.decision(asks())
            fast = rig.answer(asks())
            if fast is None:
                assert not isinstance(decision, UseStored)
                continue
            assert isinstance(decision, UseStored)
            assert b"\r\nAge: %d\r\n" % decision.age in fast
            assert fast == rig.slow(asks())


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 59.0])
def test_bytes_once_made_serve_until_they_would_read_differently(seconds: float) -> None:
    with Rig() as rig:
        node = rig.store(asks(), FRESH)
        rig.advance(seconds)
        assert rig.answer(asks()) is not None
        assert node is not None
        assert isinstance(node.hot, Heats)
        hot = node.hot.get
        assert hot is not None
        assert rig.clock.now < hot.valid_until <= rig.clock.now + 1
        wire = hot.wire
        assert rig.fast.answer(asks()) is wire
