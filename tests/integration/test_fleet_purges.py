"""Purges of a fleet as operators and other services see them: real nodes, a real Redis."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.integration.node import CONFIG, Answer, Origin, RunningNode, eventually
from tests.redis_server import RedisServer, free_port

INBOX = "edge:{purge}:inbox"


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def server():
    with RedisServer() as running:
        yield running


def config(server: RedisServer | None, name: str | None, cache: str = "", admin: int = 0) -> str:
    text = CONFIG.replace(", node: edge-1", f", node: {name}" if name else "")
    text = text.replace('admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "127.0.0.1:{admin}"}}')
    tiers = [f'redis: {{url: "{server.url}", timeout: 500ms}}'] if server is not None else []
    tiers += [cache] if cache else []
    return text.replace("upstreams:", f"cache: {{{', '.join(tiers)}}}\n    upstreams:", 1)


def run(tmp_path, origin: Origin, name: str, text: str) -> RunningNode:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return RunningNode(folder, origin, text)


@pytest.fixture
def nodes(tmp_path, origin, server):
    with (
        run(tmp_path, origin, "edge-1", config(server, "edge-1")) as one,
        run(tmp_path, origin, "edge-2", config(server, "edge-2")) as other,
    ):
        for node in (one, other):
            eventually(lambda node=node: names(node) == {"edge-1", "edge-2"})
        yield one, other


def names(node: RunningNode) -> set[str]:
    return {each["node"] for each in node.admin("GET", "/nodes").json}


def log_of(node: RunningNode) -> dict:
    return node.admin("GET", "/readyz").json["purge_log"]


def hit(answer: Answer) -> bool:
    return "; hit" in answer.headers["cache-status"]


def warm(node: RunningNode, path: str) -> None:
    eventually(lambda: all(hit(node.get(path)) for _ in range(12)))


@contextmanager
def asking(node: RunningNode, path: str) -> Iterator[None]:
    """Ask for a URL again and again meanwhile."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.01):
            node.get(path)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# membership


def test_nodes_are_listed_with_what_they_tell_of_themselves(nodes):
    one, _ = nodes
    first, second = one.admin("GET", "/nodes").json
    assert first["node"] == "edge-1"
    assert second["node"] == "edge-2"
    for each in (first, second):
        assert each["workers"] == 2
        assert each["version"]
        assert 0 < each["since"] <= each["last_seen"] + 1
        assert each["position"] == 0


def test_a_node_without_redis_lists_itself(tmp_path, origin):
    with run(tmp_path, origin, "edge-1", CONFIG) as node:
        (only,) = node.admin("GET", "/nodes").json
        assert only["node"] == "edge-1"
        assert only["position"] is None
        assert only["workers"] == 2


def test_a_node_that_stops_leaves_at_once_and_a_killed_one_when_its_lease_ends(nodes, server):
    one, other = nodes
    other.signal(signal.SIGKILL)
    other.exit_code()
    assert names(one) == {"edge-1", "edge-2"}, "nobody can know yet"
    with redis.Redis.from_url(server.url) as client:  # as if it had been silent for the length of its lease
        seen = client.zscore("edge:{purge}:seen", "edge-2")
        client.zadd("edge:{purge}:seen", {"edge-2": seen - 16})
    eventually(lambda: names(one) == {"edge-1"})
    done = one.admin("POST", "/purge", {"tags": ["t"], "wait": "20s"}).json
    assert done["nodes"] == {"edge-1": "applied", "edge-2": "pending"}, "it may live, cut off: not waited for"
    with redis.Redis.from_url(server.url) as client:
        client.zadd("edge:{purge}:seen", {"edge-2": seen - 70})
    eventually(lambda: one.admin("POST", "/purge", {"tags": ["t"]}).json["nodes"] == {"edge-1": "applied"})


def test_a_node_that_stops_leaves_at_once(nodes):
    one, other = nodes
    other.signal(signal.SIGTERM)
    assert other.exit_code() == 0
    assert names(one) == {"edge-1"}


def test_a_node_keeps_its_made_up_name_beside_the_disk_tier(tmp_path, origin):
    text = config(None, None, "disk: {path: ./var}")
    found = []
    for _ in range(2):
        with run(tmp_path, origin, "edge", text) as node:
            found += names(node)
    assert found[0] == found[1]
    assert re.fullmatch(r".+-[0-9a-f]{8}", found[0])


def test_a_killed_node_without_a_name_leaves_no_ghost_when_it_starts_again(tmp_path, origin, server):
    port = free_port()
    with run(tmp_path, origin, "edge-1", config(server, "edge-1")) as one:
        with run(tmp_path, origin, "nameless", config(server, None, admin=port)) as other:
            eventually(lambda: len(names(one)) == 2)
            (ghost,) = names(one) - {"edge-1"}
            other.signal(signal.SIGKILL)
            other.exit_code()
        with run(tmp_path, origin, "nameless", config(server, None, admin=port)) as again:
            eventually(lambda: log_of(again)["connected"])
            assert len(names(one)) == 2
            assert ghost not in names(one)
            done = one.admin("POST", "/purge", {"tags": ["t"], "wait": "10s"}).json
            assert ghost not in done["nodes"]
            assert set(done["nodes"].values()) == {"applied"}


# receipts


def test_receipts_tell_each_nodes_count_and_time(nodes):
    one, other = nodes
    for node in nodes:
        warm(node, "/a")
    done = one.admin("POST", "/purge", {"urls": ["http://shop.example/a"], "wait": "10s"}).json
    assert done["removed"] == 1
    assert done["nodes"] == {"edge-1": "applied", "edge-2": "applied"}
    own, others = done["receipts"]["edge-1"], done["receipts"]["edge-2"]
    assert own["removed"] == 1
    assert others["removed"] == 2, "each worker of the other node had it"
    assert 0 <= own["milliseconds"] < 10_000
    assert 0 <= others["milliseconds"] < 10_000
    assert own["position"] == others["position"] == 1
    assert not hit(other.get("/a"))
    tagged = one.admin("POST", "/purge", {"tags": ["t"], "wait": "10s"}).json
    assert tagged["removed"] is None
    assert {each["removed"] for each in tagged["receipts"].values()} == {None}
    assert all(each["milliseconds"] is not None for each in tagged["receipts"].values())


# dry run


def test_a_dry_run_counts_and_purges_nothing(tmp_path, origin):
    with run(tmp_path, origin, "edge-1", CONFIG) as node:
        for path in ("/a?tag=red", "/b?tag=red", "/static/c"):
            warm(node, path)

        def dry(**order: object) -> dict:
            answer = node.admin("POST", "/purge", {"dry_run": True, **order})
            assert answer.status == 200, answer.body
            return answer.json

        assert dry(urls=["http://shop.example/a?tag=red"])["responses"] == 1
        assert dry(tags=["red"])["responses"] == 2
        assert dry(prefix="http://shop.example/static/")["responses"] == 1
        assert dry(host="shop.example")["responses"] == 3
        assert dry(host="other.example")["responses"] == 0
        whole = dry(everything=True)
        assert whole["responses"] == 3
        assert whole["exact"] is True
        assert whole["bytes"] > 3 * 500
        refill = whole["refill"]
        assert refill["requests_per_second"] > 0
        assert refill["seconds"] >= 3 / 10_000
        assert refill["origin_seconds"] > 0
        assert "requests_per_second" in refill["how"]
        assert hit(node.get("/a?tag=red"))
        assert node.metric('edgeproxy_purges_total{kind="tag"}') == 0
        node.admin("POST", "/purge", {"tags": ["red"]})
        assert dry(everything=True)["responses"] == 1, "what is purged already does not count"


def test_a_dry_run_of_a_url_counts_what_is_in_redis_only(nodes):
    one, other = nodes
    warm(one, "/a")
    order = {"urls": ["http://shop.example/a"], "dry_run": True}
    eventually(lambda: other.admin("POST", "/purge", order).json["responses"] == 1)


# pace


def test_a_rate_without_soft_is_refused_with_the_reason(tmp_path, origin):
    with run(tmp_path, origin, "edge-1", CONFIG) as node:
        refused = node.admin("POST", "/purge", {"everything": True, "rate": "200/s"})
        assert refused.status == 422
        assert "rate goes with soft only" in refused.json["detail"]
        for rate in ("200", "0/s", "9000/s", "x/s"):
            refused = node.admin("POST", "/purge", {"everything": True, "soft": True, "rate": rate})
            assert refused.status == 422, rate
            assert "rate" in refused.json["detail"]


def test_a_paced_soft_purge_drips_and_spares_what_was_fetched_meanwhile(nodes, origin):
    one, other = nodes
    paths = [f"/{number}" for number in range(12)]
    for path in paths:
        warm(one, path)
    warm(one, "/popular")
    with asking(one, "/popular"):
        order = {"everything": True, "soft": True, "rate": "4/s"}
        answer = one.admin("POST", "/purge", order)
        assert answer.status == 200
        assert answer.json["drip"] == {"urls": 13, "rate": "4/s", "seconds": 3.25}
        assert set(answer.json["nodes"].values()) == {"pending"}
        assert one.metric("edgeproxy_purge_drip_remaining") > 0
        eventually(lambda: 0 < one.metric("edgeproxy_purge_drip_remaining") <= 9)
        assert origin.asked["/popular"] <= 2, "its turn comes last"
    fetched = "/fresh"
    warm(one, fetched)
    eventually(lambda: "all are stale" in one.log)
    eventually(lambda: log_of(other)["position"] == log_of(one)["position"])
    assert one.metric("edgeproxy_purge_drip_remaining") == 0
    asked = origin.asked[fetched]
    assert hit(one.get(fetched)), "it is newer than the purge"
    assert origin.asked[fetched] == asked
    for path in [*paths, "/popular"]:
        before = origin.asked[path]
        one.get(path)
        assert origin.asked[path] == before + 1, path


def test_a_node_that_stops_in_the_middle_gives_the_rest_at_once(nodes, origin):
    one, other = nodes
    warm(one, "/a")
    warm(other, "/a")
    for number in range(10):
        warm(one, f"/{number}")
    one.admin("POST", "/purge", {"everything": True, "soft": True, "rate": "1/m"})
    one.signal(signal.SIGTERM)
    assert one.exit_code() == 0
    assert "they go at once now" in one.log
    asked = origin.asked["/a"]
    other.get("/a")
    assert origin.asked["/a"] == asked + 1


# other services


def test_an_entry_written_by_hand_purges_on_every_node(nodes, server):
    old = {}
    for node in nodes:
        for path in ("/a?tag=product-17", "/b", "/c"):
            warm(node, path)
            old[path] = node.get(path).body
    with redis.Redis.from_url(server.url) as client:
        named = ("tag", "product-17", "url", "http://shop.example/b", "tag", "x")
        client.execute_command("XADD", INBOX, "*", *named)
    for node in nodes:
        eventually(lambda node=node: log_of(node)["position"] == 1)
        for path in ("/a?tag=product-17", "/b"):
            assert node.get(path).body != old[path]
        assert hit(node.get("/c"))
    with redis.Redis.from_url(server.url) as client:
        assert client.xlen(INBOX) == 0


def test_malformed_entries_are_skipped_with_a_line_and_block_nothing(nodes, server):
    for node in nodes:
        warm(node, "/a")
    hostile: list[dict] = [
        {"colour": "red"},
        {"soft": "1"},
        {"url": "no url"},
        {"url": "http://shop.example/\r\nx: y"},
        {"tag": ""},
        {"tag": b"\xff\xfe"},
        {"everything": "perhaps"},
        {"prefix": "http://shop.example/" + "x" * 9000},
        {"host": "a/b"},
        {"tag": "x" * 70_000},
        {"p": b"\x95\x02"},
    ]
    with redis.Redis.from_url(server.url) as client:
        for fields in hostile:
            client.xadd(INBOX, fields)
    for node in nodes:
        eventually(lambda node=node: log_of(node)["position"] == len(hostile))
        assert hit(node.get("/a"))
        assert "written by another service, is skipped: it is too large" in node.log
        assert "'colour' is none of url, tag, prefix" in node.log
    old = nodes[0].get("/a").body
    with redis.Redis.from_url(server.url) as client:
        client.xadd(INBOX, {"url": "http://shop.example/a", "note": "order 17"})
    for node in nodes:
        eventually(lambda node=node: node.get("/a").body != old)


def test_an_entry_in_the_wrong_stream_costs_what_is_stored_but_not_the_log(nodes, server):
    one, _ = nodes
    with redis.Redis.from_url(server.url) as client:
        client.xadd("edge:{purge}:log", {"tag": "a"})
    eventually(lambda: "not understood" in one.log)
    for node in nodes:
        eventually(lambda node=node: log_of(node)["connected"] and log_of(node)["position"] < 1000)
    done = one.admin("POST", "/purge", {"tags": ["t"], "wait": "20s"}).json
    assert done["nodes"] == {"edge-1": "applied", "edge-2": "applied"}


# outages


def test_purges_made_without_redis_outlive_the_node_on_its_disk(tmp_path, origin, server):
    with run(tmp_path, origin, "edge-2", config(server, "edge-2")) as other:
        text = config(server, "edge-1", "disk: {path: ./var}")
        with run(tmp_path, origin, "edge-1", text) as one:
            eventually(lambda: names(one) == {"edge-1", "edge-2"})
            warm(other, "/a")
            warm(other, "/b")
            server.pause()
            eventually(lambda: not log_of(one)["connected"])
            done = one.admin("POST", "/purge", {"urls": ["http://shop.example/a"], "wait": "100ms"}).json
            assert done["nodes"]["edge-1"] == "applied"
            assert "pending" in done["nodes"].values()
            kept = tmp_path / "edge-1" / "var" / "purges.unsent"
            assert kept.stat().st_size > 0
            one.signal(signal.SIGKILL)
            one.exit_code()
        assert hit(other.get("/a")), "nobody could tell it"
        server.resume()
        with run(tmp_path, origin, "edge-1", text) as again:
            eventually(lambda: log_of(again)["connected"] and log_of(again)["pending"] == 0)
            eventually(lambda: not hit(other.get("/a")))
            assert hit(other.get("/b"))
            eventually(lambda: kept.stat().st_size == 0)


def test_a_node_that_comes_back_serves_nothing_that_was_purged_meanwhile(tmp_path, origin, server):
    text = config(server, "edge-2")
    with run(tmp_path, origin, "edge-1", config(server, "edge-1")) as one:
        with run(tmp_path, origin, "edge-2", text) as other:
            warm(other, "/a?tag=t")
            warm(other, "/b")
            other.signal(signal.SIGKILL)
            other.exit_code()
        with redis.Redis.from_url(server.url) as client:
            kept = {key: client.dump(key) for key in client.keys("*") if b"{purge}" not in key}
        one.admin("POST", "/purge", {"tags": ["t"], "wait": "100ms"})
        with redis.Redis.from_url(server.url) as client:  # a write that was late brings back what was purged
            for key, value in kept.items():
                client.restore(key, 0, value, replace=True)
        with run(tmp_path, origin, "edge-2", text) as again:
            asked = origin.asked["/a?tag=t"]
            assert not hit(again.get("/a?tag=t"))
            assert origin.asked["/a?tag=t"] == asked + 1
            eventually(lambda: log_of(again)["position"] == 1)
            eventually(lambda: hit(again.get("/b")))
