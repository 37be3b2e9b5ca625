"""Knows every metric that is exported: its name, kind, labels, and how workers add up.

Must not know where values are kept (`counters`) or how they are printed (`collector`).
"""

from dataclasses import dataclass
from enum import StrEnum

DURATION_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper bounds in seconds; the first one holds every hit answered in place."""
REDIS_BUCKETS = (
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
)  # fmt: skip
"""Upper bounds in seconds, around what a command within a data centre takes."""


class Kind(StrEnum):
    """What a metric's value is, and in which of the two arrays it is kept."""

    COUNTER = "counter"  # whole numbers that only grow
    TOTAL = "total"  # fractions that only grow; a counter to Prometheus
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """How the workers' values of one series become one."""

    SUM = "sum"
    LEAST = "least"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: a metric as an operator meets it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    merge: Merge = Merge.SUM
    buckets: tuple[float, ...] = ()


def _rows() -> tuple[Metric, ...]:
    counter, total, gauge, histogram = Kind.COUNTER, Kind.TOTAL, Kind.GAUGE, Kind.HISTOGRAM
    return (
        Metric(
            "edgeproxy_requests_total",
            counter,
            ("route", "outcome", "code"),
            "Requests answered, by route, outcome (hit, stale, validated, miss, collapsed, bypass, error)"
            " and status code.",
        ),
        Metric(
            "edgeproxy_request_duration_seconds",
            histogram,
            ("route", "outcome"),
            "Time from a request's first byte to its answer's last; instant hits in memory count as 0.",
            buckets=DURATION_BUCKETS,
        ),
        Metric(
            "edgeproxy_response_bytes_total",
            counter,
            ("route", "source"),
            "Bytes of responses sent to clients, by where they came from (cache, origin).",
        ),
        Metric(
            "edgeproxy_origin_requests_total",
            counter,
            ("upstream", "origin", "code"),
            "Requests sent to origins, by status code or kind of failure; health checks not counted.",
        ),
        Metric(
            "edgeproxy_origin_request_duration_seconds",
            histogram,
            ("upstream", "origin"),
            "Time from sending a request to an origin to the head of its answer.",
            buckets=DURATION_BUCKETS,
        ),
        Metric(
            "edgeproxy_origin_healthy",
            gauge,
            ("upstream", "origin"),
            "1 while the node's active checks find the origin healthy, 0 while they do not.",
            merge=Merge.LEAST,
        ),
        Metric(
            "edgeproxy_origin_ejections_total",
            counter,
            ("upstream", "origin", "reason"),
            "Times that a worker left out an origin's address, by reason "
            "(failures, error_rate, latency, outrun).",
        ),
        Metric(
            "edgeproxy_upstream_retries_total",
            counter,
            ("upstream", "result"),
            "Second tries elsewhere, by result (sent, withheld: the retry budget was spent).",
        ),
        Metric(
            "edgeproxy_upstream_hedges_total",
            counter,
            ("upstream", "result"),
            "Second copies sent of requests that had no answer yet, by result (won: answered first, lost).",
        ),
        Metric(
            "edgeproxy_upstream_overloads_total",
            counter,
            ("upstream",),
            "Requests that no origin of the upstream bore, by its concurrency limits.",
        ),
        Metric(
            "edgeproxy_origin_concurrency_limit",
            gauge,
            ("upstream", "origin"),
            "Requests at once that the origin is given now, where that adapts.",
        ),
        Metric(
            "edgeproxy_origin_ejected",
            gauge,
            ("upstream", "origin"),
            "Workers that leave the origin out now.",
        ),
        Metric(
            "edgeproxy_upstream_panic",
            gauge,
            ("upstream",),
            "Workers that use all origins of the upstream, because too few are healthy.",
        ),
        Metric(
            "edgeproxy_admission_queue",
            gauge,
            ("upstream",),
            "Refetches that wait for admission to an upstream.",
        ),
        Metric(
            "edgeproxy_admissions_total",
            counter,
            ("upstream", "result"),
            "Refetches of upstreams with `admission`, by result (at_once, waited, turned_away).",
        ),
        Metric(
            "edgeproxy_early_revalidations_total",
            counter,
            (),
            "Revalidations in the background of responses that were still fresh.",
        ),
        Metric("edgeproxy_cache_bytes", gauge, ("tier",), "Bytes of stored responses, overhead included."),
        Metric("edgeproxy_cache_responses", gauge, ("tier",), "Stored responses."),
        Metric(
            "edgeproxy_cache_evictions_total",
            counter,
            ("tier",),
            "Stored responses removed to make room for others.",
        ),
        Metric(
            "edgeproxy_tier_requests_total",
            counter,
            ("tier", "result"),
            "Look-ups in a tier, by result (hit, miss, fault, skipped).",
        ),
        Metric(
            "edgeproxy_fill_leases_total",
            counter,
            ("scope", "result"),
            "Fetches for the whole node or fleet, by what came of asking to be the one"
            " (held, waited, expired, fallen_back).",
        ),
        Metric(
            "edgeproxy_tier_faults_total",
            counter,
            ("tier", "fault"),
            "What a shared tier did not do (unreachable, timeout, busy, refused, full, damaged, newer,"
            " dropped, too_large).",
        ),
        Metric(
            "edgeproxy_tier_write_queue", gauge, ("tier",), "Writes that wait to be sent to a shared tier."
        ),
        Metric(
            "edgeproxy_redis_command_duration_seconds",
            histogram,
            ("command",),
            "Time from sending a command to Redis to its reply (hget: a look-up, evalsha: a store).",
            buckets=REDIS_BUCKETS,
        ),
        Metric(
            "edgeproxy_redis_breaker",
            gauge,
            ("state",),
            "Workers by the state of their breaker towards Redis (closed, open, half_open).",
        ),
        Metric(
            "edgeproxy_node_tier_up", gauge, (), "1 while the node's tier is written to, 0 while it is not."
        ),
        Metric(
            "edgeproxy_compressions_total",
            counter,
            ("result",),
            "Compressions of stored responses (coded, shared, not_worth, outdated, dropped, failed).",
        ),
        Metric(
            "edgeproxy_purges_total",
            counter,
            ("kind",),
            "Purge rules applied by this node (url, tag, prefix, host, everything).",
        ),
        Metric(
            "edgeproxy_event_loop_lag_seconds",
            gauge,
            ("worker",),
            "How late the worker's event loop ran its last timer.",
        ),
        Metric(
            "edgeproxy_gc_pause_seconds",
            histogram,
            ("generation",),
            "How long the garbage collector held workers up, by generation (0, 1, 2).",
            buckets=DURATION_BUCKETS,
        ),
        Metric("edgeproxy_connections", gauge, ("side",), "Open connections (downstream, upstream)."),
        Metric(
            "edgeproxy_origin_seconds_saved_total",
            total,
            ("route",),
            "Origin time that hits made unnecessary.",
        ),
        Metric("edgeproxy_workers", gauge, (), "Workers that are up and answer heartbeats."),
        Metric(
            "edgeproxy_worker_restarts_total",
            counter,
            ("worker",),
            "Workers replaced after dying or hanging.",
        ),
        Metric("edgeproxy_config_reloads_total", counter, ("result",), "Reloads (applied, refused)."),
        Metric(
            "edgeproxy_config_polls_total",
            counter,
            ("result",),
            "Polls of the control plane (changed, unchanged, failed).",
        ),
        Metric(
            "edgeproxy_config_last_success_timestamp_seconds",
            gauge,
            (),
            "When the configuration last came into force, in seconds since 1970.",
        ),
        Metric(
            "edgeproxy_access_log_dropped_total",
            counter,
            (),
            "Access log lines dropped: the target was slow.",
        ),
        Metric(
            "edgeproxy_purge_log_connected", gauge, (), "1 while the fleet's purge log is being followed."
        ),
        Metric(
            "edgeproxy_purges_pending", gauge, (), "Purges made here that the fleet has not been told yet."
        ),
        Metric(
            "edgeproxy_purge_drip_remaining",
            gauge,
            (),
            "URLs that paced soft purges given here have still to make stale.",
        ),
    )


METRICS: dict[str, Metric] = {metric.name: metric for metric in _rows()}
