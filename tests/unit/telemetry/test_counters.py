import os

import pytest

from edgeproxy.telemetry import counters as module
from edgeproxy.telemetry.counters import Counters, Series


@pytest.fixture
def counters():
    made = Counters.create()
    yield made
    made.close()


def successor(counters: Counters) -> Counters:
    return Counters.attach(os.dup(counters.fd))


def test_a_slot_is_the_same_for_the_same_labels_and_another_for_others(counters):
    slot = counters.counter("edgeproxy_requests_total", "shop", "hit", "200")
    assert counters.counter("edgeproxy_requests_total", "shop", "hit", "200") == slot
    assert counters.counter("edgeproxy_requests_total", "shop", "miss", "200") != slot


def test_counts_survive_the_process_and_the_successor_goes_on(counters):
    slot = counters.counter("edgeproxy_requests_total", "shop", "hit", "200")
    counters.ints[slot] += 41
    second = successor(counters)
    again = second.counter("edgeproxy_requests_total", "shop", "hit", "200")
    second.ints[again] += 1
    fresh = second.counter("edgeproxy_requests_total", "shop", "miss", "200")
    assert again == slot
    assert fresh not in {slot}
    assert counters.ints[slot] == 42
    assert counters.counter("edgeproxy_requests_total", "shop", "miss", "200") == fresh
    second.close()


def test_gauges_start_from_zero_in_a_successor(counters):
    slot = counters.gauge("edgeproxy_connections", "downstream")
    counters.floats[slot] = 7.0
    second = successor(counters)
    assert second.floats[slot] == 0.0
    second.close()


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0.0, 0, id="zero"),
        pytest.param(0.0005, 0, id="a-bound-belongs-to-its-bucket"),
        pytest.param(0.0006, 1, id="just-above"),
        pytest.param(30.0, 14, id="last-bound"),
        pytest.param(31.0, 15, id="beyond-the-last"),
    ],
)
def test_a_histogram_counts_each_duration_once(counters, seconds, bucket):
    histogram = counters.histogram("edgeproxy_request_duration_seconds", "shop", "hit")
    histogram.observe(seconds)
    width = len(histogram.bounds) + 1
    counts = counters.ints[histogram.first_bucket : histogram.first_bucket + width].tolist()
    assert counts == [int(i == bucket) for i in range(width)]
    assert counters.floats[histogram.sum_slot] == pytest.approx(seconds)


def test_histograms_do_not_overlap(counters):
    first = counters.histogram("edgeproxy_request_duration_seconds", "a", "hit")
    second = counters.histogram("edgeproxy_request_duration_seconds", "b", "hit")
    assert second.first_bucket >= first.first_bucket + len(first.bounds) + 1


def test_totals_grow_by_fractions(counters):
    slot = counters.total("edgeproxy_origin_seconds_saved_total", "shop")
    counters.floats[slot] += 0.25
    assert counters.floats[slot] == 0.25


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("edgeproxy_unheard_of_total", (), id="unknown"),
        pytest.param("edgeproxy_requests_total", ("shop",), id="labels-missing"),
        pytest.param("edgeproxy_connections", ("downstream",), id="another-kind"),
    ],
)
def test_a_series_that_no_row_describes_is_refused(counters, name, labels):
    with pytest.raises(ValueError, match=name):
        counters.counter(name, *labels)


def test_labels_without_bound_end_in_one_series_called_other(counters, monkeypatch):
    monkeypatch.setattr(module, "MAX_SERIES", 3)
    slots = {counters.counter("edgeproxy_purges_total", f"kind-{n}") for n in range(10)}
    assert len(slots) == 4
    assert ("other",) in {series.labels for series in counters.series()}


def test_a_full_map_counts_into_a_slot_that_is_never_shown(counters, monkeypatch):
    monkeypatch.setattr(module, "INT_SLOTS", 33)
    kept = counters.counter("edgeproxy_purges_total", "url")
    lost = counters.counter("edgeproxy_purges_total", "tag")
    counters.ints[lost] += 1
    assert (kept, lost) == (32, 0)
    histogram = counters.histogram("edgeproxy_request_duration_seconds", "shop", "hit")
    histogram.observe(99.0)
    assert histogram.first_bucket == 0
    assert [series.labels for series in counters.series()] == [("url",)]


def test_an_entry_half_written_when_its_worker_died_does_not_count(counters):
    counters.counter("edgeproxy_purges_total", "url")
    end = module._HEADER + counters._read_to
    counters._all[end : end + 6] = b"\xff\xff\xff\x00ab"
    second = successor(counters)
    assert [s.labels for s in second.series()] == [("url",)]
    second.counter("edgeproxy_purges_total", "tag")
    assert [s.labels for s in counters.series()] == [("url",), ("tag",)]
    assert all(isinstance(s, Series) for s in counters.series())
    assert "series=2" in repr(counters)
    second.close()
