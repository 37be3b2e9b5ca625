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
        (
            ("--config", "ftp://me:secret@control/edge.yaml"),
            "ftp://***@control/edge.yaml is no http",
        ),
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


@pytest.mark.parametrize("option", ["--listen", "--admin"])
def test_a_busy_port_is_one_clear_line(taken: int, option: str) -> None:
    address = f"127.0.0.1:{taken}"
    others = {"--listen": "127.0.0.1:0", "--admin": "127.0.0.1:0"} | {option: address}
    code, output = invoke("demo", *(part for pair in others.items() for part in pair), "--shops", "0", "0")
    assert code == 1
    assert (
        output == f"Error: cannot listen on {address}: address already in use; choose another with {option}\n"
    )


def test_a_busy_port_of_a_shop_is_one_clear_line(taken: int) -> None:
    any_port = "127.0.0.1:0"
    code, output = invoke("demo", "--listen", any_port, "--admin", any_port, "--shops", "0", str(taken))
    assert code == 1
    assert output.endswith("choose another with --shops\n")


def test_demo_refuses_an_address_that_is_none() -> None:
    code, output = invoke("demo", "--listen", "127.0.0.1:0", "--admin", "9900")
    assert code == 2
    assert "--admin 9900: only a port" in output
