"""The collector's pauses are counted, and stored responses are nothing that it looks at."""

import gc

from edgeproxy.edge.hot import Heats
from edgeproxy.server.garbage import Pauses
from edgeproxy.telemetry.counters import Counters
from tests.unit.edge.rig import Rig, asks, says


def test_each_pause_is_counted_by_generation_until_closed() -> None:
    counters = Counters.create()
    pauses = Pauses(counters)
    try:
        gc.collect(1)
    finally:
        pauses.close()
    gc.collect(1)
    counts = {
        series.labels: sum(counters.ints[series.ints : series.ints + series.width])
        for series in counters.series()
        if series.metric == "edgeproxy_gc_pause_seconds"
    }
    counters.close()
    assert counts[("1",)] == 1
    assert len(counts) == 3


def test_the_collector_does_not_look_at_what_is_stored_and_serialised() -> None:
    with Rig() as rig:
        node = rig.store(asks(), says("Cache-Control: max-age=60"))
        rig.answer(asks())
        assert node is not None
        assert isinstance(node.hot, Heats)
        primary = rig.memory.get(node.primary.key)
        assert not any(gc.is_tracked(each) for each in (node, primary, node.hot, node.hot.get))
        assert not gc.is_tracked(rig.memory._primaries)  # nor at the index, a million entries long
