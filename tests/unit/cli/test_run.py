"""`run` and `demo` refuse what cannot work before anything starts, with the exit code they promise."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeproxy import __version__
from edgeproxy.cli.main import main


def invoke(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, args)
    return result.exit_code, result.output


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_version() -> None:
    assert invoke("--version") == (0, f"edgeproxy, version {__version__}\n")


def test_help_names_every_command() -> None:
    code, output = invoke("--help")
    assert code == 0
    assert all(name in output for name in ("run", "demo", "check", "schema", "purge", "explain"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "either --config FILE or --origin URL"),
        (("--config", "a", "--origin", "b"), "either --config FILE or --origin URL"),
        (("--config", "a", "--listen", "127.0.0.1:1"), "in a file it is server.listen"),
        (("--config", "http://control/edge.yaml"), "--config URL is not supported"),
        (("--origin", "http://a", "--workers", "0"), "--workers"),
    ],
)
def test_wrong_usage_is_explained(args: tuple[str, ...], said: str) -> None:
    code, output = invoke("run", *args)
    assert code == 2
    assert said in output


def test_all_mistakes_in_a_config_are_printed(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("upstream: {}\nroutes: []\nserver: {workers: many}\n")
    code, output = invoke("run", "--config", str(path))
    assert code == 2
    assert output.count(f"{path}:") >= 3


@pytest.mark.parametrize(
    ("args", "option"),
    [(("--origin", "http://a b"), "--origin"), (("--origin", "http://a", "--listen", "8080"), "--listen")],
)
def test_a_bad_origin_or_address_is_named_by_its_option(args: tuple[str, ...], option: str) -> None:
    code, output = invoke("run", *args)
    assert code == 2
    assert option in output


def test_a_busy_port_is_one_clear_line(taken: int) -> None:
    code, output = invoke("demo", "--listen", f"127.0.0.1:{taken}")
    assert code == 1
    assert output == f"Error: cannot listen on 127.0.0.1:{taken}: Address already in use\n"


def test_demo_refuses_an_address_that_is_none() -> None:
    code, output = invoke("demo", "--admin", "9900")
    assert code == 2
    assert "9900: only a port" in output
