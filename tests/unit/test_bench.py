"""The benchmark measures what it says: reports read right, heads distinct, children's time counted."""

import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import surroundings
from tests.benchmarks.bench import arguments, duration, takes_part
from tests.benchmarks.cases import CASES, HEADS, URLS, Case, Setup, browser_heads, script_of
from tests.benchmarks.chart import svg
from tests.benchmarks.contenders import CONTENDERS, Contender, Site
from tests.benchmarks.load import check_size, idle_connections, latencies, read_wrk
from tests.benchmarks.measure import Round, Void, counted, cpu_seconds, settled_lines
from tests.benchmarks.report import figures, table_of

ROOT = Path(__file__).parents[2]
BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize(
    ("told", "requests", "seconds"),
    [
        ("  1000 requests in 4.00s, 1.2MB read\n", 1000, 4.0),
        ("  7 requests in 950.00ms, 1.2KB read\n", 7, 0.95),
        ("  90000 requests in 1.50m, 1.2GB read\n", 90_000, 90.0),
    ],
)
def test_a_report_gives_requests_and_seconds(told: str, requests: int, seconds: float) -> None:
    assert read_wrk(told) == (requests, pytest.approx(seconds))


@pytest.mark.parametrize(
    "told",
    [
        "  1000 requests in 4.00s, 1MB read\n  Non-2xx or 3xx responses: 3\n",
        "  1000 requests in 4.00s, 1MB read\n  Socket errors: connect 0, read 2, write 0, timeout 0\n",
        "  0 requests in 4.00s, 0B read\n",
        "unable to connect to 127.0.0.1:1 Connection refused\n",
    ],
)
def test_a_round_with_errors_is_void(told: str) -> None:
    with pytest.raises(Void):
        read_wrk(told)


def test_browser_heads_are_distinct_and_their_urls_follow_zipf() -> None:
    heads = list(browser_heads())
    assert len(set(heads)) == len(heads) == HEADS
    assert all(head.endswith(b"\r\n\r\n") and head.count(b"\r\n") == 12 for head in heads)
    asked = Counter(head.split(b" ", 2)[1] for head in heads)
    assert len(asked) <= URLS
    assert asked[b"/hit/1024/0"] > 5 * asked[b"/hit/1024/20"] > 0


def test_cpu_time_of_children_is_counted() -> None:
    burn = "n = 0\nwhile n < 20_000_000: n += 1\nprint('burnt', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", parent], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        assert cpu_seconds(process.pid) >= 0.1
        process.communicate("\n")


def test_missing_tools_are_said_with_their_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bench"]
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert "wrk is missing: apt install wrk" in ended.stdout


def built(contender: Contender, setup: Setup, folder: Path) -> str:
    """All that a contender writes for a setup, and its command lines."""
    folder.mkdir()
    tls = Path("/tls") if setup is Setup.TLS else None
    url = "redis://127.0.0.1:1/0" if setup is Setup.REDIS else ""
    site = Site(folder, 18_000, 18_001, setup, tls, url)
    commands = [contender.command(site), contender.beside(site) or []]
    return "".join(path.read_text() for path in folder.iterdir()) + repr(commands)


def test_each_contender_is_configured_for_each_setup_that_it_has(tmp_path: Path) -> None:
    marks = {
        Setup.LOG: ("access.log", "option httplog"),
        Setup.TLS: ("/tls/",),
        Setup.REDIS: ("redis://",),
        Setup.CROWD: ("12000", "timeout_idle"),
    }
    for contender in [each for each in CONTENDERS if each.caches]:
        for setup in [each for each in Setup if each not in contender.lacks]:
            text = built(contender, setup, tmp_path / f"{contender.name}-{setup.name}")
            assert "18000" in text
            assert "18001" in text
            for other, signs in marks.items():
                assert any(sign in text for sign in signs) is (other is setup), (contender, setup, other)


def test_a_configuration_of_edgeproxy_is_one_that_it_takes(tmp_path: Path) -> None:
    tls = surroundings.certificate(tmp_path / "tls")
    for setup in Setup:
        folder = tmp_path / setup.name
        folder.mkdir()
        url = "redis://127.0.0.1:1/0" if setup is Setup.REDIS else ""
        command = CONTENDERS[0].command(Site(folder, 1, 2, setup, tls if setup is Setup.TLS else None, url))
        checked = subprocess.run(
            [sys.executable, "-m", "edgeproxy", "check", command[-1]],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout


def test_cases_say_what_they_ask_for(tmp_path: Path) -> None:
    assert len(BY_NAME) == len(CASES)
    for case in CASES:
        assert case.body in (0, 1024, 10_240, 102_400), case.name
        assert (script_of(case, tmp_path) is None) is (not case.lua)
        assert case.path == case.paths[0] or case.stored
    assert BY_NAME["not-modified"].body == 0
    assert len(BY_NAME["hit-1k-browser"].paths) == URLS
    crowd = BY_NAME["hit-1k-crowd"]
    assert crowd.connections * 100 == crowd.connections + crowd.idle == 10_000


def test_only_who_has_a_setup_takes_part() -> None:
    here = {
        name: [each.name for each in CONTENDERS if takes_part(each, case)] for name, case in BY_NAME.items()
    }
    assert here["hit-1k-redis"] == ["edgeproxy"]
    assert here["hit-disk"] == ["edgeproxy", "nginx"]
    assert here["hit-1k-tls"] == ["edgeproxy", "nginx", "haproxy"]
    assert here["hit-1k-log"] == here["hit-10k"] == ["edgeproxy", "nginx", "haproxy", "varnish"]
    assert len(here["hit-1k"]) == len(CONTENDERS)


def test_a_run_has_a_bound_that_grows_with_what_is_asked_for() -> None:
    likely, limit = duration(CASES, CONTENDERS, 3, 4)
    assert 60 < likely < limit < 90 * 60
    assert duration(CASES[:1], CONTENDERS, 1, 1)[1] < duration(CASES[:2], CONTENDERS, 1, 1)[1] < limit


def test_the_command_line_knows_its_options() -> None:
    options = arguments().parse_args(["--cases", "hit-1k,miss", "--json", "a.json", "--svg", "b.svg"])
    assert (options.cases, options.json, options.svg) == ("hit-1k,miss", Path("a.json"), Path("b.svg"))


def test_an_unknown_case_is_a_mistake() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bench", "--cases", "hit-1k,hit-1m"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "no such case: hit-1m" in ended.stderr


@pytest.mark.parametrize(
    ("told", "requests", "body"),
    [("10 requests in 1s, 11.50KB read", 10, 1024), ("1000 requests in 1s, 97.90MB read", 1000, 102_400),
     ("10 requests in 1s, 900.00B read", 10, 0)],
)  # fmt: skip
def test_answers_as_long_as_they_are_due_count(told: str, requests: int, body: int) -> None:
    check_size(told, requests, body)


@pytest.mark.parametrize(
    ("told", "body"),
    [
        ("10 requests in 1s, 1.50KB read", 1024),
        ("10 requests in 1s, 11.50KB read", 0),
        ("10 requests in 1s", 0),
    ],
)
def test_answers_of_another_length_are_void(told: str, body: int) -> None:
    with pytest.raises(Void):
        check_size(told, 10, body)


def paced(count: int, rate: float, status: int = 200) -> list[tuple[int, ...]]:
    """Rows of h2load: one request after the other, each thousandth of them slow."""
    return [(round(i / rate * 1e6), status, 90_000 if i % 1000 == 7 else 200 + i % 100) for i in range(count)]


def test_latencies_are_percentiles_of_the_steady_part() -> None:
    found = latencies(paced(50_000, 10_000), 50_000, 10_000, 200)
    assert found["p50"] == pytest.approx(0.25, abs=0.01)
    assert found["p99"] == pytest.approx(0.299, abs=0.002)
    assert found["p99.9"] > 0.299


@pytest.mark.parametrize(
    ("rows", "asked", "why"),
    [
        (paced(50_000, 10_000), 50_001, "50000 answers to 50001"),
        (paced(50_000, 10_000, 503), 50_000, "50000 of them wrong"),
        (paced(50_000, 9_000), 50_000, "h2load reached"),
        (paced(10_000, 10_000), 10_000, "h2load reached 0"),
    ],
)
def test_a_rate_that_was_not_kept_is_void(rows: list[tuple[int, ...]], asked: int, why: str) -> None:
    with pytest.raises(Void, match=why):
        latencies(rows, asked, 10_000, 200)


def test_counters_are_added_up_over_the_series_with_all_labels() -> None:
    metrics = (
        '# HELP asked_total x\nasked_total{code="200",outcome="hit"} 5.0\n'
        'asked_total{code="304",outcome="hit"} 7.0\nasked_total{code="200",outcome="miss"} 9.0\n'
        'asked_total_other{code="200"} 100.0\n'
    )
    assert counted(metrics, "asked_total") == 21
    assert counted(metrics, "asked_total", 'code="200"') == 14
    assert counted(metrics, "asked_total", 'code="200"', 'outcome="hit"') == 5
    assert counted(metrics, "asked_total", 'code="500"') == 0


def test_lines_of_an_access_log_are_counted_once_it_stands_still(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("line\n" * 1000)
    assert settled_lines(log) == 1000


class _Answers(socketserver.BaseRequestHandler):
    """Answers a head; and `then`: closes, or waits for the next."""

    then = "wait"
    closed = threading.Semaphore(0)

    def handle(self) -> None:
        while self.request.recv(4096):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            if self.then == "close":
                self.request.shutdown(socket.SHUT_RDWR)
                self.closed.release()
                return


@contextmanager
def answering(then: str) -> Iterator[int]:
    handler = type("Handler", (_Answers,), {"then": then})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_idle_connections_are_answered_and_stay_open() -> None:
    with answering("wait") as port, idle_connections(20, port, "/"):
        pass


def test_idle_connections_that_were_closed_make_a_round_void() -> None:
    def hold(port: int) -> None:
        with idle_connections(20, port, "/"):
            assert all(_Answers.closed.acquire(timeout=10) for _ in range(20))

    with answering("close") as port, pytest.raises(Void, match="20 of 20 idle connections were closed"):
        hold(port)


@pytest.mark.parametrize("tool", ["openssl", "trustme"])
def test_a_certificate_is_made_by_either_tool(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tool == "trustme":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH")
    assert surroundings.missing(Setup.TLS) is None
    folder = surroundings.certificate(tmp_path / "tls")
    both = (folder / "both.pem").read_text()
    assert "BEGIN CERTIFICATE" in both
    assert "PRIVATE KEY" in both


MEASURED = {
    "hit-1k": {"edgeproxy": [Round(8.0, 9e4), Round(7.0, 1e5), Round(9.0, 8e4)], "nginx": [Round(16.0, 5e4)]},
    "latency": {
        "edgeproxy": [Round(8.0, 5e4, {"p50": 0.2, "p99": 1.0, "p99.9": 2.0})],
        "nginx & co": [Round(16.0, 2e4, {"p50": 0.3, "p99": 4.0, "p99.9": 5.0})],
    },
    "miss": {"nginx": [Round(70.0, 1e4)]},
}
SHOWN: list[Case] = [BY_NAME[name] for name in ("hit-1k", "latency", "miss", "pass")]


def test_figures_are_medians_and_ratios_by_case_and_server() -> None:
    told = json.loads(json.dumps(figures(SHOWN, MEASURED)))
    assert list(told) == ["hit-1k", "latency", "miss", "pass"]
    nginx, ours = told["hit-1k"]["servers"]["nginx"], told["hit-1k"]["servers"]["edgeproxy"]
    assert (ours["cpu"], ours["rate"], ours["ratio"]) == (8.0, 9e4, {"cpu": 1.0})
    assert nginx["ratio"] == {"cpu": 0.5}
    assert [each["cpu"] for each in ours["rounds"]] == [8.0, 7.0, 9.0]
    assert told["latency"]["servers"]["nginx & co"]["ratio"] == {"cpu": 0.5, "p99": 0.25}
    assert told["miss"]["servers"]["nginx"]["ratio"] == {}
    assert told["pass"]["servers"] == {}


def test_a_table_has_a_row_for_each_server_and_the_percentiles_where_there_are_any() -> None:
    told = figures(SHOWN, MEASURED)
    assert [column.header for column in table_of(told["hit-1k"]).columns] == [
        "server", "CPU µs/req", "req/s", "ratio",
    ]  # fmt: skip
    assert [column.header for column in table_of(told["latency"]).columns][4:] == [
        "p50 ms", "p99 ms", "p99.9 ms", "p99 ratio",
    ]  # fmt: skip
    assert [table_of(each).row_count for each in told.values()] == [2, 2, 1, 0]


def test_a_chart_has_a_bar_for_each_server_within_its_bounds_and_colours_for_both_schemes() -> None:
    text = svg(figures(SHOWN, MEASURED), "edgeproxy")
    drawn = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    bars = drawn.findall(f"{space}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "bar", "ours", "bar", "bar"]
    assert float(bars[1].get("width", 0)) == pytest.approx(2 * float(bars[0].get("width", 0)), abs=0.2)
    width, height = (float(drawn.get(name, 0)) for name in ("width", "height"))
    assert all(float(bar.get("x", 0)) + float(bar.get("width", 0)) < width for bar in bars)
    assert all(float(bar.get("y", 0)) < height - 14 for bar in bars)
    assert "prefers-color-scheme: dark" in text
    assert "nginx &amp; co" in text
    assert ElementTree.fromstring(svg({}, "edgeproxy")).findall(f"{space}rect") == []


def test_what_a_machine_does_not_allow_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise ValueError("not allowed")

    def none() -> str:
        raise RuntimeError("no redis-server")

    monkeypatch.setattr(surroundings.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(surroundings.resource, "setrlimit", refuse)
    monkeypatch.setattr(surroundings, "find_redis_server", none)
    assert "the hard limit is 4,096): raise it by ulimit" in (surroundings.missing(Setup.CROWD) or "")
    assert "apt install redis-server" in (surroundings.missing(Setup.REDIS) or "")
    assert surroundings.missing(Setup.PLAIN) is None
