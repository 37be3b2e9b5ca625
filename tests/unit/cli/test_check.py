"""`edgeproxy check` and `edgeproxy schema`, as processes and inside one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeproxy.cli.check import check
from edgeproxy.cli.schema import schema
from tests.unit.config.yaml_texts import DESIGN

ROOT = Path(__file__).parents[3]
BAD = """\
servr: {}
upstreams:
  shop: {origins: ["http://a"]}
routes:
  - {name: all, upstream: shpo}
"""


def test_a_good_file_exits_with_0(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(BAD.replace("shpo", "shop").replace("servr: {}\n", ""))
    result = CliRunner().invoke(check, [str(path)])
    assert result.exit_code == 0
    assert result.stdout == f"{path}: good, 1 route, 1 upstream, 1 origin\n"
    assert result.stderr == ""


def test_the_design_s_file_is_good() -> None:
    result = CliRunner().invoke(check, [str(DESIGN)])
    assert result.exit_code == 0
    assert result.stdout == f"{DESIGN}: good, 4 routes, 1 upstream, 2 origins\n"
    assert result.stderr == ""


def test_every_mistake_is_a_line_and_the_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    result = CliRunner().invoke(check, [str(path)])
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"{path}:1:1: servr: unknown key, did you mean server?",
        f'{path}:5:27: routes[0].upstream: no upstream is named "shpo", did you mean shop?',
    ]
    assert result.stderr == f"{path}: 2 mistakes\n"


def test_long_lines_are_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("zebra: 1\n" + BAD.replace("servr: {}\n", "").replace("shpo", "shop"))
    result = CliRunner().invoke(check, [str(path)], terminal_width=20)
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(("name", "what"), [("none.yaml", "no such file"), (".", "is a directory")])
def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path, name: str, what: str) -> None:
    result = CliRunner().invoke(check, [str(tmp_path / name)])
    assert result.exit_code == 2
    assert what in result.stdout


def test_the_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(schema)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["required"] == ["upstreams", "routes"]


@pytest.mark.parametrize(("name", "code"), [("minimal.yaml", 0), ("none.yaml", 2)])
def test_the_command_is_there(name: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeproxy", "check", f"config/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert done.stdout.startswith(f"config/{name}:")
