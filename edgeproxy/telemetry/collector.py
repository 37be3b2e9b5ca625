"""Knows how the counts of all processes become one Prometheus text.

Must not know who asks for it, nor how counts are made.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from edgeproxy import __version__
from edgeproxy.telemetry.counters import Counters, Series
from edgeproxy.telemetry.metrics import METRICS, Kind, Merge, Metric
from edgeproxy.telemetry.process_stats import ProcessStats, read_stats

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_Labels = tuple[str, ...]

_PROCESS: tuple[tuple[str, str, type[CounterMetricFamily] | type[GaugeMetricFamily], str], ...] = (
    ("process_resident_memory_bytes", "resident", GaugeMetricFamily, "Resident memory."),
    ("process_virtual_memory_bytes", "virtual", GaugeMetricFamily, "Virtual memory."),
    ("process_cpu_seconds_total", "cpu", CounterMetricFamily, "CPU time, user and system."),
    ("process_open_fds", "fds", GaugeMetricFamily, "Open file descriptors."),
    ("process_max_fds", "max_fds", GaugeMetricFamily, "Limit of open file descriptors; -1: none."),
    ("process_threads", "threads", GaugeMetricFamily, "Threads."),
    ("process_start_time_seconds", "started", GaugeMetricFamily, "When it was started, Unix time."),
)


class NodeCollector(Collector):
    """All that a scrape sees; reads shared memory and /proc, asks no worker.

    `pids` gives the node's processes by their label: a worker's index, or `supervisor`.
    """

    def __init__(self, maps: Iterable[Counters], pids: Callable[[], Mapping[str, int]]) -> None:
        self._maps = tuple(maps)
        self._pids = pids
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def __repr__(self) -> str:
        return f"<NodeCollector of {len(self._maps)} maps>"

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Family]:
        """Nothing beforehand: series come as they are first counted."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        """Every metric once, each with what the processes counted."""
        found: dict[str, dict[_Labels, list[tuple[Counters, Series]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for each in self._maps:
            for series in each.series():
                found[series.metric][series.labels].append((each, series))
        for metric in METRICS.values():
            yield _family(metric, found[metric.name])
        build = GaugeMetricFamily("edgeproxy_build_info", "The version that runs.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from self._processes()

    def _processes(self) -> Iterator[Family]:
        stats: dict[str, ProcessStats] = {}
        for label, pid in self._pids().items():
            read = read_stats(pid)
            if read is not None:
                stats[label] = read
        for name, attribute, kind, text in _PROCESS:
            family = kind(name, text, labels=["worker"])
            for label, each in stats.items():
                family.add_metric([label], getattr(each, attribute))
            yield family


def _family(metric: Metric, found: Mapping[_Labels, list[tuple[Counters, Series]]]) -> Family:
    labels = list(metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(metric, labels, found)
    kind = GaugeMetricFamily if metric.kind is Kind.GAUGE else CounterMetricFamily
    family: GaugeMetricFamily | CounterMetricFamily = kind(metric.name, metric.help, labels=labels)
    for values, places in found.items():
        numbers = [_value(counters, series) for counters, series in places]
        merged = min(numbers) if metric.merge is Merge.LEAST else sum(numbers)
        family.add_metric(values, merged)
    return family


def _histogram(
    metric: Metric, labels: list[str], found: Mapping[_Labels, list[tuple[Counters, Series]]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
    for values, places in found.items():
        counts = [0] * (len(metric.buckets) + 1)
        total = 0.0
        for counters, series in places:
            total += counters.floats[series.floats]
            for place, count in enumerate(counters.ints[series.ints : series.ints + series.width].tolist()):
                counts[place] += count
        running = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, metric.buckets), "+Inf"], counts, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric(values, buckets, total)
    return family


def _value(counters: Counters, series: Series) -> float:
    return counters.ints[series.ints] if series.kind == Kind.COUNTER else counters.floats[series.floats]
