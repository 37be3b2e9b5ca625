"""`edgeproxy simulate`: on files, gzip and standard input."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgeproxy.cli import simulate as command
from edgeproxy.cli.simulate import simulate
from edgeproxy.telemetry.access_log import Record, format_line
from tests.benchmarks.traces import size_of, zipf

OWN = ["edgeproxy", "LRU", "FIFO", "GDSF", "Belady"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    lines = [
        format_line(
            Record(1.7e9 + at, b"::1", b"GET", b"a.example", b"/%d" % number, 200, size_of(number), 0.1)
        )
        for at, number in enumerate(zipf(4000, 500, 0.9, seed=2))
    ]
    path.write_bytes(b"".join(lines) + b"rubbish\n")
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libCacheSim, as most have it."""
    monkeypatch.setitem(sys.modules, "libcachesim", None)


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(simulate, [str(each) for each in arguments], input=stdin)


@pytest.mark.usefixtures("bare")
def test_table_and_plot(log: Path) -> None:
    result = run(log)
    assert result.exit_code == 0, result.output
    assert "4,001 lines: 4,000 requests counted, 1 unreadable" in result.stdout
    heading = next(line for line in result.stdout.splitlines() if "edgeproxy" in line)
    assert [name for name in OWN if name in heading] == OWN
    assert "hit ratio by requests\n" in result.stdout
    assert result.stdout.rstrip().endswith("● edgeproxy  L LRU  F FIFO  G GDSF  B Belady")
    assert sum("of all)" in line for line in result.stdout.splitlines()) == 6


@pytest.mark.usefixtures("bare")
def test_sizes_and_json(log: Path) -> None:
    told = json.loads(run(log, "--sizes", "1MiB,50%,64KiB", "--json").stdout)
    half = told["footprint"] // 2
    assert [row["size"] for row in told["sizes"]] == sorted([65536, 1 << 20, half])
    assert list(told["sizes"][0]["policies"]) == OWN
    assert (
        0 < told["sizes"][0]["policies"]["LRU"]["bytes"] < told["sizes"][-1]["policies"]["LRU"]["bytes"] < 1
    )
    assert (told["lines"], told["requests"], told["unreadable"]) == (4001, 4000, 1)


def test_policies_of_libcachesim_where_it_is_installed(log: Path) -> None:
    pytest.importorskip("libcachesim")
    told = json.loads(run(log, "--sizes", "1MiB", "--json").stdout)
    assert list(told["sizes"][0]["policies"]) == [*OWN, "SIEVE", "S3-FIFO", "W-TinyLFU"]


@pytest.mark.usefixtures("bare")
def test_lifetime_lowers_the_hit_ratio(log: Path) -> None:
    ratios = [
        json.loads(run(log, "--sizes", "50%", "--json", *more).stdout)["sizes"][0]["policies"]
        for more in ([], ["--ttl", "5m"])
    ]
    for name in OWN:
        assert 0 < ratios[1][name]["requests"] < ratios[0][name]["requests"]


@pytest.mark.usefixtures("bare")
def test_sample(log: Path) -> None:
    told = json.loads(run(log, "--sample", "25%", "--json").stdout)
    assert told["requests"] + told["sampled_out"] == 4000
    assert told["sampled_out"] > 1000


@pytest.mark.usefixtures("bare")
def test_svg(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    assert run(log, "--svg", path).exit_code == 0
    assert path.read_text().startswith("<svg ")


def test_svg_that_cannot_be_written_is_told(log: Path, tmp_path: Path) -> None:
    result = run(log, "--sizes", "1MiB", "--svg", tmp_path / "missing" / "plot.svg")
    assert result.exit_code == 1
    assert "plot.svg: not written: No such file" in result.stderr


@pytest.mark.usefixtures("bare")
def test_one_byte_is_a_size_and_no_share(log: Path) -> None:
    told = json.loads(run(log, "--sizes", "1B", "--json").stdout)
    assert [row["size"] for row in told["sizes"]] == [1]
    assert told["sizes"][0]["policies"]["LRU"]["requests"] == 0


def test_standard_input_gzip_as_a_process(log: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeproxy", "simulate", "-", "--sizes", "1MiB"],
        input=gzip.compress(log.read_bytes()),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"4,001 lines" in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "nothing to simulate: 0 lines"),
        (b"rubbish\n", "1 unreadable"),
        (b'{"method": "POST", "path": "/", "status": 200}\n', "1 not cacheable (--all counts them)"),
        (b"\x1f\x8b\x08rubbish that is long enough", "cannot be read to its end"),
    ],
)
def test_nothing_to_simulate_exits_with_1(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(content)
    result = run(path)
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sizes", "64"],
        ["--sizes", "0%"],
        ["--sizes", "0"],
        ["--sizes", "1MiB,"],
        ["--sample", "200%"],
        ["--sample", "x"],
        ["--ttl", "5"],
    ],
)
def test_wrong_usage_exits_with_2(log: Path, arguments: list[str]) -> None:
    result = run(log, *arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in result.stderr


def test_long_log_is_told_of_samples(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_LONG", 3000)
    assert "--sample 10%" in run(log, "--sizes", "1MiB", "--json").stderr
