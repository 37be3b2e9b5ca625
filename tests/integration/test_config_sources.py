"""A node whose configuration changes by itself: its file, when watched, or the URL that it comes from."""

import signal

import pytest

from tests.control_plane import ControlPlane
from tests.integration.node import CONFIG, Origin, RunningNode, eventually

REDIRECTED = CONFIG.replace("name: all, upstream: shop", "name: sent, redirect: https://elsewhere.example/")
BAD = CONFIG.replace("upstream: shop", "upstream: shoop")


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def plane():
    made = ControlPlane()
    yield made
    made.close()


def watched(config: str) -> str:
    return config + "    watch: true\n"


def test_a_watched_file_that_changes_is_in_force_by_itself(tmp_path, origin):
    with RunningNode(tmp_path, origin, watched(CONFIG)) as node:
        assert node.get("/a").status == 200
        node.write(watched(BAD))
        eventually(lambda: "the old one stays in force" in node.log)
        assert node.get("/a").status == 200
        node.write(watched(REDIRECTED).replace("origins:", "ejection: {for: 5s}, origins:"))
        eventually(lambda: node.get("/a").status == 308)
        assert "routes.sent: added" in node.log
        assert "upstreams.shop.ejection.for: 10s -> 5s" in node.log
        assert node.log.count("the old one stays in force") == 1
        assert node.metric('edgeproxy_config_reloads_total{result="refused"}') == 1
        node.write(CONFIG)  # the last change that is seen switches watching off
        eventually(lambda: node.get("/a").status == 200)


def by_url(tmp_path, origin, plane: ControlPlane, url: str | None = None) -> RunningNode:
    run = ("--config", url or plane.url)
    return RunningNode(tmp_path, origin, CONFIG, run=run, env={"STATE_DIRECTORY": str(tmp_path / "state")})


def offer(plane: ControlPlane, origin: Origin, config: str) -> None:
    import textwrap

    plane.text = textwrap.dedent(config).replace("ORIGIN", origin.address)


def test_a_configuration_by_url_is_polled_kept_and_refused_when_bad(tmp_path, origin, plane):
    plane.cache_control = "max-age=1"
    offer(plane, origin, CONFIG)
    secret = plane.url.replace("://", "://me:secret@") + "?token=hidden"
    with by_url(tmp_path, origin, plane, secret) as node:
        assert node.get("/a").status == 200
        started = node.metric("edgeproxy_config_last_success_timestamp_seconds")
        offer(plane, origin, BAD)
        eventually(lambda: node.metric('edgeproxy_config_reloads_total{result="refused"}') == 1)
        assert f"http://***@{plane.address}/edge.yaml?***:7:" in node.log
        assert node.metric("edgeproxy_config_last_success_timestamp_seconds") == started
        offer(plane, origin, REDIRECTED)
        answer = node.admin("POST", "/reload")  # asks at once
        assert answer.status == 200
        assert "routes.sent: added" in answer.json["changed"]
        assert node.get("/a").status == 308
        assert node.metric("edgeproxy_config_last_success_timestamp_seconds") > started
        assert node.metric('edgeproxy_config_polls_total{result="changed"}') == 1
        plane.status = 503
        node.signal(signal.SIGHUP)
        eventually(lambda: "edge.yaml?*** answers 503" in node.log)
        assert "secret" not in node.log
        assert "hidden" not in node.log
    (copy,) = (tmp_path / "state").iterdir()
    assert copy.read_text() == plane.text
    with by_url(tmp_path, origin, plane, secret) as node:  # the control plane is down
        assert "started from the last good copy" in node.log
        assert node.get("/a").status == 308


def test_no_control_plane_and_no_copy_is_one_line_and_exit_1(tmp_path, origin, plane):
    plane.close()
    node = by_url(tmp_path, origin, plane)
    try:
        assert node.exit_code() == 1
        assert node.log.count("\n") == 1
        assert f"{plane.url} cannot be reached" in node.log
    finally:
        node.end()


def test_a_url_can_be_checked(tmp_path, origin, plane):
    from click.testing import CliRunner

    from edgeproxy.cli.main import main

    offer(plane, origin, CONFIG)
    good = CliRunner().invoke(main, ["check", plane.url])
    assert (good.exit_code, good.output) == (0, f"{plane.url}: good, 1 route, 1 upstream, 1 origin\n")
    offer(plane, origin, BAD)
    bad = CliRunner().invoke(main, ["check", plane.url])
    assert bad.exit_code == 2
    assert bad.output.startswith(f"{plane.url}:7:")
    plane.status = 404
    absent = CliRunner().invoke(main, ["check", plane.url])
    assert (absent.exit_code, absent.output) == (2, f"{plane.url} answers 404\n")
