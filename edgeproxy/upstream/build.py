"""An upstream from its settings, and its settings from the configuration.

Must not connect to anything.
"""

import time
from collections.abc import Callable

from edgeproxy.config import model, resilience
from edgeproxy.config.health import status_range
from edgeproxy.config.units import parse_duration
from edgeproxy.upstream.dns import DnsResolver
from edgeproxy.upstream.location import parse_location
from edgeproxy.upstream.origin import Origin
from edgeproxy.upstream.recorder import NoRecorder, Recorder
from edgeproxy.upstream.settings import (
    AdmissionSettings,
    Balance,
    Concurrency,
    Ejection,
    HealthCheck,
    Hedge,
    OriginSettings,
    Retries,
    Timeouts,
    TlsSettings,
    UpstreamSettings,
)
from edgeproxy.upstream.tls import make_context
from edgeproxy.upstream.upstream import Upstream

GROWS = 6
"""So many times `for`, an origin is left out at most, where `max_for` is not set."""


def build_upstream(
    name: str,
    config: model.Upstream,
    *,
    workers: int = 1,
    recorder: Recorder | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Upstream:
    """The upstream of that name, for one of `workers` that share the node's limits.

    Raises ValueError with a sentence for the operator where a TLS file is unusable.
    """
    return make_upstream(settings_of(name, config, workers=workers), recorder, clock=clock)


def make_upstream(
    settings: UpstreamSettings,
    recorder: Recorder | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Upstream:
    """An upstream with its TLS context, resolver and origins. Raises ValueError as `build_upstream`."""
    origins = [
        Origin(parse_location(origin.url), origin.weight, origin.priority) for origin in settings.origins
    ]
    context = make_context(settings.tls) if any(origin.location.tls for origin in origins) else None
    resolver = DnsResolver(settings.resolver) if settings.resolver else None
    return Upstream(
        settings, origins, recorder or NoRecorder(), context=context, resolver=resolver, clock=clock
    )


def settings_of(name: str, config: model.Upstream, *, workers: int = 1) -> UpstreamSettings:
    """What the configuration says, as plain values; limits divided among `workers`, rounded up."""
    timeouts = config.timeouts
    check = config.health_check
    ejection = config.ejection
    return UpstreamSettings(
        name=name,
        origins=tuple(
            OriginSettings(origin.url, origin.weight, origin.priority) for origin in config.origins
        ),
        balance=Balance(config.balance),
        hash_bound=0.0 if config.hash.headroom is None else 1 + config.hash.headroom,
        slow_start=config.slow_start,
        panic_below=config.panic_below,
        host_header=config.host_header,
        health_check=None
        if check is None
        else HealthCheck(
            check.path,
            check.interval,
            check.timeout,
            check.unhealthy_after,
            check.healthy_after,
            status=tuple(status_range(text) for text in check.status),
            body=check.body,
            jitter=check.jitter,
        ),
        timeouts=Timeouts(
            timeouts.connect, timeouts.first_byte, timeouts.between_bytes, timeouts.idle, timeouts.queue
        ),
        retries=_retries(config.retries),
        hedge=None if config.hedge is None else _hedge(config.hedge),
        concurrency=_concurrency(config, workers),
        ejection=Ejection(
            ejection.consecutive_failures,
            ejection.for_,
            error_rate=ejection.error_rate,
            slower_than=ejection.slower_than,
            window=ejection.window,
            min_requests=ejection.min_requests,
            max_ejected=ejection.max_ejected,
            longest=GROWS * ejection.for_ if ejection.max_for is None else ejection.max_for,
        ),
        admission=_admission(config.admission, max(workers, 1)),
        max_connections=_share(config.max_connections, workers),
        max_pending=_share(config.max_pending, workers),
        keepalive=timeouts.keepalive,
        max_age=config.max_connection_age,
        lenient=frozenset(config.lenient),
        tls=TlsSettings(
            ca=_path(config.tls.ca),
            certificate=_path(config.tls.certificate),
            key=_path(config.tls.key),
            verify=config.tls.verify,
            server_name=config.tls.server_name,
        ),
        resolver=config.resolver,
        dns_interval=config.dns_interval,
    )


def _admission(config: model.Admission | None, workers: int) -> AdmissionSettings | None:
    if config is None:
        return None
    return AdmissionSettings(
        rate=config.rate / workers,
        burst=max(1.0, config.burst / workers),
        queue=_share(config.queue, workers),
        wait=config.wait,
    )


def _retries(config: resilience.Retries) -> Retries:
    status = (status_range(text) for text in config.status)
    return Retries(
        config.attempts,
        config.budget,
        frozenset(code for low, high in status for code in range(low, high + 1)),
        config.per_try_timeout,
        config.total_timeout,
    )


def _hedge(config: resilience.Hedge) -> Hedge:
    share = resilience.percentile(config.after)
    return Hedge(parse_duration(config.after)) if share is None else Hedge(None, share)


def _concurrency(config: model.Upstream, workers: int) -> Concurrency | None:
    wanted = config.concurrency
    if not wanted.adaptive:
        return None
    most = config.max_connections if wanted.max is None else min(wanted.max, config.max_connections)
    return Concurrency(_share(min(wanted.min, most), workers), _share(most, workers), wanted.tolerance)


def _share(limit: int, workers: int) -> int:
    return -(-limit // max(workers, 1))


def _path(path: object) -> str | None:
    return None if path is None else str(path)
