"""An operator reads each kind of fault once in a while, with the number left out."""

import logging

import pytest

from edgeproxy.store.fault_log import FaultLog


def test_one_line_a_kind_in_the_interval(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog(logging.getLogger("test.faults"), interval=10)
    for now in (0.0, 1.0, 9.9):
        log.warn("timeout", now, "no answer")
    log.warn("full", 2.0, "no room")
    log.warn("timeout", 10.0, "no answer")
    log.warn("timeout", 20.0, "no answer")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["no answer", "no room", "no answer (and 2 more like this)", "no answer"]
