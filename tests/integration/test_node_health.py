"""What a whole node says of origins: checks made once and told to all workers, ejections, panic."""

import pytest

from tests.integration.node import Origin, RunningNode, eventually

DEAD = "127.0.0.1:1"
CONFIG = f"""
    server: {{listen: "127.0.0.1:0", workers: 2, node: edge-1}}
    admin: {{listen: "127.0.0.1:0"}}
    upstreams:
      shop:
        origins: [{{url: "http://ORIGIN", weight: 3}}]
        panic_below: 50%
        health_check:
          interval: 50ms
          status: [200]
          body: GET /healthz
          unhealthy_after: 1
          healthy_after: 1
      half:
        origins: ["http://ORIGIN", {{url: "http://{DEAD}", priority: 0}}]
        ejection: {{consecutive_failures: 1, for: 10m}}
    routes:
      - {{name: half, match: {{path: /half/*}}, upstream: half, cache: {{enabled: false}}}}
      - {{name: all, upstream: shop, cache: {{enabled: false}}}}
"""


@pytest.fixture
def node(tmp_path):
    origin = Origin()
    try:
        with RunningNode(tmp_path, origin, CONFIG) as running:
            yield running
    finally:
        origin.close()


def shown(node, upstream: str = "shop", index: int = 0):
    return node.admin("GET", "/upstreams").json[upstream]["origins"][index]


def test_a_panic_is_every_workers_and_shown_and_it_ends(node):
    eventually(lambda: shown(node)["healthy"])
    assert (shown(node)["in_panic"], shown(node)["weight"], shown(node)["priority"]) == (0, 3, 0)
    node.origin.healthy = False
    eventually(lambda: shown(node)["in_panic"] == 2)
    assert not shown(node)["healthy"]
    assert node.metric(f'edgeproxy_origin_healthy{{origin="{node.origin.address}",upstream="shop"}}') == 0
    eventually(lambda: node.metric('edgeproxy_upstream_panic{upstream="shop"}') == 2)
    assert {node.get("/x").status for _ in range(8)} == {200}
    node.origin.healthy = True
    eventually(lambda: shown(node)["in_panic"] == 0)
    eventually(lambda: node.metric('edgeproxy_upstream_panic{upstream="shop"}') == 0)


def test_ejections_are_counted_and_shown(node):
    def ejected_by_both() -> bool:
        assert node.get("/half/x").status == 200
        return shown(node, "half", 1)["ejected_by"] == 2

    eventually(ejected_by_both)
    labels = f'origin="{DEAD}",reason="failures",upstream="half"'
    assert node.metric(f"edgeproxy_origin_ejections_total{{{labels}}}") == 2
