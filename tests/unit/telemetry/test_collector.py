import os
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgeproxy.telemetry.collector import NodeCollector
from edgeproxy.telemetry.counters import Counters
from edgeproxy.telemetry.metrics import METRICS
from edgeproxy.telemetry.process_stats import read_stats

FIXED = {
    "edgeproxy_requests_total": ("route", "outcome", "code"),
    "edgeproxy_request_duration_seconds": ("route", "outcome"),
    "edgeproxy_response_bytes_total": ("route", "source"),
    "edgeproxy_origin_requests_total": ("upstream", "origin", "code"),
    "edgeproxy_origin_request_duration_seconds": ("upstream", "origin"),
    "edgeproxy_origin_healthy": ("upstream", "origin"),
    "edgeproxy_cache_bytes": ("tier",),
    "edgeproxy_cache_responses": ("tier",),
    "edgeproxy_cache_evictions_total": ("tier",),
    "edgeproxy_tier_requests_total": ("tier", "result"),
    "edgeproxy_purges_total": ("kind",),
    "edgeproxy_event_loop_lag_seconds": ("worker",),
    "edgeproxy_connections": ("side",),
    "edgeproxy_origin_seconds_saved_total": ("route",),
}
LABELS = ("route", "upstream", "origin", "outcome", "code", "side", "le", "worker")


@pytest.fixture
def maps():
    made = [Counters.create() for _ in range(2)]
    yield made
    for each in made:
        each.close()


def samples(collector: NodeCollector) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(collector.text().decode())
        for sample in family.samples
    }


def test_every_fixed_name_has_its_labels_and_is_shown_before_anything_was_counted(maps):
    text = NodeCollector(maps, dict).text().decode()
    for name, labels in FIXED.items():
        assert METRICS[name].labels == labels
        assert f"# TYPE {name} " in text


def test_workers_are_added_up(maps):
    for count, counters in enumerate(maps, start=1):
        counters.ints[counters.counter("edgeproxy_requests_total", "shop", "hit", "200")] += count
        counters.floats[counters.gauge("edgeproxy_connections", "downstream")] = count
        counters.floats[counters.total("edgeproxy_origin_seconds_saved_total", "shop")] += 0.5
        counters.histogram("edgeproxy_request_duration_seconds", "shop", "hit").observe(0.002 * count)
    found = samples(NodeCollector(maps, dict))
    assert found["edgeproxy_requests_total", ("shop", "hit", "200")] == 3
    assert found["edgeproxy_connections", ("downstream",)] == 3
    assert found["edgeproxy_origin_seconds_saved_total", ("shop",)] == 1.0
    assert found["edgeproxy_request_duration_seconds_bucket", ("shop", "hit", "0.001")] == 0
    assert found["edgeproxy_request_duration_seconds_bucket", ("shop", "hit", "0.0025")] == 1
    assert found["edgeproxy_request_duration_seconds_bucket", ("shop", "hit", "+Inf")] == 2
    assert found["edgeproxy_request_duration_seconds_count", ("shop", "hit")] == 2
    assert found["edgeproxy_request_duration_seconds_sum", ("shop", "hit")] == pytest.approx(0.006)


def test_an_origin_is_healthy_only_where_nobody_says_otherwise(maps):
    for value, counters in enumerate(maps):
        counters.floats[counters.gauge("edgeproxy_origin_healthy", "shop", "127.0.0.1:9001")] = value
    found = samples(NodeCollector(maps, dict))
    assert found["edgeproxy_origin_healthy", ("shop", "127.0.0.1:9001")] == 0


def test_each_process_shows_what_it_uses(maps):
    collector = NodeCollector(maps, lambda: {"supervisor": os.getpid(), "0": 2**22 + 1})
    found = samples(collector)
    assert found["process_resident_memory_bytes", ("supervisor",)] > 1_000_000
    assert found["process_cpu_seconds_total", ("supervisor",)] > 0
    assert found["process_open_fds", ("supervisor",)] > 2
    assert found["process_start_time_seconds", ("supervisor",)] > 1_600_000_000
    assert ("process_open_fds", ("0",)) not in found
    assert "2 maps" in repr(collector)


def test_a_process_that_is_gone_has_no_stats():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert read_stats(process.pid) is None
