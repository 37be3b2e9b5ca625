import pytest

from edgeproxy.config import model
from edgeproxy.upstream.build import build_upstream, settings_of
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


def configured(**keys: object) -> model.Upstream:
    return model.Upstream.model_validate({"origins": ["http://127.0.0.1:9001"], **keys})


def test_the_defaults_of_the_configuration_are_ours() -> None:
    assert settings_of("shop", configured()) == UpstreamSettings(
        "shop", (OriginSettings("http://127.0.0.1:9001"),), ejection=Ejection(longest=60.0)
    )


def test_every_key_arrives() -> None:
    config = configured(
        origins=[{"url": "unix:/run/a.sock", "weight": 3, "priority": 2}],
        balance="consistent_hash",
        hash={"headroom": "50%"},
        slow_start="20s",
        panic_below="40%",
        host_header="origin",
        health_check={"path": "/h", "interval": "1s", "timeout": "2s", "unhealthy_after": 4,
                      "healthy_after": 5, "status": ["200-299", 404], "body": "ok", "jitter": "5%"},
        timeouts={
            "connect": "1s", "first_byte": "2s", "between_bytes": "3s", "idle": "4s", "queue": "5s",
            "keepalive": "6s",
        },
        retries={"attempts": 7, "budget": "8%", "status": [500, "502-504"], "per_try_timeout": "2s",
                 "total_timeout": "7s"},
        hedge={"after": "p99.9"},
        concurrency={"adaptive": True, "min": 3, "max": 10, "tolerance": 3},
        ejection={
            "consecutive_failures": 9, "for": "10s", "error_rate": "30%", "slower_than": 4, "window": "20s",
            "min_requests": 7, "max_ejected": "25%", "max_for": "2m",
        },
        admission={"rate": "9/s", "burst": 5, "queue": 7, "wait": "8s"},
        max_connections=11,
        max_pending=12,
        max_connection_age="13s",
        lenient=["obs_fold"],
        tls={"verify": False, "server_name": "a.test"},
        resolver="127.0.0.1:53",
        dns_interval="14s",
    )  # fmt: skip
    assert settings_of("shop", config, workers=2) == UpstreamSettings(
        name="shop",
        origins=(OriginSettings("unix:/run/a.sock", 3, 2),),
        balance=Balance.CONSISTENT_HASH,
        hash_bound=1.5,
        slow_start=20.0,
        panic_below=0.4,
        host_header="origin",
        health_check=HealthCheck("/h", 1.0, 2.0, 4, 5, ((200, 299), (404, 404)), "ok", 0.05),
        timeouts=Timeouts(1.0, 2.0, 3.0, 4.0, 5.0),
        retries=Retries(7, 0.08, frozenset({500, 502, 503, 504}), 2.0, 7.0),
        admission=AdmissionSettings(rate=4.5, burst=2.5, queue=4, wait=8.0),
        hedge=Hedge(None, pytest.approx(0.999)),
        concurrency=Concurrency(2, 5, 3.0),
        ejection=Ejection(9, 10.0, 0.3, 4.0, 20.0, 7, 0.25, 120.0),
        max_connections=6,
        max_pending=6,
        keepalive=6.0,
        max_age=13.0,
        lenient=frozenset({"obs_fold"}),
        tls=TlsSettings(verify=False, server_name="a.test"),
        resolver="127.0.0.1:53",
        dns_interval=14.0,
    )


def test_an_upstream_is_built_without_touching_the_network() -> None:
    built = build_upstream("shop", configured(origins=["https://a.test"], resolver="127.0.0.1:53"), workers=2)
    assert (built.name, built.settings.max_connections) == ("shop", 128)
    assert not built.available()


def test_limits_that_adapt_stay_below_the_connections_and_hedges_may_wait_for_a_time() -> None:
    config = configured(max_connections=2, concurrency={"adaptive": True}, hedge={"after": "50ms"})
    settings = settings_of("shop", config)
    assert (settings.concurrency, settings.hedge) == (Concurrency(2, 2, 2.0), Hedge(0.05))


def test_a_bound_of_loads_may_be_off() -> None:
    assert settings_of("shop", configured(hash={"headroom": None})).hash_bound == 0.0
