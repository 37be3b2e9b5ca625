"""`purge` and `explain` over real HTTP: what they send, what they print, how they exit."""

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from edgeproxy.cli.explain import explain, show
from edgeproxy.cli.purge import PENDING, purge


class Node(ThreadingHTTPServer):
    """Answers every call with what the test put in, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.answer: Any = {}
        self.calls: list[tuple[str, str, Any]] = []
        self.token: str | None = None
        self.url = f"http://127.0.0.1:{self.server_port}"

    def invoke(self, command: Any, *args: str, **env: str) -> Result:
        return CliRunner().invoke(command, [*args, "--admin", self.url], env=env)


class Handler(BaseHTTPRequestHandler):
    server: Node

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, body: Any) -> None:
        self.server.calls.append((self.command, self.path, body))
        self.server.token = self.headers["Authorization"]
        answer = self.server.answer
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


APPLIED = {"id": "7", "removed": 2, "nodes": {"one": "applied"}, "receipts": {}}


def test_purge_sends_the_union_and_says_what_was_removed(node: Node) -> None:
    node.answer = APPLIED
    result = node.invoke(
        purge, "--url", "http://a/1", "--url", "http://a/2", "--tag", "t", "--host", "a", "--soft"
    )
    assert result.exit_code == 0, result.output
    body = {"urls": ["http://a/1", "http://a/2"], "tags": ["t"], "host": "a", "soft": True}
    assert node.calls == [("POST", "/purge", body)]
    assert result.output == "made stale: 2 stored responses (purge 7)\n"


def test_several_prefixes_and_hosts_become_several_calls(node: Node) -> None:
    node.answer = APPLIED | {"removed": None}
    result = node.invoke(
        purge, "--prefix", "http://a/x", "--prefix", "http://a/y", "--host", "b", "--everything"
    )
    assert [body for _, _, body in node.calls] == [
        {"everything": True, "prefix": "http://a/x", "host": "b"},
        {"prefix": "http://a/y"},
    ]
    assert result.output == "purged (purge 7)\n" * 2


def test_a_pending_node_is_shown_and_changes_the_exit_code(node: Node) -> None:
    node.answer = APPLIED | {"nodes": {"one": "applied", "two": "pending"}}
    result = node.invoke(purge, "--everything", "--wait", "100ms")
    assert result.exit_code == PENDING
    assert "two" in result.output
    assert "pending" in result.output
    assert node.calls[0][2]["wait"] == "100ms"


def test_purge_prints_json_for_machines(node: Node) -> None:
    node.answer = APPLIED
    assert json.loads(node.invoke(purge, "--everything", "--json").output) == APPLIED


def test_purge_asks_for_a_dry_run_and_tells_its_cost(node: Node) -> None:
    refill = {"seconds": 2.5, "origin_seconds": 7.25}
    node.answer = {"node": "edge-1", "responses": 12, "bytes": 4096, "exact": True, "refill": refill}
    result = node.invoke(purge, "--everything", "--dry-run")
    assert node.calls == [("POST", "/purge", {"everything": True, "dry_run": True})]
    assert result.exit_code == 0
    assert "would purge 12 stored responses, 4096 bytes, in memory of edge-1" in result.output
    assert "7.25 s of the origins' time, at least 2.5 s" in result.output
    node.answer |= {"exact": False, "refill": refill | {"seconds": None}}
    result = node.invoke(purge, "--everything", "--dry-run")
    assert "about 12 stored responses" in result.output
    assert "no requests come" in result.output


def test_purge_sends_its_rate_and_tells_how_long_it_takes(node: Node) -> None:
    drip = {"urls": 1000, "rate": "200/s", "seconds": 5.0}
    node.answer = {"id": "7", "removed": None, "nodes": {"edge-1": "pending"}, "receipts": {}, "drip": drip}
    result = node.invoke(purge, "--everything", "--soft", "--rate", "200/s")
    assert node.calls == [("POST", "/purge", {"everything": True, "soft": True, "rate": "200/s"})]
    assert "1000 URLs are made stale at 200/s, within 9 s (purge 7)" in result.output
    assert result.exit_code == 0
    assert node.invoke(purge, "--everything", "--rate", "200/s").exit_code == 2


def test_purge_without_a_selector_is_wrong_usage_and_calls_nothing(node: Node) -> None:
    assert node.invoke(purge, "--soft").exit_code == 2
    assert node.calls == []


def test_the_token_comes_from_the_environment(node: Node) -> None:
    node.answer = APPLIED
    node.invoke(purge, "--everything", EDGEPROXY_ADMIN_TOKEN="secret")
    assert node.token == "Bearer secret"
    node.invoke(purge, "--everything", EDGEPROXY_ADMIN_TOKEN="")
    assert node.token is None


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, b"", "set EDGEPROXY_ADMIN_TOKEN"),
        (422, {"title": "Unprocessable", "detail": "urls[0]: no URL"}, "answered 422: urls[0]: no URL"),
        (500, b"oops", "answered 500: oops"),
        (200, b"<html>", "no answer from the admin API"),
    ],
)
def test_a_refusal_is_explained_and_exits_1(node: Node, status: int, answer: Any, said: str) -> None:
    node.status, node.answer = status, answer
    result = node.invoke(purge, "--everything")
    assert result.exit_code == 1
    assert said in result.output


def test_nobody_there_exits_1() -> None:
    result = CliRunner().invoke(purge, ["--everything", "--admin", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no answer from the admin API at http://127.0.0.1:1" in result.output


def test_an_admin_url_of_another_kind_is_wrong_usage() -> None:
    assert CliRunner().invoke(purge, ["--everything", "--admin", "ftp://x"]).exit_code == 2


def test_explain_passes_url_and_fields_and_shows_the_facts(node: Node) -> None:
    node.answer = {
        "route": "pages",
        "tags": ["a", "b"],
        "fields": [["Content-Type", "text/html"]],
        "freshness": {"lifetime": 60.0, "source": "max-age"},
        "would_hit": True,
        "note": "[not markup]",
        "variant": None,
    }
    result = node.invoke(explain, "http://a/?x=1&y=2", "-H", "Accept-Language: de")
    assert result.exit_code == 0, result.output
    assert node.calls[0][1] == "/explain?url=http%3A%2F%2Fa%2F%3Fx%3D1%26y%3D2&header=Accept-Language%3A+de"
    for line in (
        "route: pages",
        "tags: a, b",
        "Content-Type: text/html",
        "lifetime: 60.0",
        "would hit: yes",
        "note: [not markup]",
        "variant: -",
    ):
        assert line in result.output


EXPLAINED: dict[str, Any] = {
    "url": "http://a/",
    "outcome": "miss",
    "would": "be fetched from the origin",
    "reason": "nothing-stored",
    "section": "RFC 9111 §4",
    "last_refusal": {
        "time": "2026-01-01T00:00:00+00:00",
        "status": 200,
        "reason": "too-large",
        "section": "",
        "fields": [["X", "\x1b[31mred"]],
    },
    "steps": [
        {
            "of": "request",
            "rule": "nothing-stored",
            "outcome": "nothing is stored under this key",
            "fields": [],
            "section": "RFC 9111 §4",
            "reason": "nothing-stored",
        },
        {
            "of": "last answer",
            "rule": "directives",
            "outcome": "nothing forbids storing",
            "fields": [["response Cache-Control", "max-age=60, " + "x" * 300], ["response Vary", "a"]],
            "section": "",
            "reason": None,
        },
    ],
    "advice": [
        {"at": "origin", "say": "send `A: b`", "effect": "it is stored", "caution": "with care"},
        {"at": "route", "say": "set `c`", "effect": "it is stored", "caution": ""},
    ],
}


def test_explain_tells_steps_verdict_and_advice_a_line_each(node: Node) -> None:
    node.answer = EXPLAINED
    output = node.invoke(explain, "http://a/").output
    mattered = f"response Cache-Control: max-age=60, {'x' * 300}; response Vary: a"
    for line in (
        "What happens to such a request now:",
        "  nothing-stored: nothing is stored under this key (RFC 9111 §4)",
        "Why the last answer, of 2026-01-01T00:00:00+00:00, was not stored:",
        f"  directives: nothing forbids storing <- {mattered}",
        "Verdict: it would be fetched from the origin (nothing-stored, RFC 9111 §4)",
        "Its last answer, a 200, was not stored (too-large)",
        "At the origin: send `A: b`; then it is stored (with care)",
        "Or in the configuration: set `c`; then it is stored",
    ):
        assert line in output.splitlines()
    assert "\x1b" not in output


@pytest.mark.parametrize("width", [64, 200])
def test_on_a_terminal_steps_are_tables_in_which_nothing_is_cut(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    show(EXPLAINED, console)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    lines = output.splitlines()
    assert max(map(len, lines)) <= width
    assert output.count("x") >= 300
    assert "…" not in output
    assert "\x1b" not in output
    assert "Verdict: it would be fetched from the origin" in output
    assert any("rule" in line and "what mattered" in line for line in lines)


def test_in_a_terminal_the_command_draws_tables(node: Node) -> None:
    node.answer = EXPLAINED
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "edgeproxy", "explain", "http://a/", "--admin", node.url]
    env = os.environ | {"COLUMNS": "70", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        output = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while piece := os.read(master, 65536):
                output += piece
    os.close(master)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.decode())
    assert "what mattered" in text
    assert text.count("x" * 10) >= 10
    assert max(map(len, text.splitlines())) <= 70


def test_explain_prints_json_for_machines(node: Node) -> None:
    node.answer = {"route": None}
    assert json.loads(node.invoke(explain, "http://a/", "--json").output) == {"route": None}


@pytest.mark.parametrize("field", ["Accept", ": x", ""])
def test_explain_refuses_a_field_without_name_or_colon(node: Node, field: str) -> None:
    assert node.invoke(explain, "http://a/", "-H", field).exit_code == 2
    assert node.calls == []
