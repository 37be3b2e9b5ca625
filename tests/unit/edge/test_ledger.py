"""What becomes of each exchange: counts by outcome, source and tier."""

import pytest

from edgeproxy.edge.ledger import NO_ROUTE, Ledger, Outcome
from tests.unit.edge.rig import Rig


def test_outcomes_are_those_of_the_metric() -> None:
    assert {outcome.value for outcome in Outcome} == {
        "hit", "stale", "validated", "miss", "collapsed", "bypass", "error",
    }  # fmt: skip


def test_slots_are_looked_up_once() -> None:
    with Rig() as rig:
        ledger = rig.ledger
        assert ledger.request_slot("r", Outcome.HIT, 200) == ledger.request_slot("r", Outcome.HIT, 200)
        assert ledger.bytes_slot("r", "cache") == ledger.bytes_slot("r", "cache")
        assert ledger.saved_slot("r") == ledger.saved_slot("r")
        assert ledger.duration("r", Outcome.HIT) is ledger.duration("r", Outcome.HIT)


def test_a_refused_request_counts_as_an_error_without_a_route() -> None:
    with Rig() as rig:
        rig.ledger.refused(400)
        assert rig.count("edgeproxy_requests_total", NO_ROUTE, "error", "400") == 1


def test_look_ups_are_counted_by_tier_and_result() -> None:
    with Rig() as rig:
        rig.ledger.looked_up("redis", True)
        rig.ledger.tier_results("redis", "fault", 0)
        rig.ledger.tier_results("redis", "fault", 3)
        assert rig.count("edgeproxy_tier_requests_total", "redis", "hit") == 1
        assert rig.count("edgeproxy_tier_requests_total", "redis", "fault") == 3


@pytest.mark.parametrize(("size", "saved"), [(0, 0.0), (10, 0.5)])
def test_fast_hits_are_counted_together(size: int, saved: float) -> None:
    with Rig() as rig:
        rig.ledger.hits("r", 3, size, saved)
        assert rig.count("edgeproxy_response_bytes_total", "r", "cache") == size
        assert rig.counters.floats[rig.ledger.saved_slot("r")] == saved
        assert rig.counters.ints[rig.ledger.duration("r", Outcome.HIT).first_bucket] == 3


def test_it_says_whether_it_logs() -> None:
    with Rig() as rig:
        assert not rig.ledger.logging
        assert isinstance(rig.ledger, Ledger)
        assert repr(rig.ledger) == "<Ledger series=0 log=None>"
