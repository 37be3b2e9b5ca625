import os
import re

import pytest

from edgeproxy.config.model import Config, Origin, Route, Server, Upstream
from edgeproxy.server.identity import Identity
from edgeproxy.server.node import worker_count


def config(**server) -> Config:
    return Config(
        server=Server(**server),
        upstreams={"a": Upstream(origins=(Origin(url="http://127.0.0.1:1"),))},
        routes=(Route(name="a", upstream="a"),),
    )


def test_a_node_is_named_by_its_configuration_or_its_host():
    assert Identity(config(node="edge-7")).name == "edge-7"
    first, second = Identity(config()).name, Identity(config()).name
    assert re.fullmatch(r"[A-Za-z0-9._-]+-[0-9a-f]{8}", first)
    assert first != second


@pytest.mark.parametrize(("workers", "count"), [(3, 3), ("auto", len(os.sched_getaffinity(0)))])
def test_workers_are_as_many_as_configured_or_one_a_core(workers, count):
    assert worker_count(config(workers=workers)) == count
