"""What is shipped works where it is shipped to: the wheel, the image, the files to deploy with, make."""

import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeproxy import __version__
from edgeproxy.cli.main import main
from edgeproxy.config.load import load, load_text
from edgeproxy.telemetry.metrics import METRICS
from tests.command import free_address, started

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"
SECRETS = {"EDGEPROXY_ADMIN_TOKEN": "secret", "EDGEPROXY_ORIGIN": "http://service:3000"}


def instructions(name: str) -> list[str]:
    """What follows each `NAME` in the Dockerfile."""
    return re.findall(rf"^{name} (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def copied() -> list[str]:
    """The paths that the Dockerfile copies from the checkout."""
    lines = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return [path for *paths, _ in lines for path in paths]


# --- the image --------------------------------------------------------------------


@pytest.mark.parametrize("path", copied())
def test_what_the_image_copies_exists_and_is_sent_to_the_builder(path: str) -> None:
    assert (ROOT / path).exists()
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    sent = True
    for rule in rules:
        if fnmatch(path, rule.lstrip("!")):
            sent = rule.startswith("!")
    assert sent


def test_the_image_runs_a_command_and_a_config_that_exist() -> None:
    (command,) = [json.loads(line) for line in instructions("CMD")]
    assert command[0] == "edgeproxy"
    assert command[1] in main.commands
    target = command[command.index("--config") + 1]
    (source,) = [line.split()[0] for line in instructions("COPY") if line.endswith(target)]
    config = load(ROOT / source, SECRETS)
    assert [listener.address for listener in config.server.listen] == ["0.0.0.0:8080"]
    assert config.upstreams["origin"].origins[0].url == SECRETS["EDGEPROXY_ORIGIN"]


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert instructions("USER") == ["10001:10001"]


class _Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_tells_a_healthy_node_from_others(status: int | None, healthy: bool) -> None:
    (line,) = instructions("HEALTHCHECK")
    python, *rest = json.loads(line.partition("CMD ")[2])
    assert python == "python"
    handler = type("Handler", (_Health,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        port = server.server_port
        if status is None:
            server.server_close()
        else:
            threading.Thread(target=server.handle_request, daemon=True).start()
        assert "9900" in rest[1]
        command = [sys.executable, rest[0], rest[1].replace("9900", str(port))]
        ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert (ended.returncode == 0) is healthy


# --- the files to deploy with -----------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: str(path.relative_to(DEPLOY))
)
def test_deploy_yaml_parses(path: Path) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(path.read_text()))


def test_compose_mounts_files_that_exist_and_a_config_that_is_good() -> None:
    folder = DEPLOY / "compose"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert (folder / volume.split(":")[0]).is_file(), volume
        for used in service.get("configs", []):
            assert used["source"] in compose["configs"]
    assert (folder / compose["services"]["edgeproxy"]["build"] / "Dockerfile").is_file()
    config = load(folder / "edgeproxy.yaml", SECRETS)
    grace = float(compose["services"]["edgeproxy"]["stop_grace_period"].removesuffix("s"))
    assert config.server.drain_timeout < grace


def test_kubernetes_config_is_good_and_drains_in_time() -> None:
    parts = {
        part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes/edgeproxy.yaml").read_text())
    }
    config = load_text(parts["ConfigMap"]["data"]["config.yaml"], SECRETS)
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + config.server.drain_timeout < pod["terminationGracePeriodSeconds"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"0.0.0.0:{ports['http']}" == config.server.listen[0].address
    assert f"0.0.0.0:{ports['admin']}" == config.admin.listen


def test_the_systemd_unit_calls_commands_that_exist() -> None:
    lines = (DEPLOY / "systemd/edgeproxy.service").read_text().splitlines()
    called = [shlex.split(line.partition("=")[2]) for line in lines if line.startswith("ExecStart")]
    assert len(called) == 2
    assert all(command[1] in main.commands for command in called)


def test_the_dashboard_asks_only_for_metrics_that_exist() -> None:
    exported = {metric.name for metric in METRICS.values()}
    exported |= {f"{metric.name}_bucket" for metric in METRICS.values() if metric.buckets}
    board = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"edgeproxy_\w+", target["expr"])
    }
    assert asked
    assert asked <= exported


# --- make and CI ------------------------------------------------------------------


def make(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or os.environ["PATH"], "HOME": "/nonexistent"}
    command = [shutil.which("make") or "make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_make_alone_lists_the_targets() -> None:
    helped = make()
    assert helped.returncode == 0
    for target in ("run", "test", "lint", "bench", "clean"):
        assert f"make {target}" in helped.stdout


def test_make_run_serves_the_demo_or_ones_own_service(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    (tmp_path / ".installed").touch()
    demo = make("-n", "run", f"VENV={tmp_path}").stdout
    assert f"{tmp_path}/bin/edgeproxy demo" in demo
    own = make("-n", "run", f"VENV={tmp_path}", "ORIGIN=http://localhost:3000").stdout
    assert f"{tmp_path}/bin/edgeproxy run --origin 'http://localhost:3000' --listen '127.0.0.1:8080'" in own
    assert "pip" not in demo + own, "nothing is installed again"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("", "needs Python 3.11 or newer, and none was found"),
        ("old", "needs Python 3.11 or newer; "),
        ("bare", "comes without its venv module"),
    ],
)
def test_make_says_which_python_is_missing(tmp_path: Path, program: str, said: str) -> None:
    scripts = {
        "old": '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 || exit 1\n',
        "bare": '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n',
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    python = str(tmp_path / program) if program else ""
    made = make("run", f"VENV={tmp_path}/venv", f"PYTHON={python}")
    assert made.returncode != 0
    assert said in made.stderr
    assert not (tmp_path / "venv").exists()


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()


# --- the wheel, installed outside the checkout --------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's build copies, and nothing else."""
    folder = tmp_path_factory.mktemp("source")
    for path in copied():
        origin, target = ROOT / path, folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, target)
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The `bin` of a clean virtual environment, made by the very commands of the image's build."""
    folder = tmp_path_factory.mktemp("clean") / "edgeproxy"
    build = (ROOT / "Dockerfile").read_text().partition("\nFROM ")[2].partition("\nFROM ")[0]
    lines = re.findall(r"^RUN (.+)$", build, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        program, *rest = shlex.split(line.replace("/opt/edgeproxy", str(folder)))
        run_python(*([] if program == "python" else ["-m", program]), *rest, cwd=source)
    yield folder / "bin"
    shutil.rmtree(folder)


def run_python(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def outside(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))
    }
    command = [str(program), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_wheel_holds_code_types_and_the_demos_files(source: Path, tmp_path: Path) -> None:
    run_python("-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={tmp_path}", ".", cwd=source)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for path in ("py.typed", "demo/demo.yaml", "demo/app.css", "cli/main.py"):
        assert f"edgeproxy/{path}" in names
    assert not [name for name in names if name.startswith(("tests/", "config/"))]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_installed_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    version = outside(installed / "edgeproxy", "--version", cwd=tmp_path)
    assert version.stdout == f"edgeproxy, version {__version__}\n", version.stderr
    shutil.copy(DEPLOY / "compose" / "edgeproxy.yaml", tmp_path / "good.yaml")
    text = (tmp_path / "good.yaml").read_text().replace("${EDGEPROXY_ADMIN_TOKEN}", "secret")
    (tmp_path / "good.yaml").write_text(text)
    (tmp_path / "bad.yaml").write_text(text.replace("upstreams:", "upstream:"))
    good = outside(installed / "edgeproxy", "check", "good.yaml", cwd=tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    bad = outside(installed / "edgeproxy", "check", "bad.yaml", cwd=tmp_path)
    assert bad.returncode == 2
    assert bad.stdout.startswith("bad.yaml:")
    schema = outside(installed / "edgeproxy", "schema", cwd=tmp_path)
    assert json.loads(schema.stdout)["properties"].keys() >= {"upstreams", "routes"}
    busy = outside(installed / "edgeproxy", "demo", "--listen", "8080", cwd=tmp_path)
    assert busy.returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_runs_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    listen, admin = free_address(), free_address()
    arguments = ("demo", "--admin", admin, "--shops", "0", "0")
    with started(listen, admin, *arguments, program=[str(installed / "edgeproxy")], cwd=tmp_path) as running:
        first, second = running.ask("/product/17"), running.ask("/product/17")
        assert (first.status, second.status) == (200, 200)
        assert "; hit" in second.cache_status
    assert running.process.returncode == 0
