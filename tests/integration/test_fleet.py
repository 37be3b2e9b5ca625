import pytest

from tests.integration.node import CONFIG, Answer, Origin, RunningNode, eventually
from tests.redis_server import RedisServer


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def server():
    with RedisServer() as running:
        yield running


def with_redis(server: RedisServer, name: str) -> str:
    return CONFIG.replace("node: edge-1", f"node: {name}").replace(
        "upstreams:", f'cache: {{redis: {{url: "{server.url}", timeout: 500ms}}}}\n    upstreams:', 1
    )


@pytest.fixture
def nodes(tmp_path, origin, server):
    folders = [tmp_path / name for name in ("edge-1", "edge-2")]
    for folder in folders:
        folder.mkdir()
    with (
        RunningNode(folders[0], origin, with_redis(server, "edge-1")) as one,
        RunningNode(folders[1], origin, with_redis(server, "edge-2")) as other,
    ):
        for node in (one, other):
            eventually(lambda node=node: node.admin("GET", "/readyz").status == 200)
            eventually(lambda node=node: len(log_of(node)["nodes"]) == 2)
        yield one, other


def log_of(node: RunningNode) -> dict:
    return node.admin("GET", "/readyz").json["purge_log"]


def hit(answer: Answer) -> bool:
    return "; hit" in answer.headers["cache-status"]


def warm(node: RunningNode, path: str) -> None:
    eventually(lambda: all(hit(node.get(path)) for _ in range(12)))


def test_a_purge_on_one_node_holds_on_both(nodes, origin):
    one, other = nodes
    for node in nodes:
        warm(node, "/a?tag=red")
    assert origin.asked["/a?tag=red"] <= 2, "what one stored, the other found in Redis"
    answer = one.admin("POST", "/purge", {"tags": ["red"], "wait": "10s"})
    assert answer.json["nodes"] == {"edge-1": "applied", "edge-2": "applied"}
    asked = origin.asked["/a?tag=red"]
    assert not hit(other.get("/a?tag=red"))
    assert origin.asked["/a?tag=red"] == asked + 1
    warm(one, "/a?tag=red")
    assert origin.asked["/a?tag=red"] <= asked + 3


def test_what_was_stored_anew_after_a_purge_is_shared_again(nodes, origin):
    one, other = nodes
    warm(one, "/a")
    one.admin("POST", "/purge", {"urls": ["http://shop.example/a"], "wait": "10s"})
    eventually(lambda: log_of(one)["pending"] == 0)
    warm(one, "/a")
    asked = origin.asked["/a"]
    eventually(lambda: hit(other.get("/a")))
    assert origin.asked["/a"] <= asked + 1


def test_a_purge_by_url_counts_what_is_in_redis_too(nodes):
    one, other = nodes
    warm(one, "/counted")
    answer = other.admin("POST", "/purge", {"urls": ["http://shop.example/counted"], "wait": "10s"})
    assert answer.json["removed"] == 1


def test_without_redis_a_purge_counts_here_says_pending_and_reaches_the_other_later(nodes, server):
    one, other = nodes
    for node in nodes:
        warm(node, "/a")
    server.kill()
    eventually(lambda: not log_of(one)["connected"] and not log_of(other)["connected"])
    assert one.admin("GET", "/readyz").status == 200
    answer = one.admin("POST", "/purge", {"urls": ["http://shop.example/a"], "wait": "100ms"})
    assert answer.status == 200
    assert answer.json["nodes"]["edge-1"] == "applied"
    assert answer.json["nodes"]["edge-2"] == "pending"
    assert not hit(one.get("/a"))
    assert hit(other.get("/a")), "nobody could tell it"
    server.start()
    eventually(lambda: log_of(one)["connected"] and log_of(one)["pending"] == 0)
    eventually(lambda: log_of(other)["connected"] and log_of(other)["position"] == 1)
    assert not hit(other.get("/a"))


def test_an_unsafe_request_on_one_node_invalidates_on_the_other(nodes):
    one, other = nodes
    for node in nodes:
        warm(node, "/a")
    position = log_of(other)["position"]
    assert one.get("/a", method="POST").status == 200
    eventually(lambda: log_of(other)["position"] > position)
    assert not hit(other.get("/a"))


def test_a_node_that_starts_without_redis_serves(tmp_path, origin, server):
    server.kill()
    with RunningNode(tmp_path, origin, with_redis(server, "edge-1")) as node:
        warm(node, "/a")
        ready = eventually(lambda: (answer := node.admin("GET", "/readyz")).status == 200 and answer)
        assert ready.json["purge_log"]["connected"] is False
        assert node.metric("edgeproxy_purge_log_connected") == 0
        assert "the purge log is out of reach" in node.log


def test_a_reload_goes_over_to_another_redis_and_to_none(tmp_path, origin, server):
    with RunningNode(tmp_path, origin, CONFIG) as node:
        warm(node, "/a")
        assert log_of(node) == {"kind": "local"}
        node.write(with_redis(server, "edge-1"))
        assert node.admin("POST", "/reload").status == 200
        eventually(lambda: log_of(node)["kind"] == "redis" and log_of(node)["connected"])
        done = node.admin("POST", "/purge", {"urls": ["http://shop.example/a"], "wait": "10s"}).json
        assert done["receipts"]["edge-1"]["position"] == 1
        assert not hit(node.get("/a"))
        node.write(CONFIG)
        assert node.admin("POST", "/reload").status == 200
        eventually(lambda: log_of(node) == {"kind": "local"})
        warm(node, "/a")
        assert node.admin("POST", "/purge", {"everything": True}).json["nodes"] == {"edge-1": "applied"}
        assert not hit(node.get("/a"))
