"""What a tier counts."""

from edgeproxy.store.tier import Fault, TierStats


def test_faults_are_counted_by_reason() -> None:
    stats = TierStats()
    for fault in (Fault.TIMEOUT, Fault.FULL, Fault.TIMEOUT):
        stats.fault(fault)
    assert stats.count(Fault.TIMEOUT) == 2
    assert stats.count(Fault.DAMAGED) == 0
    assert stats.fault_total == 3
