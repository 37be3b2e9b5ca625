import base64
import json
import re
import socket
import subprocess
import sys

import pytest

from tests.integration.node import CONFIG, DEADLINE, Answer, Origin, RunningNode, call, eventually

TOKEN = "s3cret-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory, origin):
    with RunningNode(tmp_path_factory.mktemp("open"), origin, CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, origin):
    config = CONFIG.replace(
        'admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "127.0.0.1:0", token: {TOKEN}}}'
    )
    with RunningNode(tmp_path_factory.mktemp("guarded"), origin, config) as running:
        yield running


def is_problem(answer: Answer, status: int) -> bool:
    return (
        answer.status == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json["status"] == status
        and bool(answer.json["title"])
        and bool(answer.json["detail"])
    )


def hit(answer: Answer) -> bool:
    return "; hit" in answer.headers["cache-status"]


def warm(node: RunningNode, path: str, **headers: str) -> None:
    """Let every worker have it stored."""

    def all_hit() -> bool:
        return all(hit(node.get(path, **headers)) for _ in range(12))

    eventually(all_hit)


# --- who may call -----------------------------------------------------------------

CALLS = [
    ("GET", "/metrics"),
    ("GET", "/workers"),
    ("GET", "/explain?url=http://shop.example/"),
    ("GET", "/upstreams"),
    ("GET", "/config"),
    ("GET", "/nothing"),
    ("POST", "/purge"),
    ("POST", "/reload"),
    ("POST", "/upstreams/shop/origins/127.0.0.1:1"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-token"),
        pytest.param({"Authorization": "Bearer wrong"}, id="wrong-token"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, id="longer"),
        pytest.param({"Authorization": f"Digest {TOKEN}"}, id="another-scheme"),
        pytest.param({"Authorization": "Basic ???"}, id="broken-basic"),
        pytest.param({"Authorization": "Bearer \xe9"}, id="not-ascii"),
    ],
)
def test_without_the_token_nothing_is_done(guarded, method, path, headers):
    body = b'{"everything": true}' if method == "POST" else None
    answer = guarded.admin(method, path, body, **headers)
    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_refused_purge_purges_nothing(guarded):
    warm(guarded, "/kept")
    assert guarded.admin("POST", "/purge", {"everything": True}).status == 401
    assert all(hit(guarded.get("/kept")) for _ in range(12))


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_liveness_and_readiness_are_open(guarded, path):
    assert guarded.admin("GET", path).status == 200


def test_the_token_lets_pass_as_bearer_and_as_basic_password(guarded):
    assert guarded.admin("GET", "/workers", **BEARER).status == 200
    assert guarded.admin("GET", "/workers", Authorization=f"bearer {TOKEN}").status == 200
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    assert guarded.admin("GET", "/workers", Authorization=f"Basic {basic}").status == 200


def test_the_token_is_never_shown(guarded):
    answer = guarded.admin("GET", "/config", **BEARER)
    assert answer.json["admin"]["token"] == "***"
    assert TOKEN not in guarded.log


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Host": "127.0.0.1:9900"}, 200, id="loopback-address"),
        pytest.param({"Host": "localhost"}, 200, id="localhost"),
        pytest.param({"Host": "[::1]:9900"}, 200, id="ipv6"),
        pytest.param({"Host": "evil.example"}, 403, id="rebound-name"),
        pytest.param({"Host": "localhost.evil.example"}, 403, id="name-that-begins-so"),
        pytest.param({"Host": "[x"}, 403, id="malformed"),
        pytest.param({"Host": "localhost", "Origin": "http://evil.example"}, 403, id="foreign-origin"),
        pytest.param({"Host": "localhost", "Origin": "null"}, 403, id="opaque-origin"),
        pytest.param({"Host": "localhost", "Origin": "http://localhost"}, 200, id="own-origin"),
        pytest.param({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, 403, id="cross-site"),
    ],
)
def test_without_a_configured_token_only_this_machine_calls(node, headers, status):
    answer = node.admin("GET", "/workers", **headers)
    assert answer.status == status
    assert status == 200 or is_problem(answer, 403)


def test_a_browsers_remembered_password_is_no_leave_for_other_sites(guarded):
    answer = guarded.admin("POST", "/reload", Origin="http://evil.example", **BEARER)
    assert is_problem(answer, 403)


# --- standing ---------------------------------------------------------------------


def test_healthz_and_readyz(node):
    assert node.admin("GET", "/healthz").status == 200
    ready = node.admin("GET", "/readyz")
    assert ready.status == 200
    assert ready.json["ready"] is True
    assert ready.json["reasons"] == []
    assert list(ready.json["upstreams"]) == ["shop"]


def test_workers(node):
    workers = node.workers()
    assert [worker["worker"] for worker in workers] == [0, 1]
    assert len({worker["pid"] for worker in workers}) == 2
    assert {worker["state"] for worker in workers} == {"serving"}


def test_metrics_add_up_and_show_each_process(node):
    for n in range(30):
        node.get(f"/metrics/{n}")
    name = 'edgeproxy_requests_total{code="200",outcome="miss",route="all"}'
    eventually(lambda: node.metric(name) >= 30)
    eventually(lambda: b'event_loop_lag_seconds{worker="1"}' in node.admin("GET", "/metrics").body)
    eventually(lambda: b'event_loop_lag_seconds{worker="0"}' in node.admin("GET", "/metrics").body)
    answer = node.admin("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    for worker in ("0", "1", "supervisor"):
        assert f'process_resident_memory_bytes{{worker="{worker}"}}' in text
    for worker in ("0", "1"):
        assert f'edgeproxy_event_loop_lag_seconds{{worker="{worker}"}}' in text
    assert node.metric("edgeproxy_workers") == 2
    assert node.metric(f'edgeproxy_origin_healthy{{origin="{node.origin.address}",upstream="shop"}}') == 1


def test_config_in_force(node):
    config = node.admin("GET", "/config").json
    assert config["server"]["workers"] == 2
    assert list(config["upstreams"]) == ["shop"]


def test_explain(node):
    warm(node, "/explained?age=50")
    answer = node.admin("GET", "/explain?url=http://shop.example/explained%3Fage=50&header=Accept:text/html")
    assert answer.status == 200
    assert answer.json["route"] == "all"


def test_explain_comes_from_the_worker_that_remembers_a_refusal(node):
    node.get("/refused?age=0")  # by one of the two workers
    answer = node.admin("GET", "/explain?url=http://shop.example/refused%3Fage=0")
    assert answer.json["stored"] is False
    assert answer.json["last_refusal"]["reason"] == "nothing-to-reuse"
    changed = [{"send": "Cache-Control: max-age=60", "instead_of": "Cache-Control: max-age=0"}]
    assert answer.json["advice"][0]["changes"] == changed


def test_the_command_explains_what_the_node_knows(node):
    node.get("/told?age=0")
    command = [sys.executable, "-m", "edgeproxy", "explain", "http://shop.example/told?age=0"]
    told = subprocess.run(
        [*command, "-H", "Accept: text/html", "--admin", f"http://127.0.0.1:{node.admin_port}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    lines = told.stdout.splitlines()
    assert "Its last answer, a 200, was not stored (nothing-to-reuse, RFC 9111 §3)" in lines
    say = "send `Cache-Control: max-age=60` instead of `Cache-Control: max-age=0`"
    assert f"At the origin: {say}; then it is stored, and fresh for 60 s" in lines


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="no-url"),
        pytest.param("?url=", id="empty-url"),
        pytest.param("?url=ftp://shop.example/", id="another-scheme"),
        pytest.param("?url=/a", id="no-host"),
        pytest.param("?url=http://a/&url=http://b/", id="two"),
        pytest.param("?url=http://a/&headers=x", id="unknown-parameter"),
        pytest.param("?url=http://a/&header=novalue", id="no-colon"),
        pytest.param("?url=http://a/&header=a:b%0d%0ac:d", id="line-feed-in-a-field"),
        pytest.param("?url=http://a/&header=a%20b:c", id="blank-in-a-name"),
    ],
)
def test_explain_says_what_it_does_not_understand(node, query):
    answer = node.admin("GET", f"/explain{query}")
    assert answer.status in (400, 422)
    assert is_problem(answer, answer.status)


def test_an_answer_to_post_outlives_the_purge_that_it_caused_and_no_other(node):
    path = "/posted?own=1"
    posted = node.get(path, method="POST")
    node.get("/another", method="POST")
    eventually(lambda: node.get(path).body == posted.body, "a worker has it", within=10)
    node.admin("POST", "/purge", {"urls": [f"http://shop.example{path}"]})
    assert all(node.get(path).body != posted.body for _ in range(12))


def test_unknown_paths_and_methods(node):
    assert is_problem(node.admin("GET", "/nothing"), 404)
    answer = node.admin("GET", "/purge")
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


# --- origins ----------------------------------------------------------------------


def test_an_origin_is_steered_in_all_workers(node):
    path = f"/upstreams/shop/origins/{node.origin.address}"
    assert node.admin("POST", path, {"state": "down"}).json["state"] == "down"
    try:
        assert {node.get(f"/steered/{n}").status for n in range(12)} == {503}
        origin = node.admin("GET", "/upstreams").json["shop"]["origins"][0]
        assert (origin["origin"], origin["state"]) == (node.origin.address, "down")
    finally:
        assert node.admin("POST", path, {"state": "up"}).status == 200
    assert {node.get(f"/steered/{n}").status for n in range(12)} == {200}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/upstreams/shop/origins/127.0.0.1:1", {"state": "up"}, 404, id="unknown-origin"),
        pytest.param("/upstreams/shoop/origins/127.0.0.1:1", {"state": "up"}, 404, id="unknown-upstream"),
        pytest.param("/upstreams/shop/origins/x", {"state": "away"}, 422, id="unknown-state"),
        pytest.param("/upstreams/shop/origins/x", {"state": "up", "for": 1}, 422, id="unknown-member"),
        pytest.param("/upstreams/shop/origins/x", {}, 422, id="no-state"),
        pytest.param("/upstreams/shop/origins/x", b"", 400, id="no-body"),
    ],
)
def test_steering_says_what_it_does_not_understand(node, path, body, status):
    assert is_problem(node.admin("POST", path, body), status)


# --- purge ------------------------------------------------------------------------


def purge(node: RunningNode, **body: object) -> dict[str, object]:
    answer = node.admin("POST", "/purge", body)
    assert answer.status == 200, answer.body
    assert answer.json["nodes"] == {"edge-1": "applied"}
    assert list(answer.json["receipts"]) == ["edge-1"]
    assert re.fullmatch(r"[0-9a-f]{24}", answer.json["id"])
    result: dict[str, object] = answer.json
    return result


SELECTORS = [
    pytest.param({"urls": ["http://shop.example/p/1?tag=red"]}, id="url"),
    pytest.param({"urls": ["https://SHOP.example:443/x/../p/1?tag=red#top"]}, id="url-as-typed-by-a-person"),
    pytest.param({"tags": ["red"]}, id="tag"),
    pytest.param({"prefix": "http://shop.example/p/"}, id="prefix"),
    pytest.param({"prefix": "http://shop.example"}, id="prefix-of-a-host"),
    pytest.param({"host": "shop.example"}, id="host"),
    pytest.param({"host": "SHOP.example"}, id="host-in-capitals"),
    pytest.param({"everything": True}, id="everything"),
    pytest.param(
        {"urls": ["http://a.example/"], "tags": ["blue"], "prefix": "http://shop.example/p"}, id="union"
    ),
]


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_purge_takes_what_it_names_from_all_workers(node, selector):
    warm(node, "/p/1?tag=red")
    before = node.origin.asked["/p/1?tag=red"]
    purge(node, **selector)
    assert not hit(node.get("/p/1?tag=red"))
    warm(node, "/p/1?tag=red")
    fetched = node.origin.asked["/p/1?tag=red"] - before
    assert 1 <= fetched <= 2, "once for the node, or for each worker that was too early to find it"


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param({"urls": ["http://shop.example/p/2"]}, id="url"),
        pytest.param({"tags": ["green"]}, id="tag"),
        pytest.param({"prefix": "http://shop.example/q"}, id="prefix"),
        pytest.param({"host": "other.example"}, id="host"),
    ],
)
def test_a_purge_leaves_what_it_does_not_name(node, selector):
    warm(node, "/p/1?tag=red")
    purge(node, **selector)
    assert all(hit(node.get("/p/1?tag=red")) for _ in range(12))


def test_removed_is_exact_for_urls(node):
    warm(node, "/counted/1")
    warm(node, "/counted/2")
    urls = [f"http://shop.example/counted/{n}" for n in (1, 2, 3)]
    assert purge(node, urls=urls)["removed"] == 2
    assert purge(node, urls=urls)["removed"] == 0


@pytest.mark.parametrize(
    "selector",
    [
        {"tags": ["red"]},
        {"everything": True},
        {"urls": ["http://shop.example/"], "host": "shop.example"},
        {"urls": ["http://shop.example/"], "soft": True},
    ],
)
def test_removed_is_null_where_counting_would_cost_a_scan(node, selector):
    assert purge(node, **selector)["removed"] is None


def test_a_soft_purge_makes_stale(node):
    warm(node, "/soft")
    purge(node, urls=["http://shop.example/soft"], soft=True)
    answer = node.get("/soft")
    assert "fwd=stale" in answer.headers["cache-status"]


def test_purges_are_counted_by_kind(node):
    name = 'edgeproxy_purges_total{kind="tag"}'
    before = node.metric(name)
    purge(node, tags=["one", "two"], wait="0s")
    assert node.metric(name) == before + 2


REFUSED = [
    pytest.param(b"", 400, id="empty"),
    pytest.param(b"{", 400, id="no-json"),
    pytest.param(b"\xff", 400, id="no-utf8"),
    pytest.param(b"[" * 100_000, 400, id="deep"),
    pytest.param(b"[]", 422, id="no-object"),
    pytest.param({}, 422, id="no-selector"),
    pytest.param({"urls": []}, 422, id="empty-list"),
    pytest.param({"everything": False}, 422, id="not-everything"),
    pytest.param({"soft": True}, 422, id="soft-alone"),
    pytest.param({"everything": True, "hosts": []}, 422, id="unknown-member"),
    pytest.param({"everything": "yes"}, 422, id="wrong-type"),
    pytest.param({"everything": True, "soft": 1}, 422, id="wrong-type-of-soft"),
    pytest.param({"urls": "http://shop.example/p/1"}, 422, id="url-not-listed"),
    pytest.param({"urls": ["http://shop.example/p/1", 1]}, 422, id="wrong-type-in-a-list"),
    pytest.param({"everything": True, "urls": ["/p/1"]}, 422, id="url-without-host"),
    pytest.param({"everything": True, "urls": ["http://shop.example/%zz"]}, 422, id="malformed-url"),
    pytest.param({"everything": True, "tags": [""]}, 422, id="empty-tag"),
    pytest.param({"everything": True, "prefix": "/static/"}, 422, id="prefix-without-host"),
    pytest.param(
        {"everything": True, "prefix": "http://shop.example/" + "x" * 9000}, 422, id="endless-prefix"
    ),
    pytest.param({"everything": True, "host": "shop.example/p"}, 422, id="host-with-a-path"),
    pytest.param({"everything": True, "host": ""}, 422, id="empty-host"),
    pytest.param({"everything": True, "wait": "2"}, 422, id="wait-without-unit"),
    pytest.param({"everything": True, "wait": 2}, 422, id="wait-of-the-wrong-type"),
    pytest.param({"everything": True, "wait": "1h"}, 422, id="endless-wait"),
    pytest.param({"everything": True, "tags": ["t"] * 10_001}, 422, id="too-many"),
    pytest.param(b'{"everything": true, "x": "' + b"x" * 1_100_000 + b'"}', 413, id="too-large"),
]


@pytest.mark.parametrize(("body", "status"), REFUSED)
def test_a_purge_that_is_not_understood_purges_nothing(node, body, status):
    warm(node, "/p/1?tag=red")
    assert is_problem(node.admin("POST", "/purge", body), status)
    assert all(hit(node.get("/p/1?tag=red")) for _ in range(6))


def test_a_purge_wants_json(node):
    body = json.dumps({"everything": True}).encode()
    answer = node.admin("POST", "/purge", body, **{"Content-Type": "text/plain"})
    assert is_problem(answer, 415)


def test_a_slow_body_holds_nobody_else(node):
    with socket.create_connection(("127.0.0.1", node.admin_port), timeout=DEADLINE) as slow:
        slow.sendall(b"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        slow.sendall(b"Content-Length: 50\r\n\r\n{")
        assert call(node.admin_port, "GET", "/healthz", None, {}).status == 200


# --- health -----------------------------------------------------------------------

CHECKED = CONFIG.replace(
    'origins: ["http://ORIGIN"]',
    'origins: ["http://ORIGIN"], health_check: {interval: 100ms, unhealthy_after: 1, healthy_after: 1}',
)


def test_active_checks_reach_workers_metrics_and_strict_readiness(tmp_path, origin):
    metric = f'edgeproxy_origin_healthy{{origin="{origin.address}",upstream="shop"}}'
    with RunningNode(tmp_path, origin, CHECKED) as node:
        origin.healthy = False
        try:
            eventually(lambda: node.metric(metric) == 0)
            assert {node.get(f"/checked/{n}").status for n in range(12)} == {503}
            assert node.admin("GET", "/readyz").status == 200
            strict = node.admin("GET", "/readyz?strict=1")
            assert strict.status == 503
            assert strict.json["reasons"] == ["upstream shop has no healthy origin"]
        finally:
            origin.healthy = True
        eventually(lambda: node.metric(metric) == 1)
        eventually(lambda: {node.get(f"/checked/{n}").status for n in range(12)} == {200})
        node.write(
            CHECKED.replace("name: all", "name: every").replace(
                ", health_check", ", balance: random_two, health_check"
            )
        )
        assert node.admin("POST", "/reload").status == 200
        origin.healthy = False
        try:
            eventually(lambda: node.metric(metric) == 0)
        finally:
            origin.healthy = True
